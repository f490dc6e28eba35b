//! What the mirror gives at a start, and what it takes from then on.

use std::collections::BTreeMap;

use crate::message::StatusKind;
use crate::sequences::Span;
use crate::store::growth::Day;
use crate::store::index::Index;
use crate::store::index::block::DayBits;
use crate::store::index::changes::{Changes, Dirty, IndexState};

impl Index {
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

    /// Whether the mirror lacks anything.
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
