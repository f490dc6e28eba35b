//! The trees in sled: reads them at a start, writes changes, and keeps the sum over both.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};
use sled::{Db, Tree};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::message::{StatusKind, UnixSeconds};
use crate::sequences::Span;
use crate::store::error::{StoreError, is_full};
use crate::store::growth::{Day, Growth};
use crate::store::index::Index;
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};
use crate::store::index::block::Block;
use crate::store::index::changes::{Changes, IndexState};
use crate::store::index::topics::{TopicId, TopicTable};
use crate::store::log::position::Position;
use crate::store::mirror::consumed::{TIME_RANGE_BYTES, TimeRange, times_add};
use crate::store::mirror::guard::{failed, guarded};
use crate::store::mirror::keys::{
    count_key, day_key, key_day, kind_byte, parse_status_key, parse_u32, parse_u64, status_key,
};

/// The form of the trees. A mirror of another form is rebuilt from the log.
const FORMAT: u64 = 2;
/// Operations in one transaction. Readers of sled wait while it is written.
pub(super) const TRANSACTION_OPS_MAX: usize = if cfg!(test) { 16 } else { 256 };
/// Memory that sled may use for pages. The mirror of ten million messages is about this size.
const CACHE_BYTES: u64 = 16 << 20;
/// Each value of times of consumption covers this many messages.
pub(super) const TIMES_RUN: u64 = 256;
/// How long to wait for the lock of a database that was just closed.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);

/// The trees of one sled database.
pub(super) struct Trees {
    pub(super) db: Db,
    pub(super) status: Tree,
    pub(super) block: Tree,
    pub(super) topic: Tree,
    pub(super) consumed: Tree,
    pub(super) count: Tree,
    pub(super) growth: Tree,
    pub(super) quarter: Tree,
    pub(super) meta: Tree,
}

#[derive(Clone, Copy)]
pub(super) enum Name {
    Status,
    Block,
    Topic,
    Consumed,
    Count,
    Growth,
    Quarter,
    Meta,
}

/// The key in `meta` of the sum over all others.
const SUM: &[u8] = b"sum";

/// What an entry adds to the sum.
fn hash(tree: Name, key: &[u8], value: &[u8]) -> u64 {
    let key = xxh3_64_with_seed(key, tree as u64);
    xxh3_64_with_seed(value, key)
}

/// A key to write or remove.
pub(super) struct Op {
    pub(super) tree: Name,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

pub(super) fn open_trees(dir: &Path) -> Result<Trees, StoreError> {
    // Then sled panics.
    if SystemTime::now() < UNIX_EPOCH {
        return Err(StoreError::ClockBefore1970);
    }
    guarded(|| {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(500));
        // Only this process uses the folder, but sled closes it in the background.
        let until = Instant::now() + LOCK_PATIENCE;
        let db = loop {
            match config.open() {
                Err(sled::Error::Io(error)) if error.to_string().contains("acquire lock") => {
                    if Instant::now() >= until {
                        let path = dir.join("db");
                        return Err(StoreError::Locked { path });
                    }
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened.map_err(|error| unopened(dir, error))?,
            }
        };
        let tree = |name| db.open_tree(name).map_err(|error| unopened(dir, error));
        Ok(Trees {
            status: tree("status")?,
            block: tree("block")?,
            topic: tree("topic")?,
            consumed: tree("consumed")?,
            count: tree("count")?,
            growth: tree("growth")?,
            quarter: tree("quarter")?,
            meta: tree("meta")?,
            db,
        })
    })
}

fn unopened(dir: &Path, error: sled::Error) -> StoreError {
    match error {
        sled::Error::Io(error) if is_full(error.kind()) => StoreError::NoSpace {
            path: dir.to_owned(),
        },
        other => failed(other),
    }
}

impl Trees {
    pub(super) fn meta_u64(&self, name: &str) -> Result<u64, StoreError> {
        let value = self.meta.get(name).map_err(failed)?;
        match value {
            None => Ok(0),
            Some(value) => {
                parse_u64(&value).ok_or_else(|| failed(format!("meta {name} is not a number")))
            }
        }
    }

    pub(super) fn seed(&self) -> Option<u32> {
        let seed = self.meta.get("seed").ok().flatten()?;
        parse_u64(&seed).and_then(|seed| u32::try_from(seed).ok())
    }

    /// Whether the mirror has the form that this version writes, and is complete.
    fn check(&self) -> Result<(), StoreError> {
        let mut sum = 0_u64;
        for (name, tree) in self.all() {
            for entry in tree {
                let (key, value) = entry.map_err(failed)?;
                if *key != *SUM {
                    sum = sum.wrapping_add(hash(name, &key, &value));
                }
            }
        }
        let stored = self.meta_u64("sum")?;
        match self.meta_u64("format")? {
            // Empty, or the first change was interrupted.
            0 if sum == stored => Ok(()),
            FORMAT if sum == stored => Ok(()),
            FORMAT => Err(failed("its content is not what was written")),
            0 => Err(failed("it is of an older form")),
            other => Err(failed(format!("it is of form {other}, not {FORMAT}"))),
        }
    }

    fn all(&self) -> [(Name, &Tree); 8] {
        [
            (Name::Status, &self.status),
            (Name::Block, &self.block),
            (Name::Topic, &self.topic),
            (Name::Consumed, &self.consumed),
            (Name::Count, &self.count),
            (Name::Growth, &self.growth),
            (Name::Quarter, &self.quarter),
            (Name::Meta, &self.meta),
        ]
    }

    pub(super) fn load(&self) -> Result<Index, StoreError> {
        self.check()?;
        let mut blocks: BTreeMap<u64, Block> = BTreeMap::new();
        for entry in &self.block {
            let (key, value) = entry.map_err(failed)?;
            let number = parse_u64(&key).ok_or_else(|| failed("a block's key is wrong"))?;
            let block = Block::from_bytes(&value).ok_or_else(|| failed("a block is wrong"))?;
            blocks.insert(number, block);
        }
        for entry in &self.status {
            let (key, value) = entry.map_err(failed)?;
            let (kind, day, number) =
                parse_status_key(&key).ok_or_else(|| failed("a bitmap's key is wrong"))?;
            let bitmap = Bitmap::from_bytes(&value).ok_or_else(|| failed("a bitmap is wrong"))?;
            let block = blocks
                .get_mut(&number)
                .ok_or_else(|| failed("a bitmap is of no block"))?;
            block.day_mut(day).bits[kind.index()] = bitmap;
        }
        // The times are not kept in memory, but unreadable ones should be found now.
        for entry in &self.consumed {
            let (_, value) = entry.map_err(failed)?;
            if value.len() % TIME_RANGE_BYTES != 0 {
                return Err(failed("times of consumption are wrong"));
            }
        }
        let mut growth = BTreeMap::new();
        for entry in &self.growth {
            let (key, value) = entry.map_err(failed)?;
            let cell = key_day(&key).zip(parse_u64(&value));
            let (day, count) = cell.ok_or_else(|| failed("a day's growth is wrong"))?;
            growth.insert(day, count);
        }
        let mut quarters = BTreeMap::new();
        for entry in &self.quarter {
            let (key, value) = entry.map_err(failed)?;
            let cell = parse_u32(&key).zip(parse_u64(&value));
            let (quarter, count) = cell.ok_or_else(|| failed("a quarter's growth is wrong"))?;
            quarters.insert(quarter, count);
        }
        let mut topics = HashMap::new();
        for entry in &self.topic {
            let (key, value) = entry.map_err(failed)?;
            let name = std::str::from_utf8(&value)
                .ok()
                .and_then(|name| name.parse().ok());
            let row = parse_u32(&key).zip(name);
            let (id, name) = row.ok_or_else(|| failed("a topic is wrong"))?;
            topics.insert(TopicId(id), name);
        }
        let topics =
            TopicTable::restore(topics).ok_or_else(|| failed("a topic is in two places"))?;
        let applied = Position::from_u64(self.meta_u64("applied")?);
        let next = self.meta_u64("next")?.max(1);
        let cutoff = UnixSeconds(u32::try_from(self.meta_u64("floor")?).map_err(failed)?);
        let partial = self.meta_u64("partial")? != 0;
        if blocks
            .last_key_value()
            .is_some_and(|(last, _)| *last > next / 1024)
            && !partial
        {
            return Err(failed("there is a block of messages to come"));
        }
        let mut index = Index::restore(IndexState {
            blocks,
            topics,
            growth: Growth {
                days: growth,
                quarters,
            },
            next,
            cutoff,
            applied,
        })
        .ok_or_else(|| failed("there are messages of no topic"))?;
        if partial {
            // What a replay leads to may be there already, without its counts.
            index.mark_all_dirty();
        } else {
            self.check_counts(&index)?;
        }
        Ok(index)
    }

    fn check_counts(&self, index: &Index) -> Result<(), StoreError> {
        let mut stored: BTreeMap<Day, [u64; 3]> = BTreeMap::new();
        for entry in &self.count {
            let (key, value) = entry.map_err(failed)?;
            let cell = key.split_first().and_then(|(kind, day)| {
                let kind = StatusKind::ALL
                    .into_iter()
                    .find(|k| kind_byte(*k) == *kind)?;
                Some((kind, key_day(day)?, parse_u64(&value)?))
            });
            let (kind, day, count) = cell.ok_or_else(|| failed("a count is wrong"))?;
            stored.entry(day).or_default()[kind.index()] = count;
        }
        let nonzero = |counts: &BTreeMap<Day, [u64; 3]>| -> BTreeMap<Day, [u64; 3]> {
            counts
                .iter()
                .filter(|(_, counts)| **counts != [0; 3])
                .map(|(day, counts)| (*day, *counts))
                .collect()
        };
        if nonzero(&stored) != nonzero(index.counts_by_day()) {
            return Err(failed("its counts are not those of its bitmaps"));
        }
        Ok(())
    }

    /// The operations for `changes`: times first, `meta` last.
    pub(super) fn ops(&self, changes: &Changes, seed: u32) -> Result<Vec<Op>, StoreError> {
        let mut ops = self.times_ops(&changes.times)?;
        let mut put =
            |tree, key: Vec<u8>, value: Option<Vec<u8>>| ops.push(Op { tree, key, value });
        // Topics are added first and removed last, so that the rest of a block after a crash has
        // its topics.
        for (id, topic) in &changes.topics.fresh {
            let name = topic.as_str().into();
            put(Name::Topic, id.0.to_be_bytes().to_vec(), Some(name));
        }
        for (number, block) in &changes.blocks {
            if changes.grown.contains(number) {
                let key = number.to_be_bytes().to_vec();
                put(Name::Block, key, Some(block.to_bytes()));
            }
            for day in &block.days {
                for kind in StatusKind::ALL {
                    let bits = &day.bits[kind.index()];
                    let value = (!bits.is_empty()).then(|| bits.to_bytes().to_vec());
                    put(Name::Status, status_key(kind, day.day, *number), value);
                }
            }
        }
        for dropped in &changes.dropped {
            for (day, kind) in dropped
                .days
                .iter()
                .flat_map(|day| StatusKind::ALL.map(|k| (*day, k)))
            {
                put(Name::Status, status_key(kind, day, dropped.block), None);
            }
            let runs_per_block = BLOCK_LEN / TIMES_RUN;
            let first = dropped.block * runs_per_block;
            for run in first..first + runs_per_block {
                put(Name::Consumed, run.to_be_bytes().to_vec(), None);
            }
            // Last, so that a bitmap left by a crash has its block.
            put(Name::Block, dropped.block.to_be_bytes().to_vec(), None);
        }
        for (day, counts, growth) in &changes.days {
            for kind in StatusKind::ALL {
                let count = counts[kind.index()];
                let value = (count > 0).then(|| count.to_be_bytes().to_vec());
                put(Name::Count, count_key(kind, *day), value);
            }
            let value = (*growth > 0).then(|| growth.to_be_bytes().to_vec());
            put(Name::Growth, day_key(*day).to_vec(), value);
        }
        for (quarter, growth) in &changes.quarters {
            let value = (*growth > 0).then(|| growth.to_be_bytes().to_vec());
            put(Name::Quarter, quarter.to_be_bytes().to_vec(), value);
        }
        for id in &changes.topics.gone {
            put(Name::Topic, id.0.to_be_bytes().to_vec(), None);
        }
        let meta = [
            ("format", FORMAT),
            ("seed", seed.into()),
            ("applied", changes.applied.to_u64()),
            ("next", changes.next),
            ("floor", u64::from(changes.cutoff.0)),
        ];
        for (name, number) in meta {
            put(Name::Meta, name.into(), Some(number.to_be_bytes().to_vec()));
        }
        Ok(ops)
    }

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
            ops.push(Op {
                tree: Name::Consumed,
                key: key.to_vec(),
                value: Some(value),
            });
        }
        Ok(ops)
    }

    pub(super) fn write(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        transactions(ops)
            .iter()
            .try_for_each(|ops| self.transact(ops))
    }

    pub(super) fn transact(&self, ops: &[Op]) -> Result<(), StoreError> {
        let result = (
            &self.status,
            &self.block,
            &self.topic,
            &self.consumed,
            &self.count,
            &self.growth,
            &self.quarter,
            &self.meta,
        )
            .transaction(
                |(status, block, topic, consumed, count, growth, quarter, meta)| {
                    let sum = meta.get(SUM)?;
                    let mut sum = sum.and_then(|sum| parse_u64(&sum)).unwrap_or_default();
                    for op in ops {
                        let tree = match op.tree {
                            Name::Status => status,
                            Name::Block => block,
                            Name::Topic => topic,
                            Name::Consumed => consumed,
                            Name::Count => count,
                            Name::Growth => growth,
                            Name::Quarter => quarter,
                            Name::Meta => meta,
                        };
                        let old = match &op.value {
                            Some(value) => tree.insert(op.key.as_slice(), value.as_slice())?,
                            None => tree.remove(op.key.as_slice())?,
                        };
                        let hash = |value: &[u8]| hash(op.tree, &op.key, value);
                        sum = sum.wrapping_sub(old.map_or(0, |old| hash(&old)));
                        sum = sum.wrapping_add(op.value.as_deref().map_or(0, hash));
                    }
                    meta.insert(SUM, &sum.to_be_bytes())?;
                    Ok::<(), ConflictableTransactionError<()>>(())
                },
            );
        result.map_err(|error| match error {
            TransactionError::Abort(()) => failed("a transaction was aborted"),
            TransactionError::Storage(error) => failed(error),
        })
    }
}

/// Splits operations into transactions, of which the last makes the others count.
pub(super) fn transactions(mut ops: Vec<Op>) -> Vec<Vec<Op>> {
    let partial = |value: u64| Op {
        tree: Name::Meta,
        key: b"partial".to_vec(),
        value: Some(value.to_be_bytes().to_vec()),
    };
    if ops.len() > TRANSACTION_OPS_MAX {
        ops.insert(0, partial(1));
    }
    ops.push(partial(0));
    // The last operations belong together: counts, growth, removed topics and `applied`.
    let tail = ops
        .iter()
        .position(|op| match op.tree {
            Name::Count | Name::Growth | Name::Quarter => true,
            Name::Topic => op.value.is_none(),
            _ => false,
        })
        .unwrap_or(ops.len().saturating_sub(6));
    if ops.len() <= TRANSACTION_OPS_MAX {
        return vec![ops];
    }
    let tail = ops.split_off(tail);
    // Each with its own memory: parts split off would keep the capacity of the whole.
    let mut all = vec![];
    let mut ops = ops.into_iter().peekable();
    while ops.peek().is_some() {
        all.push(ops.by_ref().take(TRANSACTION_OPS_MAX).collect());
    }
    all.push(tail);
    all
}
