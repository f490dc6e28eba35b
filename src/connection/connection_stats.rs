//! What the edges count of their clients: connections, logins, sessions that the server ended.
//!
//! `server/`, `http/` and `ws/` count here; nothing is decided by it.

use crate::measure::Counter;

/// How a client gave a wrong key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Via {
    /// In a header of a request.
    Http,
    /// In a frame.
    WebSocket,
}

/// Why a connection was refused, or ended before it was of use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It asked for a WebSocket as nobody may, for example with a topic that is none.
    Handshake,
    /// There were as many as there may be.
    Limit,
    /// There were as many from its address as there may be.
    AddressLimit,
    /// The system had no file or memory for it.
    Files,
    /// It took too long.
    Slow,
    /// It did not get to TLS.
    Tls,
}

/// Why the server ended a session over WebSocket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The server stops.
    Stopping,
    /// The client broke the protocol of WebSocket.
    Protocol,
    /// A message was too large.
    TooLarge,
    /// The client gave no right key, or an operator did not want it.
    Policy,
    /// The client read too slowly.
    TooSlow,
    /// The client did not answer pings.
    Silent,
    /// The server could not do its part.
    Failed,
}

/// See the module.
#[derive(Debug, Default)]
pub struct Edges {
    /// Connections that were accepted.
    pub accepted: Counter,
    /// Those of them that are over.
    pub over: Counter,
    refused: [Counter; Refused::ALL.len()],
    logins_refused: [Counter; Via::ALL.len()],
    ended: [Counter; Ended::ALL.len()],
    /// Messages that waited for consumers whose session was ended.
    pub missed: Counter,
}

impl Via {
    /// Every way.
    pub const ALL: [Via; 2] = [Via::Http, Via::WebSocket];
}

impl Refused {
    /// Every reason.
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
    /// Every reason.
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

impl Edges {
    /// How many wrong keys there were.
    pub fn logins_refused(&self, via: Via) -> &Counter {
        &self.logins_refused[via as usize]
    }

    /// How many connections were refused.
    pub fn refused(&self, why: Refused) -> &Counter {
        &self.refused[why as usize]
    }

    /// How many sessions were ended.
    pub fn ended(&self, why: Ended) -> &Counter {
        &self.ended[why as usize]
    }

    /// How many connections are open.
    pub fn open(&self) -> u64 {
        // What is over was accepted before, so asking in this order finds no fewer accepted.
        let over = self.over.get();
        self.accepted.get().saturating_sub(over)
    }
}
