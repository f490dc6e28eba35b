//! How many messages there are, by status and by topic.

use std::ops::AddAssign;

use crate::message::{StatusKind, Topic};

/// How many messages are in each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stored and on their way to be pushed.
    pub accepted: u64,
    /// Pushed, and nobody was written to.
    pub not_consumed: u64,
    /// Pushed, and somebody was written to.
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
    /// The count of a status.
    pub(crate) fn of(&mut self, kind: StatusKind) -> &mut u64 {
        match kind {
            StatusKind::Accepted => &mut self.accepted,
            StatusKind::NotConsumed => &mut self.not_consumed,
            StatusKind::Consumed => &mut self.consumed,
        }
    }

    /// All messages there are.
    pub fn all(&self) -> u64 {
        self.accepted + self.not_consumed + self.consumed
    }
}

/// How many messages of a topic there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicCounts {
    /// The topic; it has at least one message.
    pub topic: Topic,
    /// Its messages by status.
    pub counts: Counts,
}
