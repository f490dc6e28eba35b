//! The state that the log adds up to, in memory: the status of every message, counts, growth, the
//! cutoff of expiry, and what the mirror lacks of it.
//!
//! The writer applies each frame once it is in the log (`apply.rs`). Readers take a short lock
//! (`search.rs`). The mirror takes what changed, and gives it back at a start (`mirroring.rs`). A
//! block of 1,024 messages costs under a kilobyte. The index imports the positions and frames of
//! `log`, and the store's words.

mod apply;
pub(super) mod bitmap;
pub(super) mod block;
pub(super) mod changes;
mod consumed;
mod digest;
mod mirroring;
pub(super) mod search;
#[cfg(test)]
mod tests;
pub(super) mod topics;

use std::collections::{BTreeMap, VecDeque};

use crate::clock::without_step_back;
use crate::message::{Sequence, UnixSeconds};
use crate::store::counts::Counts;
use crate::store::growth::{Calendar, Day, Growth};
use crate::store::index::bitmap::BLOCK_LEN;
use crate::store::index::block::Block;
use crate::store::index::changes::Dirty;
use crate::store::index::consumed::ConsumedTimes;
use crate::store::index::topics::TopicTable;
use crate::store::log::frame::Checkpoint;
use crate::store::log::position::Position;

/// The state that the log adds up to.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The number of `blocks[0]`: its first sequence, divided by 1,024.
    first_block: u64,
    blocks: VecDeque<Block>,
    counts: BTreeMap<Day, [u64; 3]>,
    growth: Growth,
    topics: TopicTable,
    next: u64,
    cutoff: UnixSeconds,
    /// When the last message since the start was created.
    last_created: UnixSeconds,
    /// The log is applied up to this position.
    applied: Position,
    pub(super) times: ConsumedTimes,
    calendar: Calendar,
    dirty: Dirty,
}

impl Index {
    /// An empty state, before the first message.
    pub(crate) fn new() -> Index {
        Index {
            next: 1,
            ..Index::default()
        }
    }

    /// The blocks, oldest first, with their numbers.
    fn numbered(&self) -> impl Iterator<Item = (u64, &Block)> {
        let end = self.first_block + self.blocks.len() as u64;
        (self.first_block..end).zip(&self.blocks)
    }

    /// The sequence of the next message.
    pub(crate) fn next_sequence(&self) -> Sequence {
        Sequence(self.next)
    }

    /// Messages created before this have expired.
    pub(crate) fn cutoff(&self) -> UnixSeconds {
        self.cutoff
    }

    /// Notes that a message was accepted now, and created at `created`.
    pub(crate) fn note_created(&mut self, created: UnixSeconds) {
        self.last_created = created;
    }

    /// When the last message since the start was created.
    pub(crate) fn last_created(&self) -> UnixSeconds {
        self.last_created
    }

    /// The creation time of a message accepted at `at`. It is not before the cutoff of expiry, nor
    /// before the last message, unless the clock was really set back from there.
    pub(crate) fn time_of(&self, at: UnixSeconds) -> UnixSeconds {
        let at = without_step_back(at, self.cutoff);
        without_step_back(at, self.last_created)
    }

    /// The log is applied up to this position.
    pub(crate) fn applied(&self) -> Position {
        self.applied
    }

    /// The first message that is not gone, or the next one if all are.
    pub(crate) fn first_live(&self) -> u64 {
        self.numbered()
            .find_map(|(number, block)| {
                let bit = block.live().iter().next()?;
                Some(number * BLOCK_LEN + bit)
            })
            .unwrap_or(self.next)
    }

    /// The messages by status.
    pub(crate) fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for [accepted, not_consumed, consumed] in self.counts.values() {
            all.accepted += accepted;
            all.not_consumed += not_consumed;
            all.consumed += consumed;
        }
        all
    }

    /// The number of messages accepted on each day.
    pub(crate) fn growth(&self) -> Vec<(Day, u64)> {
        self.growth.by_day()
    }

    /// The number of messages accepted in each quarter of an hour.
    pub(crate) fn quarters(&self) -> Vec<(UnixSeconds, u64)> {
        self.growth.by_quarter()
    }

    /// The topics that have messages, with their counts.
    pub(crate) fn topics(&self) -> &TopicTable {
        &self.topics
    }

    /// The checkpoint with which a new segment of the log begins.
    pub(crate) fn checkpoint(&mut self) -> Checkpoint {
        let (days, quarters) = self.growth.forget();
        self.dirty.days.extend(days);
        self.dirty.quarters.extend(quarters);
        let growth = &self.growth;
        Checkpoint {
            next: self.next,
            first_live: self.first_live(),
            cutoff: self.cutoff.0,
            growth: growth.days.iter().map(|(day, n)| (day.0, *n)).collect(),
            quarters: growth.quarters.iter().map(|(at, n)| (*at, *n)).collect(),
        }
    }

    /// The number of blocks, also of those without messages.
    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }
}
