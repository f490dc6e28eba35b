//! GET /api/backup: everything stored now, as one streamed file. `dpmq backup` calls it.

use std::io;
use std::net::IpAddr;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse, Response};
use futures_util::{Stream, stream};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::http::api::error::ConsoleError;
use crate::http::api::request::params::NoParams;
use crate::http::headers::{attachment, uncached};
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::store::Backup;

/// How long the client may read nothing: a backup keeps files of the log on the disk.
const READ_TIME: Duration = Duration::from_secs(60);

/// The pace while messages are being stored. Reading the backup, and writing it on the same
/// machine, must leave the disk to clients that wait for an answer.
const PACE_BYTES_PER_SECOND: f64 = 32e6;
/// How long that pace lasts after a message was stored.
const QUIET_TIME: Duration = Duration::from_secs(1);

/// GET /api/backup. The reply has its length, so a client knows when it broke off.
pub(super) async fn backup(
    State(state): State<HttpState>,
    caller: Caller,
    method: Method,
    _: NoParams,
) -> Result<Response, ConsoleError> {
    let place = state.places.backups.take(caller.key())?;
    let nothing = ConsoleError::nothing_on_disk;
    let backup = state.broker.backup().ok_or_else(nothing)?;
    let bytes = backup.bytes();
    let name = format!("dpmq-{}.backup", state.broker.clock().now().0);
    let kind = uncached("application/octet-stream");
    let file = [
        (header::CONTENT_LENGTH, HeaderValue::from(bytes)),
        attachment(&name),
    ];
    if method == Method::HEAD {
        return Ok((kind, file, Body::empty()).into_response());
    }
    caller.took(format_args!("took a backup of {bytes} bytes"));
    let (sender, receiver) = mpsc::channel(1);
    let (all_taken, taken) = oneshot::channel();
    let address = caller.place.address;
    tokio::spawn(async move {
        let sent = send(backup, &sender, taken, &state.stop).await;
        finish(sent, bytes, address, &sender, &state.broker).await;
        drop(place);
    });
    let body = Body::from_stream(pieces(receiver, bytes, all_taken));
    Ok((kind, file, body).into_response())
}

/// The body of the reply. Tells `all_taken` when its last piece is taken.
fn pieces(
    receiver: mpsc::Receiver<io::Result<Bytes>>,
    bytes: u64,
    all_taken: oneshot::Sender<()>,
) -> impl Stream<Item = io::Result<Bytes>> {
    let left = (receiver, bytes, Some(all_taken));
    stream::unfold(left, async |(mut receiver, mut left, mut all_taken)| {
        let piece: io::Result<Bytes> = receiver.recv().await?;
        left = left.saturating_sub(piece.as_ref().map_or(0, |piece| piece.len() as u64));
        if left == 0
            && let Some(all_taken) = all_taken.take()
        {
            let _ = all_taken.send(());
        }
        Some((piece, (receiver, left, all_taken)))
    })
}

/// Stores the time of a backup that is sent whole, or breaks off the transfer.
async fn finish(
    sent: io::Result<()>,
    bytes: u64,
    address: IpAddr,
    sender: &mpsc::Sender<io::Result<Bytes>>,
    broker: &Broker,
) {
    match sent {
        Ok(()) => {
            tracing::info!(%address, bytes, "a backup is sent");
            if let Err(error) = broker.note_backup().await {
                tracing::warn!(%error, "the time of the last backup cannot be stored");
            }
        }
        Err(error) => {
            tracing::warn!(%address, %error, "a backup broke off");
            // This breaks off the transfer, if the client is still there.
            let _ = sender.try_send(Err(error));
        }
    }
}

async fn send(
    mut backup: Backup,
    sender: &mpsc::Sender<io::Result<Bytes>>,
    taken: oneshot::Receiver<()>,
    stop: &CancellationToken,
) -> io::Result<()> {
    let broken = |what: &str| Err(io::Error::other(what.to_owned()));
    let (mut log_bytes, mut stored) = (backup.log_bytes(), None);
    loop {
        let started = Instant::now();
        let read = tokio::task::spawn_blocking(move || {
            let piece = backup.read();
            (backup, piece)
        });
        let (rest, piece) = read.await.map_err(io::Error::other)?;
        backup = rest;
        let Some(piece) = piece.map_err(io::Error::other)? else {
            // The backup is whole only when the last piece is taken too.
            return match timeout(READ_TIME, taken).await {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) => broken("the client has gone"),
                Err(_) => broken("the client reads nothing"),
            };
        };
        if backup.log_bytes() != log_bytes {
            log_bytes = backup.log_bytes();
            stored = Some(started);
        }
        let pace = Duration::from_secs_f64(piece.len() as f64 / PACE_BYTES_PER_SECOND);
        tokio::select! {
            biased;
            () = stop.cancelled() => return broken("the server stops"),
            sent = timeout(READ_TIME, sender.send(Ok(piece.into()))) => match sent {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return broken("the client has gone"),
                Err(_) => return broken("the client reads nothing"),
            }
        }
        if stored.is_some_and(|at| at.elapsed() < QUIET_TIME) {
            sleep_until(started + pace).await;
        }
    }
}
