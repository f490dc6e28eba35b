//! Connections, sessions and keys.

use std::fmt;

use crate::access::Lack;
use crate::connection::connection_stats::{Ended, Refused, Transport};
use crate::http::metrics::families::Families;
use crate::http::metrics::scrape::Scrape;

impl Scrape {
    pub(super) fn clients(&self, to: &mut Families<'_>) -> fmt::Result {
        self.connections(to)?;
        self.sessions(to)?;
        self.access(to)
    }

    /// The connections, and refused ones by reason.
    fn connections(&self, to: &mut Families<'_>) -> fmt::Result {
        let (consumers, producers) = (self.consumers as u64, self.producers as u64);
        let others = self.connections.saturating_sub(consumers + producers);
        to.gauges(
            "dpmq_connections",
            "Connections that are open.",
            None,
            "role",
            [
                ("consumer", consumers),
                ("producer", producers),
                ("other", others),
            ],
        )?;
        to.counter(
            "dpmq_connections_accepted",
            "Connections that were accepted.",
            self.connections_accepted,
        )?;
        to.counters(
            "dpmq_connections_refused",
            "Connections that were refused.",
            "reason",
            self.connections_refused.map(|(why, connections)| {
                let reason = match why {
                    Refused::Handshake => "handshake",
                    Refused::Limit => "limit",
                    Refused::AddressLimit => "address_limit",
                    Refused::Files => "files",
                    Refused::Slow => "slow",
                    Refused::Tls => "tls",
                };
                (reason, connections)
            }),
        )
    }

    /// The ended sessions by reason, and the messages that they missed.
    fn sessions(&self, to: &mut Families<'_>) -> fmt::Result {
        to.counters(
            "dpmq_sessions_ended",
            "Sessions over WebSocket that the server ended.",
            "reason",
            self.sessions_ended.map(|(why, sessions)| {
                let reason = match why {
                    Ended::Stopping => "stopping",
                    Ended::Protocol => "protocol",
                    Ended::TooLarge => "too_large",
                    Ended::Policy => "policy",
                    Ended::TooSlow => "too_slow",
                    Ended::Silent => "silent",
                    Ended::Failed => "failed",
                };
                (reason, sessions)
            }),
        )?;
        to.counter(
            "dpmq_messages_missed",
            "Messages that waited for a consumer whose session the server ended.",
            self.messages_missed,
        )
    }

    /// Wrong keys, and what keys lack.
    fn access(&self, to: &mut Families<'_>) -> fmt::Result {
        to.counters(
            "dpmq_logins_refused",
            "Wrong keys.",
            "via",
            self.logins_refused.map(|(transport, logins)| {
                let name = match transport {
                    Transport::Http => "http",
                    Transport::WebSocket => "websocket",
                };
                (name, logins)
            }),
        )?;
        to.counters(
            "dpmq_access_refused",
            "What keys were not good for.",
            "reason",
            self.lacked.map(|(what, times)| {
                let reason = match what {
                    Lack::Right => "right",
                    Lack::Topic => "topic",
                    Lack::Time => "expired",
                };
                (reason, times)
            }),
        )
    }
}
