//! The outbox of a consumer: what waits for it, the bounds of that, and what was written to it.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::observe::rates::Rate;

/// The bounds of what waits for one consumer.
#[derive(Clone, Copy, Debug)]
pub struct OutboxLimits {
    /// In messages.
    pub messages: usize,
    /// In bytes of data.
    pub bytes: usize,
}

/// How full an outbox is.
#[derive(Clone, Copy, Debug)]
pub struct Outbox {
    /// Messages that wait.
    pub messages: usize,
    /// The bytes of their data.
    pub bytes: usize,
    /// Its bounds.
    pub limits: OutboxLimits,
}

/// What is in the outbox of a consumer, and what has left it. It exceeds the limits by at most one
/// batch.
pub(in crate::broker) struct OutboxUse {
    messages: AtomicUsize,
    bytes: AtomicUsize,
    /// Those of these bytes that are of large messages.
    large: AtomicUsize,
    limits: OutboxLimits,
    /// Woken when a consumer of the topic has capacity again, joins or leaves.
    capacity: Arc<Notify>,
    /// The same, for all topics.
    any_capacity: Arc<Notify>,
    /// Messages written to it.
    written: AtomicU64,
    /// Messages that were to be written to it and are not, and the bytes of their data.
    missed_messages: AtomicU64,
    missed_bytes: AtomicU64,
    /// How fast messages are written to it.
    rate: Mutex<Rate>,
}

impl OutboxUse {
    /// An empty outbox; `capacity` is woken for the topic, `any_capacity` for all.
    pub(in crate::broker) fn new(
        limits: OutboxLimits,
        capacity: Arc<Notify>,
        any_capacity: Arc<Notify>,
    ) -> OutboxUse {
        OutboxUse {
            messages: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            large: AtomicUsize::new(0),
            limits,
            capacity,
            any_capacity,
            written: AtomicU64::new(0),
            missed_messages: AtomicU64::new(0),
            missed_bytes: AtomicU64::new(0),
            rate: Mutex::new(Rate::new(Instant::now())),
        }
    }

    /// How full it is.
    pub(in crate::broker) fn outbox(&self) -> Outbox {
        Outbox {
            messages: self.messages.load(Ordering::Relaxed),
            bytes: self.bytes.load(Ordering::Relaxed),
            limits: self.limits,
        }
    }

    /// Whether it has large messages.
    pub(in crate::broker) fn has_large(&self) -> bool {
        self.large.load(Ordering::Relaxed) > 0
    }

    /// The number of messages written to the consumer.
    pub(in crate::broker) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// The number of messages that were to be written to it and are not, and the bytes of their
    /// data.
    pub(in crate::broker) fn missed(&self) -> (u64, u64) {
        let messages = self.missed_messages.load(Ordering::Relaxed);
        (messages, self.missed_bytes.load(Ordering::Relaxed))
    }

    pub(in crate::broker) fn has_capacity(&self) -> bool {
        self.messages.load(Ordering::Relaxed) < self.limits.messages
            && self.bytes.load(Ordering::Relaxed) < self.limits.bytes
    }

    pub(in crate::broker) fn reserve(&self, messages: usize, bytes: usize, large: usize) {
        self.large.fetch_add(large, Ordering::Relaxed);
        self.messages.fetch_add(messages, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    pub(in crate::broker) fn give_back(&self, messages: usize, bytes: usize, large: usize) {
        self.large.fetch_sub(large, Ordering::Relaxed);
        let left = self.messages.fetch_sub(messages, Ordering::Relaxed) - messages;
        let left_bytes = self.bytes.fetch_sub(bytes, Ordering::Relaxed) - bytes;
        if left <= self.limits.messages / 2 && left_bytes <= self.limits.bytes / 2 {
            self.capacity.notify_one();
            self.any_capacity.notify_one();
        }
    }

    /// Counts messages that were written to it.
    pub(in crate::broker) fn wrote(&self, messages: usize, now: Instant) {
        self.written.fetch_add(messages as u64, Ordering::Relaxed);
        self.rate().add(messages, now);
    }

    /// Counts messages that were to be written to it, and will not be.
    pub(in crate::broker) fn miss(&self, messages: usize, bytes: usize) {
        self.missed_messages
            .fetch_add(messages as u64, Ordering::Relaxed);
        self.missed_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(in crate::broker) fn rate(&self) -> MutexGuard<'_, Rate> {
        self.rate.lock().expect("no holder of this lock panics")
    }
}
