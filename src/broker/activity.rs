//! What is counted and shown of messages while they pass.
//!
//! The store's writer waits for [`Activity::committed`], and sessions for what they report:
//! the cost is that of a batch, not of each of its messages.

use std::sync::Arc;

use tokio::time::Instant;

use super::counters::Counters;
use super::tallies::Tallies;
use super::watch::Watchers;
use crate::broker::rates::Arrivals;
use crate::message::Message;

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Activity {
    pub(super) counters: Counters,
    pub(super) arrivals: Arrivals,
    pub(super) tallies: Tallies,
    pub(super) watchers: Arc<Watchers>,
}

impl Activity {
    /// These messages were stored `now`.
    pub(super) fn committed(&self, messages: &[Message], now: Instant) {
        self.counters.accepted.add(messages.len() as u64);
        self.arrivals.add(messages, now);
        self.tallies.accepted(messages);
        self.watchers.show(messages);
    }
}
