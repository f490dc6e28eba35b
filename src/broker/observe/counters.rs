//! What happened to messages since the start, and how long it took.
//!
//! This is the one place of these numbers: the history of `crate::broker::observe::figures` and whoever shows
//! them read them here.

use crate::measure::{Counter, Histogram, SECONDS, Spread};

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedFor {
    /// It is larger than a message may be.
    TooLarge,
    /// It has no data, no topic or a topic that is none, or its request cannot be read.
    Invalid,
    /// The queue had no room for as long as a producer may wait.
    QueueFull,
    /// Others sent so much at once that there was no room for it in time.
    Busy,
    /// It could not be stored.
    NotStored,
    /// The server goes down.
    Stopping,
}

impl RefusedFor {
    /// Every reason.
    pub const ALL: [RefusedFor; 6] = [
        RefusedFor::TooLarge,
        RefusedFor::Invalid,
        RefusedFor::QueueFull,
        RefusedFor::Busy,
        RefusedFor::NotStored,
        RefusedFor::Stopping,
    ];
}

/// What happened since the start; counts are of messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Totals {
    /// Stored.
    pub accepted: u64,
    /// Written to consumers, each consumer counted.
    pub delivered: u64,
    /// Became consumed.
    pub consumed: u64,
    /// Became not consumed.
    pub not_consumed: u64,
    /// Put into the queue again.
    pub requeued: u64,
    /// Deleted because they were too old, after somebody had consumed them.
    pub expired_consumed: u64,
    /// Deleted because they were too old, and nobody had consumed them.
    pub expired_unread: u64,
    /// Deleted by an operator.
    pub deleted: u64,
    /// Refused, by reason.
    pub refused: [(RefusedFor, u64); RefusedFor::ALL.len()],
    /// Seconds from publishing to the answer, of each message that was stored.
    pub acknowledgement_seconds: Spread,
    /// Seconds from storing to the socket of a consumer, of each message and consumer. Those
    /// that waited on disk are counted in whole seconds, those pushed again not at all.
    pub push_seconds: Spread,
}

/// See the module.
#[derive(Debug)]
pub(in crate::broker) struct Counters {
    pub(in crate::broker) accepted: Counter,
    pub(in crate::broker) delivered: Counter,
    pub(in crate::broker) consumed: Counter,
    pub(in crate::broker) not_consumed: Counter,
    pub(in crate::broker) requeued: Counter,
    pub(in crate::broker) expired_consumed: Counter,
    pub(in crate::broker) expired_unread: Counter,
    pub(in crate::broker) deleted: Counter,
    pub(in crate::broker) refused: [Counter; RefusedFor::ALL.len()],
    pub(in crate::broker) acknowledgement_seconds: Histogram,
    pub(in crate::broker) push_seconds: Histogram,
}

impl Default for Counters {
    fn default() -> Counters {
        Counters {
            accepted: Counter::default(),
            delivered: Counter::default(),
            consumed: Counter::default(),
            not_consumed: Counter::default(),
            requeued: Counter::default(),
            expired_consumed: Counter::default(),
            expired_unread: Counter::default(),
            deleted: Counter::default(),
            refused: Default::default(),
            acknowledgement_seconds: Histogram::new(SECONDS),
            push_seconds: Histogram::new(SECONDS),
        }
    }
}

impl Counters {
    pub(in crate::broker) fn refused(&self, why: RefusedFor, messages: usize) {
        self.refused[why as usize].add(messages as u64);
    }
}
