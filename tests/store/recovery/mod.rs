//! What the store on disk has after crashes, damage and loss of its files.

mod imports;
mod log;
mod mirror;
mod snapshot;

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common_store::*;
use dpmq::clock::Clock;
use dpmq::import;
use dpmq::message::{MessageCode, Sequence, Status, StatusKind, UnixSeconds};
use dpmq::store::{
    Change, DiskStore, Imported, Options, Origin, Query, Reads, Recovered, Stats, Store, StoreError,
};

const NO_DAMAGE: [&str; 0] = [];

fn time(second: u32) -> UnixSeconds {
    UnixSeconds(NOON.0 + second)
}

/// A store in a folder of its own.
struct Place {
    root: tempfile::TempDir,
    clock: Clock,
}

impl Place {
    fn new() -> Place {
        Place {
            root: tempfile::tempdir().unwrap(),
            clock: Clock::manual(NOON),
        }
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn options(&self, name: &str) -> Options {
        options(&self.dir(name), &self.clock)
    }

    fn open(&self, name: &str) -> (DiskStore, Recovered) {
        open(&self.options(name))
    }

    /// A store with messages in several segments, blocks, topics, times and all statuses.
    fn filled(&self, name: &str) -> DiskStore {
        let (store, _) = self.open(name);
        for second in 0..20 {
            self.clock.set(time(second));
            append_many(&store, &format!("t{}", second % 3), 150);
        }
        change(&store, Change::NotConsumed, (1..2900).step_by(2));
        for second in 30..40 {
            let at = time(second);
            let first = u64::from(second) * 70;
            change(
                &store,
                Change::Consumed { at },
                (first..first + 60).step_by(3),
            );
        }
        change(&store, Change::Requeued, 2000..2500);
        change(&store, Change::Deleted, [5, 77, 1500]);
        assert!(segments(&self.dir(name)).len() > 2);
        store
    }
}

/// Opens the store in a copy and checks that it has `expected`, and has it after a close too.
fn reopens_as(place: &Place, name: &str, expected: &Content) -> Recovered {
    let (store, recovered) = place.open(name);
    same(&list_all(&store), &expected.messages);
    assert_eq!(&content(&store), expected);
    assert_eq!(recovered.counts, expected.counts);
    store.close().unwrap();
    drop(store);
    let (store, again) = place.open(name);
    assert_eq!(&content(&store), expected);
    assert_eq!(again.mirror_rebuilt, None, "once is enough");
    assert_eq!(again.replayed, 0);
    recovered
}

#[test]
fn a_closed_store_is_as_it_was_when_it_is_opened() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    let recovered = reopens_as(&place, "a", &expected);
    assert_eq!(recovered.origin, Origin::Log);
    assert_eq!((recovered.replayed, recovered.torn_bytes), (0, 0));
    assert_eq!(recovered.mirror_rebuilt, None);
}

#[test]
fn a_store_that_was_killed_has_all_that_was_answered() {
    let place = Place::new();
    let store = place.filled("a");
    for n in 0..10 {
        append_many(&store, "t", 40);
        change(
            &store,
            Change::Consumed { at: time(50 + n) },
            [u64::from(n) + 900],
        );
        let copy = format!("copy{n}");
        crash_copy(&place.dir("a"), &place.dir(&copy));
        let recovered = reopens_as(&place, &copy, &content(&store));
        assert_eq!(recovered.torn_bytes, 0);
        assert_eq!(recovered.damage, NO_DAMAGE);
    }
}

fn written_len(segment: &Path) -> u64 {
    written(fs::read(segment).unwrap()).len() as u64
}

/// Cuts the newest segment of the store in `dir`.
fn cut_newest(dir: &Path, len: u64) -> PathBuf {
    let newest = segments(dir).pop().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&newest).unwrap();
    file.set_len(len).unwrap();
    newest
}

#[test]
fn a_store_is_open_once() {
    let place = Place::new();
    let (store, _) = place.open("a");
    let refused = DiskStore::open(&place.options("a"), nobody());
    assert!(matches!(refused, Err(StoreError::Locked { .. })));
    let cleared = Options {
        clear: true,
        ..place.options("a")
    };
    append_many(&store, "t", 3);
    assert!(DiskStore::open(&cleared, nobody()).is_err());
    assert!(DiskStore::import(&place.options("a"), vec![], &mut |_| {}).is_err());
    drop(store);
    let (store, _) = place.open("a");
    assert_eq!(store.counts().all(), 3);
}

#[test]
fn clearing_begins_with_nothing() {
    let place = Place::new();
    drop(place.filled("a"));
    let cleared = Options {
        clear: true,
        ..place.options("a")
    };
    let (store, recovered) = open(&cleared);
    assert_eq!(recovered.origin, Origin::Nothing);
    assert_eq!(store.counts().all(), 0);
    assert_eq!(store.next_sequence(), Sequence(1));
    assert_eq!(store.growth(), []);
    drop(store);
    let (_, recovered) = place.open("a");
    assert_eq!(recovered.counts.all(), 0);
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    let place = Place::new();
    drop(place.filled("a"));
    let path = place.dir("a/data.db/format");
    let format = fs::read(&path).unwrap();
    fs::write(&path, "dpmq store 99\n").unwrap();
    let Err(error) = DiskStore::open(&place.options("a"), nobody()) else {
        panic!("it was opened");
    };
    assert!(
        matches!(error, StoreError::FormatTooNew { found: 99, .. }),
        "{error}"
    );
    fs::write(&path, format).unwrap();
    assert_eq!(place.open("a").1.counts.all(), 2997);
}

#[test]
fn another_file_at_the_snapshots_place_is_refused_and_left_alone() {
    let place = Place::new();
    fs::create_dir(place.dir("a")).unwrap();
    let path = place.dir("a/data");
    fs::write(&path, "my precious notes, and quite a few of them").unwrap();
    let opened = DiskStore::open(&place.options("a"), nobody());
    assert!(matches!(opened, Err(StoreError::NotOurs { .. })));
    assert!(
        fs::read_to_string(&path)
            .unwrap()
            .starts_with("my precious")
    );
}

#[test]
fn many_scattered_changes_are_kept() {
    let place = Place::new();
    let options = Options {
        segment_bytes: 8 << 20,
        ..place.options("a")
    };
    let (store, _) = open(&options);
    for _ in 0..20 {
        append_many(&store, "t", 10_000);
    }
    change(&store, Change::NotConsumed, (1..200_000).step_by(2));
    change(
        &store,
        Change::Consumed { at: time(7) },
        (2..200_000).step_by(4),
    );
    let expected = store.counts();
    assert_eq!(
        (expected.not_consumed, expected.consumed),
        (100_000, 50_000)
    );
    crash_copy(&place.dir("a"), &place.dir("b"));
    fs::remove_dir_all(place.dir("b/data.db/sled")).unwrap();
    let (copy, recovered) = place.open("b");
    assert_eq!(recovered.counts, expected);
    assert!(recovered.mirror_rebuilt.is_some());
    let consumed = Query {
        status: Some(StatusKind::Consumed),
        from: Some(NOON),
        ..Query::default()
    };
    copy.close().unwrap();
    drop(copy);
    let (copy, _) = place.open("b");
    let seen = list(&copy, &consumed);
    assert!(
        seen.iter()
            .all(|m| m.status == Status::Consumed { at: time(7) })
    );
    assert_eq!(seen.len(), 50_000);
}
