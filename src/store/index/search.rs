//! Searching the index: which blocks, and which messages of them.

use super::super::bitmap::{BLOCK_LEN, Bitmap};
use super::super::block::Block;
use super::super::segments::Position;
use super::super::topic_set::TopicSet;
use super::Index;
use crate::message::{Sequence, StatusKind, UnixSeconds};

/// Where a block's messages of interest are.
#[derive(Clone, Debug)]
pub(crate) struct BlockView {
    pub(crate) number: u64,
    /// The messages looked for.
    pub(crate) bits: Bitmap,
    /// Whether the block has no more of them outside the range that was looked at.
    pub(crate) whole: bool,
    pub(crate) runs: [Position; 16],
    pub(crate) version: u32,
}

impl Index {
    /// The blocks, oldest first, with messages in `kind` from `from` up to `to`, whose topics
    /// may be among `topics`; at most `limit` blocks.
    pub(crate) fn in_status(
        &self,
        kind: StatusKind,
        topics: Option<&TopicSet>,
        from: Sequence,
        to: Sequence,
        limit: usize,
    ) -> Vec<BlockView> {
        let first = (from.0 / BLOCK_LEN).max(self.first_block);
        let skip = usize::try_from(first - self.first_block).unwrap_or(usize::MAX);
        self.blocks
            .iter()
            .skip(skip)
            .zip(first..=to.0 / BLOCK_LEN)
            .filter(|(block, _)| {
                let has = match kind {
                    StatusKind::NotConsumed => &block.waiting,
                    StatusKind::Accepted | StatusKind::Consumed => &block.topics,
                };
                block.has(kind) && topics.is_none_or(|topics| has.intersects(topics))
            })
            .map(|(block, number)| {
                let base = number * BLOCK_LEN;
                let mut bits = block.in_status(kind);
                let low = from.0.saturating_sub(base).min(BLOCK_LEN);
                let high = to.0.saturating_add(1).saturating_sub(base).min(BLOCK_LEN);
                let mask = Bitmap::range(low, high.max(low));
                BlockView {
                    number,
                    bits: bits.take(&mask),
                    whole: bits.is_empty(),
                    runs: block.runs,
                    version: block.version,
                }
            })
            .filter(|view| !view.bits.is_empty())
            .take(limit)
            .collect()
    }

    /// Narrows what topics are waiting in a block, if nothing became not consumed since
    /// `version`.
    pub(crate) fn narrow_waiting(&mut self, number: u64, version: u32, waiting: TopicSet) {
        if let Some(at) = number.checked_sub(self.first_block)
            && let Some(block) = usize::try_from(at)
                .ok()
                .and_then(|at| self.blocks.get_mut(at))
            && block.version == version
        {
            block.waiting = waiting;
        }
    }

    /// The numbers of the blocks that may have messages created from `from` to `to`, with the
    /// time and sequence that none of their messages is behind.
    pub(crate) fn created_between(
        &self,
        from: UnixSeconds,
        to: UnixSeconds,
        topics: Option<&TopicSet>,
        kind: Option<StatusKind>,
    ) -> Vec<(UnixSeconds, u64)> {
        self.numbered()
            .filter(|(_, block)| {
                block.created_min <= to
                    && from <= block.created_max
                    && topics.is_none_or(|topics| block.topics.intersects(topics))
                    && match kind {
                        Some(kind) => block.has(kind),
                        None => !block.is_empty(),
                    }
            })
            .map(|(number, block)| (block.created_max, number))
            .collect()
    }

    /// The messages of a block in `kind`, or all that are there.
    pub(crate) fn view(&self, number: u64, kind: Option<StatusKind>) -> Option<BlockView> {
        let block = self.block(number)?;
        Some(BlockView {
            number,
            bits: match kind {
                Some(kind) => block.in_status(kind),
                None => block.live(),
            },
            whole: true,
            runs: block.runs,
            version: block.version,
        })
    }

    pub(super) fn block(&self, number: u64) -> Option<&Block> {
        let at = number.checked_sub(self.first_block)?;
        self.blocks.get(usize::try_from(at).ok()?)
    }

    /// The numbers of the blocks that have messages older than `floor` and newer ones too.
    pub(crate) fn straddling(&self, floor: UnixSeconds) -> Vec<u64> {
        self.numbered()
            .filter(|(_, block)| {
                block.created_min < floor && floor <= block.created_max && !block.is_empty()
            })
            .map(|(number, _)| number)
            .collect()
    }

    /// Whether a floor at `floor` would drop a whole block.
    pub(crate) fn has_older(&self, floor: UnixSeconds) -> bool {
        self.blocks
            .iter()
            .any(|block| block.created_max < floor && !block.is_empty())
    }

    /// How many messages are in the blocks that a floor at `floor` drops.
    pub(crate) fn counts_older(&self, floor: UnixSeconds) -> u64 {
        self.blocks
            .iter()
            .filter(|block| block.created_max < floor)
            .map(|block| block.live().len())
            .sum()
    }
}
