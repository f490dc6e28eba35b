//! What is counted of clients: connections, wrong keys, sessions that the server ended.
//!
//! `server/`, `http/` and `ws/` count here, `http/metrics/` reads it. Nothing is decided by it.

use crate::measure::Counter;

/// How a client sent its key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// In a header of a request.
    Http,
    /// In a frame.
    WebSocket,
}

/// Why a connection was refused, or closed before it was of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The upgrade request was invalid, for example because of its topic.
    Handshake,
    /// The most connections in all were open.
    Limit,
    /// The most connections of its address were open.
    AddressLimit,
    /// The system had no file descriptor or memory for it.
    Files,
    /// The client was too slow.
    Slow,
    /// The TLS handshake failed.
    Tls,
}

/// Why the server ended a WebSocket session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server was stopping.
    Stopping,
    /// The client violated the WebSocket protocol.
    Protocol,
    /// A message was too large.
    TooLarge,
    /// The client sent no valid key, or an operator ended the session.
    Policy,
    /// The client read too slowly.
    TooSlow,
    /// The client did not answer pings.
    Silent,
    /// The server failed.
    Failed,
}

/// The counters of all connections and sessions.
#[derive(Debug, Default)]
pub struct ConnectionStats {
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Accepted connections that are closed.
    pub closed: Counter,
    refused: [Counter; Refused::ALL.len()],
    logins_refused: [Counter; Transport::ALL.len()],
    ended: [Counter; Ended::ALL.len()],
    /// Messages that waited for consumers whose session the server ended.
    pub missed: Counter,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 2] = [Transport::Http, Transport::WebSocket];
}

impl Refused {
    /// All of them.
    pub const ALL: [Refused; 6] = [
        Refused::Handshake,
        Refused::Limit,
        Refused::AddressLimit,
        Refused::Files,
        Refused::Slow,
        Refused::Tls,
    ];
}

impl Ended {
    /// All of them.
    pub const ALL: [Ended; 7] = [
        Ended::Stopping,
        Ended::Protocol,
        Ended::TooLarge,
        Ended::Policy,
        Ended::TooSlow,
        Ended::Silent,
        Ended::Failed,
    ];
}

impl ConnectionStats {
    /// Wrong keys that came over `transport`.
    pub fn logins_refused(&self, transport: Transport) -> &Counter {
        &self.logins_refused[transport as usize]
    }

    /// Connections that were refused for one reason.
    pub fn refused(&self, why: Refused) -> &Counter {
        &self.refused[why as usize]
    }

    /// Sessions that were ended for one reason.
    pub fn ended(&self, why: Ended) -> &Counter {
        &self.ended[why as usize]
    }

    /// The number of open connections.
    pub fn open(&self) -> u64 {
        // In this order, so that the accepted ones include all that are closed.
        let closed = self.closed.get();
        self.accepted.get().saturating_sub(closed)
    }
}
