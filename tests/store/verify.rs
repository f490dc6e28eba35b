//! What a check of a store finds, and that it changes nothing.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::common_store::*;
use dpmq::clock::Clock;
use dpmq::store::{
    Change, Checked, Fault, Files, OsFiles, Reads, Report, Stats, Store, StoreError, verify_file,
    verify_store,
};

/// A store that has run and is closed, in a folder of its own.
struct Place {
    root: tempfile::TempDir,
    clock: Clock,
}

impl Place {
    fn new() -> Place {
        let place = Place {
            root: tempfile::tempdir().unwrap(),
            clock: Clock::manual(NOON),
        };
        let (store, _) = open(&options(&place.dir("a"), &place.clock));
        fill(&store, &place.clock);
        store.close().unwrap();
        place
    }

    fn dir(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// A copy of the closed store.
    fn copy(&self, name: &str) -> PathBuf {
        let _ = fs::remove_dir_all(self.dir(name));
        crash_copy(&self.dir("a"), &self.dir(name));
        self.dir(name)
    }
}

fn os() -> Arc<dyn Files> {
    Arc::new(OsFiles)
}

fn verify(dir: &Path) -> Result<Report, StoreError> {
    verify_store(&os(), &dir.join("data"), &mut |_| {})
}

fn check(dir: &Path) -> Report {
    verify(dir).unwrap()
}

fn flip(path: &Path, at: u64, bit: u64) {
    let mut bytes = fs::read(path).unwrap();
    bytes[usize::try_from(at).unwrap()] ^= 1 << bit;
    fs::write(path, bytes).unwrap();
}

#[test]
fn a_whole_store_is_whole_and_not_a_byte_of_it_changes() {
    let place = Place::new();
    let before = files_of(&place.dir("a"));
    let mut last = Checked::default();
    let report = verify_store(&os(), &place.dir("a/data"), &mut |at| {
        assert!(at.done >= last.done && at.done <= at.total);
        last = at;
    })
    .unwrap();
    assert!(report.is_whole(), "{:?}", report.findings);
    assert!(report.notes.is_empty(), "{:?}", report.notes);
    assert_eq!(last.done, last.total);
    assert_eq!(files_of(&place.dir("a")), before);
    let (store, _) = open(&options(&place.dir("a"), &place.clock));
    assert_eq!(report.totals.messages, store.counts());
    assert_eq!(report.totals.topics, store.topics().len() as u64);
    assert!(matches!(
        verify(&place.dir("a")),
        Err(StoreError::Locked { .. })
    ));
    drop(store);

    // The snapshot alone tells the same.
    let alone = verify_file(&os(), &place.dir("a/data"), &mut |_| {}).unwrap();
    assert!(alone.is_whole(), "{:?}", alone.findings);
    assert_eq!(alone.totals.messages, report.totals.messages);
    assert_eq!(alone.totals.segments, report.totals.segments);
    assert!(alone.notes[0].contains("does not say where it ends"));
}

#[test]
fn a_store_that_was_killed_is_whole() {
    let place = Place::new();
    let (store, _) = open(&options(&place.dir("a"), &place.clock));
    for round in 0..5 {
        append_many(&store, "t", 30);
        change(&store, Change::NotConsumed, 2500..2520 + round);
        let dir = place.copy("killed");
        // Half a frame, which nobody was told of.
        let newest = segments(&dir).pop().unwrap();
        let whole = fs::read(&newest).unwrap();
        for torn in [0, 1, 19, 40] {
            let half = &whole[16..16 + torn];
            fs::write(&newest, [&whole[..], half].concat()).unwrap();
            let before = files_of(&dir);
            let report = check(&dir);
            assert!(report.is_whole(), "{:?}", report.findings);
            let said = report.notes.iter().any(|n| n.contains("unfinished write"));
            assert_eq!(said, torn > 0, "{:?}", report.notes);
            assert_eq!(files_of(&dir), before);
        }
    }
}

/// Every bit of log and snapshot is under a checksum, or is one.
#[test]
fn every_flipped_bit_of_log_and_snapshot_is_found() {
    let place = Place::new();
    let mut random = Random::new(11);
    for round in 0..150 {
        let dir = place.copy("b");
        let mut files = segments(&dir);
        files.push(dir.join("data"));
        let file = random.of(&files).clone();
        let at = random.between(0, bytes_of(&file) - 1);
        flip(&file, at, random.between(0, 7));
        let before = files_of(&dir);
        let what = format!("round {round}: {} at {at}", file.display());
        match verify(&dir) {
            Ok(report) => {
                let torn = report.notes.iter().any(|n| n.contains("last chunk"))
                    || report.notes.iter().any(|n| n.contains("another store"));
                assert!(!report.is_whole() || torn, "{what}");
                // Whatever is wrong is told where it is.
                let at_it = report.findings.iter().any(|finding| {
                    let place = &finding.place;
                    place.path == file && (place.from..place.to).contains(&at)
                });
                assert!(at_it || torn, "{what}: {:?}", report.findings);
            }
            // What the first bytes of the snapshot tell is whose it is.
            Err(error) => assert!(file.ends_with("data") && at < 12, "{what}: {error}"),
        }
        assert_eq!(files_of(&dir), before, "{what}");
    }
}

#[test]
fn damaged_frames_are_told_with_their_messages() {
    let place = Place::new();
    let (store, _) = open(&options(&place.dir("a"), &place.clock));
    let next = store.next_sequence().0;
    append(&store, "t", &["needle", "beside it"]);
    append(&store, "t", &["behind"]);
    drop(store);
    let dir = place.copy("data");
    let newest = segments(&dir).pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    let at = bytes.windows(6).position(|at| at == b"needle").unwrap() as u64;
    fs::remove_file(dir.join("data")).unwrap();
    flip(&newest, at, 0);
    let report = check(&dir);
    let finding = &report.findings[0];
    assert!(matches!(finding.fault, Fault::Frame(what) if what.contains("data")));
    assert!(finding.place.from < at && at < finding.place.to);
    let said = finding.to_string();
    let messages = format!("2 messages, by sequence {next} to {}", next + 1);
    assert!(said.ends_with(&messages), "{said}");

    // Where the head is damaged, what comes next tells what is missing.
    let dir = place.copy("head");
    fs::remove_file(dir.join("data")).unwrap();
    let newest = segments(&dir).pop().unwrap();
    flip(&newest, finding.place.from + 6, 1);
    let finding = check(&dir).findings.remove(0);
    assert!(matches!(finding.fault, Fault::Frame(_)), "{finding}");
    assert!(finding.to_string().ends_with(&messages), "{finding}");
}

#[test]
fn segments_and_frames_that_are_missing_or_there_twice_are_told() {
    let place = Place::new();
    let dir = place.copy("missing");
    let all = segments(&dir);
    fs::remove_file(&all[1]).unwrap();
    let report = check(&dir);
    let missing = report.findings.iter().find(|f| f.place.path == all[1]);
    let missing = missing.unwrap();
    assert_eq!(missing.fault, Fault::SegmentMissing);
    assert!(!missing.messages.is_empty(), "{missing}");

    let dir = place.copy("oldest");
    fs::remove_file(&segments(&dir)[0]).unwrap();
    let report = check(&dir);
    assert!(!report.is_whole(), "the mirror and the snapshot know of it");

    let (store, _) = open(&options(&place.dir("a"), &place.clock));
    append_many(&store, "t", 10);
    drop(store);
    let dir = place.copy("twice");
    let newest = segments(&dir).pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    // The frames of the segment once more, without its head.
    fs::write(&newest, [&bytes[..], &bytes[16..]].concat()).unwrap();
    let twice = |report: &Report| report.findings.iter().any(|f| f.fault == Fault::Twice);
    assert!(twice(&check(&dir)));

    let dir = place.copy("shorter");
    let newest = segments(&dir).pop().unwrap();
    let bytes = fs::read(&newest).unwrap();
    fs::write(&newest, &bytes[..bytes.len() - 40]).unwrap();
    let report = check(&dir);
    let cut = |f: &&dpmq::store::Finding| matches!(f.fault, Fault::LogCutOff { .. });
    assert!(report.findings.iter().any(|f| cut(&f)), "{report:?}");
}

#[test]
fn a_mirror_that_says_otherwise_is_told() {
    let place = Place::new();
    let (one, other) = (place.copy("one"), place.copy("other"));
    // The same number of bytes, another history.
    for (dir, first) in [(&one, 2600), (&other, 2700)] {
        let (store, _) = open(&options(dir, &place.clock));
        change(&store, Change::NotConsumed, (first..first + 20).step_by(2));
        store.close().unwrap();
    }
    let aside = place.dir("aside");
    fs::rename(one.join("data.db/sled"), &aside).unwrap();
    fs::rename(other.join("data.db/sled"), one.join("data.db/sled")).unwrap();
    let report = check(&one);
    let what = "the status of messages";
    let mut findings = report.findings.iter();
    let finding = findings.find(|f| f.fault == Fault::MirrorDiffers { what });
    let finding = finding.unwrap();
    assert!(finding.messages.len() >= 10, "{finding}");

    // Without a mirror nothing is lost, and so nothing is damaged.
    fs::remove_dir_all(one.join("data.db/sled")).unwrap();
    let report = check(&one);
    assert!(report.is_whole(), "{report:?}");
    assert!(report.notes[0].contains("no mirror"), "{report:?}");
}

#[test]
fn flips_in_the_mirror_are_found_or_harmless() {
    let place = Place::new();
    let (store, _) = open(&options(&place.dir("a"), &place.clock));
    let expected = content(&store);
    drop(store);
    let mut random = Random::new(3);
    let mut found = 0;
    for _ in 0..30 {
        let dir = place.copy("b");
        let db = dir.join("data.db/sled/db");
        // Most of it is zeros that nothing reads.
        let bytes = fs::read(&db).unwrap();
        let used: Vec<u64> = (0..)
            .zip(&bytes)
            .filter(|(_, byte)| **byte != 0)
            .map(|(at, _)| at)
            .collect();
        flip(&db, *random.of(&used), 3);
        let before = files_of(&dir);
        let report = check(&dir);
        assert_eq!(files_of(&dir), before);
        if report.is_whole() && report.notes.is_empty() {
            let (store, _) = open(&options(&dir, &place.clock));
            assert_eq!(content(&store), expected);
        } else {
            found += 1;
        }
    }
    assert!(found > 0);
}

#[test]
fn what_is_no_store_or_a_newer_one_is_refused() {
    let place = Place::new();
    let none = verify(&place.dir("nowhere")).unwrap_err();
    assert!(none.to_string().contains("there is no store"), "{none}");
    let dir = place.copy("newer");
    fs::write(dir.join("data.db/format"), "dpmq store 2\n").unwrap();
    let before = files_of(&dir);
    let newer = verify(&dir).unwrap_err();
    assert!(newer.to_string().contains("format 2"), "{newer}");
    assert_eq!(files_of(&dir), before);
    // Only the snapshot is left.
    let dir = place.copy("snapshot");
    fs::remove_dir_all(dir.join("data.db")).unwrap();
    let report = check(&dir);
    assert!(report.is_whole());
    assert!(
        report
            .notes
            .iter()
            .any(|note| note.contains("the next start restores it"))
    );
}
