//! One batch on its way to all consumers of its topic, and its outcome.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use tokio::time::Instant;

use crate::broker::observe::activity::Activity;
use crate::broker::push::encoding::{Encoding, Encodings};
use crate::broker::push::in_flight::Flying;
use crate::broker::push::outbox::OutboxUse;
use crate::broker::push::trace::Handover;
use crate::clock::Clock;
use crate::limits::memory_budget::SMALL_BYTES;
use crate::measure::Counter;
use crate::message::Message;
use crate::sequences::SequenceSet;
use crate::store::{Change, Storage};

/// Where outcomes are recorded.
#[derive(Clone)]
pub(in crate::broker) struct Outcomes {
    pub(in crate::broker) store: Arc<dyn Storage>,
    pub(in crate::broker) clock: Clock,
    pub(in crate::broker) activity: Arc<Activity>,
}

impl Outcomes {
    /// Records that messages were written to no consumer.
    pub(in crate::broker) fn not_consumed(&self, sequences: SequenceSet) {
        let counters = &self.activity.counters;
        self.record(Change::NotConsumed, sequences, &counters.not_consumed);
    }

    fn consumed(&self, sequences: SequenceSet) {
        let at = self.clock.now();
        let counters = &self.activity.counters;
        self.record(Change::Consumed { at }, sequences, &counters.consumed);
    }

    fn record(&self, change: Change, sequences: SequenceSet, counter: &Counter) {
        if !sequences.is_empty() {
            counter.add(sequences.len());
            // Nobody waits for the answer: the store tries until it is written, and a crash before
            // that means a second push.
            drop(self.store.change(change, sequences));
        }
    }
}

/// Whether a message is delivered alone, and not encoded as a whole.
pub(in crate::broker) fn is_large(message: &Message) -> bool {
    message.data.len() > SMALL_BYTES
}

/// The data of those of these messages that are large.
pub(in crate::broker) fn large_bytes(messages: &[Message]) -> usize {
    let large = messages.iter().filter(|message| is_large(message));
    large.map(|message| message.data.len()).sum()
}

/// Messages of one topic, pushed together.
pub(in crate::broker) struct Delivery {
    messages: Vec<Message>,
    /// When they were stored, if the time that they waited is counted.
    stored: Option<Instant>,
    bytes: usize,
    encodings: Encodings,
    /// Whether the messages were written to a consumer.
    written: AtomicBool,
    /// The number of sessions that may still write them.
    tickets: AtomicUsize,
    handover: Arc<Handover>,
    outcomes: Outcomes,
    /// The memory of large messages.
    flying: Flying,
}

impl Delivery {
    /// A delivery to `sessions` sessions, which must get one [`Ticket`] each.
    pub(in crate::broker) fn new(
        messages: Vec<Message>,
        stored: Option<Instant>,
        sessions: usize,
        handover: Arc<Handover>,
        outcomes: Outcomes,
        flying: Flying,
    ) -> Arc<Delivery> {
        let bytes = messages.iter().map(|message| message.data.len()).sum();
        Arc::new(Delivery {
            messages,
            stored,
            bytes,
            encodings: Encodings::default(),
            written: AtomicBool::new(false),
            tickets: AtomicUsize::new(sessions),
            handover,
            outcomes,
            flying,
        })
    }
}

/// One session's part in a delivery. A ticket that is dropped without a report has failed.
pub struct Ticket {
    delivery: Arc<Delivery>,
    /// The outbox that it is in.
    used: Arc<OutboxUse>,
    /// Whether this session has written the messages.
    written: AtomicBool,
}

impl Ticket {
    pub(in crate::broker) fn new(delivery: Arc<Delivery>, used: Arc<OutboxUse>) -> Ticket {
        let large = delivery.flying.bytes();
        used.reserve(delivery.messages.len(), delivery.bytes, large);
        Ticket {
            delivery,
            used,
            written: AtomicBool::new(false),
        }
    }

    /// The message of the delivery and the length of its frame, if it is too large for
    /// [`Ticket::frames`]. The length is found once for each encoding, whatever the number of
    /// sessions.
    pub fn large(&self, encoding: &Encoding) -> Option<(&Message, usize)> {
        let Delivery {
            messages,
            encodings,
            ..
        } = &*self.delivery;
        match &**messages {
            [message] if is_large(message) => {
                Some((message, encodings.frame_bytes(encoding, message)))
            }
            _ => None,
        }
    }

    /// The frames to write, in order. Each message is encoded once for each encoding, whatever
    /// the number of sessions.
    pub fn frames(&self, encoding: &Encoding) -> &[Bytes] {
        let Delivery {
            messages,
            bytes,
            encodings,
            ..
        } = &*self.delivery;
        encodings.frames(encoding, messages, *bytes)
    }

    /// Reports that all frames are written to the socket. The messages are consumed with that, if
    /// they were not before.
    pub fn written(&self) {
        let Delivery {
            messages,
            stored,
            written,
            handover,
            outcomes,
            ..
        } = &*self.delivery;
        if self.written.swap(true, Ordering::Relaxed) {
            return;
        }
        handover.written();
        let now = Instant::now();
        self.used.wrote(messages.len(), now);
        let counters = &outcomes.activity.counters;
        let count = messages.len() as u64;
        counters.delivered.add(count);
        if let Some(message) = messages.first() {
            outcomes.activity.tallies.delivered(&message.topic, count);
        }
        if let Some(stored) = stored {
            counters.push_seconds.add_time(now - *stored, count);
        }
        if !written.swap(true, Ordering::AcqRel) {
            outcomes.consumed(handover.sequences.clone());
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let Delivery {
            messages,
            bytes,
            written,
            tickets,
            handover,
            outcomes,
            flying,
            ..
        } = &*self.delivery;
        if !*self.written.get_mut() {
            handover.failed();
            self.used.miss(messages.len(), *bytes);
        }
        self.used.give_back(messages.len(), *bytes, flying.bytes());
        let last = tickets.fetch_sub(1, Ordering::AcqRel) == 1;
        if last && !written.load(Ordering::Acquire) {
            outcomes.not_consumed(handover.sequences.clone());
        }
    }
}
