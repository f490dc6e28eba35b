//! The snapshot where it could lose something: when it is written anew from a log that has been
//! damaged meanwhile, on a disk with hardly any room, and in the place of somebody's backup.

use std::path::PathBuf;
use std::sync::Arc;

use crate::common_store::*;
use crate::simulated_disk::{Faults, SimDisk, Tree};
use dpmq::clock::Clock;
use dpmq::message::{StatusKind, UnixSeconds};
use dpmq::store::{DiskStore, Files, Options, Recovered, Stats, Store, Work};

/// A store on a simulated disk, driven by hand; its mirror is in a real folder.
struct Place {
    root: tempfile::TempDir,
    disk: SimDisk,
    clock: Clock,
}

impl Place {
    fn new() -> Place {
        let root = memory_dir();
        Place {
            disk: SimDisk::new(root.path(), 1),
            clock: Clock::manual(NOON),
            root,
        }
    }

    /// A log of six frames, whose third a power cut has torn out. Also its file, and where each
    /// frame begins.
    fn with_a_hole() -> (Place, PathBuf, Vec<usize>) {
        let mut place = Place::new();
        let (store, _) = place.open();
        place.append(&store, 6);
        store.abandon();
        drop(store);
        place.disk = place.disk.killed();
        let log = place.disk.tree(&place.path("data.db/log"));
        let (path, bytes) = log.first_key_value().unwrap();
        let frames: Vec<usize> = starts(bytes).collect();
        let mut torn = bytes.clone();
        torn[frames[2]..frames[3]].fill(0);
        let tree = Tree::from([(path.clone(), torn)]);
        place.disk.put(path, &tree).unwrap();
        (place, path.clone(), frames)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn bytes(&self, name: &str) -> Vec<u8> {
        let mut tree = self.disk.tree(&self.path(name)).into_values();
        tree.next().unwrap_or_default()
    }

    fn open(&self) -> (DiskStore, Recovered) {
        let options = Options {
            files: Arc::new(self.disk.clone()),
            segment_bytes: 2 << 10,
            ..options(self.root.path(), &self.clock)
        };
        DiskStore::open_by_hand(&options, nobody()).unwrap()
    }

    /// Ends `store` as a kill does, and opens it again.
    fn again(&mut self, store: DiskStore) -> (DiskStore, Recovered) {
        store.abandon();
        drop(store);
        self.disk = self.disk.killed();
        self.open()
    }

    /// Ends `store` as a kill does, and makes it again of its snapshot alone.
    fn restored(&mut self, store: DiskStore) -> DiskStore {
        store.abandon();
        drop(store);
        self.disk = self.disk.killed();
        self.disk.remove_dir(&self.path("data.db")).unwrap();
        std::fs::remove_dir_all(self.path("data.db/sled")).unwrap();
        self.open().0
    }

    /// Puts an earlier store back, without its mirror and its snapshot.
    fn put_back(&mut self, copy: &Tree) {
        self.disk = self.disk.killed();
        self.disk.put(&self.path("data.db"), copy).unwrap();
        self.disk.remove_file(&self.path("data")).unwrap();
        std::fs::remove_dir_all(self.path("data.db/sled")).unwrap();
    }

    /// Messages of 200 bytes, one a second.
    fn append(&self, store: &DiskStore, count: usize) {
        for _ in 0..count {
            self.clock.set(UnixSeconds(self.clock.now().0 + 1));
            let draft = draft(&topic("t"), &"x".repeat(200));
            let mut answer = store.append(vec![draft], None);
            store.work(Work::Write(usize::MAX)).unwrap();
            answer.try_recv().unwrap().unwrap();
        }
    }

    /// A store whose snapshot has more that is gone than what is not.
    fn with_a_dead_snapshot(&self) -> DiskStore {
        let (store, _) = self.open();
        self.append(&store, 60);
        store.work(Work::Snapshot).unwrap();
        store.expire(UnixSeconds(NOON.0 + 45)).unwrap();
        store.work(Work::Mirror).unwrap();
        store
    }
}

#[test]
fn what_the_log_has_lost_meanwhile_is_in_a_snapshot_that_is_written_anew() {
    let mut place = Place::new();
    let store = place.with_a_dead_snapshot();
    let expected = content(&store);
    let before = place.bytes("data").len();
    let log = place.disk.tree(&place.path("data.db/log"));
    let (damaged, bytes) = log.first_key_value().unwrap();
    for at in [5, 100, bytes.len() / 2] {
        place.disk.flip(damaged, at, 1);
    }
    store.work(Work::Snapshot).unwrap();
    assert!(
        place.bytes("data").len() < before / 2,
        "it was not written anew"
    );
    assert_eq!(content(&store), expected);
    let (store, recovered) = place.again(store);
    assert_eq!(content(&store), expected);
    assert_eq!((recovered.healed.len(), recovered.damage.len()), (0, 0));
}

#[test]
fn what_is_damaged_for_good_does_not_keep_a_file_each_time() {
    let place = Place::new();
    let store = place.with_a_dead_snapshot();
    // Of these the snapshot has nothing.
    place.append(&store, 5);
    let log = place.disk.tree(&place.path("data.db/log"));
    let (damaged, bytes) = log.last_key_value().unwrap();
    place
        .disk
        .flip(damaged, written(bytes.clone()).len() - 10, 1);
    for _ in 0..3 {
        store.work(Work::Snapshot).unwrap();
        place.append(&store, 60);
        store.expire(place.clock.now()).unwrap();
        store.work(Work::Mirror).unwrap();
    }
    assert!(!store.damage().is_empty());
    assert!(!place.disk.exists(&place.path("data.other")).unwrap());
}

#[test]
fn a_snapshot_that_cannot_be_written_anew_is_appended_to() {
    let mut place = Place::new();
    let store = place.with_a_dead_snapshot();
    place.append(&store, 2);
    let expected = content(&store);
    place.disk.set_faults(Faults {
        room_bytes: Some(2000),
        ..Faults::default()
    });
    store.work(Work::Snapshot).unwrap();
    place.disk.set_faults(Faults::default());
    let store = place.restored(store);
    assert_eq!(list_all(&store), expected.messages);
}

#[test]
fn nothing_is_appended_to_a_snapshot_that_has_lost_its_name() {
    let mut place = Place::new();
    let store = place.with_a_dead_snapshot();
    let before = place.bytes("data").len();
    place.disk.set_faults(Faults {
        folder_syncs: true,
        ..Faults::default()
    });
    // The new file has the name, and nobody knows for how long.
    let _ = store.work(Work::Snapshot);
    assert!(place.bytes("data").len() < before / 2, "it has no new file");
    place.disk.set_faults(Faults::default());
    // So much that it need not be written anew once more.
    place.append(&store, 100);
    store.work(Work::Snapshot).unwrap();
    let expected = content(&store);
    let store = place.restored(store);
    assert_eq!(content(&store), expected);
}

/// A mirror from before the expiry, and a kill between the first and the last of the segments
/// that were given back.
#[test]
fn what_has_expired_is_not_taken_back_for_a_mirror_that_is_late() {
    let mut place = Place::new();
    let (store, _) = place.open();
    place.append(&store, 60);
    store.work(Work::Mirror).unwrap();
    store.work(Work::Snapshot).unwrap();
    store.expire(UnixSeconds(NOON.0 + 45)).unwrap();
    let expected = content(&store);
    store.abandon();
    drop(store);
    place.disk = place.disk.killed();
    let log = place.disk.tree(&place.path("data.db/log"));
    let (oldest, _) = log.first_key_value().unwrap();
    place.disk.remove_file(oldest).unwrap();
    place.disk.sync_dir(&place.path("data.db/log")).unwrap();
    // There is no room to take it back.
    place.disk.set_faults(Faults {
        capacity_bytes: Some(place.disk.used_bytes()),
        ..Faults::default()
    });
    let (store, recovered) = place.open();
    assert_eq!(content(&store), expected);
    assert_eq!((recovered.healed.len(), recovered.damage.len()), (0, 0));
}

/// As where the power goes out while the end is taken back: what was to be written is there in
/// part, and the file is too short.
#[test]
fn a_segment_that_is_too_short_and_damaged_before_its_end_is_healed() {
    for damaged in [2, 5] {
        for lost in [1, 100, 700] {
            let mut place = Place::new();
            let (store, _) = place.open();
            place.append(&store, 6);
            store.close().unwrap();
            let expected = {
                let (store, _) = place.again(store);
                let expected = content(&store);
                store.abandon();
                expected
            };
            place.disk = place.disk.killed();
            let log = place.disk.tree(&place.path("data.db/log"));
            let (path, bytes) = log.last_key_value().unwrap();
            let frames: Vec<usize> = starts(bytes).collect();
            let mut bytes = written(bytes.clone());
            bytes[frames[damaged] + 30] ^= 1;
            bytes.truncate(bytes.len() - lost);
            let tree = Tree::from([(path.clone(), bytes)]);
            place.disk.put(path, &tree).unwrap();
            let (store, recovered) = place.open();
            assert_eq!(content(&store), expected, "{damaged} {lost}");
            assert!(!recovered.healed.is_empty(), "{damaged} {lost}");
            assert_eq!(recovered.damage.len(), 0, "{damaged} {lost}");
        }
    }
}

/// What a power cut has torn out of the log is torn out of the snapshot too; what is behind it is
/// damaged in the log alone.
#[test]
fn what_is_damaged_behind_a_hole_is_healed() {
    let (mut place, path, frames) = Place::with_a_hole();
    let (store, recovered) = place.open();
    let hole = format!("byte {}", frames[2]);
    let of_hole = |text: &String| text.contains(&hole);
    assert!(recovered.damage.iter().any(of_hole));
    store.work(Work::Snapshot).unwrap();
    let expected = list_all(&store);
    assert_eq!(expected.len(), 5);
    store.abandon();
    drop(store);
    place.disk = place.disk.killed();
    place.disk.flip(&path, frames[3] + 5, 1);
    place.disk.flip(&path, frames[4] + 40, 1);
    let (store, again) = place.open();
    assert_eq!(list_all(&store), expected);
    assert!(again.damage.iter().all(of_hole), "{:?}", again.damage);
}

/// One run of damage, with what a power cut has torn out in its midst.
#[test]
fn what_is_damaged_on_both_sides_of_a_hole_is_healed() {
    let (mut place, path, frames) = Place::with_a_hole();
    let (store, _) = place.open();
    store.work(Work::Snapshot).unwrap();
    let expected = list_all(&store);
    assert_eq!(expected.len(), 5);
    let (store, recovered) = place.again(store);
    store.abandon();
    drop(store);
    // The second is the hole: its own bits turn too.
    for damaged in [&[1, 3][..], &[1, 4], &[1, 2], &[2, 3], &[1, 2, 4], &[2]] {
        place.disk = place.disk.killed();
        for frame in damaged {
            place.disk.flip(&path, frames[*frame] + 5, 1);
        }
        let (store, again) = place.open();
        assert_eq!(list_all(&store), expected, "{damaged:?}");
        assert_eq!(again.damage, recovered.damage, "{damaged:?}");
        store.abandon();
    }
}

/// The frame with the damaged data still says where it ends.
#[test]
fn a_frame_with_damaged_data_beside_a_damaged_head_is_healed() {
    let mut place = Place::new();
    let (store, _) = place.open();
    place.append(&store, 5);
    store.work(Work::Snapshot).unwrap();
    let expected = list_all(&store);
    store.abandon();
    drop(store);
    place.disk = place.disk.killed();
    let log = place.disk.tree(&place.path("data.db/log"));
    let (path, bytes) = log.first_key_value().unwrap();
    let frames: Vec<usize> = starts(bytes).collect();
    place.disk.flip(path, frames[2] - 1, 1);
    place.disk.flip(path, frames[2] + 30, 1);
    let (store, recovered) = place.open();
    assert_eq!(list_all(&store), expected);
    assert_eq!((recovered.healed.len(), recovered.damage.len()), (2, 0));
}

/// Both went on from one day. All that they had in common is gone from the log.
#[test]
fn a_snapshot_of_another_history_that_has_no_place_in_common_is_kept() {
    for expires in [false, true] {
        let mut place = Place::new();
        let (store, _) = place.open();
        place.append(&store, 5);
        store.close().unwrap();
        let copy = place.disk.tree(&place.path("data.db"));
        let (store, _) = place.again(store);
        place.append(&store, 5);
        store.close().unwrap();
        drop(store);
        let other = place.bytes("data");
        place.put_back(&copy);
        let (store, _) = place.open();
        place.append(&store, 30);
        match expires {
            false => assert_eq!(store.purge(&topic("t"), &StatusKind::ALL).unwrap(), 35),
            true => assert_eq!(store.expire(place.clock.now()).unwrap().all(), 34),
        }
        place.append(&store, 1);
        store.work(Work::Mirror).unwrap();
        store.abandon();
        drop(store);
        place.disk = place.disk.killed();
        let path = place.path("data");
        let tree = Tree::from([(path.clone(), other.clone())]);
        place.disk.put(&path, &tree).unwrap();
        let (store, _) = place.open();
        store.work(Work::Snapshot).unwrap();
        // What it has would have expired with the rest.
        let kept = match expires {
            false => other,
            true => vec![],
        };
        assert_eq!(place.bytes("data.other"), kept, "{expires}");
    }
}

/// The write that a power cut has torn was not answered, and the snapshot has other messages there.
#[test]
fn a_torn_frame_tells_of_which_history_the_log_is() {
    let mut place = Place::new();
    let (store, _) = place.open();
    place.append(&store, 3);
    let expected = list_all(&store);
    store.close().unwrap();
    let copy = place.disk.tree(&place.path("data.db"));
    let (store, _) = place.again(store);
    place.append(&store, 20);
    store.close().unwrap();
    drop(store);
    let other = place.bytes("data");
    place.put_back(&copy);
    let (store, _) = place.open();
    place.append(&store, 1);
    store.abandon();
    drop(store);
    place.disk = place.disk.killed();
    let log = place.disk.tree(&place.path("data.db/log"));
    let (path, bytes) = log.last_key_value().unwrap();
    let end = written(bytes.clone()).len();
    place.disk.flip(path, end - 1, 1);
    std::fs::remove_dir_all(place.path("data.db/sled")).unwrap();
    let path = place.path("data");
    let tree = Tree::from([(path.clone(), other.clone())]);
    place.disk.put(&path, &tree).unwrap();
    let (store, _) = place.open();
    assert_eq!(list_all(&store), expected);
    store.work(Work::Snapshot).unwrap();
    assert_eq!(place.bytes("data.other"), other);
}

/// A start reads the log behind the mirror first.
#[test]
fn damage_on_both_sides_of_where_the_mirror_ends_is_healed() {
    for first in [1, 2] {
        let mut place = Place::new();
        let (store, _) = place.open();
        place.append(&store, 2);
        store.work(Work::Mirror).unwrap();
        place.append(&store, 3);
        store.work(Work::Snapshot).unwrap();
        let expected = content(&store);
        store.abandon();
        drop(store);
        place.disk = place.disk.killed();
        let log = place.disk.tree(&place.path("data.db/log"));
        let (path, bytes) = log.first_key_value().unwrap();
        let frames: Vec<usize> = starts(bytes).collect();
        for frame in [first, 3] {
            place.disk.flip(path, frames[frame] + 150, 1);
        }
        let (store, recovered) = place.open();
        assert_eq!(content(&store), expected, "{first}");
        assert_eq!((recovered.healed.len(), recovered.damage.len()), (2, 0));
    }
}

/// Where the frames of a segment begin.
fn starts(segment: &[u8]) -> impl Iterator<Item = usize> + '_ {
    (0..segment.len()).filter(|at| segment[*at..].starts_with(b"DMQ"))
}

#[test]
fn a_backup_at_its_place_is_kept_whatever_fails() {
    let other = Place::new();
    let (store, _) = other.open();
    other.append(&store, 3);
    store.close().unwrap();
    let backup = other.bytes("data");
    for operation in 0..40 {
        let mut place = Place::new();
        let (store, _) = place.open();
        place.append(&store, 3);
        store.abandon();
        drop(store);
        place.disk = place.disk.killed();
        let path = place.path("data");
        place
            .disk
            .put(&path, &Tree::from([(path.clone(), backup.clone())]))
            .unwrap();
        let (store, _) = place.open();
        place.disk.set_faults(Faults {
            after: operation,
            lasting: Some(1),
            writes: true,
            ..Faults::default()
        });
        let first = store.work(Work::Snapshot);
        place.disk.set_faults(Faults::default());
        store.work(Work::Snapshot).unwrap();
        assert_eq!(place.bytes("data.other"), backup, "{operation}: {first:?}");
    }
}
