//! What the index knows of 1,024 consecutive messages without reading them.

use crate::message::{StatusKind, UnixSeconds};
use crate::store::growth::Day;
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};
use crate::store::index::topics::BlockTopics;
use crate::store::log::position::Position;

/// Positions are kept for every 64th message.
pub(crate) const RUN_LEN: u64 = 64;
const RUNS: usize = 16;
/// The bytes of [`Block::to_bytes`] before the topics.
const FIXED_BYTES: usize = 8 + RUNS * 8;

/// The messages of one block created on one day: which are in which status. A message in no bitmap
/// is gone, or does not exist yet.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct DayBits {
    pub(crate) day: Day,
    /// By [`StatusKind::index`].
    pub(crate) bits: [Bitmap; 3],
}

/// 1,024 consecutive messages.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Block {
    /// Nearly always one day.
    pub(crate) days: Vec<DayBits>,
    pub(crate) created_min: UnixSeconds,
    pub(crate) created_max: UnixSeconds,
    pub(crate) topics: BlockTopics,
    /// For each run, the frame with its first message.
    pub(crate) runs: [Position; RUNS],
}

impl Default for Block {
    fn default() -> Block {
        Block {
            days: vec![],
            created_min: UnixSeconds::MAX,
            created_max: UnixSeconds::MIN,
            topics: BlockTopics::default(),
            runs: [Position::default(); RUNS],
        }
    }
}

impl Block {
    /// The bitmaps of a day, empty if new.
    pub(crate) fn day_mut(&mut self, day: Day) -> &mut DayBits {
        let at = self.days.iter().position(|bits| bits.day == day);
        let at = at.unwrap_or_else(|| {
            self.days.push(DayBits {
                day,
                ..DayBits::default()
            });
            self.days.len() - 1
        });
        &mut self.days[at]
    }

    /// The messages in a status.
    pub(crate) fn in_status(&self, kind: StatusKind) -> Bitmap {
        let mut all = Bitmap::default();
        for day in &self.days {
            all.insert(&day.bits[kind.index()]);
        }
        all
    }

    /// The messages that are not gone.
    pub(crate) fn live(&self) -> Bitmap {
        let mut all = Bitmap::default();
        for bits in self.days.iter().flat_map(|day| &day.bits) {
            all.insert(bits);
        }
        all
    }

    /// Whether this message is not gone.
    pub(crate) fn is_live(&self, bit: u64) -> bool {
        let mut all = self.days.iter().flat_map(|day| &day.bits);
        all.any(|bits| bits.contains(bit))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.days
            .iter()
            .flat_map(|day| &day.bits)
            .all(Bitmap::is_empty)
    }

    pub(crate) fn has(&self, kind: StatusKind) -> bool {
        self.days
            .iter()
            .any(|day| !day.bits[kind.index()].is_empty())
    }

    /// The run of a message, by its place in the block.
    pub(crate) fn run_of(bit: u64) -> usize {
        debug_assert!(bit < BLOCK_LEN);
        usize::try_from(bit / RUN_LEN).unwrap_or_default() % RUNS
    }

    /// Everything but the bitmaps.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(FIXED_BYTES);
        bytes.extend_from_slice(&self.created_min.0.to_be_bytes());
        bytes.extend_from_slice(&self.created_max.0.to_be_bytes());
        for run in self.runs {
            bytes.extend_from_slice(&run.to_u64().to_be_bytes());
        }
        bytes.extend_from_slice(&self.topics.to_bytes());
        bytes
    }

    /// The inverse of [`Block::to_bytes`], without any message.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Block> {
        let (fixed, topics) = bytes.split_at_checked(FIXED_BYTES)?;
        let (times, runs) = fixed.split_at(8);
        let mut block = Block {
            created_min: UnixSeconds(u32::from_be_bytes(times[..4].try_into().ok()?)),
            created_max: UnixSeconds(u32::from_be_bytes(times[4..].try_into().ok()?)),
            topics: BlockTopics::from_bytes(topics)?,
            ..Block::default()
        };
        for (run, chunk) in block.runs.iter_mut().zip(runs.chunks_exact(8)) {
            *run = Position::from_u64(u64::from_be_bytes(chunk.try_into().ok()?));
        }
        Some(block)
    }
}

/// Splits a range of sequences at the borders of blocks: (block, first bit, end bit).
pub(super) fn pieces(first: u64, len: u64) -> impl Iterator<Item = (u64, u64, u64)> {
    let end = first + len;
    (first / BLOCK_LEN..end.div_ceil(BLOCK_LEN)).map(move |number| {
        let base = number * BLOCK_LEN;
        let low = first.max(base) - base;
        let high = end.min(base + BLOCK_LEN) - base;
        (number, low, high)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::topics::TopicId;

    #[test]
    fn a_block_reads_back_as_written() {
        let mut block = Block {
            created_min: UnixSeconds(5),
            created_max: UnixSeconds(9),
            ..Block::default()
        };
        block.topics.set(0, 3, TopicId(1));
        block.topics.set(3, 4, TopicId(2));
        block.runs[3] = Position {
            segment: 2,
            offset: 77,
        };
        assert_eq!(Block::from_bytes(&block.to_bytes()), Some(block));
        assert_eq!(Block::from_bytes(b"short"), None);
    }
}
