//! A consumer's session: what its outbox has is written to the socket, and reported.

use std::future::poll_fn;

use bytes::Bytes;
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::{self, Message};

use super::health::{Burden, Health, Vigil};
use super::outgoing::Outgoing;
use super::upgrade::WebSocket;
use super::{Door, End, Leaver, WsState, ask_for_key, close, login};
use crate::access::Grant;
use crate::broker::{CloseSignal, Subscription};
use crate::connection::line::Line;

/// Deliveries that are taken from the outbox at once.
const TICKETS_MAX: usize = 16;

/// Logs a consumer in, and serves it until it leaves, the broker ends it, or the server stops.
///
/// It is subscribed before it is told that it is logged in: what is published from then on
/// reaches it.
pub(super) async fn login_and_run(
    mut socket: WebSocket,
    line: &Line,
    door: &Door<'_>,
    subscribe: impl FnOnce(&Grant) -> Subscription,
    state: &WsState,
) {
    let (end, leaver) = match ask_for_key(&mut socket, door, state).await {
        Err(end) => (end, None),
        Ok(grant) => {
            let mut subscription = subscribe(&grant);
            let end = match grant.ended() {
                Some(end) => end.into(),
                None => match socket.send(Message::text(login::SUCCEEDED)).await {
                    Ok(()) => serve(&mut socket, line, &mut subscription, state).await,
                    Err(_) => End::Gone,
                },
            };
            (end, Some(Leaver::consumer(subscription)))
        }
    };
    close(&mut socket, line, end, leaver, &state.connections).await;
}

async fn serve(
    socket: &mut WebSocket,
    line: &Line,
    subscription: &mut Subscription,
    state: &WsState,
) -> End {
    let mut closed = subscription.close_signal();
    let mut outgoing = Outgoing::new(TICKETS_MAX);
    let heard = socket.get_ref().heard();
    let every = state.config.get().server.ping_every;
    let mut health = Health::new(every, Vigil::new(line), heard.clone(), true);
    loop {
        tokio::select! {
            // A client that has left must be noticed before anything is written to its socket.
            biased;
            frame = socket.next() => {
                if let Some(end) = ended_by(frame) {
                    return end;
                }
                continue;
            }
            reason = closed.closed() => return reason.into(),
            () = state.stop.cancelled() => return End::Stopping,
            due = health.ping_due() => {
                let ping = async {
                    due?;
                    let sent = socket.send(Message::Ping(Bytes::new()));
                    let burden = || match burden(subscription) {
                        Burden::None if heard.is_waiting() => Burden::Full,
                        burden => burden,
                    };
                    or_end(sent, &mut health, burden, &mut closed, state).await
                };
                match ping.await {
                    Ok(()) => continue,
                    Err(end) => return end,
                }
            }
            () = subscription.recv(outgoing.tickets(), TICKETS_MAX) => {}
        }
        let written = write(
            socket,
            &mut outgoing,
            subscription,
            &mut health,
            &mut closed,
            state,
        );
        if let Err(end) = written.await {
            return end;
        }
    }
}

/// What a consumer sends is ignored, unless it is the end.
fn ended_by(frame: Option<Result<Message, tungstenite::Error>>) -> Option<End> {
    match frame {
        None | Some(Ok(Message::Close(_))) => Some(End::Gone),
        Some(Err(error)) => Some(error.into()),
        Some(Ok(_)) => None,
    }
}

/// Writes what is to be written, and reports it.
async fn write(
    socket: &mut WebSocket,
    outgoing: &mut Outgoing,
    subscription: &Subscription,
    health: &mut Health,
    closed: &mut CloseSignal,
    state: &WsState,
) -> Result<(), End> {
    let burden = || burden(subscription);
    while !outgoing.is_empty() {
        let some = poll_fn(|cx| outgoing.poll_write(cx, socket));
        if let Err(end) = or_end(some, health, burden, closed, state).await {
            // What it is told at the end comes after a whole frame, or not at all.
            socket.get_mut().set_rest(outgoing.rest());
            return Err(end);
        }
    }
    Ok(())
}

/// What waits for a consumer, and for whom else that matters.
fn burden(subscription: &Subscription) -> Burden {
    if subscription.is_in_the_way() {
        Burden::InTheWay
    } else if subscription.is_full() {
        Burden::Full
    } else {
        Burden::None
    }
}

/// Waits for a write as long as the client is there and what waits for it is no burden. Mostly it
/// only goes to a buffer, and nothing is to be waited for; if it is, then the client has read,
/// which is as good as an answer.
async fn or_end(
    write: impl Future<Output = Result<(), tungstenite::Error>>,
    health: &mut Health,
    burden: impl Fn() -> Burden,
    closed: &mut CloseSignal,
    state: &WsState,
) -> Result<(), End> {
    let mut write = std::pin::pin!(write);
    if let Some(written) = write.as_mut().now_or_never() {
        return Ok(written?);
    }
    let patience = state.config.get().mq.write_timeout;
    tokio::select! {
        biased;
        written = write => {
            health.heard();
            Ok(written?)
        }
        reason = closed.closed() => Err(reason.into()),
        () = state.stop.cancelled() => Err(End::Stopping),
        end = health.vigil().run_out(patience, burden) => Err(end),
    }
}
