//! The state that the log adds up to, in memory: the status of every message, counts, growth, the
//! cutoff of expiry, and what the mirror lacks of it.
//!
//! The writer applies each frame once it is in the log. Readers take a short lock. The mirror takes
//! what changed. A block of 1,024 messages costs under a kilobyte. The index imports the positions
//! and frames of `log`, and the store's words.

pub(super) mod bitmap;
pub(super) mod block;
pub(super) mod changes;
mod consumed;
mod digest;
pub(super) mod search;
pub(super) mod topics;

use std::collections::{BTreeMap, VecDeque};

use crate::clock::without_step_back;
use crate::message::{Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::{SequenceSet, Span};
use crate::store::change::Change;
use crate::store::counts::Counts;
use crate::store::growth::{Calendar, Day, Growth};
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};
use crate::store::index::block::{Block, DayBits};
use crate::store::index::changes::{Changes, Dirty, Dropped, IndexState};
use crate::store::index::consumed::ConsumedTimes;
use crate::store::index::topics::TopicTable;
use crate::store::log::frame::{Checkpoint, Meta};
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

    // ---- what the mirror gives at the start

    /// Restores the state that the mirror had. Counts come from the bitmaps. `None` if there are
    /// messages without a topic.
    pub(crate) fn restore(restored: IndexState) -> Option<Index> {
        let mut index = Index {
            next: restored.next,
            cutoff: restored.cutoff,
            applied: restored.applied,
            growth: restored.growth,
            topics: restored.topics,
            ..Index::new()
        };
        for (number, block) in restored.blocks {
            if !block.topics.is_of(&block.live(), &index.topics) {
                return None;
            }
            for DayBits { day, bits } in &block.days {
                let counts = index.counts.entry(*day).or_default();
                for (kind, bits) in StatusKind::ALL.into_iter().zip(bits) {
                    counts[kind.index()] += bits.len();
                    let topics = &mut index.topics;
                    block.topics.count(bits, |id, n| topics.add(id, kind, n));
                }
            }
            *index.block_mut(number) = block;
        }
        index.dirty = Dirty::default();
        index.drop_empty_front();
        Some(index)
    }

    /// Counts by day, as [`Index::restore`] found them.
    pub(crate) fn counts_by_day(&self) -> &BTreeMap<Day, [u64; 3]> {
        &self.counts
    }

    // ---- applying the log

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

    fn drop_empty_front(&mut self) {
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
    fn block_mut(&mut self, number: u64) -> &mut Block {
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

    // ---- reading

    fn numbered(&self) -> impl Iterator<Item = (u64, &Block)> {
        let end = self.first_block + self.blocks.len() as u64;
        (self.first_block..end).zip(&self.blocks)
    }

    pub(crate) fn next_sequence(&self) -> Sequence {
        Sequence(self.next)
    }

    pub(crate) fn cutoff(&self) -> UnixSeconds {
        self.cutoff
    }

    /// A message was accepted now, and created at `created`.
    pub(crate) fn note_created(&mut self, created: UnixSeconds) {
        self.last_created = created;
    }

    pub(crate) fn last_created(&self) -> UnixSeconds {
        self.last_created
    }

    /// The creation time of a message accepted at `at`. It is not before the cutoff of expiry, nor
    /// before the last message, unless the clock was really set back from there.
    pub(crate) fn time_of(&self, at: UnixSeconds) -> UnixSeconds {
        let at = without_step_back(at, self.cutoff);
        without_step_back(at, self.last_created)
    }

    pub(crate) fn applied(&self) -> Position {
        self.applied
    }

    /// Every message before this sequence is gone.
    pub(crate) fn first_live(&self) -> u64 {
        self.numbered()
            .find_map(|(number, block)| {
                let bit = block.live().iter().next()?;
                Some(number * BLOCK_LEN + bit)
            })
            .unwrap_or(self.next)
    }

    pub(crate) fn counts(&self) -> Counts {
        let mut all = Counts::default();
        for [accepted, not_consumed, consumed] in self.counts.values() {
            all.accepted += accepted;
            all.not_consumed += not_consumed;
            all.consumed += consumed;
        }
        all
    }

    pub(crate) fn growth(&self) -> Vec<(Day, u64)> {
        self.growth.by_day()
    }

    /// Growth by quarter of an hour.
    pub(crate) fn quarters(&self) -> Vec<(UnixSeconds, u64)> {
        self.growth.by_quarter()
    }

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

    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    // ---- what the mirror takes

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.any
    }

    /// Marks everything as not mirrored, except times of consumption.
    pub(crate) fn mark_all_dirty(&mut self) {
        self.dirty.blocks = self.numbered().map(|(number, _)| number).collect();
        self.dirty.grown = self.dirty.blocks.clone();
        self.dirty.days = self
            .counts
            .keys()
            .chain(self.growth.days.keys())
            .copied()
            .collect();
        self.dirty.quarters = self.growth.quarters.keys().copied().collect();
        self.topics.mark_all_dirty();
        self.dirty.any = true;
    }

    /// Takes what changed since the last call. The caller calls [`Index::mirrored`] when the mirror
    /// has it, or has failed to write it.
    pub(crate) fn take_changes(&mut self) -> Changes {
        let dirty = std::mem::take(&mut self.dirty);
        self.times.flushing = std::mem::take(&mut self.times.pending);
        let blocks = dirty
            .blocks
            .iter()
            .filter_map(|&number| Some((number, self.block(number)?.clone())))
            .collect();
        let days = dirty
            .days
            .iter()
            .map(|day| {
                let counts = self.counts.get(day).copied().unwrap_or_default();
                (
                    *day,
                    counts,
                    self.growth.days.get(day).copied().unwrap_or_default(),
                )
            })
            .collect();
        let growth_of = |quarter: &u32| {
            self.growth
                .quarters
                .get(quarter)
                .copied()
                .unwrap_or_default()
        };
        let quarters = dirty
            .quarters
            .iter()
            .map(|at| (*at, growth_of(at)))
            .collect();
        let topics = self.topics.take_changes();
        self.counts
            .retain(|_, counts| counts.iter().any(|n| *n > 0));
        Changes {
            applied: self.applied,
            next: self.next,
            cutoff: self.cutoff,
            blocks,
            grown: dirty.grown,
            dropped: dirty.dropped,
            days,
            quarters,
            topics,
            times: self
                .times
                .flushing
                .iter()
                .map(|(&first, &(len, at))| (Span { first, len }, at))
                .collect(),
        }
    }

    /// Ends what [`Index::take_changes`] began. `failed` returns what was not written.
    pub(crate) fn mirrored(&mut self, failed: Option<Changes>) {
        let flushing = std::mem::take(&mut self.times.flushing);
        let Some(changes) = failed else {
            self.topics.mirrored(None);
            return;
        };
        self.times.pending.extend(flushing);
        self.topics.mirrored(Some(changes.topics));
        let dirty = &mut self.dirty;
        dirty.any = true;
        let blocks = changes.blocks.iter();
        dirty.blocks.extend(blocks.map(|(number, _)| *number));
        dirty.grown.extend(changes.grown);
        dirty.days.extend(changes.days.iter().map(|(day, ..)| *day));
        let quarters = changes.quarters.iter();
        dirty.quarters.extend(quarters.map(|(quarter, _)| *quarter));
        dirty.dropped.extend(changes.dropped);
    }
}

/// Splits a range of sequences at the borders of blocks: (block, first bit, end bit).
fn pieces(first: u64, len: u64) -> impl Iterator<Item = (u64, u64, u64)> {
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
    use crate::store::growth;

    fn topic(name: &str) -> Topic {
        name.parse().unwrap()
    }

    fn set(spans: &[(u64, u64)]) -> SequenceSet {
        let mut set = SequenceSet::new();
        for &(first, len) in spans {
            set.insert_span(Span { first, len });
        }
        set
    }

    fn filled() -> Index {
        let mut index = Index::new();
        for n in 0..4 {
            let at = Position {
                segment: 1,
                offset: 100 * (n + 1),
            };
            let first = Sequence(1 + u64::from(n) * 1000);
            let name = if n % 2 == 0 { "even" } else { "odd" };
            index.accept(first, 1000, UnixSeconds(1000 + n), &topic(name), at);
        }
        index
    }

    fn counts(index: &Index) -> (u64, u64, u64) {
        let counts = index.counts();
        (counts.accepted, counts.not_consumed, counts.consumed)
    }

    #[test]
    fn changes_move_messages_between_statuses() {
        let mut index = filled();
        assert_eq!(counts(&index), (4000, 0, 0));
        index.change(Change::NotConsumed, &set(&[(1, 1500)]));
        index.change(
            Change::Consumed { at: UnixSeconds(7) },
            &set(&[(1000, 1000)]),
        );
        assert_eq!(counts(&index), (2001, 999, 1000));
        assert_eq!(index.times.get(Sequence(1999)), Some(UnixSeconds(7)));
        assert_eq!(index.times.get(Sequence(2000)), None);
        // Consumed is final, and unknown messages are skipped.
        index.change(Change::Requeued, &set(&[(0, 9000)]));
        assert_eq!(counts(&index), (3000, 0, 1000));
        assert!(
            index
                .view(0, Some(StatusKind::Consumed), None)
                .unwrap()
                .bits
                .contains(1000)
        );
    }

    #[test]
    fn a_replayed_frame_changes_no_count() {
        let mut index = filled();
        index.change(Change::Consumed { at: UnixSeconds(7) }, &set(&[(1, 10)]));
        let at = Position {
            segment: 1,
            offset: 100,
        };
        index.accept(Sequence(1), 1000, UnixSeconds(1000), &topic("even"), at);
        assert_eq!(counts(&index), (3990, 0, 10));
    }

    #[test]
    fn the_cutoff_drops_whole_blocks_and_names_the_others() {
        let mut index = filled();
        // Sequences 1..=2000 are older than 1002; block 0 ends at 1023, block 1 at 2047.
        assert_eq!(index.straddling(UnixSeconds(1002)), [1]);
        assert!(index.has_older(UnixSeconds(1002)));
        index.raise_cutoff(UnixSeconds(1002));
        assert_eq!(counts(&index), (4000 - 1023, 0, 0));
        index.change(Change::Deleted, &set(&[(1024, 977)]));
        assert_eq!(counts(&index), (2000, 0, 0));
        assert_eq!(index.first_live(), 2001);
        let changes = index.take_changes();
        assert_eq!(changes.dropped.len(), 1);
        assert_eq!(changes.cutoff, UnixSeconds(1002));
    }

    #[test]
    fn a_search_finds_the_messages_of_a_topic_only() {
        let mut index = filled();
        let odd = index.topics().ids([&topic("odd")]);
        let find = |index: &Index, kind, topics, from, to| -> Vec<(u64, u64)> {
            let (views, next) = index.in_status(&[kind], topics, Sequence(from), Sequence(to), 99);
            assert_eq!(next, None);
            views
                .iter()
                .map(|view| (view.number, view.bits.len()))
                .collect()
        };
        assert_eq!(
            find(&index, StatusKind::Accepted, Some(&odd), 1, 9999),
            [(0, 23), (1, 977), (2, 71), (3, 929)]
        );
        assert_eq!(
            find(&index, StatusKind::Accepted, None, 1020, 1030),
            [(0, 4), (1, 7)]
        );
        index.change(Change::NotConsumed, &set(&[(1, 1010)]));
        assert_eq!(
            find(&index, StatusKind::NotConsumed, Some(&odd), 1, 9999),
            [(0, 10)]
        );
        assert_eq!(find(&index, StatusKind::Consumed, None, 1, 9999), []);
        // The search stops after a number of blocks, and says where to continue.
        let (views, next) = index.in_status(
            &[StatusKind::Accepted],
            None,
            Sequence(1),
            Sequence(9999),
            2,
        );
        assert_eq!((views.len(), next), (2, Some(Sequence(2048))));
        assert_eq!(
            index.count_between(StatusKind::Accepted, Sequence(1000), Sequence(1030)),
            20
        );
        let counts = index.topics().counts(&topic("odd"));
        assert_eq!((counts.accepted, counts.not_consumed), (1990, 10));
    }

    #[test]
    fn a_topic_is_forgotten_with_its_last_message() {
        let mut index = filled();
        index.change(Change::Deleted, &set(&[(1, 1000), (2001, 999)]));
        assert_eq!(index.topics().counts(&topic("even")).all(), 1);
        index.change(Change::Deleted, &set(&[(3000, 1)]));
        assert_eq!(index.topics().len(), 1);
        assert!(index.is_live(Sequence(3001)) && !index.is_live(Sequence(3000)));
    }

    #[test]
    fn growth_is_kept_by_quarters_of_an_hour() {
        let mut index = Index::new();
        let at = Position::default();
        for (n, time) in (0..).zip([899, 900, 901, 1800]) {
            index.accept(Sequence(n + 1), 1, UnixSeconds(time), &topic("t"), at);
        }
        let quarters = [(0, 1), (900, 2), (1800, 1)].map(|(at, n)| (UnixSeconds(at), n));
        assert_eq!(index.quarters(), quarters);
        assert_eq!(index.checkpoint().quarters, [(0, 1), (1, 2), (2, 1)]);
        for n in 0..u32::try_from(growth::QUARTERS).unwrap() {
            let time = UnixSeconds(900 * (n + 10));
            index.accept(Sequence(100 + u64::from(n)), 1, time, &topic("t"), at);
        }
        assert_eq!(index.checkpoint().quarters.len(), growth::QUARTERS);
        assert_eq!(index.quarters()[0].0, UnixSeconds(9000));
    }

    #[test]
    fn what_the_mirror_took_can_be_restored() {
        let mut index = filled();
        index.change(Change::NotConsumed, &set(&[(1, 1500)]));
        index.advance(Position {
            segment: 1,
            offset: 900,
        });
        let changes = index.take_changes();
        assert!(!index.is_dirty());
        let topics = changes.topics.fresh.into_iter().collect();
        let restored = Index::restore(IndexState {
            blocks: changes.blocks.into_iter().collect(),
            topics: TopicTable::restore(topics).unwrap(),
            growth: index.growth.clone(),
            next: changes.next,
            cutoff: changes.cutoff,
            applied: changes.applied,
        })
        .unwrap();
        for name in ["even", "odd"] {
            let expected = index.topics().counts(&topic(name));
            assert_eq!(restored.topics().counts(&topic(name)), expected);
        }
        assert_eq!(counts(&restored), counts(&index));
        assert_eq!(restored.first_live(), 1);
        assert_eq!(restored.next_sequence(), Sequence(4001));
    }
}
