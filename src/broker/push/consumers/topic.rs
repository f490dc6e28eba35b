//! The consumers of one topic, and what becomes of messages that come for them.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;
use tokio::time::Instant;

use crate::broker::observe::topic_state::ConsumersState;
use crate::broker::push::consumers::consumer::Consumer;
use crate::broker::push::cursor::Cursor;
use crate::broker::push::in_flight::{InFlight, OfTopic};
use crate::broker::push::trace::Roster;
use crate::message::Sequence;

/// How messages came to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum PushKind {
    /// For the first time; when they were stored together, if that is known.
    Fresh(Option<Instant>),
    /// Again, because they were not consumed before.
    Requeued,
    /// Out of the store, where they stayed while their topic was behind.
    ReadBack,
}

/// What becomes of messages that come for a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Admit {
    /// They go to each consumer with capacity. One without is too slow.
    Push,
    /// They go to each consumer, though none has capacity.
    PushOverLimit,
    /// They stay in the store: the topic falls behind, or is behind already.
    Store,
    /// No consumer gets them: they are recorded as not consumed.
    NotConsumed,
}

/// Whether the consumers of a topic can take more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Capacity {
    /// There are no consumers.
    Nobody,
    /// The outbox of each is full.
    Full,
    /// At least one can.
    Some,
}

impl PushKind {
    fn admit(self, is_behind: bool, capacity: Capacity) -> Admit {
        match (self, is_behind, capacity) {
            // What comes later waits for what is in the store already.
            (PushKind::Fresh(_), true, _) => Admit::Store,
            (PushKind::Requeued, true, _) => Admit::NotConsumed,
            (_, _, Capacity::Nobody) => Admit::NotConsumed,
            (_, _, Capacity::Some) => Admit::Push,
            // The check found capacity, and requeues no more before these are pushed: they pass
            // the limit by what it takes at once.
            (PushKind::Requeued, false, Capacity::Full) => Admit::PushOverLimit,
            (PushKind::Fresh(_) | PushKind::ReadBack, _, Capacity::Full) => Admit::Store,
        }
    }
}

/// The consumers of a topic.
#[derive(Default)]
pub(super) struct TopicConsumers {
    pub(super) consumers: Vec<Arc<Consumer>>,
    /// Who the consumers are, for the trace.
    pub(super) roster: Roster,
    /// Where the consumers are in the store while the topic is behind.
    pub(super) cursor: Option<Cursor>,
    /// Woken when a consumer has capacity again, joins or leaves.
    pub(super) capacity: Arc<Notify>,
    /// The memory of its large messages in outboxes.
    pub(super) large: OfTopic,
}

impl TopicConsumers {
    /// What becomes of messages that come this way now.
    pub(super) fn admit(&self, kind: PushKind) -> Admit {
        let capacity = match self.has_capacity() {
            true => Capacity::Some,
            false if self.consumers.is_empty() => Capacity::Nobody,
            false => Capacity::Full,
        };
        kind.admit(self.cursor.is_some(), capacity)
    }

    /// Whether at least one consumer can take more.
    pub(super) fn has_capacity(&self) -> bool {
        self.consumers
            .iter()
            .any(|consumer| consumer.has_capacity())
    }

    /// Whether some consumers can take more, and others cannot.
    pub(super) fn is_uneven(&self) -> bool {
        let have = |consumer: &Arc<Consumer>| consumer.has_capacity();
        self.consumers.iter().any(have) && !self.consumers.iter().all(have)
    }

    /// Remembers who the consumers are now.
    pub(super) fn renew_roster(&mut self) {
        self.roster = Roster::new(self.consumers.iter().map(|consumer| consumer.recipient()));
    }

    pub(super) fn state(&self, now: Instant) -> ConsumersState {
        let rates = self.consumers.iter().map(|consumer| consumer.rate(now));
        ConsumersState {
            consumers: self.consumers.len(),
            rate_out: rates.sum(),
            behind: self.cursor.is_some(),
        }
    }

    /// Whether a consumer could take what is pushed again.
    pub(super) fn is_open(&self, in_flight: &InFlight) -> bool {
        self.cursor.is_none() && self.has_capacity() && in_flight.has_memory(&self.large, 0)
    }

    /// Leaves messages in the store. Returns the number of the episode if the topic falls behind
    /// with that.
    pub(super) fn leave_in_store(
        &mut self,
        kind: PushKind,
        messages: RangeInclusive<Sequence>,
        needs_bytes: usize,
        episodes: &AtomicU64,
    ) -> Option<u64> {
        match &mut self.cursor {
            Some(cursor) => {
                if kind == PushKind::ReadBack {
                    cursor.needs_bytes = needs_bytes;
                }
                cursor.extend(*messages.end());
                None
            }
            None => {
                let episode = episodes.fetch_add(1, Ordering::Relaxed);
                self.cursor = Some(Cursor::new(episode, messages, needs_bytes));
                Some(episode)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_becomes_of_messages_is_one_table() {
        const FRESH: PushKind = PushKind::Fresh(None);
        const AGAIN: PushKind = PushKind::Requeued;
        const BACK: PushKind = PushKind::ReadBack;
        let table = [
            // How they come, whether the topic is behind, its consumers.
            (FRESH, false, Capacity::Nobody, Admit::NotConsumed),
            (FRESH, false, Capacity::Full, Admit::Store),
            (FRESH, false, Capacity::Some, Admit::Push),
            (FRESH, true, Capacity::Nobody, Admit::Store),
            (FRESH, true, Capacity::Full, Admit::Store),
            (FRESH, true, Capacity::Some, Admit::Store),
            (AGAIN, false, Capacity::Nobody, Admit::NotConsumed),
            (AGAIN, false, Capacity::Full, Admit::PushOverLimit),
            (AGAIN, false, Capacity::Some, Admit::Push),
            (AGAIN, true, Capacity::Nobody, Admit::NotConsumed),
            (AGAIN, true, Capacity::Full, Admit::NotConsumed),
            (AGAIN, true, Capacity::Some, Admit::NotConsumed),
            (BACK, false, Capacity::Nobody, Admit::NotConsumed),
            (BACK, false, Capacity::Full, Admit::Store),
            (BACK, false, Capacity::Some, Admit::Push),
            (BACK, true, Capacity::Nobody, Admit::NotConsumed),
            (BACK, true, Capacity::Full, Admit::Store),
            (BACK, true, Capacity::Some, Admit::Push),
        ];
        for (kind, is_behind, capacity, admit) in table {
            let found = kind.admit(is_behind, capacity);
            assert_eq!(found, admit, "{kind:?}, behind: {is_behind}, {capacity:?}");
        }
    }
}
