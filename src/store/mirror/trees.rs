//! The trees in sled: opens them, writes operations in transactions, and keeps the sum over
//! everything in them.

use std::path::Path;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use sled::transaction::{ConflictableTransactionError, TransactionError, Transactional};
use sled::{Db, Tree};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::store::error::{StoreError, is_full};
use crate::store::mirror::guard::{failed, guarded};
use crate::store::mirror::keys::parse_u64;

/// The form of the trees. A mirror of another form is rebuilt from the log.
pub(super) const FORMAT: u64 = 2;
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

/// The name of a tree.
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
pub(super) const SUM: &[u8] = b"sum";

/// What an entry adds to the sum.
pub(super) fn hash(tree: Name, key: &[u8], value: &[u8]) -> u64 {
    let key = xxh3_64_with_seed(key, tree as u64);
    xxh3_64_with_seed(value, key)
}

/// A key to write or remove.
pub(super) struct Op {
    pub(super) tree: Name,
    pub(super) key: Vec<u8>,
    pub(super) value: Option<Vec<u8>>,
}

impl Op {
    pub(super) fn new(tree: Name, key: &[u8], value: Option<Vec<u8>>) -> Op {
        let key = key.to_vec();
        Op { tree, key, value }
    }
}

/// Opens the trees in `dir`, or empty ones.
pub(super) fn open_trees(dir: &Path) -> Result<Trees, StoreError> {
    // sled panics on such a clock.
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
    /// A number of `meta`, 0 if it is absent.
    pub(super) fn meta_u64(&self, name: &str) -> Result<u64, StoreError> {
        let value = self.meta.get(name).map_err(failed)?;
        match value {
            None => Ok(0),
            Some(value) => {
                parse_u64(&value).ok_or_else(|| failed(format!("meta {name} is not a number")))
            }
        }
    }

    /// The seed of the log that the trees mirror.
    pub(super) fn seed(&self) -> Option<u32> {
        let seed = self.meta.get("seed").ok().flatten()?;
        parse_u64(&seed).and_then(|seed| u32::try_from(seed).ok())
    }

    /// Every tree with its name.
    pub(super) fn all(&self) -> [(Name, &Tree); 8] {
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

    /// Writes operations in as many transactions as they need.
    pub(super) fn write(&self, ops: Vec<Op>) -> Result<(), StoreError> {
        transactions(ops)
            .iter()
            .try_for_each(|ops| self.transact(ops))
    }

    /// Writes operations in one transaction.
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
