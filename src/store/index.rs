//! The state that the log adds up to, in memory: which messages are in which status, counts,
//! growth, the floor of expiry, and what of it the mirror does not have yet.
//!
//! The writer applies each frame once it is in the log; readers take a short lock; the mirror
//! takes what changed. A block of 1,024 messages costs under a kilobyte.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Counts;
use super::bitmap::{BLOCK_LEN, Bitmap};
use super::block::{Block, DayBits};
use super::day::{Calendar, Day};
use super::log::Position;
use super::record::{Base, Change, Meta};
use super::topic_set::TopicSet;
use crate::message::{Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::{SequenceSet, Span};

/// Growth is remembered for this many days that had any.
const GROWTH_DAYS: usize = 400;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Index {
    /// The number of `blocks[0]`: the first sequence in it, divided by 1,024.
    first_block: u64,
    blocks: VecDeque<Block>,
    counts: BTreeMap<Day, [u64; 3]>,
    growth: BTreeMap<Day, u64>,
    next: u64,
    floor: UnixSeconds,
    /// Everything before this position of the log is in here.
    applied: Position,
    pub(super) times: ConsumedTimes,
    calendar: Calendar,
    dirty: Dirty,
}

/// What the mirror does not have yet.
#[derive(Debug, Default)]
struct Dirty {
    blocks: BTreeSet<u64>,
    days: BTreeSet<Day>,
    dropped: Vec<Dropped>,
    any: bool,
}

/// A block that is gone, and the days it had keys for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) block: u64,
    pub(crate) days: Vec<Day>,
}

/// What the mirror has to write to have the state at `applied`.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) applied: Position,
    pub(crate) next: u64,
    pub(crate) floor: UnixSeconds,
    pub(crate) blocks: Vec<(u64, Block)>,
    pub(crate) dropped: Vec<Dropped>,
    /// Counts and growth of each day that changed.
    pub(crate) days: Vec<(Day, [u64; 3], u64)>,
    /// (messages, when they were consumed), ascending
    pub(crate) times: Vec<(Span, UnixSeconds)>,
}

/// The times of consumption that the mirror does not have yet.
#[derive(Debug, Default)]
pub(crate) struct ConsumedTimes {
    /// First sequence → (length, time); ranges do not overlap, a message is consumed once.
    pending: BTreeMap<u64, (u64, UnixSeconds)>,
    /// Handed to the mirror, and not known to be there yet.
    flushing: BTreeMap<u64, (u64, UnixSeconds)>,
}

impl ConsumedTimes {
    fn add(&mut self, first: u64, len: u64, at: UnixSeconds) {
        if let Some((&start, (length, time))) = self.pending.range_mut(..first).next_back()
            && start + *length == first
            && *time == at
        {
            *length += len;
            return;
        }
        self.pending.insert(first, (len, at));
    }

    /// How many ranges the mirror has not been given yet.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// When `sequence` was consumed, if the mirror may not know it yet.
    pub(crate) fn get(&self, sequence: Sequence) -> Option<UnixSeconds> {
        [&self.pending, &self.flushing].into_iter().find_map(|map| {
            let (&first, &(len, at)) = map.range(..=sequence.0).next_back()?;
            (sequence.0 < first + len).then_some(at)
        })
    }
}

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
    /// An empty state whose next message is the first.
    pub(crate) fn new() -> Index {
        Index {
            next: 1,
            ..Index::default()
        }
    }

    // ---- what the mirror gives at the start

    /// Restores what the mirror had; the counts are those of the bitmaps.
    pub(crate) fn restore(
        blocks: BTreeMap<u64, Block>,
        growth: BTreeMap<Day, u64>,
        next: u64,
        floor: UnixSeconds,
        applied: Position,
    ) -> Index {
        let mut index = Index {
            next,
            floor,
            applied,
            growth,
            ..Index::new()
        };
        for (number, block) in blocks {
            for DayBits { day, bits } in &block.days {
                let counts = index.counts.entry(*day).or_default();
                for (count, bits) in counts.iter_mut().zip(bits) {
                    *count += bits.len();
                }
            }
            *index.block_mut(number) = block;
        }
        index.dirty = Dirty::default();
        index.drop_empty_front();
        index
    }

    /// Counts by day, as [`Index::restore`] found them.
    pub(crate) fn counts_by_day(&self) -> &BTreeMap<Day, [u64; 3]> {
        &self.counts
    }

    // ---- applying the log

    /// Applies a frame that was read from the log.
    pub(crate) fn apply(&mut self, position: Position, next: Position, meta: &Meta) {
        if let Some(base) = &meta.base {
            self.apply_base(base);
        }
        for run in meta
            .entries
            .chunk_by(|a, b| a.created == b.created && a.topic == b.topic)
        {
            let topic = &meta.topics[run[0].topic as usize];
            let first = run[0].sequence;
            self.accept(first, run.len() as u64, run[0].created, topic, position);
        }
        if let Some(floor) = meta.floor {
            self.raise_floor(floor);
        }
        for (change, sequences) in &meta.changes {
            self.change(*change, sequences);
        }
        self.advance(next);
    }

    fn apply_base(&mut self, base: &Base) {
        self.next = self.next.max(base.next);
        // No block is dropped for it: imported messages may be older than the floor.
        self.floor = self.floor.max(UnixSeconds(base.floor));
        if self.first_live() < base.first_live {
            let mut gone = SequenceSet::new();
            gone.insert_span(Span {
                first: 0,
                len: base.first_live,
            });
            self.change(Change::Deleted, &gone);
        }
        for &(day, count) in &base.growth {
            self.growth.insert(Day(day), count);
            self.dirty.days.insert(Day(day));
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
        let mut added = 0;
        for (number, low, high) in pieces(first.0, len) {
            let mask = Bitmap::range(low, high);
            let block = self.block_mut(number);
            block.created_min = block.created_min.min(created);
            block.created_max = block.created_max.max(created);
            block.topics.insert(topic);
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
        }
        self.counts.entry(day).or_default()[StatusKind::Accepted.index()] += added;
        *self.growth.entry(day).or_default() += len;
        self.dirty.days.insert(day);
        self.next = self.next.max(first.0 + len);
    }

    /// Applies a change to those messages that are there and may make it.
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
                all_moved.insert(&moved);
                self.dirty.days.insert(*day);
            }
        }
        if !all_moved.is_empty() {
            if to == Some(StatusKind::NotConsumed) {
                block.waiting = block.topics;
                block.version = block.version.wrapping_add(1);
            }
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

    /// Drops every block whose newest message is older than `floor`. Blocks that have newer
    /// messages too are the caller's to [`Index::change`].
    pub(crate) fn raise_floor(&mut self, floor: UnixSeconds) {
        self.floor = self.floor.max(floor);
        self.dirty.any = true;
        let whole: Vec<u64> = self
            .numbered()
            .filter(|(_, block)| block.created_max < floor && !block.is_empty())
            .map(|(number, _)| number)
            .collect();
        let everything = Bitmap::range(0, BLOCK_LEN);
        for number in whole {
            self.change_in_block(number, &everything, None);
        }
        self.drop_empty_front();
    }

    /// Says that everything before `end` in the log is applied.
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
                self.dirty.dropped.push(Dropped {
                    block: self.first_block,
                    days: block.days.iter().map(|bits| bits.day).collect(),
                });
                self.dirty.any = true;
            }
            self.first_block += 1;
        }
    }

    /// The block of a number at or behind the first; blocks in between are empty ones.
    fn block_mut(&mut self, number: u64) -> &mut Block {
        if self.blocks.is_empty() {
            self.first_block = number;
        }
        // Replay of a log whose mirror was ahead in dropping blocks.
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

    pub(crate) fn floor(&self) -> UnixSeconds {
        self.floor
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
        last_days(&self.growth).map(|(day, n)| (*day, *n)).collect()
    }

    /// What a new segment of the log begins with.
    pub(crate) fn base(&mut self) -> Base {
        let first = last_days(&self.growth).next().map(|(day, _)| *day);
        if let Some(first) = first {
            let kept = self.growth.split_off(&first);
            self.dirty.days.extend(self.growth.keys());
            self.growth = kept;
        }
        Base {
            next: self.next,
            first_live: self.first_live(),
            floor: self.floor.0,
            growth: self.growth.iter().map(|(day, n)| (day.0, *n)).collect(),
        }
    }

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

    fn block(&self, number: u64) -> Option<&Block> {
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

    pub(crate) fn block_count(&self) -> usize {
        self.blocks.len()
    }

    // ---- what the mirror takes

    pub(crate) fn is_dirty(&self) -> bool {
        self.dirty.any
    }

    /// Everything, as if nothing had been mirrored yet; times of consumption are not in it.
    pub(crate) fn mark_all_dirty(&mut self) {
        self.dirty.blocks = self.numbered().map(|(number, _)| number).collect();
        self.dirty.days = self
            .counts
            .keys()
            .chain(self.growth.keys())
            .copied()
            .collect();
        self.dirty.any = true;
    }

    /// Takes what changed since the last call; after the mirror has it, or has failed to take
    /// it, call [`Index::mirrored`].
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
                    self.growth.get(day).copied().unwrap_or_default(),
                )
            })
            .collect();
        self.counts
            .retain(|_, counts| counts.iter().any(|n| *n > 0));
        Changes {
            applied: self.applied,
            next: self.next,
            floor: self.floor,
            blocks,
            dropped: dirty.dropped,
            days,
            times: self
                .times
                .flushing
                .iter()
                .map(|(&first, &(len, at))| (Span { first, len }, at))
                .collect(),
        }
    }

    /// Ends what [`Index::take_changes`] began: `failed` gives back what was not written.
    pub(crate) fn mirrored(&mut self, failed: Option<Changes>) {
        let flushing = std::mem::take(&mut self.times.flushing);
        if let Some(changes) = failed {
            self.times.pending.extend(flushing);
            self.dirty.any = true;
            self.dirty
                .blocks
                .extend(changes.blocks.iter().map(|(number, _)| *number));
            self.dirty
                .days
                .extend(changes.days.iter().map(|(day, ..)| *day));
            self.dirty.dropped.extend(changes.dropped);
        }
    }
}

/// The growth of the days that are remembered.
pub(crate) fn last_days(growth: &BTreeMap<Day, u64>) -> impl Iterator<Item = (&Day, &u64)> {
    let behind = growth.len().saturating_sub(GROWTH_DAYS);
    growth.iter().skip(behind)
}

/// Cuts a range of sequences at the borders of blocks: (block, first bit, end bit).
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
        // Consumed is final, and unknown messages are passed over.
        index.change(Change::Requeued, &set(&[(0, 9000)]));
        assert_eq!(counts(&index), (3000, 0, 1000));
        assert!(
            index
                .view(0, Some(StatusKind::Consumed))
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
    fn the_floor_drops_whole_blocks_and_names_the_others() {
        let mut index = filled();
        // Sequences 1..=2000 are older than 1002; block 0 ends at 1023, block 1 at 2047.
        assert_eq!(index.straddling(UnixSeconds(1002)), [1]);
        assert!(index.has_older(UnixSeconds(1002)));
        index.raise_floor(UnixSeconds(1002));
        assert_eq!(counts(&index), (4000 - 1023, 0, 0));
        index.change(Change::Deleted, &set(&[(1024, 977)]));
        assert_eq!(counts(&index), (2000, 0, 0));
        assert_eq!(index.first_live(), 2001);
        let changes = index.take_changes();
        assert_eq!(changes.dropped.len(), 1);
        assert_eq!(changes.floor, UnixSeconds(1002));
    }

    #[test]
    fn a_search_passes_over_blocks_without_the_topic() {
        let mut index = filled();
        let all = |kind| {
            index
                .in_status(kind, None, Sequence(1), Sequence(9999), 99)
                .len()
        };
        assert_eq!(all(StatusKind::Accepted), 4);
        assert_eq!(all(StatusKind::NotConsumed), 0);
        let odd = TopicSet::from_iter([&topic("odd")]);
        let views = index.in_status(
            StatusKind::Accepted,
            Some(&odd),
            Sequence(1),
            Sequence(9999),
            99,
        );
        assert_eq!(
            views.iter().map(|v| v.number).collect::<Vec<_>>(),
            [0, 1, 2, 3]
        );
        let views = index.in_status(
            StatusKind::Accepted,
            None,
            Sequence(1020),
            Sequence(1030),
            99,
        );
        let found: Vec<_> = views.iter().map(|v| v.bits.len()).collect();
        assert_eq!(found, [4, 7]);

        index.change(Change::NotConsumed, &set(&[(1, 5)]));
        let version = index.view(0, None).unwrap().version;
        index.narrow_waiting(0, version, TopicSet::from_iter([&topic("even")]));
        let waiting = |index: &Index| {
            index
                .in_status(
                    StatusKind::NotConsumed,
                    Some(&odd),
                    Sequence(1),
                    Sequence(9999),
                    9,
                )
                .len()
        };
        assert_eq!(waiting(&index), 0);
        index.change(Change::NotConsumed, &set(&[(6, 1)]));
        assert_eq!(waiting(&index), 1);
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
        let restored = Index::restore(
            changes.blocks.into_iter().collect(),
            index.growth.clone(),
            changes.next,
            changes.floor,
            changes.applied,
        );
        assert_eq!(counts(&restored), counts(&index));
        assert_eq!(restored.first_live(), 1);
        assert_eq!(restored.next_sequence(), Sequence(4001));
    }
}
