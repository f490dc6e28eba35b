//! A topic as the console shows it.

use std::time::Duration;

use crate::message::Topic;
use crate::store::Counts;

/// A topic as the console shows it.
#[derive(Clone, Debug, PartialEq)]
pub struct TopicState {
    /// Its name.
    pub topic: Topic,
    /// Its messages by status.
    pub counts: Counts,
    /// Its consumers.
    pub consumers: usize,
    /// Its producers over WebSocket.
    pub producers: usize,
    /// Messages stored a second, the mean of the last ten.
    pub rate_in: f64,
    /// Messages written a second to the consumers that it has, each one counted.
    pub rate_out: f64,
    /// All its consumers' outboxes are full.
    pub behind: bool,
    /// How long the pace holds back what waits for its consumers; `None`: it does not.
    pub held_back: Option<Duration>,
}

impl TopicState {
    pub(in crate::broker) fn new(topic: Topic, counts: Counts) -> TopicState {
        TopicState {
            topic,
            counts,
            consumers: 0,
            producers: 0,
            rate_in: 0.0,
            rate_out: 0.0,
            behind: false,
            held_back: None,
        }
    }

    pub(in crate::broker) fn has_anything(&self) -> bool {
        self.counts.all() > 0 || self.consumers > 0 || self.producers > 0
    }
}

/// What the consumers of a topic are.
pub(in crate::broker) struct ConsumersState {
    pub(in crate::broker) consumers: usize,
    pub(in crate::broker) rate_out: f64,
    pub(in crate::broker) behind: bool,
}

impl TopicState {
    pub(in crate::broker) fn set_consumers(&mut self, state: &ConsumersState) {
        self.consumers = state.consumers;
        self.rate_out = state.rate_out;
        self.behind = state.behind;
    }

    /// One queue is for all topics: what waits in it for this one leaves before its last.
    pub(in crate::broker) fn set_wait(&mut self, wait: Option<Duration>) {
        let is_held_back = self.consumers > 0 && !self.behind && self.counts.accepted > 0;
        self.held_back = wait.filter(|_| is_held_back);
    }
}
