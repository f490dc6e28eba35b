//! The WebSocket side of the wire contract: upgrade, path checks, frame limits, and how a
//! session ends.
//!
//! Called by `server.rs`. A session is a task of its own; it talks to the broker through the
//! same handle as everybody and keeps nothing when it ends.

mod consumer;
mod login;
mod producer;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{ConnectInfo, Path, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde::Deserialize;
use tokio_tungstenite::tungstenite;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, ClientInfo, CloseReason};
use crate::config::Config;
use crate::edges::{Edges, Ended, Refused, Via};
use crate::message::Topic;

/// A client has this long to answer a close before the socket is dropped.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// A producer's frames are read in pieces of this size.
const PRODUCER_READ_BYTES: usize = 32 << 10;
/// A consumer sends next to nothing.
const CONSUMER_READ_BYTES: usize = 1 << 10;
/// Frames are gathered up to this size before a write.
const WRITE_BYTES: usize = 64 << 10;

/// What the sessions work with.
#[derive(Clone)]
pub struct WsState {
    /// Where messages go to and come from.
    pub broker: Broker,
    /// Key and limits.
    pub config: Arc<Config>,
    /// Cancelled when the server stops: sessions then close with 1001.
    pub stop: CancellationToken,
    /// Every session runs under it.
    pub sessions: TaskTracker,
    /// Where refused clients and ended sessions are counted.
    pub edges: Arc<Edges>,
}

/// The two routes (protocol, "WebSocket").
pub fn router(state: WsState) -> Router {
    Router::new()
        .route("/Producers/Conn/{topic}/{producerId}", get(producers))
        .route("/Consumers/Conn/{topic}/{consumerId}", get(consumers))
        .with_state(state)
}

#[derive(Deserialize)]
struct ProducerQuery {
    /// `1`: each message is answered once it is synced.
    ack: Option<String>,
}

async fn producers(
    State(state): State<WsState>,
    Path((topic, id)): Path<(String, String)>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    Query(query): Query<ProducerQuery>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let topic = match parse_topic(&topic, &state) {
        Ok(topic) => topic,
        Err(refusal) => return refusal,
    };
    let acks = match query.ack.as_deref() {
        None | Some("" | "0") => false,
        Some("1") => true,
        Some(other) => {
            state.edges.refused(Refused::Handshake).add(1);
            let reason = format!("ack is 0 or 1, not {other:?}");
            return (StatusCode::BAD_REQUEST, reason).into_response();
        }
    };
    let bytes_max = state.config.server.max_message_bytes;
    let upgrade = upgrade
        .read_buffer_size(PRODUCER_READ_BYTES)
        .max_message_size(bytes_max)
        .max_frame_size(bytes_max)
        .write_buffer_size(WRITE_BYTES);
    upgrade.on_upgrade(move |socket| {
        let sessions = state.sessions.clone();
        sessions.track_future(async move {
            let join = || {
                state
                    .broker
                    .join_producer(client(id, topic, address, &state))
            };
            producer::login_and_run(socket, join, acks, &state).await;
        })
    })
}

async fn consumers(
    State(state): State<WsState>,
    Path((topic, id)): Path<(String, String)>,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let topic = match parse_topic(&topic, &state) {
        Ok(topic) => topic,
        Err(refusal) => return refusal,
    };
    let upgrade = upgrade
        .read_buffer_size(CONSUMER_READ_BYTES)
        .max_message_size(state.config.server.max_message_bytes)
        .max_frame_size(state.config.server.max_message_bytes)
        .write_buffer_size(WRITE_BYTES);
    upgrade.on_upgrade(move |socket| {
        let sessions = state.sessions.clone();
        sessions.track_future(async move {
            let subscribe = || state.broker.join(client(id, topic, address, &state));
            consumer::login_and_run(socket, subscribe, &state).await;
        })
    })
}

#[expect(clippy::result_large_err, reason = "it is sent as it is")]
fn parse_topic(topic: &str, state: &WsState) -> Result<Topic, Response> {
    topic.parse().map_err(|error| {
        state.edges.refused(Refused::Handshake).add(1);
        (StatusCode::BAD_REQUEST, format!("{error}")).into_response()
    })
}

/// A client that has just logged in.
fn client(id: String, topic: Topic, address: SocketAddr, state: &WsState) -> ClientInfo {
    ClientInfo {
        id,
        topic,
        ip: address.ip().to_canonical(),
        since: state.broker.clock().now(),
    }
}

/// Asks for the key until it is right; the caller then sends [`login::SUCCEEDED`].
async fn ask_for_key(socket: &mut WebSocket, state: &WsState) -> Result<(), End> {
    let server = &state.config.server;
    let wrong = state.edges.logins_refused(Via::WebSocket);
    let login = login::ask(
        socket,
        &state.config.mq.secret_key,
        server.login_attempts,
        wrong,
    );
    tokio::select! {
        result = tokio::time::timeout(server.login_timeout, login) => {
            result.unwrap_or(Err(End::Policy("no right key in time")))
        }
        () = state.stop.cancelled() => Err(End::Stopping),
    }
}

/// How a session ends, if it is not the client that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The client closed, or its socket is dead: there is nobody to tell.
    Gone,
    /// The server stops (1001).
    Stopping,
    /// The client broke the protocol of WebSocket (1002, 1007).
    Protocol(u16, String),
    /// A frame over the limit (1009).
    TooBig(String),
    /// The client broke a rule of the server, or its operator does not want it (1008).
    Policy(&'static str),
    /// The client may come back later (1013).
    Again(String),
    /// The server could not do its part (1011).
    Failed(String),
}

impl From<axum::Error> for End {
    /// Whose fault a failed read is.
    fn from(error: axum::Error) -> End {
        let text = error.to_string();
        match error.into_inner().downcast_ref::<tungstenite::Error>() {
            Some(tungstenite::Error::Capacity(_)) => End::TooBig(text),
            Some(tungstenite::Error::Utf8(_)) => End::Protocol(close_code::INVALID, text),
            Some(tungstenite::Error::Protocol(
                tungstenite::error::ProtocolError::ResetWithoutClosingHandshake,
            )) => End::Gone,
            Some(tungstenite::Error::Protocol(_)) => End::Protocol(close_code::PROTOCOL, text),
            _ => End::Gone,
        }
    }
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> End {
        match reason {
            CloseReason::TooSlow => End::Again("too slow: the outbox is full".into()),
            CloseReason::Disconnected => End::Policy("disconnected by the operator"),
        }
    }
}

impl End {
    /// What it counts as; `None` if the client has ended it.
    fn counts_as(&self) -> Option<Ended> {
        match self {
            End::Gone => None,
            End::Stopping => Some(Ended::Stopping),
            End::Protocol(..) => Some(Ended::Protocol),
            End::TooBig(_) => Some(Ended::TooLarge),
            End::Policy(_) => Some(Ended::Policy),
            End::Again(_) => Some(Ended::TooSlow),
            End::Failed(_) => Some(Ended::Failed),
        }
    }

    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            End::Gone => return None,
            End::Stopping => (close_code::AWAY, "the server is stopping".to_owned()),
            End::Protocol(code, reason) => (code, reason),
            End::TooBig(reason) => (close_code::SIZE, reason),
            End::Policy(reason) => (close_code::POLICY, reason.to_owned()),
            End::Again(reason) => (close_code::AGAIN, reason),
            End::Failed(reason) => (close_code::ERROR, reason),
        };
        Some(CloseFrame {
            code,
            reason: shortened(reason).into(),
        })
    }
}

/// A close frame has room for 123 bytes of reason (RFC 6455, 5.5).
fn shortened(mut reason: String) -> String {
    let mut end = reason.len().min(123);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    reason.truncate(end);
    reason
}

/// Tells the client why, and gives it a moment to close its side.
async fn close<S>(socket: &mut S, end: End, edges: &Edges)
where
    S: Stream<Item = Result<Message, axum::Error>> + Sink<Message, Error = axum::Error> + Unpin,
{
    if let Some(ended) = end.counts_as() {
        edges.ended(ended).add(1);
    }
    let Some(frame) = end.frame() else { return };
    tracing::debug!(
        code = frame.code,
        reason = frame.reason.as_str(),
        "closing a session"
    );
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // A client that does not answer in time is simply dropped.
    let _ = tokio::time::timeout(CLOSE_WAIT, farewell).await;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_whole_character() {
        assert_eq!(shortened("短".repeat(50)).len(), 123);
        assert_eq!(shortened("ä".repeat(100)).len(), 122);
        assert_eq!(shortened("short".into()), "short");
    }
}
