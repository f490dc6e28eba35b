//! The WebSocket side of the wire contract: upgrade, path checks, frame limits, and how a
//! session ends.
//!
//! Called by `server/`. A session is a task of its own; it talks to the broker through the
//! same handle as everybody and keeps nothing when it ends.

#[cfg(test)]
mod autobahn;
mod consumer;
mod frame;
mod health;
mod intake;
mod login;
mod names;
mod outgoing;
mod producer;
mod upgrade;

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use futures_util::{Sink, SinkExt, Stream, StreamExt};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{self, Access, Denied, Grant, Place, Right};
use crate::broker::{Broker, ClientInfo, CloseReason, Missed, Role, Subscription};
use crate::config::Live;
use crate::connection::connection_stats::{ConnectionStats, Ended, Refused, Transport};
use crate::connection::line::Line;
use crate::limits::fairness::{FairShare, Unauthenticated};
use crate::limits::memory_budget::MemoryBudget;
use crate::message::{TOPIC_BYTES_MAX, Topic};
use intake::{Limits, Unreadable};
use names::Names;
use upgrade::{Upgrade, WebSocket};

/// A client has this long to answer a close before the socket is dropped.
const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// A producer's frames are read in pieces of this size.
const PRODUCER_READ_BYTES: usize = 32 << 10;
/// A consumer sends next to nothing.
const CONSUMER_READ_BYTES: usize = 1 << 10;
/// Frames are gathered up to this size before a write.
const WRITE_BYTES: usize = 64 << 10;

/// The longest id of a client: lists of clients show it.
const ID_BYTES_MAX: usize = TOPIC_BYTES_MAX;

/// What the sessions work with.
#[derive(Clone)]
pub struct WsState {
    /// Where messages go to and come from.
    pub broker: Broker,
    /// Limits.
    pub config: Live,
    /// The keys.
    pub access: Access,
    /// The memory that large messages share.
    pub memory: MemoryBudget,
    /// Where a client takes turns until it has logged in.
    pub fair_share: FairShare,
    /// Cancelled when the server stops: sessions then close with 1001.
    pub stop: CancellationToken,
    /// Every session runs under it.
    pub sessions: TaskTracker,
    /// Where refused clients and ended sessions are counted.
    pub connections: Arc<ConnectionStats>,
}

const PRODUCERS: &str = "/Producers/Conn/{topic}/{producerId}";
const CONSUMERS: &str = "/Consumers/Conn/{topic}/{consumerId}";

/// The same routes for what cannot be in a path: browsers take `.` and `..` out of it.
const PRODUCERS_BY_QUERY: &str = "/Producers/Conn";
const CONSUMERS_BY_QUERY: &str = "/Consumers/Conn";

/// Every route there is, and the right that a key needs to log in there.
pub const ROUTES: [(&str, Right); 2] = [(PRODUCERS, Right::Publish), (CONSUMERS, Right::Consume)];

/// The two routes (protocol, "WebSocket"), each also with topic and id in the query.
pub fn router(state: WsState) -> Router {
    Router::new()
        .route(PRODUCERS, get(producers))
        .route(CONSUMERS, get(consumers))
        .route(PRODUCERS_BY_QUERY, get(producers))
        .route(CONSUMERS_BY_QUERY, get(consumers))
        .with_state(state)
}

#[derive(Deserialize)]
struct ProducerQuery {
    /// `1`: each message is answered once it is synced.
    ack: Option<String>,
}

async fn producers(
    State(state): State<WsState>,
    names: Names,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    query: Result<Query<ProducerQuery>, QueryRejection>,
    upgrade: Upgrade,
) -> Response {
    let (topic, id) = match check(names, &state) {
        Ok(checked) => checked,
        Err(refusal) => return refusal,
    };
    let acks = match query.as_ref().map(|Query(query)| query.ack.as_deref()) {
        Ok(None | Some("" | "0")) => false,
        Ok(Some("1")) => true,
        Ok(Some(other)) => {
            let reason = format!("ack is 0 or 1, not {other:?}");
            return refuse(&state, StatusCode::BAD_REQUEST, reason);
        }
        Err(_) => {
            let reason = "the query has more than one ack, or is not UTF-8".to_owned();
            return refuse(&state, StatusCode::BAD_REQUEST, reason);
        }
    };
    let (config, limits) = limits(&state, PRODUCER_READ_BYTES);
    upgrade.accept(config, limits, move |socket, line| {
        let (sessions, unauthenticated) =
            (state.sessions.clone(), state.fair_share.unauthenticated());
        let session = unauthenticated.clone().throttled(async move {
            let door = Door::new(PRODUCERS, Right::Publish, &topic, address, unauthenticated);
            let join = |grant: &Grant| {
                let info = client(id, topic.clone(), address, grant, &state);
                state.broker.join_producer(info)
            };
            producer::login_and_run(socket, &line, &door, join, acks, &state).await;
        });
        sessions.track_future(session)
    })
}

async fn consumers(
    State(state): State<WsState>,
    names: Names,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    upgrade: Upgrade,
) -> Response {
    let (topic, id) = match check(names, &state) {
        Ok(checked) => checked,
        Err(refusal) => return refusal,
    };
    let (config, limits) = limits(&state, CONSUMER_READ_BYTES);
    upgrade.accept(config, limits, move |socket, line| {
        let (sessions, unauthenticated) =
            (state.sessions.clone(), state.fair_share.unauthenticated());
        let session = unauthenticated.clone().throttled(async move {
            let door = Door::new(CONSUMERS, Right::Consume, &topic, address, unauthenticated);
            let subscribe = |grant: &Grant| {
                let info = client(id, topic.clone(), address, grant, &state);
                state.broker.join(info)
            };
            consumer::login_and_run(socket, &line, &door, subscribe, &state).await;
        });
        sessions.track_future(session)
    })
}

/// What a client may send.
fn limits(state: &WsState, read_bytes: usize) -> (WebSocketConfig, Limits) {
    let message_bytes = state.config.get().server.max_message_bytes;
    let config = WebSocketConfig::default()
        .read_buffer_size(read_bytes)
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
        .write_buffer_size(WRITE_BYTES);
    let room = state.memory.clone();
    let limits = Limits {
        message_bytes,
        room,
    };
    (config, limits)
}

/// The topic and the id, if they are such.
#[expect(clippy::result_large_err, reason = "it is sent as it is")]
fn check(Names(names): Names, state: &WsState) -> Result<(Topic, String), Response> {
    let refuse = |reason| refuse(state, StatusCode::BAD_REQUEST, reason);
    let (topic, id) = names.map_err(|reason| refuse(reason.to_owned()))?;
    let topic = topic.parse::<Topic>();
    let topic = topic.map_err(|error| refuse(error.to_string()))?;
    if id.len() > ID_BYTES_MAX {
        let bytes = id.len();
        return Err(refuse(format!(
            "the id has {bytes} bytes, more than {ID_BYTES_MAX}"
        )));
    }
    Ok((topic, id))
}

fn refuse(state: &WsState, status: StatusCode, reason: String) -> Response {
    state.connections.refused(Refused::Handshake).add(1);
    (status, reason).into_response()
}

/// A client that has just logged in.
fn client(
    id: String,
    topic: Topic,
    address: SocketAddr,
    grant: &Grant,
    state: &WsState,
) -> ClientInfo {
    ClientInfo {
        id,
        topic,
        ip: address.ip().to_canonical(),
        since: state.broker.clock().now(),
        key: grant.name().into(),
    }
}

/// What a client wants to be let in to.
struct Door<'a> {
    place: Place,
    right: Right,
    topic: &'a Topic,
    /// The client, until it is let in.
    unauthenticated: Unauthenticated,
}

impl<'a> Door<'a> {
    fn new(
        path: &'static str,
        right: Right,
        topic: &'a Topic,
        address: SocketAddr,
        unauthenticated: Unauthenticated,
    ) -> Door<'a> {
        let place = Place {
            address: address.ip().to_canonical(),
            method: "GET",
            path,
        };
        Door {
            place,
            right,
            topic,
            unauthenticated,
        }
    }

    fn admit(&self, grant: &Grant) -> Result<(), Denied> {
        grant.may(self.right)?;
        grant.may_use(self.topic)
    }
}

/// Asks for the key until it is right, and looks whether it is good for this; the caller then
/// joins, looks whether the grant has ended meanwhile, and sends [`login::SUCCEEDED`].
async fn ask_for_key(
    socket: &mut WebSocket,
    door: &Door<'_>,
    state: &WsState,
) -> Result<Arc<Grant>, End> {
    let config = state.config.get();
    let server = &config.server;
    let wrong = state.connections.logins_refused(Transport::WebSocket);
    let attempts = server.login_attempts;
    let login = login::ask(socket, &state.access, &door.place, attempts, wrong);
    let grant = tokio::select! {
        result = tokio::time::timeout(server.login_timeout, login) => {
            result.unwrap_or(Err(End::Policy("no right key in time".into())))
        }
        () = state.stop.cancelled() => Err(End::Stopping),
    }?;
    door.admit(&grant).map_err(|denied| {
        state.access.tell_denied(&grant, &door.place, &denied);
        End::Policy(denied.to_string().into())
    })?;
    door.unauthenticated.authenticated();
    socket.get_mut().welcome();
    Ok(grant)
}

/// How a session ends, if it is not the client that ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum End {
    /// The client closed, or its socket is dead: there is nobody to tell.
    Gone,
    /// The server stops (1001).
    Stopping,
    /// The client broke the protocol of WebSocket (1002, 1007).
    Protocol(CloseCode, String),
    /// A frame over the limit (1009).
    TooBig(String),
    /// The client broke a rule of the server, or its operator does not want it (1008).
    Policy(Cow<'static, str>),
    /// The client reads too slowly, and may come back (1013).
    TooSlow(String),
    /// The other end does not answer, and may come back (1013).
    Silent(String),
    /// The server could not do its part (1011).
    Failed(String),
}

impl From<tungstenite::Error> for End {
    /// Whose fault a failed read is.
    fn from(error: tungstenite::Error) -> End {
        let text = error.to_string();
        match error {
            tungstenite::Error::Io(error) => {
                let why = error.get_ref().and_then(|inner| inner.downcast_ref());
                why.map_or(End::Gone, |why: &Unreadable| (*why).into())
            }
            tungstenite::Error::Capacity(_) => End::TooBig(text),
            tungstenite::Error::Utf8(_) => End::Protocol(CloseCode::Invalid, text),
            tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => End::Gone,
            tungstenite::Error::Protocol(_) => End::Protocol(CloseCode::Protocol, text),
            _ => End::Gone,
        }
    }
}

impl From<Unreadable> for End {
    fn from(why: Unreadable) -> End {
        let text = why.to_string();
        match why {
            Unreadable::TooLarge { .. } => End::TooBig(text),
            Unreadable::Control(_) => End::Protocol(CloseCode::Protocol, text),
            Unreadable::TooSlow | Unreadable::TooMany => End::Policy(text.into()),
        }
    }
}

impl From<CloseReason> for End {
    fn from(reason: CloseReason) -> End {
        match reason {
            CloseReason::TooSlow => End::TooSlow("too slow: the outbox is full".into()),
            CloseReason::Disconnected => End::Policy("disconnected by the operator".into()),
            CloseReason::KeyRevoked => access::End::Revoked.into(),
            CloseReason::KeyExpired => access::End::Expired.into(),
        }
    }
}

impl From<access::End> for End {
    fn from(end: access::End) -> End {
        End::Policy(match end {
            access::End::Revoked => "the key was revoked or changed".into(),
            access::End::Expired => "the key has expired".into(),
        })
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
            End::TooSlow(_) => Some(Ended::TooSlow),
            End::Silent(_) => Some(Ended::Silent),
            End::Failed(_) => Some(Ended::Failed),
        }
    }

    fn frame(self) -> Option<CloseFrame> {
        let (code, reason) = match self {
            End::Gone => return None,
            End::Stopping => (CloseCode::Away, "the server is stopping".to_owned()),
            End::Protocol(code, reason) => (code, reason),
            End::TooBig(reason) => (CloseCode::Size, reason),
            End::Policy(reason) => (CloseCode::Policy, reason.into_owned()),
            End::TooSlow(reason) | End::Silent(reason) => (CloseCode::Again, reason),
            End::Failed(reason) => (CloseCode::Error, reason),
        };
        Some(CloseFrame {
            code,
            reason: shortened(reason).into(),
        })
    }
}

/// A close frame has room for 123 bytes of reason (RFC 6455, 5.5).
fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(123));
    reason
}

/// A client that was logged in, at the end of its session.
struct Leaver {
    role: Role,
    client: ClientInfo,
    /// What a consumer was to get, and did not.
    missed: Option<Missed>,
}

impl Leaver {
    /// One that leaves with this.
    fn consumer(subscription: Subscription) -> Leaver {
        let (client, missed) = subscription.leave();
        Leaver {
            role: Role::Consumer,
            client,
            missed: Some(missed),
        }
    }

    fn producer(client: ClientInfo) -> Leaver {
        Leaver {
            role: Role::Producer,
            client,
            missed: None,
        }
    }
}

/// Tells the client why, gives it a moment to close its side, and tells the operator.
async fn close<S>(
    socket: &mut S,
    line: &Line,
    end: End,
    leaver: Option<Leaver>,
    connections: &ConnectionStats,
) where
    S: Stream<Item = Result<Message, tungstenite::Error>>
        + Sink<Message, Error = tungstenite::Error>
        + Unpin,
{
    let Some(frame) = end.clone().frame() else {
        // The answer to its close, if it sent one, is still to leave.
        let _ = tokio::time::timeout(CLOSE_WAIT, socket.flush()).await;
        return;
    };
    count(&end, leaver.as_ref(), connections);
    // Nobody is there who could be told.
    let is_gone = matches!(end, End::Silent(_));
    if leaver.is_some() && !is_gone {
        line.begin_last_words();
    }
    let mut is_told = false;
    let farewell = async {
        if socket.send(Message::Close(Some(frame))).await.is_ok() {
            is_told = !is_gone;
            while let Some(Ok(_)) = socket.next().await {}
        }
    };
    // A client that does not answer in time is simply dropped.
    let _ = tokio::time::timeout(CLOSE_WAIT, farewell).await;
    tell(end, is_told, leaver);
}

/// Counts a session that the server ends, and what is missed by that.
fn count(end: &End, leaver: Option<&Leaver>, connections: &ConnectionStats) {
    let Some(why) = end.counts_as() else {
        return;
    };
    connections.ended(why).add(1);
    let missed = leaver.and_then(|leaver| leaver.missed);
    connections
        .missed
        .add(missed.map_or(0, |missed| missed.messages));
}

/// Tells the operator of a session that the server has ended.
fn tell(end: End, is_told: bool, leaver: Option<Leaver>) {
    let Some(frame) = end.frame() else {
        return;
    };
    let (code, reason) = (u16::from(frame.code), frame.reason.as_str());
    let Some(Leaver {
        role,
        client,
        missed,
    }) = leaver
    else {
        tracing::debug!(code, reason, "a client was not let in");
        return;
    };
    let role = match role {
        Role::Consumer => "consumer",
        Role::Producer => "producer",
    };
    tracing::info!(
        client = shortened(client.id),
        topic = client.topic.as_str(),
        address = %client.ip,
        key = &*client.key,
        code,
        reason,
        is_told,
        missed_messages = missed.map(|missed| missed.messages),
        missed_bytes = missed.map(|missed| missed.bytes),
        "the session of a {role} was ended",
    );
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
