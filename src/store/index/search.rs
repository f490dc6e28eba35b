//! Searches the index for blocks and for messages in them.

use std::ops::Bound;

use crate::message::{Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::counts::Counts;
use crate::store::growth::Day;
use crate::store::index::Index;
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};
use crate::store::index::block::{Block, pieces};
use crate::store::index::topics::TopicIds;
use crate::store::log::position::Position;
use crate::store::query::Mark;

/// Blocks examined before the lock of the index is released: everything waits for it.
const BLOCKS_AT_ONCE: usize = 256;

/// A block, and the messages in it that are looked for.
#[derive(Clone, Debug)]
pub(crate) struct BlockView {
    pub(crate) number: u64,
    /// The messages looked for.
    pub(crate) bits: Bitmap,
    pub(crate) runs: [Position; 16],
}

impl Index {
    /// The blocks, oldest first, with messages of `topics` in one of `kinds` from `from` up to
    /// `to`: at most `limit` blocks. Also where to continue, unless that was all. The search stops
    /// early if it finds nothing for long.
    pub(crate) fn in_status(
        &self,
        kinds: &[StatusKind],
        topics: Option<&TopicIds>,
        from: Sequence,
        to: Sequence,
        limit: usize,
    ) -> (Vec<BlockView>, Option<Sequence>) {
        let mut views = vec![];
        let first = (from.0 / BLOCK_LEN).max(self.first_block);
        let skip = usize::try_from(first - self.first_block).unwrap_or(usize::MAX);
        let blocks = self.blocks.iter().skip(skip).zip(first..=to.0 / BLOCK_LEN);
        for (looked, (block, number)) in blocks.enumerate() {
            if views.len() == limit || looked == BLOCKS_AT_ONCE {
                return (views, Some(Sequence(number * BLOCK_LEN)));
            }
            let bits = self.matching(number, block, kinds, topics, from, to);
            if !bits.is_empty() {
                views.push(BlockView {
                    number,
                    bits,
                    runs: block.runs,
                });
            }
        }
        (views, None)
    }

    fn matching(
        &self,
        number: u64,
        block: &Block,
        kinds: &[StatusKind],
        topics: Option<&TopicIds>,
        from: Sequence,
        to: Sequence,
    ) -> Bitmap {
        let base = number * BLOCK_LEN;
        let low = from.0.saturating_sub(base).min(BLOCK_LEN);
        let high = to.0.saturating_add(1).saturating_sub(base).min(BLOCK_LEN);
        let mut bits = Bitmap::default();
        for kind in kinds {
            bits.insert(&block.in_status(*kind));
        }
        let mut bits = bits.take(&Bitmap::range(low, high.max(low)));
        if let Some(topics) = topics
            && !bits.is_empty()
        {
            block.topics.retain(&mut bits, topics);
        }
        bits
    }

    /// The number of messages in `kind` with a sequence from `first` to `last`.
    pub(crate) fn count_between(&self, kind: StatusKind, first: Sequence, last: Sequence) -> u64 {
        let begin = (first.0 / BLOCK_LEN).max(self.first_block);
        let skip = usize::try_from(begin - self.first_block).unwrap_or(usize::MAX);
        let blocks = self.blocks.iter().skip(skip);
        blocks
            .zip(begin..=last.0 / BLOCK_LEN)
            .filter(|(block, _)| block.has(kind))
            .map(|(block, number)| {
                self.matching(number, block, &[kind], None, first, last)
                    .len()
            })
            .sum()
    }

    /// The number of existing messages with a sequence from `first` to `last`.
    pub(crate) fn live_between(&self, first: Sequence, last: Sequence) -> u64 {
        let kinds = StatusKind::ALL.into_iter();
        kinds
            .map(|kind| self.count_between(kind, first, last))
            .sum()
    }

    /// Whether a message exists.
    pub(crate) fn is_live(&self, sequence: Sequence) -> bool {
        let block = self.block(sequence.0 / BLOCK_LEN);
        block.is_some_and(|block| block.is_live(sequence.0 % BLOCK_LEN))
    }

    /// The numbers of the blocks that may have messages of `topics` created from `from` to `to` and
    /// before `before`. Each comes with a time that none of its messages is after.
    pub(crate) fn created_between(
        &self,
        from: UnixSeconds,
        to: UnixSeconds,
        before: Option<Mark>,
        topics: Option<&TopicIds>,
        kind: Option<StatusKind>,
    ) -> Vec<(UnixSeconds, u64)> {
        let is_past = |block: &Block, number: u64| {
            before.is_some_and(|mark| {
                let in_block = (block.created_min, Sequence(number * BLOCK_LEN));
                in_block >= (mark.created, mark.sequence)
            })
        };
        self.numbered()
            .filter(|(number, block)| {
                block.created_min <= to
                    && from <= block.created_max
                    && !is_past(block, *number)
                    && topics.is_none_or(|topics| block.topics.has(topics))
                    && match kind {
                        Some(kind) => block.has(kind),
                        None => !block.is_empty(),
                    }
            })
            .map(|(number, block)| (block.created_max, number))
            .collect()
    }

    /// The messages of a block in `kind`, or all that exist; only those of `topics`, if given.
    pub(crate) fn view(
        &self,
        number: u64,
        kind: Option<StatusKind>,
        topics: Option<&TopicIds>,
    ) -> Option<BlockView> {
        let block = self.block(number)?;
        let mut bits = match kind {
            Some(kind) => block.in_status(kind),
            None => block.live(),
        };
        if let Some(topics) = topics {
            block.topics.retain(&mut bits, topics);
        }
        Some(BlockView {
            number,
            bits,
            runs: block.runs,
        })
    }

    /// One message, if it exists.
    pub(crate) fn view_of(&self, sequence: Sequence) -> Option<BlockView> {
        let number = sequence.0 / BLOCK_LEN;
        let mut view = self.view(number, None, None)?;
        view.bits.retain(|bit| bit == sequence.0 % BLOCK_LEN);
        Some(view)
    }

    /// The status of a message, if it exists.
    pub(crate) fn status(&self, sequence: Sequence) -> Option<StatusKind> {
        let block = self.block(sequence.0 / BLOCK_LEN)?;
        StatusKind::ALL
            .into_iter()
            .find(|kind| block.in_status(*kind).contains(sequence.0 % BLOCK_LEN))
    }

    /// Passes each topic in a view to `each`, with its first message there.
    pub(crate) fn first_of_each_topic<'a>(
        &'a self,
        view: &BlockView,
        mut each: impl FnMut(&'a Topic, Sequence),
    ) {
        let Some(block) = self.block(view.number) else {
            return;
        };
        let mut seen = TopicIds::default();
        for bit in view.bits.iter() {
            if let Some(id) = block.topics.of(bit)
                && seen.insert(id)
                && let Some(topic) = self.topics().name(id)
            {
                each(topic, Sequence(view.number * BLOCK_LEN + bit));
            }
        }
    }

    /// Whether a block has no message created before `before`.
    pub(crate) fn begins_from(&self, number: u64, before: UnixSeconds) -> bool {
        let block = self.block(number);
        block.is_some_and(|block| block.created_min >= before)
    }

    /// The topic of an existing message.
    pub(crate) fn topic_of(&self, sequence: Sequence) -> Option<&Topic> {
        let block = self.block(sequence.0 / BLOCK_LEN)?;
        self.topics().name(block.topics.of(sequence.0 % BLOCK_LEN)?)
    }

    /// When the newest message was created. If that message is gone, the newest one left may be
    /// older.
    pub(crate) fn newest(&self) -> Option<UnixSeconds> {
        let blocks = self.numbered().filter(|(_, block)| !block.is_empty());
        blocks.map(|(_, block)| block.created_max).max()
    }

    /// The number of messages created on days after `day`.
    pub(crate) fn count_after(&self, day: Day) -> u64 {
        let days = self.counts.range((Bound::Excluded(day), Bound::Unbounded));
        days.map(|(_, counts)| counts.iter().sum::<u64>()).sum()
    }

    /// Those messages, if their sequence is before `end`.
    pub(crate) fn created_after(&self, day: Day, end: Sequence) -> SequenceSet {
        let mut sequences = SequenceSet::new();
        for (number, block) in self.numbered() {
            let mut bits = Bitmap::default();
            for of_day in block.days.iter().filter(|of_day| of_day.day > day) {
                of_day.bits.iter().for_each(|of_kind| bits.insert(of_kind));
            }
            let all = bits.iter().map(|bit| Sequence(number * BLOCK_LEN + bit));
            all.take_while(|sequence| *sequence < end)
                .for_each(|sequence| sequences.insert(sequence));
        }
        sequences
    }

    /// The numbers of all blocks, ascending.
    pub(crate) fn block_numbers(&self) -> impl Iterator<Item = u64> {
        self.first_block..self.first_block + self.blocks.len() as u64
    }

    pub(crate) fn block(&self, number: u64) -> Option<&Block> {
        let at = number.checked_sub(self.first_block)?;
        self.blocks.get(usize::try_from(at).ok()?)
    }

    /// The numbers of the blocks that have both older and newer messages than `cutoff`.
    pub(crate) fn straddling(&self, cutoff: UnixSeconds) -> Vec<u64> {
        self.numbered()
            .filter(|(_, block)| {
                block.created_min < cutoff && cutoff <= block.created_max && !block.is_empty()
            })
            .map(|(number, _)| number)
            .collect()
    }

    /// Whether expiry before `cutoff` would drop a whole block.
    pub(crate) fn has_older(&self, cutoff: UnixSeconds) -> bool {
        self.blocks
            .iter()
            .any(|block| block.created_max < cutoff && !block.is_empty())
    }

    /// The number of messages in the blocks that expiry before `cutoff` drops.
    pub(crate) fn counts_older(&self, cutoff: UnixSeconds) -> Counts {
        let mut counts = Counts::default();
        let older = self.blocks.iter();
        for block in older.filter(|block| block.created_max < cutoff) {
            for kind in StatusKind::ALL {
                *counts.of(kind) += block.in_status(kind).len();
            }
        }
        counts
    }

    /// How many of these messages exist.
    pub(crate) fn counts_of(&self, sequences: &SequenceSet) -> Counts {
        let mut counts = Counts::default();
        for span in sequences.spans() {
            for (number, low, high) in pieces(span.first, span.len) {
                let Some(block) = self.block(number) else {
                    continue;
                };
                for kind in StatusKind::ALL {
                    let mut bits = block.in_status(kind);
                    *counts.of(kind) += bits.take(&Bitmap::range(low, high)).len();
                }
            }
        }
        counts
    }
}
