//! What is counted and shown of messages while they pass through the broker.
//!
//! The store's writer waits for [`Activity::committed`], and sessions wait for what they report.
//! So the cost is that of a batch, not of each of its messages.

use std::sync::Arc;

use tokio::time::Instant;

use crate::broker::observe::counters::Counters;
use crate::broker::observe::rates::Arrivals;
use crate::broker::observe::tallies::Tallies;
use crate::broker::observe::watch::Watchers;
use crate::message::Message;

/// All that is counted and shown of messages while they pass.
#[derive(Debug, Default)]
pub(in crate::broker) struct Activity {
    pub(in crate::broker) counters: Counters,
    pub(in crate::broker) arrivals: Arrivals,
    pub(in crate::broker) tallies: Tallies,
    pub(in crate::broker) watchers: Arc<Watchers>,
}

impl Activity {
    /// Counts and shows messages that were stored `now`.
    pub(in crate::broker) fn committed(&self, messages: &[Message], now: Instant) {
        self.counters.accepted.add(messages.len() as u64);
        self.arrivals.add(messages, now);
        self.tallies.accepted(messages);
        self.watchers.show(messages);
    }
}
