//! Stores of every form that was ever released open, or are refused by name and left as they are.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common_store::*;
use dpmq::clock::Clock;
use dpmq::message::{Status, UnixSeconds};
use dpmq::store::{
    DiskStore, Files, Options, Origin, OsFiles, Recovered, Restored, Storage, Store, StoreError,
    restore, verify_file, verify_store,
};

/// The forms that there have been, by the first version that wrote them.
const VERSIONS: [&str; 2] = ["0.1.0", "0.2.0"];

fn fixture(version: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/store")
        .join(version)
}

/// A folder with a copy of the store of a version.
fn copy(version: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    copy_dir(&fixture(version), dir.path());
    dir
}

/// The store in a folder, at a time soon after it was made.
fn options(dir: &Path) -> Options {
    crate::common_store::options(dir, &Clock::manual(UnixSeconds(NOON.0 + 60_000)))
}

/// Everything that the store says of itself, as the listings have it.
fn listing(store: &dyn Storage) -> String {
    let mut text = String::new();
    for message in list_all(store) {
        let (status, consumed) = match message.status {
            Status::Accepted => (-1, 0),
            Status::NotConsumed => (0, 0),
            Status::Consumed { at } => (1, at.0),
        };
        let (sequence, code) = (message.sequence.0, message.code);
        let (topic, created) = (message.topic.as_str(), message.created.0);
        let data = &message.data;
        writeln!(
            text,
            "{sequence} {code} {topic} {created} {status} {consumed} {data}"
        )
        .unwrap();
    }
    let counts = store.counts();
    writeln!(
        text,
        "{} to be pushed, {} not consumed, {} consumed; next {}, floor {}",
        counts.accepted,
        counts.not_consumed,
        counts.consumed,
        store.next_sequence().0,
        store.cutoff().0
    )
    .unwrap();
    // The days of the zone that the test runs in may be others, but for their sum.
    let growth: u64 = store.growth().iter().map(|(_, count)| count).sum();
    let quarters = store.growth_by_quarter();
    let quarters: u64 = quarters.iter().map(|(_, count)| count).sum();
    assert_eq!(growth, quarters);
    writeln!(text, "{growth} accepted").unwrap();
    text
}

fn expected(version: &str) -> String {
    fs::read_to_string(fixture(version).join("listing")).unwrap()
}

fn opens_as_listed(dir: &Path, version: &str) -> Recovered {
    let (store, recovered) = open(&options(dir));
    assert!(listing(&store) == expected(version), "{version}");
    assert!(recovered.damage.is_empty(), "{:?}", recovered.damage);
    append(&store, "new", &["it goes on"]);
    store.close().unwrap();
    drop(store);
    let report = verify_store(&os(), &dir.join("data"), &mut |_| {}).unwrap();
    assert!(report.is_whole(), "{version}: {:?}", report.findings);
    recovered
}

fn os() -> Arc<dyn Files> {
    Arc::new(OsFiles)
}

#[test]
fn a_store_of_every_version_opens() {
    for version in VERSIONS {
        let dir = copy(version);
        let before = files_of(dir.path());
        let report = verify_store(&os(), &dir.path().join("data"), &mut |_| {});
        assert!(files_of(dir.path()) == before);
        let findings = report.unwrap().findings;
        let log = dir.path().join("data.db/log");
        let of_log = findings.iter().filter(|f| f.place.path.starts_with(&log));
        assert_eq!(of_log.count(), 0, "{version}: {findings:?}");
        let recovered = opens_as_listed(dir.path(), version);
        assert_eq!(recovered.origin, Origin::Log);
        // The first version's mirror did not have topics.
        if version == "0.1.0" {
            let why = recovered.mirror_rebuilt.unwrap();
            assert!(!why.is_empty());
        }
    }
}

#[test]
fn a_snapshot_of_every_version_is_restored() {
    for version in VERSIONS {
        let alone = tempfile::tempdir().unwrap();
        let snapshot = fixture(version).join("data");
        let report = verify_file(&os(), &snapshot, &mut |_| {}).unwrap();
        assert!(report.is_whole(), "{version}: {:?}", report.findings);
        fs::copy(&snapshot, alone.path().join("data")).unwrap();
        let recovered = opens_as_listed(alone.path(), version);
        assert_eq!(recovered.origin, Origin::Snapshot);

        let place = tempfile::tempdir().unwrap();
        let restored = restore(&options(place.path()), &snapshot, false, &mut |_| {});
        assert!(matches!(restored, Ok(Restored::Done { .. })));
        opens_as_listed(place.path(), version);
    }
}

/// Opens a store that is of a newer version, and returns what it is refused with. Nothing changes.
fn refused(dir: &Path) -> StoreError {
    fs::write(dir.join("data.lock"), "").unwrap();
    if dir.join("data.db").is_dir() {
        fs::write(dir.join("data.db/lock"), "").unwrap();
    }
    let before = files_of(dir);
    let Err(error) = DiskStore::open(&options(dir), nobody()) else {
        panic!("a newer store is opened");
    };
    assert!(files_of(dir) == before, "{error}");
    let checked = verify_store(&os(), &dir.join("data"), &mut |_| {}).unwrap_err();
    assert_eq!(checked.to_string(), error.to_string());
    assert!(files_of(dir) == before, "{error}");
    error
}

fn assert_names(error: &StoreError, path: &Path, newer: u32) {
    let StoreError::FormatTooNew {
        path: at, found, ..
    } = error
    else {
        panic!("{error}");
    };
    assert_eq!((at.as_path(), *found), (path, newer));
    let said = error.to_string();
    assert!(said.contains(&format!("format {newer}")), "{said}");
}

#[test]
fn a_store_with_a_newer_number_is_refused() {
    let dir = copy("0.2.0");
    let path = dir.path().join("data.db/format");
    fs::write(&path, "dpmq store 2\n").unwrap();
    assert_names(&refused(dir.path()), &path, 2);
}

#[test]
fn a_newer_snapshot_is_refused_with_and_without_a_store() {
    let dir = copy("0.2.0");
    let path = dir.path().join("data");
    let newer = [b"DPMQSNAP\x02\0\0\0", &[7; 500][..]].concat();
    fs::write(&path, newer).unwrap();
    assert_names(&refused(dir.path()), &path, 2);
    fs::remove_dir_all(dir.path().join("data.db")).unwrap();
    let before = fs::read(&path).unwrap();
    let error = DiskStore::open(&options(dir.path()), nobody())
        .err()
        .unwrap();
    assert_names(&error, &path, 2);
    assert_eq!(fs::read(&path).unwrap(), before);
    // A number that is damaged is no newer format: everything around it is of today's.
    let dir = copy("0.2.0");
    let path = dir.path().join("data");
    let mut bytes = fs::read(&path).unwrap();
    bytes[8] ^= 4;
    fs::write(&path, bytes).unwrap();
    let (store, _) = open(&options(dir.path()));
    assert!(listing(&store) == expected("0.2.0"));
}

/// A frame as a newer version may write it, from one of this version.
fn newer_frame(segment: &[u8], at: usize) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap());
    let len = |at: usize| usize::try_from(word(at)).unwrap();
    let (seed, meta, data) = (word(8), len(at + 4), len(at + 8));
    let mut frame = segment[at..at + 20 + meta + data].to_vec();
    frame[3] = 2;
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    hasher.update(&frame[..16]);
    hasher.update(&frame[20..20 + meta]);
    frame[16..20].copy_from_slice(&hasher.finalize().to_le_bytes());
    frame
}

#[test]
fn a_newer_frame_is_refused_and_not_taken_for_damage() {
    // The first frame of a segment is looked at before anything else is.
    let dir = copy("0.2.0");
    let path = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    let frame = newer_frame(&bytes, 16);
    bytes[16..16 + frame.len()].copy_from_slice(&frame);
    fs::write(&path, &bytes).unwrap();
    assert_names(&refused(dir.path()), &path, 2);

    // One behind others is met when the log is read: the log is as it was then.
    let dir = copy("0.2.0");
    let path = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend(newer_frame(&bytes, 16));
    bytes.extend(b"and more that nobody here can read");
    fs::write(&path, &bytes).unwrap();
    let log = dir.path().join("data.db/log");
    let before = files_of(&log);
    let error = DiskStore::open(&options(dir.path()), nobody())
        .err()
        .unwrap();
    assert_names(&error, &path, 2);
    assert!(files_of(&log) == before);

    // A version that is damaged is damage, for its checksum is not right.
    let dir = copy("0.2.0");
    let path = segments(dir.path())[1].clone();
    let mut bytes = fs::read(&path).unwrap();
    let magic = bytes.windows(4).rposition(|at| at == b"DMQ\x01").unwrap();
    bytes[magic + 3] = 2;
    fs::write(&path, &bytes).unwrap();
    assert!(DiskStore::open(&options(dir.path()), nobody()).is_ok());
}

#[test]
fn a_newer_segment_is_refused() {
    let dir = copy("0.2.0");
    let path = segments(dir.path()).pop().unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[7] = 2;
    bytes[16..].fill(0xaa);
    fs::write(&path, &bytes).unwrap();
    assert_names(&refused(dir.path()), &path, 2);
}

/// Format 0 is a store before its number was written: a crash at any operation of the way to
/// today's leads there all the same.
#[test]
fn a_migration_that_is_cut_off_is_run_again() {
    for operations in 1.. {
        let dir = copy("0.1.0");
        fs::remove_file(dir.path().join("data.db/format")).unwrap();
        let disk = Failing::after(operations);
        let failing = Options {
            files: Arc::new(disk.clone()),
            ..options(dir.path())
        };
        let format = dir.path().join("data.db/format");
        assert!(DiskStore::open(&failing, nobody()).is_err());
        let migrated = format.exists();
        opens_as_listed(dir.path(), "0.1.0");
        assert_eq!(fs::read_to_string(format).unwrap(), "dpmq store 1\n");
        if migrated {
            assert!(operations > 10, "{operations} operations are no migration");
            break;
        }
    }
}
