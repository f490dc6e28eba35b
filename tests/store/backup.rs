//! Copies of a running store, and stores made from them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common_store::*;
use dpmq::clock::Clock;
use dpmq::message::UnixSeconds;
use dpmq::store::{
    Change, DiskStore, Files, Options, OsFiles, Reads, Received, Report, Restored, Store,
    StoreError, restore, verify_file, verify_store,
};

fn os() -> Arc<dyn Files> {
    Arc::new(OsFiles)
}

/// A store with messages of all kinds, and a clock.
struct Source {
    root: tempfile::TempDir,
    clock: Clock,
    store: DiskStore,
}

impl Source {
    fn new() -> Source {
        let source = Source::empty();
        fill(&source.store, &source.clock);
        assert!(segments(&source.path("source")).len() > 2);
        source
    }

    fn empty() -> Source {
        let root = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOON);
        let (store, _) = open(&options(&root.path().join("source"), &clock));
        Source { root, clock, store }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn options(&self, name: &str) -> Options {
        options(&self.path(name), &self.clock)
    }

    /// The bytes of a backup made now.
    fn backup(&self) -> Vec<u8> {
        let mut backup = self.store.backup().unwrap();
        let mut bytes = vec![];
        while let Some(piece) = backup.read().unwrap() {
            bytes.extend(piece);
        }
        assert_eq!(bytes.len() as u64, backup.bytes());
        bytes
    }
}

fn receive(bytes: &[u8], path: &Path) -> Result<(), StoreError> {
    let mut received = Received::begin(os(), path)?;
    for piece in bytes.chunks(7000) {
        received.write(piece)?;
    }
    received.end()?;
    received.place()
}

fn check(path: &Path) -> Report {
    verify_file(&os(), path, &mut |_| {}).unwrap()
}

fn restored(options: &Options, from: &Path) -> Result<Restored, StoreError> {
    restore(options, from, false, &mut |_| {})
}

#[test]
fn a_restored_store_is_the_source_message_by_message() {
    let source = Source::new();
    let expected = content(&source.store);
    assert!(expected.cutoff > UnixSeconds::MIN && expected.messages.len() > 1000);
    let backup = source.path("backup");
    receive(&source.backup(), &backup).unwrap();
    let report = check(&backup);
    assert!(report.is_whole() && report.ended, "{report:?}");
    assert!(report.notes.is_empty(), "{report:?}");
    assert_eq!(report.totals.messages, expected.counts);
    assert_eq!(report.totals.topics, expected.topics.len() as u64);

    let Restored::Done { counts, .. } = restored(&source.options("there"), &backup).unwrap() else {
        panic!("a whole file is refused");
    };
    assert_eq!(counts, expected.counts);
    // As it is after the restore, as a crash now would leave it, and after it has run.
    crash_copy(&source.path("there"), &source.path("killed"));
    for name in ["there", "killed", "there"] {
        let (store, recovered) = open(&source.options(name));
        assert_eq!(recovered.mirror_rebuilt, None, "{name}");
        assert!(recovered.damage.is_empty(), "{name}");
        assert_eq!(content(&store), expected, "{name}");
        drop(store);
        let snapshot = source.path(name).join("data");
        let report = verify_store(&os(), &snapshot, &mut |_| {}).unwrap();
        assert!(report.is_whole(), "{name}: {:?}", report.findings);
    }
    // Its snapshot is a backup again.
    let again = restored(&source.options("again"), &source.path("there/data"));
    assert!(matches!(again, Ok(Restored::Done { .. })));
    let (store, _) = open(&source.options("again"));
    assert_eq!(content(&store), expected);
}

#[test]
fn a_backup_has_what_was_answered_before_and_is_one_moment() {
    let source = Source::new();
    std::thread::scope(|scope| {
        let writing = scope.spawn(|| {
            for _ in 0..100 {
                append_many(&source.store, "busy", 20);
            }
        });
        let mut rounds = 0;
        while !writing.is_finished() || rounds == 0 {
            rounds += 1;
            let answered = source.store.next_sequence();
            let path = source.path(&format!("backup{rounds}"));
            receive(&source.backup(), &path).unwrap();
            let report = check(&path);
            assert!(report.is_whole() && report.ended, "{report:?}");
            let options = source.options(&format!("restored{rounds}"));
            assert!(matches!(
                restored(&options, &path),
                Ok(Restored::Done { .. })
            ));
            let (store, _) = open(&options);
            assert!(store.next_sequence() >= answered);
            let last = store.next_sequence();
            let before = list_all(&source.store)
                .into_iter()
                .filter(|message| message.sequence < last);
            same(&list_all(&store), &before.collect::<Vec<_>>());
        }
    });
}

#[test]
fn a_backup_under_way_keeps_what_expires_meanwhile() {
    let source = Source::new();
    let expected = content(&source.store);
    let mut backup = source.store.backup().unwrap();
    let mut bytes = backup.read().unwrap().unwrap();
    let before = segments(&source.path("source")).len();
    source.store.expire(UnixSeconds(NOON.0 + 5000)).unwrap();
    source.store.close().unwrap();
    assert!(segments(&source.path("source")).len() < before);
    while let Some(piece) = backup.read().unwrap() {
        bytes.extend(piece);
    }
    let path = source.path("backup");
    receive(&bytes, &path).unwrap();
    restored(&source.options("there"), &path).unwrap();
    let (store, _) = open(&source.options("there"));
    assert_eq!(content(&store), expected);
}

#[test]
fn a_copy_that_is_not_whole_is_never_in_its_place() {
    let source = Source::new();
    let whole = source.backup();
    let path = source.path("backup");
    let nothing_left = |what: &str| {
        let names = fs::read_dir(source.root.path()).unwrap().count();
        assert_eq!(names, 1, "{what}: only the source is there");
    };
    let mut random = Random::new(7);
    for _ in 0..200 {
        let at = usize::try_from(random.between(0, whole.len() as u64 - 1)).unwrap();
        assert!(receive(&whole[..at], &path).is_err(), "cut at {at}");
        nothing_left("cut");
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << random.between(0, 7);
        let seed = 12..16;
        match receive(&flipped, &path) {
            // Nothing in a transfer tells what the seed is: the check of the frames does.
            Ok(()) if seed.contains(&at) => {
                assert!(!check(&path).is_whole());
                fs::remove_file(&path).unwrap();
            }
            received => assert!(received.is_err(), "flipped at {at}"),
        }
        nothing_left("flipped");
    }
    assert!(receive(&[&whole[..], b"more"].concat(), &path).is_err());
    assert!(receive(b"<html>no backup at all, but a page</html>", &path).is_err());
    nothing_left("other bytes");

    fs::write(&path, "mine").unwrap();
    let refused = receive(&whole, &path).unwrap_err();
    assert!(
        matches!(&refused, StoreError::Occupied { path: at } if *at == path),
        "{refused}"
    );
    assert_eq!(fs::read(&path).unwrap(), b"mine");
}

#[test]
fn a_place_with_anything_in_it_is_not_restored_to() {
    let source = Source::new();
    let backup = source.path("backup");
    receive(&source.backup(), &backup).unwrap();
    for (name, is_folder) in [("data", false), ("data.db", true)] {
        let place = source.path(&format!("with {name}"));
        fs::create_dir(&place).unwrap();
        match is_folder {
            true => fs::create_dir(place.join(name)).unwrap(),
            false => fs::write(place.join(name), "").unwrap(),
        }
        let before = files_of(&place);
        let refused = restored(&options(&place, &source.clock), &backup).unwrap_err();
        assert!(matches!(refused, StoreError::Occupied { .. }), "{refused}");
        assert_eq!(files_of(&place), before);
    }
    let refused = restored(&source.options("source"), &backup).unwrap_err();
    assert!(matches!(refused, StoreError::Occupied { .. }), "{refused}");
    // A server that has nothing yet has the place all the same.
    let place = source.path("locked");
    fs::create_dir(&place).unwrap();
    let held = OsFiles.lock(&place.join("data.lock")).unwrap();
    let refused = restored(&options(&place, &source.clock), &backup).unwrap_err();
    assert!(matches!(refused, StoreError::Locked { .. }), "{refused}");
    drop(held);
    assert!(restored(&options(&place, &source.clock), &backup).is_ok());
}

#[test]
fn a_damaged_file_is_restored_only_when_that_is_asked_for() {
    let source = Source::new();
    let backup = source.path("backup");
    let mut bytes = source.backup();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 0x20;
    fs::write(&backup, &bytes).unwrap();
    let options = source.options("there");
    let Restored::Damaged(report) = restored(&options, &backup).unwrap() else {
        panic!("damage is taken for whole");
    };
    let finding = report.findings.first().unwrap();
    assert!((finding.place.from..finding.place.to).contains(&(middle as u64)));
    let lost: u64 = report.findings.iter().map(|f| f.messages.len()).sum();
    assert!(lost > 0, "{report:?}");
    assert!(!source.path("there").exists(), "nothing was done");

    let forced = restore(&options, &backup, true, &mut |_| {});
    assert!(matches!(forced, Ok(Restored::Done { .. })), "{forced:?}");
    let (store, _) = open(&options);
    let whole = list_all(&source.store);
    let there = list_all(&store);
    assert!(there.len() < whole.len() && there.len() as u64 + lost >= whole.len() as u64);
    let same_but_for_status = there.iter().all(|message| {
        let mut of_it = whole.iter().filter(|it| it.sequence == message.sequence);
        of_it.any(|it| it.code == message.code && it.data == message.data)
    });
    assert!(same_but_for_status);
}

#[test]
fn what_is_no_backup_is_refused_and_the_place_stays_empty() {
    let source = Source::new();
    let whole = source.backup();
    let mut newer = whole.clone();
    newer[8] = 9;
    for (bytes, wrong) in [
        (&b"something else altogether"[..], "does not begin"),
        (b"DPMQ", "too short"),
        (&whole[..16], "nothing in it"),
        (&newer, "format 9"),
    ] {
        let backup = source.path("backup");
        fs::write(&backup, bytes).unwrap();
        let refused = restore(&source.options("there"), &backup, true, &mut |_| {});
        let text = refused.unwrap_err().to_string();
        assert!(text.contains(wrong), "{text}");
        assert!(!source.path("there").exists());
    }
}

/// A crash at any operation of a restore leaves a place that says so, or the whole store.
#[test]
fn a_restore_that_is_cut_off_is_never_half_a_store() {
    let source = Source::empty();
    append_many(&source.store, "t", 100);
    change(&source.store, Change::NotConsumed, 20..40);
    let expected = content(&source.store);
    let backup = source.path("backup");
    receive(&source.backup(), &backup).unwrap();
    let (mut said, mut whole) = (0, 0);
    let mut operations = 1;
    loop {
        let name = format!("place{operations}");
        fs::create_dir(source.path(&name)).unwrap();
        let disk = Failing::after(operations);
        let failing = Options {
            files: Arc::new(disk.clone()),
            ..source.options(&name)
        };
        let done = restored(&failing, &backup);
        if !disk.has_failed() {
            assert!(matches!(done, Ok(Restored::Done { .. })));
            break;
        }
        assert!(done.is_err(), "{operations}");
        let place = source.path(&name);
        let begun = place.join("data.db.restoring").exists();
        let there = place.join("data.db").exists();
        assert!(!(begun && there), "{operations}");
        if begun {
            let refused = DiskStore::open(&source.options(&name), nobody());
            let Err(refused @ StoreError::RestoreCutOff { .. }) = refused else {
                panic!("a server starts beside half a restore");
            };
            assert!(refused.to_string().contains("dpmq restore again"));
            said += 1;
        }
        if !there {
            let again = restored(&source.options(&name), &backup);
            assert!(matches!(again, Ok(Restored::Done { .. })), "{again:?}");
        } else {
            whole += 1;
        }
        let (store, _) = open(&source.options(&name));
        assert_eq!(content(&store), expected, "{operations}");
        drop(store);
        fs::remove_dir_all(&place).unwrap();
        // Where the file is only read, one place is like the next.
        operations += if there || begun { 1 } else { 5 };
    }
    assert!(said > 5 && whole > 5, "{said} {whole}");
}

#[test]
fn a_store_in_memory_has_nothing_to_back_up() {
    let store = dpmq::store::MemoryStore::new(Clock::manual(NOON), nobody());
    append_many(&store, "t", 3);
    change(&store, Change::NotConsumed, 1..3);
    assert!(store.backup().is_none());
}
