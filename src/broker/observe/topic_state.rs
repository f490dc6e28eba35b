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
    /// Messages stored per second, the mean of the last ten seconds.
    pub rate_in: f64,
    /// Messages written per second to its present consumers, each consumer counted.
    pub rate_out: f64,
    /// Whether the outboxes of all its consumers are full.
    pub behind: bool,
    /// How long the pace holds back what waits for its consumers; `None` if it does not.
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

/// The state of a topic's consumers.
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

    /// All topics share one queue, so the messages of this one leave before the last of the queue.
    pub(in crate::broker) fn set_wait(&mut self, wait: Option<Duration>) {
        let is_held_back = self.consumers > 0 && !self.behind && self.counts.accepted > 0;
        self.held_back = wait.filter(|_| is_held_back);
    }
}
