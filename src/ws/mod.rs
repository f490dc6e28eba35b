//! WebSocket: the upgrade, path checks, frames within their limits, and the classic dialect.
//!
//! Called by `server/`. What is said after the upgrade is a session of `session/`.

#[cfg(test)]
mod autobahn;
mod classic;
mod frame;
mod heads;
mod intake;
mod names;
mod outgoing;
mod socket;
mod upgrade;

use std::net::SocketAddr;

use axum::Router;
use axum::extract::rejection::QueryRejection;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use crate::access::Right;
use crate::broker::Role;
use crate::connection::connection_stats::Refused;
use crate::limits::memory_budget::MemoryBudget;
use crate::message::{TOPIC_BYTES_MAX, Topic};
use crate::session::{self, LoginScope, Services};
use classic::Classic;
use intake::Limits;
use names::Names;
use socket::Socket;
use upgrade::Upgrade;

/// A producer's frames are read in pieces of this size.
const PRODUCER_READ_BYTES: usize = 32 << 10;
/// A consumer sends next to nothing.
const CONSUMER_READ_BYTES: usize = 1 << 10;
/// Frames are gathered up to this size before a write.
const WRITE_BYTES: usize = 64 << 10;

/// The longest id of a client: lists of clients show it.
const ID_BYTES_MAX: usize = TOPIC_BYTES_MAX;

/// What WebSockets work with.
#[derive(Clone)]
pub struct WsState {
    /// The memory that large messages share.
    pub memory: MemoryBudget,
    /// What their sessions work with.
    pub services: Services,
}

const PRODUCERS: &str = "/Producers/Conn/{topic}/{producerId}";
const CONSUMERS: &str = "/Consumers/Conn/{topic}/{consumerId}";

/// The same routes for what cannot be in a path: browsers take `.` and `..` out of it.
const PRODUCERS_BY_QUERY: &str = "/Producers/Conn";
const CONSUMERS_BY_QUERY: &str = "/Consumers/Conn";

/// Every route there is, and the right that a key needs to log in there.
pub const ROUTES: [(&str, Right); 2] = [
    (PRODUCERS, session::right(Role::Producer)),
    (CONSUMERS, session::right(Role::Consumer)),
];

/// The two routes (protocol, "WebSocket"), each also with topic and id in the query.
pub fn router(state: WsState) -> Router {
    let producers = get(|state, names, address, query, upgrade| {
        connect(Role::Producer, state, names, address, query, upgrade)
    });
    let consumers = get(|state, names, address, query, upgrade| {
        connect(Role::Consumer, state, names, address, query, upgrade)
    });
    Router::new()
        .route(PRODUCERS, producers.clone())
        .route(CONSUMERS, consumers.clone())
        .route(PRODUCERS_BY_QUERY, producers)
        .route(CONSUMERS_BY_QUERY, consumers)
        .with_state(state)
}

/// What the query may ask for of a producer's session.
#[derive(Deserialize)]
struct AckQuery {
    /// `1`: each message is answered once it is synced.
    ack: Option<String>,
}

/// Grants a WebSocket, whose session then begins, or refuses it.
async fn connect(
    role: Role,
    State(WsState { memory, services }): State<WsState>,
    names: Names,
    ConnectInfo(address): ConnectInfo<SocketAddr>,
    query: Result<Query<AckQuery>, QueryRejection>,
    upgrade: Upgrade,
) -> Response {
    let asked = scope(role, names, address).and_then(|scope| Ok((scope, dialect(role, query)?)));
    let (scope, dialect) = match asked {
        Ok(asked) => asked,
        Err(reason) => {
            services.connections.refused(Refused::Handshake).add(1);
            return (StatusCode::BAD_REQUEST, reason).into_response();
        }
    };
    let message_bytes = services.config.get().server.max_message_bytes;
    let config = WebSocketConfig::default()
        .read_buffer_size(read_bytes(role))
        .max_message_size(Some(message_bytes))
        .max_frame_size(Some(message_bytes))
        .write_buffer_size(WRITE_BYTES);
    let limits = Limits {
        message_bytes,
        memory,
    };
    upgrade.accept(config, limits, move |stream, line| {
        session::run(Socket::new(stream, line, dialect), dialect, scope, services)
    })
}

fn read_bytes(role: Role) -> usize {
    match role {
        Role::Producer => PRODUCER_READ_BYTES,
        Role::Consumer => CONSUMER_READ_BYTES,
    }
}

/// What the client asks to be let in to, or why it asks in vain.
fn scope(role: Role, Names(names): Names, address: SocketAddr) -> Result<LoginScope, String> {
    let (topic, id) = names?;
    let topic = topic.parse::<Topic>().map_err(|error| error.to_string())?;
    if id.len() > ID_BYTES_MAX {
        let bytes = id.len();
        return Err(format!(
            "the id has {bytes} bytes, more than {ID_BYTES_MAX}"
        ));
    }
    Ok(LoginScope {
        role,
        topic,
        id,
        address: address.ip().to_canonical(),
        path: match role {
            Role::Producer => PRODUCERS,
            Role::Consumer => CONSUMERS,
        },
    })
}

/// What the client speaks, or why it asks for that in vain.
fn dialect(role: Role, query: Result<Query<AckQuery>, QueryRejection>) -> Result<Classic, String> {
    if role == Role::Consumer {
        return Ok(Classic::Consumer);
    }
    let query = query.map_err(|_| "the query has more than one ack, or is not UTF-8")?;
    match query.ack.as_deref() {
        None | Some("" | "0") => Ok(Classic::Producer { acks: false }),
        Some("1") => Ok(Classic::Producer { acks: true }),
        Some(other) => Err(format!("ack is 0 or 1, not {other:?}")),
    }
}
