//! A set of sequences, kept as ranges.

use crate::message::Sequence;

/// Sequences in ascending order, as ranges that neither touch nor overlap.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SequenceSet(Vec<Span>);

/// `len` sequences from `first` on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The first sequence.
    pub first: u64,
    /// How many there are, at least 1.
    pub len: u64,
}

impl Span {
    /// The sequence after the last one.
    pub fn end(self) -> u64 {
        self.first + self.len
    }
}

impl SequenceSet {
    /// The empty set.
    pub fn new() -> SequenceSet {
        SequenceSet::default()
    }

    /// Adds a sequence; quick where sequences come in ascending order.
    pub fn insert(&mut self, sequence: Sequence) {
        self.insert_span(Span {
            first: sequence.0,
            len: 1,
        });
    }

    /// Adds a range of sequences; quick where ranges come in ascending order.
    pub fn insert_span(&mut self, span: Span) {
        if span.len == 0 {
            return;
        }
        match self.0.last_mut() {
            Some(last) if last.end() == span.first => last.len += span.len,
            Some(last) if last.end() > span.first => {
                self.0.push(span);
                self.normalize();
            }
            _ => self.0.push(span),
        }
    }

    fn normalize(&mut self) {
        self.0.sort_unstable_by_key(|span| span.first);
        self.0.dedup_by(|next, kept| {
            let joins = next.first <= kept.end();
            if joins {
                kept.len = kept.len.max(next.end() - kept.first);
            }
            joins
        });
    }

    /// The ranges, ascending.
    pub fn spans(&self) -> &[Span] {
        &self.0
    }

    /// Whether a sequence is in the set.
    pub fn contains(&self, sequence: Sequence) -> bool {
        let behind = self.0.partition_point(|span| span.first <= sequence.0);
        behind > 0 && sequence.0 < self.0[behind - 1].end()
    }

    /// How many sequences are in the set.
    pub fn len(&self) -> u64 {
        self.0.iter().map(|span| span.len).sum()
    }

    /// Whether the set is empty.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every sequence, ascending.
    pub fn iter(&self) -> impl Iterator<Item = Sequence> + '_ {
        self.0
            .iter()
            .flat_map(|span| (span.first..span.end()).map(Sequence))
    }
}

impl FromIterator<Sequence> for SequenceSet {
    fn from_iter<I: IntoIterator<Item = Sequence>>(sequences: I) -> SequenceSet {
        let mut set = SequenceSet::new();
        for sequence in sequences {
            set.insert(sequence);
        }
        set
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(sequences: &[u64]) -> SequenceSet {
        sequences.iter().copied().map(Sequence).collect()
    }

    #[test]
    fn neighbours_become_one_range() {
        assert_eq!(
            set(&[1, 2, 3, 7, 8]).spans(),
            [Span { first: 1, len: 3 }, Span { first: 7, len: 2 }]
        );
    }

    #[test]
    fn a_sequence_between_two_ranges_is_in_none() {
        let set = set(&[2, 3, 7]);
        let found: Vec<u64> = (0..10).filter(|n| set.contains(Sequence(*n))).collect();
        assert_eq!(found, [2, 3, 7]);
    }

    #[test]
    fn order_and_repeats_do_not_matter() {
        assert_eq!(set(&[8, 2, 1, 3, 7, 2]), set(&[1, 2, 3, 7, 8]));
        let mut spans = set(&[10]);
        spans.insert_span(Span { first: 5, len: 20 });
        spans.insert_span(Span { first: 1, len: 0 });
        assert_eq!(spans.spans(), [Span { first: 5, len: 20 }]);
        assert_eq!(spans.len(), 20);
    }
}
