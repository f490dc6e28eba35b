//! What happened to messages since the start, and how long it took.
//!
//! These numbers have no other place: the history (`crate::broker::observe::history`) and the edges
//! read them here.

use crate::measure::{Counter, Histogram, SECONDS, Spread};

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedFor {
    /// It is larger than a message may be.
    TooLarge,
    /// It lacks data or a topic, its topic is invalid, or its request cannot be read.
    Invalid,
    /// The queue had no free slot for as long as a producer may wait.
    QueueFull,
    /// Other clients sent so much at once that there was no memory for it in time.
    Busy,
    /// It could not be stored.
    NotStored,
    /// The server stops.
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

/// What happened since the start. Counts are of messages.
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
    /// Deleted because they were too old, after they were consumed.
    pub expired_consumed: u64,
    /// Deleted because they were too old, and never consumed.
    pub expired_unread: u64,
    /// Deleted by an operator.
    pub deleted: u64,
    /// Refused, by reason.
    pub refused: [(RefusedFor, u64); RefusedFor::ALL.len()],
    /// Seconds from publishing to the answer, of each message that was stored.
    pub acknowledgement_seconds: Spread,
    /// Seconds from storing to the socket of a consumer, of each message and consumer. Messages
    /// that waited on disk are counted in whole seconds, messages pushed again not at all.
    pub push_seconds: Spread,
}

/// Counts what happens to messages.
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
