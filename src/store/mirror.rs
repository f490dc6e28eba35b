//! The sled trees that mirror the log: every status by day, counts, growth, and the position
//! of the log they stand for. Tree names and key layout are known to no other file.
//!
//! | tree | key | value |
//! |---|---|---|
//! | `status` | status, day, block | bitmap of the block's messages; absent when empty |
//! | `block` | block | times, positions, topics: [`Block::to_bytes`] |
//! | `topic` | place | the name of the topic that has this place in the table |
//! | `consumed` | run of 256 messages | when they were consumed, as ranges |
//! | `count` | status, day | how many messages, absolute |
//! | `growth` | day | how many were accepted |
//! | `quarter` | quarter of an hour since 1970 | how many were accepted |
//! | `meta` | name | `applied`, `next`, `floor`, `partial` |
//!
//! Numbers in keys are big-endian, so key order is number order; days have their sign bit
//! turned. The mirror is never the only place of anything: it is written behind the log, without
//! a sync of its own, and rebuilt from the log when it is lost. A large change is written in
//! several transactions, blocks first and `applied` last; until then `partial` is set. That is
//! sound because the log behind `applied` leads to the same state from there too.

mod consumed;
mod keys;

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, RwLock};
use std::time::{Duration, Instant};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};
use sled::{Db, Tree};

use consumed::{TIME_RANGE_BYTES, TimeRange, times_add, times_get};
use keys::{
    count_key, day_key, key_day, kind_byte, parse_status_key, parse_u32, parse_u64, status_key,
};

use super::bitmap::Bitmap;
use super::block::Block;
use super::day::Day;
use super::error::{IoContext, StoreError};
use super::index::{Changes, Index, Restored};
use super::segments::Position;
use super::topics::{TopicId, TopicTable};
use crate::message::{Sequence, StatusKind, UnixSeconds};
use crate::sequences::Span;

/// Operations in one transaction: readers of sled wait while one is written.
const TRANSACTION_OPS_MAX: usize = if cfg!(test) { 16 } else { 256 };
/// Memory that sled may use for pages. The mirror of ten million messages is about this size.
const CACHE_BYTES: u64 = 16 << 20;
/// Times of consumption are kept in values of this many messages.
const TIMES_RUN: u64 = 256;
/// How long the lock of a database that was just closed is waited for.
const LOCK_PATIENCE: Duration = Duration::from_secs(5);
/// A mirror below this size on disk is never rebuilt for its size.
const SLACK_BYTES: u64 = 64 << 20;

/// The trees of one sled database.
struct Trees {
    db: Db,
    status: Tree,
    block: Tree,
    topic: Tree,
    consumed: Tree,
    count: Tree,
    growth: Tree,
    quarter: Tree,
    meta: Tree,
}

#[derive(Clone, Copy)]
enum Name {
    Status,
    Block,
    Topic,
    Consumed,
    Count,
    Growth,
    Quarter,
    Meta,
}

/// One key to write, or to remove.
struct Op {
    tree: Name,
    key: Vec<u8>,
    value: Option<Vec<u8>>,
}

/// See the module.
pub(crate) struct Mirror {
    dir: PathBuf,
    trees: RwLock<Arc<Trees>>,
}

fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Mirror(error.to_string().into())
}

impl Mirror {
    /// Opens the mirror in `dir`, an empty one if there is none.
    pub(crate) fn open(dir: &Path) -> Result<Mirror, StoreError> {
        // A crash while sled opened leaves a file that it takes for a good one (sled #1527).
        remove_snaps(dir, ".generating")?;
        remove(&aside(dir))?;
        let trees = open_trees(dir).or_else(|error| {
            tracing::warn!(%error, "opening the mirror again without its snapshots");
            remove_snaps(dir, "")?;
            open_trees(dir)
        })?;
        Ok(Mirror {
            dir: dir.to_owned(),
            trees: RwLock::new(Arc::new(trees)),
        })
    }

    fn trees(&self) -> Arc<Trees> {
        self.trees
            .read()
            .expect("no holder of this lock panics")
            .clone()
    }

    /// The state that the mirror stands for, checked against its own counts.
    pub(crate) fn load(&self) -> Result<Index, StoreError> {
        guarded(|| self.trees().load())
    }

    /// Writes `changes`; all of them are there when this returns, or the next time they will
    /// be read from the log.
    pub(crate) fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        guarded(|| {
            let trees = self.trees();
            trees.write(trees.ops(changes)?)
        })
    }

    /// When each message of `span` was consumed, as far as the mirror knows.
    pub(crate) fn consumed_at(
        &self,
        sequence: Sequence,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        guarded(|| {
            let key = (sequence.0 / TIMES_RUN).to_be_bytes();
            let value = self.trees().consumed.get(key).map_err(failed)?;
            let place = u8::try_from(sequence.0 % TIMES_RUN).expect("a run has 256 messages");
            Ok(value.and_then(|value| times_get(&value, place)))
        })
    }

    /// The bytes of the mirror on disk.
    pub(crate) fn bytes(&self) -> u64 {
        folder_bytes(&self.dir)
    }

    /// Writes everything from memory to the file, which is not synced.
    pub(crate) fn write_out(&self) -> Result<(), StoreError> {
        guarded(|| self.trees().db.flush().map(drop).map_err(failed))
    }

    /// Writes everything from memory, the disk included.
    pub(crate) fn flush(&self) -> Result<(), StoreError> {
        self.write_out()?;
        guarded(|| {
            // sled's flush does not ask the device to sync.
            let file = self.dir.join("db");
            fs::File::open(&file)
                .and_then(|db| db.sync_data())
                .doing("sync", &file)
        })
    }

    /// Whether so much of the mirror's space is dead that a new one is worth writing: sled
    /// reuses space, and hardly ever gives it back.
    pub(crate) fn is_bloated(&self, index: &Index) -> bool {
        let expected = 4096 * index.block_count() as u64;
        self.bytes() > SLACK_BYTES.max(8 * expected)
    }

    /// Replaces the mirror by a new one with the same content; `everything` is all there is,
    /// as [`Index::mark_all_dirty`] leads to. A crash in between leaves no mirror, which the
    /// next start rebuilds from the log.
    pub(crate) fn rewrite(&self, everything: &Changes) -> Result<(), StoreError> {
        let aside = aside(&self.dir);
        remove(&aside)?;
        let old = self.trees();
        guarded(|| {
            let new = open_trees(&aside)?;
            for entry in &old.consumed {
                let (key, value) = entry.map_err(failed)?;
                new.consumed.insert(key, value).map_err(failed)?;
            }
            new.write(new.ops(everything)?)?;
            new.db.flush().map(drop).map_err(failed)
        })?;
        drop(old);
        let mut trees = self.trees.write().expect("no holder of this lock panics");
        remove(&self.dir)?;
        fs::rename(&aside, &self.dir).doing("rename", &aside)?;
        let old = std::mem::replace(&mut *trees, Arc::new(open_trees(&self.dir)?));
        drop(trees);
        // After a failure sled may panic even at its end.
        let _ = guarded(|| {
            drop(old);
            Ok(())
        });
        Ok(())
    }
}

fn aside(dir: &Path) -> PathBuf {
    dir.with_extension("new")
}

/// sled panics where it finds what cannot be; that must cost the mirror, not the process.
fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(failed("sled panicked")))
}

fn open_trees(dir: &Path) -> Result<Trees, StoreError> {
    guarded(|| {
        let config = sled::Config::new()
            .path(dir)
            .cache_capacity(CACHE_BYTES)
            .flush_every_ms(Some(500));
        // Only this process uses the folder, but sled lets go of it in the background.
        let until = Instant::now() + LOCK_PATIENCE;
        let db = loop {
            match config.open() {
                Err(sled::Error::Io(error))
                    if error.to_string().contains("acquire lock") && Instant::now() < until =>
                {
                    std::thread::sleep(Duration::from_millis(5));
                }
                opened => break opened.map_err(failed)?,
            }
        };
        let tree = |name| db.open_tree(name).map_err(failed);
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

fn remove_snaps(dir: &Path, suffix: &str) -> Result<(), StoreError> {
    if !dir.exists() {
        return Ok(());
    }
    for entry in fs::read_dir(dir).doing("list", dir)? {
        let path = entry.doing("list", dir)?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("snap.") && name.ends_with(suffix) {
            fs::remove_file(&path).doing("remove", &path)?;
        }
    }
    Ok(())
}

/// Moves a mirror that cannot be used aside, where it can be looked at.
pub(crate) fn put_aside(dir: &Path) -> Result<(), StoreError> {
    let damaged = dir.with_extension("damaged");
    remove(&damaged)?;
    fs::rename(dir, &damaged).doing("rename", dir)
}

/// Removes a mirror that may not be there.
pub(crate) fn remove(dir: &Path) -> Result<(), StoreError> {
    match fs::remove_dir_all(dir) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).doing("remove", dir)
        }
        _ => Ok(()),
    }
}

fn folder_bytes(dir: &Path) -> u64 {
    let Ok(entries) = fs::read_dir(dir) else {
        return 0;
    };
    entries
        .flatten()
        .map(|entry| match entry.metadata() {
            Ok(meta) if meta.is_dir() => folder_bytes(&entry.path()),
            Ok(meta) => meta.len(),
            Err(_) => 0,
        })
        .sum()
}

// ---- reading and writing all trees

impl Trees {
    fn meta_u64(&self, name: &str) -> Result<u64, StoreError> {
        let value = self.meta.get(name).map_err(failed)?;
        match value {
            None => Ok(0),
            Some(value) => {
                parse_u64(&value).ok_or_else(|| failed(format!("meta {name} is not a number")))
            }
        }
    }

    fn load(&self) -> Result<Index, StoreError> {
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
        // Not kept in memory, but what cannot be read should be known now.
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
        let floor = UnixSeconds(u32::try_from(self.meta_u64("floor")?).map_err(failed)?);
        let partial = self.meta_u64("partial")? != 0;
        if blocks
            .last_key_value()
            .is_some_and(|(last, _)| *last > next / 1024)
            && !partial
        {
            return Err(failed("there is a block of messages to come"));
        }
        let mut index = Index::restore(Restored {
            blocks,
            topics,
            growth,
            quarters,
            next,
            floor,
            applied,
        })
        .ok_or_else(|| failed("there are messages of no topic"))?;
        if partial {
            // What a replay leads to may be there already, and its counts not.
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

    /// The keys to write for `changes`: times first, `meta` last.
    fn ops(&self, changes: &Changes) -> Result<Vec<Op>, StoreError> {
        let mut ops = self.times_ops(&changes.times)?;
        let mut put =
            |tree, key: Vec<u8>, value: Option<Vec<u8>>| ops.push(Op { tree, key, value });
        // Topics come first and go last, so that what a crash leaves of a block has its topics.
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
            let runs_per_block = super::bitmap::BLOCK_LEN / TIMES_RUN;
            let first = dropped.block * runs_per_block;
            for run in first..first + runs_per_block {
                put(Name::Consumed, run.to_be_bytes().to_vec(), None);
            }
            // Last, so that what a crash leaves of a bitmap has its block.
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
            ("applied", changes.applied.to_u64()),
            ("next", changes.next),
            ("floor", u64::from(changes.floor.0)),
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

    fn write(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        transactions(ops)
            .iter()
            .try_for_each(|ops| self.transact(ops))
    }

    fn transact(&self, ops: &[Op]) -> Result<(), StoreError> {
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
                        match &op.value {
                            Some(value) => tree.insert(op.key.as_slice(), value.as_slice())?,
                            None => tree.remove(op.key.as_slice())?,
                        };
                    }
                    Ok::<(), ConflictableTransactionError<()>>(())
                },
            );
        result.map_err(|error| match error {
            TransactionError::Abort(()) => failed("a transaction was aborted"),
            TransactionError::Storage(error) => failed(error),
        })
    }
}

/// Cuts what is to be written into transactions, of which the last makes the others count.
fn transactions(mut ops: Vec<Op>) -> Vec<Vec<Op>> {
    let partial = |value: u64| Op {
        tree: Name::Meta,
        key: b"partial".to_vec(),
        value: Some(value.to_be_bytes().to_vec()),
    };
    if ops.len() > TRANSACTION_OPS_MAX {
        ops.insert(0, partial(1));
    }
    ops.push(partial(0));
    // What comes last belongs together: counts, growth, topics that are gone and `applied`.
    let tail = ops
        .iter()
        .position(|op| match op.tree {
            Name::Count | Name::Growth | Name::Quarter => true,
            Name::Topic => op.value.is_none(),
            _ => false,
        })
        .unwrap_or(ops.len().saturating_sub(4));
    if ops.len() <= TRANSACTION_OPS_MAX {
        return vec![ops];
    }
    let tail = ops.split_off(tail);
    let mut all = vec![];
    while !ops.is_empty() {
        let rest = ops.split_off(ops.len().min(TRANSACTION_OPS_MAX));
        all.push(std::mem::replace(&mut ops, rest));
    }
    all.push(tail);
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageCode, Topic};
    use crate::sequences::SequenceSet;
    use crate::store::record::{Change, Entry, Meta};

    fn filled(blocks: u64) -> Index {
        let mut index = Index::new();
        for n in 0..blocks {
            let at = Position {
                segment: 1,
                offset: 16,
            };
            let (first, topic) = (Sequence(n * 1024 + 1), "t".parse().unwrap());
            index.accept(first, 1024, UnixSeconds(1_790_000_000), &topic, at);
        }
        let mut set = SequenceSet::new();
        set.insert_span(Span { first: 1, len: 300 });
        index.change(
            Change::Consumed {
                at: UnixSeconds(77),
            },
            &set,
        );
        index.advance(Position {
            segment: 1,
            offset: 1000,
        });
        index
    }

    #[test]
    fn a_mirror_reads_back_what_was_applied() {
        let dir = tempfile::tempdir().unwrap();
        for blocks in [1, 500] {
            let path = dir.path().join(blocks.to_string());
            let mut index = filled(blocks);
            let mirror = Mirror::open(&path).unwrap();
            mirror.apply(&index.take_changes()).unwrap();
            index.mirrored(None);
            drop(mirror);
            let mirror = Mirror::open(&path).unwrap();
            let loaded = mirror.load().unwrap();
            assert_eq!(loaded.counts(), index.counts());
            assert_eq!(loaded.growth(), index.growth());
            assert_eq!(loaded.applied(), index.applied());
            assert_eq!(
                mirror.consumed_at(Sequence(300)).unwrap(),
                Some(UnixSeconds(77))
            );
            assert_eq!(mirror.consumed_at(Sequence(301)).unwrap(), None);
        }
    }

    #[test]
    fn what_is_dropped_leaves_no_key() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(dir.path()).unwrap();
        let mut index = filled(3);
        mirror.apply(&index.take_changes()).unwrap();
        index.mirrored(None);
        index.raise_floor(UnixSeconds::MAX);
        mirror.apply(&index.take_changes()).unwrap();
        index.mirrored(None);
        let trees = mirror.trees();
        let left = |tree: &Tree| tree.iter().count();
        // The last block still takes messages, so its entry stays.
        assert_eq!(
            [
                left(&trees.status),
                left(&trees.block),
                left(&trees.consumed),
                left(&trees.count)
            ],
            [0, 1, 0, 0]
        );
        assert_eq!(left(&trees.growth), 1);
        assert_eq!(mirror.load().unwrap().counts().all(), 0);
    }

    #[test]
    fn a_wrong_count_is_noticed() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(dir.path()).unwrap();
        mirror.apply(&filled(1).take_changes()).unwrap();
        let trees = mirror.trees();
        let (key, _) = trees.count.first().unwrap().unwrap();
        trees.count.insert(key, &5_u64.to_be_bytes()).unwrap();
        assert!(matches!(mirror.load(), Err(StoreError::Mirror(_))));
    }

    #[test]
    fn a_torn_snapshot_of_sled_does_not_keep_it_closed() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(dir.path()).unwrap();
        mirror.apply(&filled(1).take_changes()).unwrap();
        drop(mirror);
        fs::write(dir.path().join("snap.0000000000FFFFFF.generating"), b"torn").unwrap();
        fs::write(dir.path().join("snap.FFFFFFFFFFFFFFFF"), b"damaged").unwrap();
        let mirror = Mirror::open(dir.path()).unwrap();
        assert_eq!(mirror.load().unwrap().counts().all(), 1024);
    }

    /// What the log has in a history of 36 frames: messages, changes and expiry.
    fn history() -> Vec<Meta> {
        let mut metas = vec![];
        let mut next = 1;
        for n in 0..36_u32 {
            let mut meta = Meta::default();
            if n % 3 < 2 {
                // Topics come and go, and so do their places.
                meta.topics = vec![format!("t{}", n / 6).parse().unwrap(), "t".parse().unwrap()];
                meta.entries = (next..next + 300)
                    .map(|sequence| Entry {
                        sequence: Sequence(sequence),
                        code: MessageCode::from_bytes([0; 20]),
                        created: UnixSeconds(1_790_000_000 + n * 10_000),
                        topic: u32::from(sequence % 5 == 0),
                        offset: 0,
                        len: 0,
                    })
                    .collect();
                next += 300;
            } else {
                let all = |step| (1..next).step_by(step).map(Sequence).collect();
                let at = UnixSeconds(n);
                meta.changes = vec![
                    (Change::NotConsumed, all(3)),
                    (Change::Consumed { at }, all(7 + n as usize)),
                    (Change::Requeued, all(11)),
                ];
            }
            if n % 12 == 10 {
                meta.floor = Some(UnixSeconds(1_790_000_000 + (n - 8) * 10_000));
            }
            metas.push(meta);
        }
        metas
    }

    fn at(frame: usize) -> Position {
        Position {
            segment: 1,
            offset: 16 + u32::try_from(frame).unwrap(),
        }
    }

    fn topics(index: &Index) -> Vec<(Topic, crate::store::Counts)> {
        let topics = index.topics().iter();
        let mut topics: Vec<_> = topics
            .map(|(topic, counts)| (topic.clone(), counts))
            .collect();
        topics.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        topics
    }

    fn bits(index: &Index) -> Vec<(u64, Vec<u64>, Vec<u64>)> {
        let number = 0..8;
        let bits_of = |n, kind| -> Vec<u64> {
            let view = index.view(n, Some(kind), None);
            view.map(|view| view.bits.iter().collect())
                .unwrap_or_default()
        };
        number
            .map(|n| {
                (
                    n,
                    bits_of(n, StatusKind::NotConsumed),
                    bits_of(n, StatusKind::Consumed),
                )
            })
            .collect()
    }

    /// Whatever a crash leaves of a large change, the log behind leads to the same state, and
    /// the next start finds nothing wrong.
    #[test]
    fn a_change_cut_off_anywhere_is_made_up_by_the_log() {
        let history = history();
        let mut whole = Index::new();
        for (frame, meta) in history.iter().enumerate() {
            whole.apply(at(frame), at(frame + 1), meta);
        }
        for mirrored in [0, 20] {
            for cut in [0, 1, 2, 3, 5, 8, 12, 16, 20, 30, 99] {
                let dir = tempfile::tempdir().unwrap();
                let mirror = Mirror::open(dir.path()).unwrap();
                let mut index = Index::new();
                for (frame, meta) in history.iter().enumerate() {
                    index.apply(at(frame), at(frame + 1), meta);
                    if frame == mirrored {
                        mirror.apply(&index.take_changes()).unwrap();
                        index.mirrored(None);
                    }
                }
                let trees = mirror.trees();
                let all = transactions(trees.ops(&index.take_changes()).unwrap());
                for ops in all.iter().take(all.len().min(cut)) {
                    trees.transact(ops).unwrap();
                }
                drop((trees, mirror));

                let mirror = Mirror::open(dir.path()).unwrap();
                let mut index = mirror.load().unwrap();
                let applied = usize::try_from(index.applied().offset.saturating_sub(16)).unwrap();
                for (frame, meta) in history.iter().enumerate().skip(applied) {
                    index.apply(at(frame), at(frame + 1), meta);
                }
                mirror.apply(&index.take_changes()).unwrap();
                index.mirrored(None);
                drop(mirror);
                let mirror = Mirror::open(dir.path()).unwrap();
                for index in [&index, &mirror.load().unwrap()] {
                    assert_eq!(index.counts(), whole.counts(), "{mirrored} {cut}");
                    assert_eq!(topics(index), topics(&whole), "{mirrored} {cut}");
                    assert_eq!(index.growth(), whole.growth());
                    assert_eq!(index.quarters(), whole.quarters());
                    assert_eq!(index.floor(), whole.floor());
                    assert_eq!(index.next_sequence(), whole.next_sequence());
                    assert_eq!(bits(index), bits(&whole), "{mirrored} {cut}");
                }
                for sequence in (0..7200).step_by(13).map(Sequence) {
                    let view = whole.view(sequence.0 / 1024, Some(StatusKind::Consumed), None);
                    if view.is_some_and(|view| view.bits.contains(sequence.0 % 1024)) {
                        let expected = whole.times.get(sequence);
                        assert_eq!(mirror.consumed_at(sequence).unwrap(), expected);
                    }
                }
            }
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_the_next_time() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(dir.path()).unwrap();
        let mut index = Index::new();
        for (frame, meta) in history().iter().enumerate() {
            index.apply(at(frame), at(frame + 1), meta);
            let changes = index.take_changes();
            if frame % 4 == 3 {
                mirror.apply(&changes).unwrap();
                index.mirrored(None);
            } else {
                // Some of it may be there all the same.
                let trees = mirror.trees();
                let all = transactions(trees.ops(&changes).unwrap());
                for ops in &all[..all.len() / 2] {
                    trees.transact(ops).unwrap();
                }
                index.mirrored(Some(changes));
                assert!(index.is_dirty());
            }
        }
        mirror.apply(&index.take_changes()).unwrap();
        let loaded = mirror.load().unwrap();
        assert_eq!(loaded.counts(), index.counts());
        assert_eq!(bits(&loaded), bits(&index));
        assert_eq!(topics(&loaded), topics(&index));
        assert_eq!(loaded.growth(), index.growth());
    }

    #[test]
    fn a_mirror_is_read_while_it_is_rewritten() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(&dir.path().join("sled")).unwrap();
        let mut index = filled(3);
        mirror.apply(&index.take_changes()).unwrap();
        index.mirrored(None);
        let done = std::sync::atomic::AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while !done.load(std::sync::atomic::Ordering::Relaxed) {
                        let at = mirror.consumed_at(Sequence(300)).unwrap();
                        assert_eq!(at, Some(UnixSeconds(77)));
                    }
                });
            }
            for _ in 0..5 {
                index.mark_all_dirty();
                let changes = index.take_changes();
                mirror.rewrite(&changes).unwrap();
                mirror.apply(&changes).unwrap();
                index.mirrored(None);
            }
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        });
        drop(mirror);
        let mirror = Mirror::open(&dir.path().join("sled")).unwrap();
        assert_eq!(mirror.load().unwrap().counts(), index.counts());
    }

    #[test]
    fn a_rewritten_mirror_has_the_same_content() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sled");
        let mirror = Mirror::open(&path).unwrap();
        let mut index = filled(5);
        mirror.apply(&index.take_changes()).unwrap();
        index.mirrored(None);
        index.mark_all_dirty();
        mirror.rewrite(&index.take_changes()).unwrap();
        index.mirrored(None);
        assert_eq!(mirror.load().unwrap().counts(), index.counts());
        assert_eq!(
            mirror.consumed_at(Sequence(1)).unwrap(),
            Some(UnixSeconds(77))
        );
    }
}
