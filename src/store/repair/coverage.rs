//! Tells which messages a walk over the log has met, and which are missing.

use crate::message::Sequence;
use crate::sequences::{SequenceSet, Span};
use crate::store::log::frame::Meta;
use crate::store::log::position::Position;
use crate::store::log::segment::SEGMENT_HEAD_BYTES;
use crate::store::log::segments::Segments;

/// Sequences whose messages are missing from the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Missing {
    pub(crate) span: Span,
    /// The messages belong directly after this place.
    after: Position,
}

impl Missing {
    /// The key of this entry in [`Findings`](crate::store::log::damage::Findings). It stands for no
    /// place in the log.
    pub(crate) fn key(&self) -> Position {
        Position::from_u64(u64::MAX - self.span.first)
    }

    /// Says that `count` of its messages are missing.
    pub(crate) fn text(&self, count: u64, segments: &Segments) -> String {
        let path = segments.path_of(self.after.segment.max(1));
        format!(
            "{} after byte {}: {}",
            path.display(),
            self.after.offset,
            lost_text(count, self.span)
        )
    }
}

/// Says that `count` of the messages of `span` are missing.
pub(crate) fn lost_text(count: u64, span: Span) -> String {
    let (first, last) = (span.first, span.end() - 1);
    format!("{count} messages of the sequences {first} to {last} are missing")
}

/// The messages that a walk over the log has met.
#[derive(Debug, Default)]
pub(crate) struct Coverage {
    accepted: SequenceSet,
    missing: Vec<Missing>,
    /// The first sequence of the walk; 0 before it has one.
    begun: u64,
    /// The sequence expected next.
    next: u64,
    /// The end of the last frame accepted.
    after: Position,
    /// Messages from this sequence on are not looked for; 0 if nothing is known to follow.
    end: u64,
}

impl Coverage {
    /// For a walk from the beginning of the log up to the message `next`.
    pub(crate) fn up_to(next: Sequence) -> Coverage {
        Coverage {
            end: next.0,
            ..Coverage::default()
        }
    }

    /// For a walk that begins at `position`, where `next` is the next message. 1 stands for the
    /// beginning of the log.
    pub(crate) fn from(next: Sequence, position: Position) -> Coverage {
        let mut coverage = Coverage {
            after: position,
            ..Coverage::default()
        };
        if next > Sequence(1) {
            coverage.begin(next.0);
        }
        coverage
    }

    fn begin(&mut self, next: u64) {
        self.begun = next;
        self.next = next;
        self.accepted.insert_span(Span {
            first: 0,
            len: next,
        });
    }

    /// Records the frame from `begin` to `end`. Returns false if the frame belongs to another
    /// place: it repeats messages, or has a checkpoint in the middle of a segment.
    pub(crate) fn accepts(&mut self, meta: &Meta, begin: Position, end: Position) -> bool {
        if let Some(checkpoint) = &meta.checkpoint {
            if u64::from(begin.offset) != SEGMENT_HEAD_BYTES {
                return false;
            }
            if self.accepted.is_empty() {
                self.begin(checkpoint.next);
            }
            self.reach(checkpoint.next);
        }
        if let (Some(first), Some(last)) = (meta.entries.first(), meta.entries.last()) {
            if self.accepted.contains(first.sequence) || self.accepted.contains(last.sequence) {
                return false;
            }
            if self.accepted.is_empty() {
                self.begin(first.sequence.0);
            }
            self.reach(first.sequence.0);
            let span = Span {
                first: first.sequence.0,
                len: meta.entries.len() as u64,
            };
            self.accepted.insert_span(span);
            self.next = self.next.max(span.end());
        }
        self.after = end;
        true
    }

    /// Records that `next` is the next message, and everything before it missing.
    fn reach(&mut self, next: u64) {
        if next > self.next {
            self.missing.extend(self.missing_before(next));
            self.next = next;
        }
    }

    fn missing_before(&self, next: u64) -> Option<Missing> {
        let len = next.checked_sub(self.next).filter(|len| *len > 0)?;
        let span = Span {
            first: self.next,
            len,
        };
        Some(Missing {
            span,
            after: self.after,
        })
    }

    /// The messages before the first of the walk. Their segments may have been purged.
    pub(super) fn before(&self) -> Option<Missing> {
        (self.begun > 0).then_some(Missing {
            span: Span {
                first: 0,
                len: self.begun,
            },
            after: Position::default(),
        })
    }

    /// The messages that were not met. Those that came out of order were met.
    pub(crate) fn missing(&self) -> Vec<Missing> {
        let missing = self
            .missing
            .iter()
            .copied()
            .chain(self.missing_before(self.end));
        missing.flat_map(|missing| self.unmet(missing)).collect()
    }

    fn unmet(&self, missing: Missing) -> Vec<Missing> {
        let (mut from, mut unmet) = (missing.span.first, vec![]);
        let end = missing.span.end();
        let beyond = Span { first: end, len: 1 };
        for met in self.accepted.spans().iter().chain([&beyond]) {
            let to = met.first.min(end);
            if from < to {
                let span = Span {
                    first: from,
                    len: to - from,
                };
                unmet.push(Missing { span, ..missing });
            }
            from = from.max(met.end());
        }
        unmet
    }
}
