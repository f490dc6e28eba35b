//! The sled trees that mirror the log: every status by day, counts, growth, and the position
//! of the log they stand for. Only the files of this folder know tree names and key layout.
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
//! | `meta` | name | `format`, `seed`, `applied`, `next`, `floor`, `partial`, `sum` |
//!
//! Numbers in keys are big-endian, so keys sort as numbers. Days have their sign bit flipped. The
//! mirror is never the only place of anything: it is written after the log, without a sync of its
//! own, and rebuilt from the log when it is lost. A large change is written in several
//! transactions, blocks first and `applied` last; until then `partial` is set. That is sound
//! because the log after `applied` leads to the same state from there too.
//!
//! `sum` covers every other key and value, in any order, and is written with them in the same
//! transactions. So a start notices a page that sled has lost or brought back.
//!
//! It imports `index`, and the positions of `log`. Its files are sled's own.

mod consumed;
pub(super) mod copy;
mod guard;
mod keys;
mod load;
mod ops;
mod trees;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use crate::message::{Sequence, UnixSeconds};
use crate::store::error::{IoContext, StoreError};
use crate::store::index::Index;
use crate::store::index::changes::Changes;
use crate::store::mirror::consumed::times_get;
use crate::store::mirror::guard::{failed, guarded};
use crate::store::mirror::trees::{Name, Op, TIMES_RUN, TRANSACTION_OPS_MAX, Trees, open_trees};

/// A mirror below this size on disk is never rewritten for its size, on a volume of 1 GiB or more.
const SLACK_BYTES: u64 = 64 << 20;
/// On a smaller volume, a mirror below this part of it is not rewritten either. The space that sled
/// keeps is space that messages lack.
const SLACK_PARTS: u64 = 16;

/// The index in sled.
pub(crate) struct Mirror {
    dir: PathBuf,
    /// `None` while the disk is too full to open them.
    trees: RwLock<Option<Arc<Trees>>>,
    /// The seed of the log that it mirrors.
    seed: AtomicU32,
    /// Its size on disk when it was rewritten last: no rewrite makes it smaller.
    rewritten_bytes: AtomicU64,
}

impl Mirror {
    /// Opens the mirror in `dir`, or an empty one.
    pub(crate) fn open(dir: &Path) -> Result<Mirror, StoreError> {
        // A crash while sled opened leaves a file that sled takes for a good one (sled #1527).
        remove_snaps(dir, ".generating")?;
        remove(&aside(dir))?;
        let trees = open_trees(dir).or_else(|error| {
            if error.is_of_machine() {
                return Err(error);
            }
            tracing::warn!(%error, "the mirror could not be opened; it is tried again without sled's own snapshots");
            remove_snaps(dir, "")?;
            open_trees(dir)
        })?;
        Ok(Mirror {
            seed: AtomicU32::new(trees.seed().unwrap_or_default()),
            dir: dir.to_owned(),
            trees: RwLock::new(Some(Arc::new(trees))),
            rewritten_bytes: AtomicU64::default(),
        })
    }

    /// A mirror in `dir` that is not open, because the disk is full. It is empty, and takes nothing
    /// until it is rewritten.
    pub(crate) fn unopened(dir: &Path) -> Mirror {
        Mirror {
            dir: dir.to_owned(),
            trees: RwLock::new(None),
            seed: AtomicU32::default(),
            rewritten_bytes: AtomicU64::default(),
        }
    }

    /// Whether it is open.
    pub(crate) fn is_open(&self) -> bool {
        self.opened().is_some()
    }

    fn opened(&self) -> Option<Arc<Trees>> {
        let trees = self.trees.read();
        trees.expect("no holder of this lock panics").clone()
    }

    fn trees(&self) -> Result<Arc<Trees>, StoreError> {
        self.opened().ok_or_else(|| StoreError::NoSpace {
            path: self.dir.clone(),
        })
    }

    /// The state that the mirror stands for, checked against its own counts.
    pub(crate) fn load(&self) -> Result<Index, StoreError> {
        match self.opened() {
            Some(trees) => guarded(|| trees.load()),
            None => Ok(Index::new()),
        }
    }

    /// The seed of the log that it mirrors, if it has one.
    pub(crate) fn seed(&self) -> Option<u32> {
        self.opened()?.seed()
    }

    /// Sets the seed of the log that it mirrors. The next change stores it.
    pub(crate) fn set_seed(&self, seed: u32) {
        self.seed.store(seed, Ordering::Relaxed);
    }

    /// Writes `changes`. When this fails, what is missing is read from the log at the next start.
    pub(crate) fn apply(&self, changes: &Changes) -> Result<(), StoreError> {
        guarded(|| {
            let trees = self.trees()?;
            trees.write(trees.ops(changes, self.seed.load(Ordering::Relaxed))?)
        })
    }

    /// When each message of `span` was consumed, as far as the mirror knows.
    pub(crate) fn consumed_at(
        &self,
        sequence: Sequence,
    ) -> Result<Option<UnixSeconds>, StoreError> {
        guarded(|| {
            let key = (sequence.0 / TIMES_RUN).to_be_bytes();
            let Some(trees) = self.opened() else {
                return Ok(None);
            };
            let value = trees.consumed.get(key).map_err(failed)?;
            let place = u8::try_from(sequence.0 % TIMES_RUN).expect("a run has 256 messages");
            Ok(value.and_then(|value| times_get(&value, place)))
        })
    }

    /// The bytes of the mirror on disk.
    pub(crate) fn bytes(&self) -> u64 {
        folder_bytes(&self.dir)
    }

    /// Writes everything from memory to the file, without a sync.
    pub(crate) fn write_out(&self) -> Result<(), StoreError> {
        guarded(|| self.trees()?.db.flush().map(drop).map_err(failed))
    }

    /// Writes everything from memory to the disk, and syncs it.
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

    /// Whether the mirror has so much dead space that a new one is worth writing. sled reuses
    /// space, and hardly ever frees it.
    pub(crate) fn is_bloated(&self, index: &Index) -> bool {
        let expected = 4096 * index.block_count() as u64;
        let rewritten = self.rewritten_bytes.load(Ordering::Relaxed);
        self.bytes() > slack_bytes(&self.dir).max(8 * expected).max(2 * rewritten)
    }

    /// Replaces the mirror with a new one of the same content. `everything` is the complete state,
    /// as after [`Index::mark_all_dirty`]. A crash in between leaves no mirror, and the next start
    /// rebuilds it from the log.
    pub(crate) fn rewrite(&self, everything: &Changes) -> Result<(), StoreError> {
        let aside = aside(&self.dir);
        remove(&aside)?;
        let old = self.opened();
        let written = guarded(|| {
            let new = open_trees(&aside)?;
            let mut ops = vec![];
            for entry in old.iter().flat_map(|old| &old.consumed) {
                let (key, value) = entry.map_err(failed)?;
                ops.push(Op {
                    tree: Name::Consumed,
                    key: key.to_vec(),
                    value: Some(value.to_vec()),
                });
                if ops.len() == TRANSACTION_OPS_MAX {
                    new.transact(&std::mem::take(&mut ops))?;
                }
            }
            new.transact(&ops)?;
            new.write(new.ops(everything, self.seed.load(Ordering::Relaxed))?)?;
            new.db.flush().map(drop).map_err(failed)
        });
        if written.is_err() {
            // Best effort: the next rewrite removes it too.
            let _ = remove(&aside);
        }
        written?;
        drop(old);
        let mut trees = self.trees.write().expect("no holder of this lock panics");
        remove(&self.dir)?;
        fs::rename(&aside, &self.dir).doing("rename", &aside)?;
        let old = trees.replace(Arc::new(open_trees(&self.dir)?));
        drop(trees);
        self.rewritten_bytes.store(self.bytes(), Ordering::Relaxed);
        // After a failure sled may panic even at its end.
        let _ = guarded(|| {
            drop(old);
            Ok(())
        });
        Ok(())
    }
}

/// The dead space that a mirror in `dir` may have, at most [`SLACK_BYTES`].
fn slack_bytes(dir: &Path) -> u64 {
    let volume = rustix::fs::statvfs(dir).map(|stat| stat.f_blocks.saturating_mul(stat.f_frsize));
    volume.map_or(SLACK_BYTES, slack_of)
}

fn slack_of(volume_bytes: u64) -> u64 {
    SLACK_BYTES.min(volume_bytes / SLACK_PARTS)
}

fn aside(dir: &Path) -> PathBuf {
    dir.with_extension("new")
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

/// Renames a mirror that cannot be used, so that it can be examined.
pub(crate) fn put_aside(dir: &Path) -> Result<(), StoreError> {
    let damaged = dir.with_extension("damaged");
    remove(&damaged)?;
    fs::rename(dir, &damaged).doing("rename", dir)
}

/// Removes a mirror, if it exists.
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

#[cfg(test)]
mod tests {
    use sled::Tree;

    use super::*;
    use crate::message::{MessageCode, StatusKind, Topic};
    use crate::sequences::{SequenceSet, Span};
    use crate::store::change::Change;
    use crate::store::log::frame::{Entry, Meta};
    use crate::store::log::position::Position;
    use crate::store::mirror::trees::transactions;

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
    fn what_is_written_in_parts_takes_the_memory_of_the_whole_once() {
        let op = |n: usize| Op {
            tree: Name::Block,
            key: n.to_be_bytes().to_vec(),
            value: None,
        };
        let all = 100 * TRANSACTION_OPS_MAX;
        let parts = transactions((0..all).map(op).collect());
        let room: usize = parts.iter().map(Vec::capacity).sum();
        assert!((all..2 * all).contains(&room), "{room} for {all}");
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
        index.raise_cutoff(UnixSeconds::MAX);
        mirror.apply(&index.take_changes()).unwrap();
        index.mirrored(None);
        let trees = mirror.trees().unwrap();
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
        let trees = mirror.trees().unwrap();
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

    /// The log of a history of 36 frames: messages, changes and expiry.
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
                meta.cutoff = Some(UnixSeconds(1_790_000_000 + (n - 8) * 10_000));
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

    fn topics(index: &Index) -> Vec<(Topic, crate::store::counts::Counts)> {
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

    /// Whatever a crash leaves of a large change, the log after it leads to the same state, and the
    /// next start finds nothing wrong.
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
                let trees = mirror.trees().unwrap();
                let all = transactions(trees.ops(&index.take_changes(), 0).unwrap());
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
                    assert_eq!(index.cutoff(), whole.cutoff());
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
                let trees = mirror.trees().unwrap();
                let all = transactions(trees.ops(&changes, 0).unwrap());
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
    fn a_small_volume_has_little_room_for_what_is_dead() {
        let mib = |mib: u64| mib << 20;
        let volumes = [mib(30), mib(100), mib(600), mib(1024), mib(1 << 20)];
        let slacks = volumes.map(slack_of);
        assert_eq!(
            slacks,
            [mib(30) / 16, mib(100) / 16, mib(600) / 16, mib(64), mib(64)]
        );
    }

    #[test]
    fn a_mirror_that_was_just_rewritten_is_not_rewritten_again() {
        let dir = tempfile::tempdir().unwrap();
        let mirror = Mirror::open(&dir.path().join("sled")).unwrap();
        let mut index = filled(3);
        index.mark_all_dirty();
        mirror.rewrite(&index.take_changes()).unwrap();
        let rewritten = mirror.rewritten_bytes.load(Ordering::Relaxed);
        assert_eq!(rewritten, mirror.bytes());
        assert!(rewritten > 0);
        assert!(!mirror.is_bloated(&index));
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
