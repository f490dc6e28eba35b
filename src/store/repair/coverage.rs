//! Which messages a walk over the log has met, and which are missing.

use crate::message::Sequence;
use crate::sequences::{SequenceSet, Span};
use crate::store::log::frame::Meta;
use crate::store::log::position::Position;
use crate::store::log::segment::SEGMENT_HEAD_BYTES;
use crate::store::log::segments::Segments;

/// Messages that are not where they should be in the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gap {
    pub(crate) span: Span,
    /// Behind which place they should be.
    behind: Position,
}

impl Gap {
    /// Where [`Findings`] keep it: it has no place in the log.
    pub(crate) fn key(&self) -> Position {
        Position::from_u64(u64::MAX - self.span.first)
    }

    /// Tells that `count` of its messages are lost.
    pub(crate) fn text(&self, count: u64, segments: &Segments) -> String {
        let path = segments.path_of(self.behind.segment.max(1));
        format!(
            "{} behind byte {}: {}",
            path.display(),
            self.behind.offset,
            lost_text(count, self.span)
        )
    }
}

/// Tells that `count` of the messages of `span` are lost.
pub(crate) fn lost_text(count: u64, span: Span) -> String {
    let (first, last) = (span.first, span.end() - 1);
    format!("{count} messages of the sequences {first} to {last} are missing")
}

/// Which messages a walk over the log has met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    accepted: SequenceSet,
    gaps: Vec<Gap>,
    /// What came before the walk.
    begun: u64,
    /// The first message that comes next, and where.
    next: u64,
    behind: Position,
    /// What is missing is looked for before this, if that is not 0.
    end: u64,
}

impl Met {
    /// Of a walk from the beginning of the log, up to the message `next`.
    pub(crate) fn up_to(next: Sequence) -> Met {
        Met {
            end: next.0,
            ..Met::default()
        }
    }

    /// Of a walk that begins where `next` is the next message; 1 for the beginning of the log.
    pub(crate) fn from(next: Sequence, position: Position) -> Met {
        let mut met = Met {
            behind: position,
            ..Met::default()
        };
        if next > Sequence(1) {
            met.begin(next.0);
        }
        met
    }

    fn begin(&mut self, next: u64) {
        self.begun = next;
        self.next = next;
        self.accepted.insert_span(Span {
            first: 0,
            len: next,
        });
    }

    /// Takes in the frame from `begin` to `end`; false if it has messages that were there
    /// before, or what only a segment begins with: then it is one of another place.
    pub(crate) fn admits(&mut self, meta: &Meta, begin: Position, end: Position) -> bool {
        if let Some(base) = &meta.base {
            if u64::from(begin.offset) != SEGMENT_HEAD_BYTES {
                return false;
            }
            if self.accepted.is_empty() {
                self.begin(base.next);
            }
            self.reach(base.next);
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
        self.behind = end;
        true
    }

    /// The message `next` comes now.
    fn reach(&mut self, next: u64) {
        if next > self.next {
            self.gaps.extend(self.gap_before(next));
            self.next = next;
        }
    }

    fn gap_before(&self, next: u64) -> Option<Gap> {
        let len = next.checked_sub(self.next).filter(|len| *len > 0)?;
        let span = Span {
            first: self.next,
            len,
        };
        Some(Gap {
            span,
            behind: self.behind,
        })
    }

    /// The messages before the first that was met, which may have been given back.
    pub(super) fn before(&self) -> Option<Gap> {
        (self.begun > 0).then_some(Gap {
            span: Span {
                first: 0,
                len: self.begun,
            },
            behind: Position::default(),
        })
    }

    /// The messages that were not met; what came late was met all the same.
    pub(crate) fn missing(&self) -> Vec<Gap> {
        let gaps = self.gaps.iter().copied().chain(self.gap_before(self.end));
        gaps.flat_map(|gap| self.unmet(gap)).collect()
    }

    fn unmet(&self, gap: Gap) -> Vec<Gap> {
        let (mut from, mut unmet) = (gap.span.first, vec![]);
        let end = gap.span.end();
        let beyond = Span { first: end, len: 1 };
        for met in self.accepted.spans().iter().chain([&beyond]) {
            let to = met.first.min(end);
            if from < to {
                let span = Span {
                    first: from,
                    len: to - from,
                };
                unmet.push(Gap { span, ..gap });
            }
            from = from.max(met.end());
        }
        unmet
    }
}
