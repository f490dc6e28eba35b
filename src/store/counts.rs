//! The number of messages by status and by topic.

use std::ops::AddAssign;

use crate::message::{StatusKind, Topic};

/// The number of messages in each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stored, and to be pushed.
    pub accepted: u64,
    /// Pushed, but written to no consumer.
    pub not_consumed: u64,
    /// Pushed, and written to a consumer.
    pub consumed: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Counts) {
        self.accepted += other.accepted;
        self.not_consumed += other.not_consumed;
        self.consumed += other.consumed;
    }
}

impl Counts {
    /// The number in one status.
    pub(crate) fn of(&mut self, kind: StatusKind) -> &mut u64 {
        match kind {
            StatusKind::Accepted => &mut self.accepted,
            StatusKind::NotConsumed => &mut self.not_consumed,
            StatusKind::Consumed => &mut self.consumed,
        }
    }

    /// The number of all messages.
    pub fn all(&self) -> u64 {
        self.accepted + self.not_consumed + self.consumed
    }
}

/// The number of messages of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicCounts {
    /// The topic; it has at least one message.
    pub topic: Topic,
    /// Its messages by status.
    pub counts: Counts,
}
