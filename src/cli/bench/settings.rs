//! The settings of a run, and how it has ended.

use std::fmt::{self, Display};
use std::time::Duration;

use serde::Serialize;

use crate::cli::bench::progress;
use crate::cli::bench::server::Facts;

/// The settings, as they are reported.
#[derive(Debug, Serialize)]
pub(super) struct Settings {
    pub(super) url: String,
    pub(super) topic: String,
    #[serde(skip)]
    pub(super) fresh_topic: bool,
    pub(super) http: bool,
    pub(super) acks: bool,
    pub(super) producers: u16,
    pub(super) consumers: u16,
    pub(super) size_bytes: usize,
    pub(super) window: Option<u64>,
    pub(super) rate_per_s: Option<u64>,
    pub(super) count: Option<u64>,
    pub(super) duration_s: Option<f64>,
}

impl Settings {
    /// A note on the server's pace, if it may slow down this run.
    pub(super) fn limited_by(&self, server: &Facts) -> Option<String> {
        let pace = server.pace_per_s().filter(|_| self.consumers > 0)?;
        let rate = self.rate_per_s.map(|rate| rate as f64);
        if rate.is_some_and(|rate| rate <= pace) {
            return None;
        }
        let messages = match (self.count, self.duration_s, rate) {
            (Some(count), _, _) => Some(count as f64),
            (None, Some(seconds), Some(rate)) => Some(seconds * rate),
            _ => None,
        };
        if messages.is_some_and(|messages| messages <= pace) {
            return None;
        }
        let then = match messages {
            Some(messages) => format!(
                "these {} take {} s to be delivered",
                progress::whole(messages),
                progress::whole((messages / pace).ceil())
            ),
            None => "what is sent faster than that is not delivered in time".to_owned(),
        };
        Some(format!(
            "the server has a pace of {pace} messages a second for all topics together: {then}; \
             without it, --set mq.pushMessagesSpeed=0 there"
        ))
    }
}

impl Display for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = |count: u16| if count == 1 { "" } else { "s" };
        let (producers, consumers) = (self.producers, self.consumers);
        write!(f, "{producers} producer{}", s(producers))?;
        if self.http {
            f.write_str(" over HTTP")?;
        }
        write!(f, ", {consumers} consumer{}, ", s(consumers))?;
        write!(f, "messages of {} bytes", self.size_bytes)?;
        if let Some(window) = self.window {
            write!(f, ", at most {window} in flight for each producer")?;
        }
        if let Some(rate) = self.rate_per_s {
            write!(f, ", {rate} a second")?;
        }
        match (self.count, self.duration_s) {
            (Some(count), _) => write!(f, ", {count} of them"),
            (None, Some(seconds)) => write!(f, ", for {seconds} s"),
            (None, None) => Ok(()),
        }
    }
}

/// How a run has ended.
pub(super) enum End {
    /// Everything was sent, answered and received.
    Complete,
    /// Ctrl-C ended it.
    Interrupted,
    /// Nothing moved for this long.
    Stalled(Duration),
    /// Messages were missing this long after the last was sent.
    Late(Duration),
    /// At the server's pace the rest would take this long.
    TooLate(Duration),
    /// A connection has ended, or an answer of the server was invalid.
    Failed(anyhow::Error),
}
