//! Turns changes of the index into operations on the trees.

use std::collections::BTreeMap;

use crate::message::{StatusKind, UnixSeconds};
use crate::sequences::Span;
use crate::store::error::StoreError;
use crate::store::index::bitmap::BLOCK_LEN;
use crate::store::index::block::Block;
use crate::store::index::changes::{Changes, Dropped};
use crate::store::mirror::consumed::{TimeRange, times_add};
use crate::store::mirror::guard::failed;
use crate::store::mirror::keys::{count_key, day_key, status_key};
use crate::store::mirror::trees::{FORMAT, Name, Op, TIMES_RUN, Trees};

impl Trees {
    /// The operations for `changes`: times first, `meta` last.
    pub(super) fn ops(&self, changes: &Changes, seed: u32) -> Result<Vec<Op>, StoreError> {
        let mut ops = self.times_ops(&changes.times)?;
        // Topics are added first and removed last, so that the rest of a block after a crash has
        // its topics.
        for (id, topic) in &changes.topics.fresh {
            let name = topic.as_str().into();
            ops.push(Op::new(Name::Topic, &id.0.to_be_bytes(), Some(name)));
        }
        for (number, block) in &changes.blocks {
            block_ops(*number, block, changes.grown.contains(number), &mut ops);
        }
        for dropped in &changes.dropped {
            dropped_ops(dropped, &mut ops);
        }
        growth_ops(changes, &mut ops);
        for id in &changes.topics.gone {
            ops.push(Op::new(Name::Topic, &id.0.to_be_bytes(), None));
        }
        let meta = [
            ("format", FORMAT),
            ("seed", seed.into()),
            ("applied", changes.applied.to_u64()),
            ("next", changes.next),
            ("floor", u64::from(changes.cutoff.0)),
        ];
        for (name, number) in meta {
            let value = number.to_be_bytes().to_vec();
            ops.push(Op::new(Name::Meta, name.as_bytes(), Some(value)));
        }
        Ok(ops)
    }

    /// Adds times of consumption to those that the tree has.
    fn times_ops(&self, times: &[(Span, UnixSeconds)]) -> Result<Vec<Op>, StoreError> {
        let mut runs: BTreeMap<u64, Vec<TimeRange>> = BTreeMap::new();
        for (span, at) in times {
            for run in span.first / TIMES_RUN..span.end().div_ceil(TIMES_RUN) {
                let base = run * TIMES_RUN;
                let place = |sequence: u64| u8::try_from(sequence - base).unwrap_or(u8::MAX);
                let range = TimeRange {
                    first: place(span.first.max(base)),
                    last: place((span.end() - 1).min(base + TIMES_RUN - 1)),
                    at: *at,
                };
                runs.entry(run).or_default().push(range);
            }
        }
        let mut ops = vec![];
        for (run, added) in runs {
            let key = run.to_be_bytes();
            let old = self.consumed.get(key).map_err(failed)?;
            let value = times_add(old.as_deref().unwrap_or_default(), &added);
            ops.push(Op::new(Name::Consumed, &key, Some(value)));
        }
        Ok(ops)
    }
}

/// The block itself if it has grown, and its bitmaps.
fn block_ops(number: u64, block: &Block, grown: bool, ops: &mut Vec<Op>) {
    if grown {
        let value = block.to_bytes();
        ops.push(Op::new(Name::Block, &number.to_be_bytes(), Some(value)));
    }
    for day in &block.days {
        for kind in StatusKind::ALL {
            let bits = &day.bits[kind.index()];
            let value = (!bits.is_empty()).then(|| bits.to_bytes().to_vec());
            let key = status_key(kind, day.day, number);
            ops.push(Op::new(Name::Status, &key, value));
        }
    }
}

/// Removes everything of a block.
fn dropped_ops(dropped: &Dropped, ops: &mut Vec<Op>) {
    for day in &dropped.days {
        for kind in StatusKind::ALL {
            let key = status_key(kind, *day, dropped.block);
            ops.push(Op::new(Name::Status, &key, None));
        }
    }
    let runs_per_block = BLOCK_LEN / TIMES_RUN;
    let first = dropped.block * runs_per_block;
    for run in first..first + runs_per_block {
        ops.push(Op::new(Name::Consumed, &run.to_be_bytes(), None));
    }
    // Last, so that a bitmap left by a crash has its block.
    ops.push(Op::new(Name::Block, &dropped.block.to_be_bytes(), None));
}

/// Counts and growth, which are absolute.
fn growth_ops(changes: &Changes, ops: &mut Vec<Op>) {
    let value = |count: u64| (count > 0).then(|| count.to_be_bytes().to_vec());
    for (day, counts, growth) in &changes.days {
        for kind in StatusKind::ALL {
            let count = value(counts[kind.index()]);
            ops.push(Op::new(Name::Count, &count_key(kind, *day), count));
        }
        ops.push(Op::new(Name::Growth, &day_key(*day), value(*growth)));
    }
    for (quarter, growth) in &changes.quarters {
        let key = quarter.to_be_bytes();
        ops.push(Op::new(Name::Quarter, &key, value(*growth)));
    }
}
