//! Remembers to which consumers messages were handed over.
//!
//! It is a ring of the newest hand-overs of all topics, bounded both in entries and in bytes. A
//! hand-over is of a batch. Each session that has a ticket of the batch counts into it.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use crate::clock::Clock;
use crate::message::Sequence;
use crate::sequences::{SequenceSet, Span};

/// The most hand-overs that are remembered.
const HANDOVERS_MAX: usize = 65_536;
/// The most memory that they take together, in bytes.
const TRACE_BYTES_MAX: usize = 16 << 20;
/// Recipients of a hand-over that are remembered by name.
const RECIPIENTS_MAX: usize = 16;

/// A consumer that messages were handed to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recipient {
    /// Its number among the clients.
    pub number: u64,
    /// The name it gave itself.
    pub id: String,
    /// The address that it connected from.
    pub ip: IpAddr,
}

/// One hand-over of a message.
#[derive(Clone, Debug)]
pub struct Push {
    /// When it was, in Unix milliseconds.
    pub at_ms: u64,
    /// The first of the consumers.
    pub recipients: Vec<Recipient>,
    /// The number of all consumers.
    pub recipients_total: usize,
    /// The number of consumers that it was written to so far.
    pub written: usize,
    /// The number of consumers whose session ended before that.
    pub failed: usize,
}

impl Push {
    /// Whether some of the consumers may still be written to.
    pub(in crate::broker) fn is_open(&self) -> bool {
        self.written + self.failed < self.recipients_total
    }
}

/// The consumers of a topic, as hand-overs remember them. Clones share the names.
#[derive(Clone, Debug)]
pub(in crate::broker) struct Roster {
    first: Arc<[Recipient]>,
    total: usize,
    bytes: usize,
}

impl Roster {
    pub(in crate::broker) fn new(recipients: impl ExactSizeIterator<Item = Recipient>) -> Roster {
        let total = recipients.len();
        let first: Arc<[Recipient]> = recipients.take(RECIPIENTS_MAX).collect();
        let ids: usize = first.iter().map(|recipient| recipient.id.len()).sum();
        Roster {
            bytes: ids + size_of_val(&*first),
            first,
            total,
        }
    }
}

impl Default for Roster {
    fn default() -> Roster {
        Roster::new(std::iter::empty())
    }
}

/// Messages that were handed to the consumers of their topic together.
#[derive(Debug)]
pub(in crate::broker) struct Handover {
    pub(in crate::broker) sequences: SequenceSet,
    at_ms: u64,
    roster: Roster,
    written: AtomicUsize,
    failed: AtomicUsize,
}

impl Handover {
    /// One more session has written the messages.
    pub(in crate::broker) fn written(&self) {
        self.written.fetch_add(1, Ordering::Relaxed);
    }

    /// One more session has ended without writing them.
    pub(in crate::broker) fn failed(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    /// The most memory that it takes: rosters are mostly shared.
    fn bytes(&self) -> usize {
        size_of::<Handover>() + size_of_val::<[Span]>(self.sequences.spans()) + self.roster.bytes
    }

    fn push(&self) -> Push {
        Push {
            at_ms: self.at_ms,
            recipients: self.roster.first.to_vec(),
            recipients_total: self.roster.total,
            written: self.written.load(Ordering::Relaxed),
            failed: self.failed.load(Ordering::Relaxed),
        }
    }
}

/// The newest hand-overs of all topics.
pub(in crate::broker) struct Trace {
    ring: Mutex<Ring>,
    clock: Clock,
}

struct Ring {
    handovers: VecDeque<Arc<Handover>>,
    bytes: usize,
    /// Hand-overs before this are not remembered.
    since_ms: u64,
}

impl Trace {
    pub(in crate::broker) fn new(clock: Clock) -> Trace {
        let ring = Ring {
            handovers: VecDeque::new(),
            bytes: 0,
            since_ms: clock.now_ms(),
        };
        Trace {
            ring: Mutex::new(ring),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().expect("no holder of this lock panics")
    }

    /// Remembers a hand-over that is about to be made.
    pub(in crate::broker) fn begin(&self, sequences: SequenceSet, roster: Roster) -> Arc<Handover> {
        let handover = Arc::new(Handover {
            sequences,
            at_ms: self.clock.now_ms(),
            roster,
            written: AtomicUsize::new(0),
            failed: AtomicUsize::new(0),
        });
        self.lock().add(handover.clone());
        handover
    }

    /// The remembered hand-overs of a message, oldest first, and the time since which all are
    /// remembered, in Unix milliseconds.
    pub(in crate::broker) fn pushes(&self, sequence: Sequence) -> (Vec<Push>, u64) {
        let ring = self.lock();
        let handovers = ring.handovers.iter();
        let pushes = handovers
            .filter(|handover| handover.sequences.contains(sequence))
            .map(|handover| handover.push())
            .collect();
        (pushes, ring.since_ms)
    }
}

impl Ring {
    fn add(&mut self, handover: Arc<Handover>) {
        self.bytes += handover.bytes();
        self.handovers.push_back(handover);
        while self.handovers.len() > HANDOVERS_MAX || self.bytes > TRACE_BYTES_MAX {
            let Some(oldest) = self.handovers.pop_front() else {
                break;
            };
            self.bytes -= oldest.bytes();
            self.since_ms = oldest.at_ms + 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::UnixSeconds;
    use std::net::Ipv4Addr;

    fn set(sequences: impl IntoIterator<Item = u64>) -> SequenceSet {
        sequences.into_iter().map(Sequence).collect()
    }

    fn roster(numbers: std::ops::Range<usize>, id: &str) -> Roster {
        Roster::new(numbers.map(|number| Recipient {
            number: number as u64,
            id: id.to_owned(),
            ip: Ipv4Addr::LOCALHOST.into(),
        }))
    }

    #[test]
    fn a_message_has_the_hand_overs_it_was_part_of() {
        let clock = Clock::manual(UnixSeconds(10));
        let trace = Trace::new(clock.clone());
        let first = trace.begin(set([1, 2, 5]), roster(0..2, "c"));
        clock.set(UnixSeconds(11));
        trace.begin(set([3, 4]), roster(0..1, "c"));
        let second = trace.begin(set([4, 5]), roster(0..40, "c"));
        first.failed();
        first.failed();
        second.written();
        let (pushes, since_ms) = trace.pushes(Sequence(5));
        assert_eq!(since_ms, 10_000);
        let seen: Vec<_> = pushes
            .iter()
            .map(|push| (push.at_ms, push.recipients.len(), push.recipients_total))
            .collect();
        assert_eq!(seen, [(10_000, 2, 2), (11_000, RECIPIENTS_MAX, 40)]);
        assert_eq!((pushes[0].written, pushes[0].failed), (0, 2));
        assert_eq!((pushes[1].written, pushes[1].failed), (1, 0));
        assert!(!pushes[0].is_open() && pushes[1].is_open());
        assert_eq!(trace.pushes(Sequence(6)).0.len(), 0);
    }

    #[test]
    fn the_oldest_are_forgotten_beyond_so_many() {
        let clock = Clock::manual(UnixSeconds(10));
        let trace = Trace::new(clock.clone());
        trace.begin(set([0]), Roster::default());
        clock.set(UnixSeconds(11));
        for n in 1..HANDOVERS_MAX as u64 {
            trace.begin(set([n]), Roster::default());
        }
        let (pushes, since_ms) = trace.pushes(Sequence(0));
        assert_eq!((pushes.len(), since_ms), (1, 10_000));
        trace.begin(set([HANDOVERS_MAX as u64]), Roster::default());
        let (pushes, since_ms) = trace.pushes(Sequence(0));
        assert_eq!((pushes.len(), since_ms), (0, 10_001));
        assert_eq!(trace.pushes(Sequence(1)).0.len(), 1);
    }

    #[test]
    fn names_and_gaps_take_memory_too() {
        let trace = Trace::new(Clock::system());
        let long = "x".repeat(1 << 20);
        let big = [set((0..40_000).map(|n| n * 2)), set([1])];
        for (sequences, id) in [(&big[0], ""), (&big[1], long.as_str())] {
            for _ in 0..100 {
                trace.begin(sequences.clone(), roster(0..1, id));
            }
            let ring = trace.lock();
            assert!(ring.bytes <= TRACE_BYTES_MAX && ring.handovers.len() < 100);
            let bytes: usize = ring.handovers.iter().map(|handover| handover.bytes()).sum();
            assert_eq!(ring.bytes, bytes);
        }
    }
}
