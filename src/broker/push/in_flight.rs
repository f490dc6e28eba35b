//! The memory of the large messages in outboxes. A message counts once, however many outboxes it is
//! in. The memory is bounded for all topics together, and for each topic to a part of that. So the
//! slow consumers of one topic do not delay the large messages of another.
//!
//! A message that finds no memory stays in the store: its topic is behind until there is some.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;
use tokio::sync::futures::Notified;

/// The data of all large messages in outboxes.
const ALL_BYTES_MAX: usize = 64 << 20;
/// The same, for one topic.
const TOPIC_BYTES_MAX: usize = 32 << 20;

/// Bounds the memory of large messages in outboxes.
pub(in crate::broker) struct InFlight {
    all: Mutex<usize>,
    freed: Notify,
    /// Whether a topic has found no memory since some was last given back.
    is_wanted: AtomicBool,
    /// Woken too when memory is given back.
    any_capacity: Arc<Notify>,
}

/// The memory that one topic has.
#[derive(Clone, Debug, Default)]
pub(in crate::broker) struct OfTopic(Arc<AtomicUsize>);

/// Memory that is taken. It is given back when this is dropped.
pub(in crate::broker) struct Flying {
    bytes: usize,
    topic: OfTopic,
    in_flight: Arc<InFlight>,
}

impl InFlight {
    pub(in crate::broker) fn new(any_capacity: Arc<Notify>) -> Arc<InFlight> {
        Arc::new(InFlight {
            all: Mutex::new(0),
            freed: Notify::new(),
            is_wanted: AtomicBool::new(false),
            any_capacity,
        })
    }

    fn all(&self) -> MutexGuard<'_, usize> {
        self.all.lock().expect("no holder of this lock panics")
    }

    /// Whether a topic may have this number of bytes more; for 0, whether it may have any. A
    /// message larger than the bounds may be in flight alone.
    pub(in crate::broker) fn has_memory(&self, topic: &OfTopic, bytes: usize) -> bool {
        let has_memory = fits(*self.all(), bytes, ALL_BYTES_MAX)
            && fits(topic.0.load(Ordering::Relaxed), bytes, TOPIC_BYTES_MAX);
        if bytes > 0 && !has_memory {
            self.is_wanted.store(true, Ordering::Relaxed);
        }
        has_memory
    }

    /// Whether a topic waits for memory that other topics or consumers have.
    pub(in crate::broker) fn is_wanted(&self) -> bool {
        self.is_wanted.load(Ordering::Relaxed)
    }

    /// Takes memory for large messages of a topic, if there is enough.
    pub(in crate::broker) fn take(
        self: &Arc<InFlight>,
        topic: &OfTopic,
        bytes: usize,
    ) -> Option<Flying> {
        if bytes > 0 {
            let mut all = self.all();
            let of_topic = topic.0.load(Ordering::Relaxed);
            if !fits(*all, bytes, ALL_BYTES_MAX) || !fits(of_topic, bytes, TOPIC_BYTES_MAX) {
                self.is_wanted.store(true, Ordering::Relaxed);
                return None;
            }
            *all += bytes;
            topic.0.fetch_add(bytes, Ordering::Relaxed);
        }
        Some(Flying {
            bytes,
            topic: topic.clone(),
            in_flight: self.clone(),
        })
    }

    /// The bytes that are free.
    pub(in crate::broker) fn free(&self) -> usize {
        ALL_BYTES_MAX.saturating_sub(*self.all())
    }

    /// Waits until memory is given back from now on.
    pub(in crate::broker) fn freed(&self) -> Notified<'_> {
        self.freed.notified()
    }
}

fn fits(taken: usize, more: usize, most: usize) -> bool {
    taken == 0 || taken.saturating_add(more.max(1)) <= most
}

impl Flying {
    /// The bytes that are taken: 0 if no message is large.
    pub(in crate::broker) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Flying {
    fn drop(&mut self) {
        if self.bytes > 0 {
            self.topic.0.fetch_sub(self.bytes, Ordering::Relaxed);
            *self.in_flight.all() -= self.bytes;
            self.in_flight.is_wanted.store(false, Ordering::Relaxed);
            self.in_flight.freed.notify_waiters();
            self.in_flight.any_capacity.notify_one();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_a_part_and_a_message_that_is_larger_flies_alone() {
        let in_flight = InFlight::new(Arc::default());
        let (one, two) = (OfTopic::default(), OfTopic::default());
        let part = in_flight.take(&one, TOPIC_BYTES_MAX).unwrap();
        assert!(!in_flight.is_wanted(), "there is some");
        assert!(in_flight.take(&one, 1).is_none(), "it has its part");
        assert!(in_flight.is_wanted(), "the topic waits");
        assert!(!in_flight.has_memory(&one, 0) && in_flight.has_memory(&two, 1));
        assert!(in_flight.take(&one, 0).is_some(), "small ones take none");
        let other = in_flight.take(&two, TOPIC_BYTES_MAX).unwrap();
        assert_eq!(in_flight.free(), ALL_BYTES_MAX - 2 * TOPIC_BYTES_MAX);
        drop((part, other));
        assert!(!in_flight.is_wanted(), "some was given back");
        let larger = in_flight.take(&one, 2 * ALL_BYTES_MAX).unwrap();
        assert!(in_flight.take(&two, 1).is_none(), "there is no memory");
        drop(larger);
        assert_eq!(in_flight.free(), ALL_BYTES_MAX);
    }
}
