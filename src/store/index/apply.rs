//! Applies the log: messages, changes of their status, and the cutoff of expiry.

use crate::message::{Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::{SequenceSet, Span};
use crate::store::change::Change;
use crate::store::growth::Day;
use crate::store::index::Index;
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};
use crate::store::index::block::{Block, DayBits, pieces};
use crate::store::index::changes::Dropped;
use crate::store::log::frame::{Checkpoint, Meta};
use crate::store::log::position::Position;

impl Index {
    /// Applies a frame that was read from the log.
    pub(crate) fn apply(&mut self, position: Position, next: Position, meta: &Meta) {
        if let Some(checkpoint) = &meta.checkpoint {
            self.apply_checkpoint(checkpoint);
        }
        for run in meta
            .entries
            .chunk_by(|a, b| a.created == b.created && a.topic == b.topic)
        {
            let topic = &meta.topics[run[0].topic as usize];
            let first = run[0].sequence;
            self.accept(first, run.len() as u64, run[0].created, topic, position);
        }
        if let Some(cutoff) = meta.cutoff {
            self.raise_cutoff(cutoff);
        }
        for (change, sequences) in &meta.changes {
            self.change(*change, sequences);
        }
        self.advance(next);
    }

    /// Applies what cannot be known without the segments before.
    fn apply_checkpoint(&mut self, checkpoint: &Checkpoint) {
        self.next = self.next.max(checkpoint.next);
        // No block is dropped: imported messages may be older than the cutoff.
        self.cutoff = self.cutoff.max(UnixSeconds(checkpoint.cutoff));
        if self.first_live() < checkpoint.first_live {
            let mut gone = SequenceSet::new();
            gone.insert_span(Span {
                first: 0,
                len: checkpoint.first_live,
            });
            self.change(Change::Deleted, &gone);
        }
        for &(day, count) in &checkpoint.growth {
            self.growth.days.insert(Day(day), count);
            self.dirty.days.insert(Day(day));
        }
        for &(quarter, count) in &checkpoint.quarters {
            self.growth.quarters.insert(quarter, count);
            self.dirty.quarters.insert(quarter);
        }
    }

    /// Adds `len` messages of one topic and time, found in the frame at `position`.
    pub(crate) fn accept(
        &mut self,
        first: Sequence,
        len: u64,
        created: UnixSeconds,
        topic: &Topic,
        position: Position,
    ) {
        let day = self.calendar.day(created);
        let topic = self.topics.intern(topic);
        let mut added = 0;
        for (number, low, high) in pieces(first.0, len) {
            let mask = Bitmap::range(low, high);
            let block = self.block_mut(number);
            block.created_min = block.created_min.min(created);
            block.created_max = block.created_max.max(created);
            block.topics.set(low, high, topic);
            for run in Block::run_of(low)..=Block::run_of(high - 1) {
                if block.runs[run] == Position::default() {
                    block.runs[run] = position;
                }
            }
            // A replay may meet messages that the mirror has already.
            let mut fresh = mask;
            fresh.remove(&block.live());
            block.day_mut(day).bits[StatusKind::Accepted.index()].insert(&fresh);
            added += fresh.len();
            self.dirty.blocks.insert(number);
            self.dirty.grown.insert(number);
        }
        self.counts.entry(day).or_default()[StatusKind::Accepted.index()] += added;
        self.topics.add(topic, StatusKind::Accepted, added);
        self.dirty.days.insert(day);
        let quarter = self.growth.add(day, created, len);
        self.dirty.quarters.insert(quarter);
        self.next = self.next.max(first.0 + len);
    }

    /// Applies a change to those messages that exist and allow it.
    pub(crate) fn change(&mut self, change: Change, sequences: &SequenceSet) {
        let to = change.status();
        for span in sequences.spans() {
            let known_end = (self.first_block + self.blocks.len() as u64) * BLOCK_LEN;
            let first = span.first.max(self.first_block * BLOCK_LEN);
            let end = span.end().min(known_end);
            if first >= end {
                continue;
            }
            for (number, low, high) in pieces(first, end - first) {
                let moved = self.change_in_block(number, &Bitmap::range(low, high), to);
                if let Change::Consumed { at } = change {
                    self.remember_times(number, &moved, at);
                }
            }
        }
        if to.is_none() {
            self.drop_empty_front();
        }
    }

    /// Moves the messages of `mask` that may become `to`, or removes them. Returns those moved.
    fn change_in_block(&mut self, number: u64, mask: &Bitmap, to: Option<StatusKind>) -> Bitmap {
        let mut all_moved = Bitmap::default();
        let Some(block) = number
            .checked_sub(self.first_block)
            .and_then(|at| self.blocks.get_mut(usize::try_from(at).ok()?))
        else {
            return all_moved;
        };
        for DayBits { day, bits } in &mut block.days {
            for from in StatusKind::ALL {
                if to.is_some_and(|to| !from.may_become(to)) {
                    continue;
                }
                let moved = bits[from.index()].take(mask);
                let count = moved.len();
                if count == 0 {
                    continue;
                }
                let counts = self.counts.entry(*day).or_default();
                counts[from.index()] -= count;
                if let Some(to) = to {
                    bits[to.index()].insert(&moved);
                    counts[to.index()] += count;
                }
                let topics = &mut self.topics;
                block
                    .topics
                    .count(&moved, |id, n| topics.moved(id, from, to, n));
                all_moved.insert(&moved);
                self.dirty.days.insert(*day);
            }
        }
        if !all_moved.is_empty() {
            self.dirty.blocks.insert(number);
        }
        all_moved
    }

    /// Keeps when the messages of a block were consumed until the mirror has it.
    fn remember_times(&mut self, number: u64, moved: &Bitmap, at: UnixSeconds) {
        let base = number * BLOCK_LEN;
        let set: SequenceSet = moved.iter().map(|bit| Sequence(base + bit)).collect();
        for span in set.spans() {
            self.times.add(span.first, span.len, at);
        }
    }

    /// Drops every block whose newest message is older than `cutoff`. The caller passes the older
    /// messages of other blocks to [`Index::change`].
    pub(crate) fn raise_cutoff(&mut self, cutoff: UnixSeconds) {
        self.cutoff = self.cutoff.max(cutoff);
        self.dirty.any = true;
        let whole: Vec<u64> = self
            .numbered()
            .filter(|(_, block)| block.created_max < cutoff && !block.is_empty())
            .map(|(number, _)| number)
            .collect();
        let everything = Bitmap::range(0, BLOCK_LEN);
        for number in whole {
            self.change_in_block(number, &everything, None);
        }
        self.drop_empty_front();
    }

    /// Skips to the sequence `next`. Damaged frames hold the sequences before it, so no other
    /// message may get them.
    pub(crate) fn skip_to(&mut self, next: Option<Sequence>) {
        self.next = self.next.max(next.unwrap_or_default().0);
    }

    /// Marks the log as applied up to `end`.
    pub(crate) fn advance(&mut self, end: Position) {
        if end > self.applied {
            self.applied = end;
            self.dirty.any = true;
        }
    }

    /// Drops the first blocks while they have no messages.
    pub(super) fn drop_empty_front(&mut self) {
        while self.first_block < self.next / BLOCK_LEN
            && self.blocks.front().is_some_and(Block::is_empty)
        {
            if let Some(block) = self.blocks.pop_front() {
                self.dirty.blocks.remove(&self.first_block);
                self.dirty.grown.remove(&self.first_block);
                self.dirty.dropped.push(Dropped {
                    block: self.first_block,
                    days: block.days.iter().map(|bits| bits.day).collect(),
                });
                self.dirty.any = true;
            }
            self.first_block += 1;
        }
    }

    /// The block with this number, not before the first. Blocks in between are created empty.
    pub(super) fn block_mut(&mut self, number: u64) -> &mut Block {
        if self.blocks.is_empty() {
            self.first_block = number;
        }
        // A replay of a log whose mirror had dropped these blocks already.
        while number < self.first_block {
            self.first_block -= 1;
            self.blocks.push_front(Block::default());
        }
        let at = usize::try_from(number - self.first_block).expect("blocks fit in memory");
        while self.blocks.len() <= at {
            self.blocks.push_back(Block::default());
        }
        &mut self.blocks[at]
    }
}
