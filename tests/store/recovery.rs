//! What the store on disk has after crashes, damage and loss of its files.

use std::collections::HashSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::common_store::*;
use dpmq::clock::Clock;
use dpmq::import;
use dpmq::message::{MessageCode, Sequence, Status, StatusKind, UnixSeconds};
use dpmq::store::{
    Change, DiskStore, Imported, Options, Origin, Query, Recovered, Store, StoreError,
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

#[test]
fn a_lost_or_broken_mirror_is_built_from_the_log() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    store.close().unwrap();
    type Break = (&'static str, fn(&Path));
    let break_it: [Break; 7] = [
        ("gone", |sled| fs::remove_dir_all(sled).unwrap()),
        ("empty folder", |sled| {
            fs::remove_dir_all(sled).unwrap();
            fs::create_dir(sled).unwrap();
        }),
        ("garbage", |sled| {
            let garbage: Vec<u8> = (0..600_000_u32)
                .map(|n| n.to_le_bytes()[0] ^ 0x5a)
                .collect();
            fs::write(sled.join("db"), garbage).unwrap();
        }),
        ("short garbage", |sled| {
            fs::write(sled.join("db"), b"nonsense").unwrap()
        }),
        ("empty", |sled| fs::write(sled.join("db"), b"").unwrap()),
        ("cut", |sled| {
            let db = fs::OpenOptions::new()
                .write(true)
                .open(sled.join("db"))
                .unwrap();
            db.set_len(db.metadata().unwrap().len() / 3).unwrap();
        }),
        ("no configuration", |sled| {
            fs::write(sled.join("conf"), b"x").unwrap()
        }),
    ];
    for (name, break_it) in break_it {
        crash_copy(&place.dir("a"), &place.dir(name));
        break_it(&place.dir(name).join("data.db/sled"));
        let recovered = reopens_as(&place, name, &expected);
        assert!(recovered.damage.is_empty());
        if name != "no configuration" {
            // Of a file that was cut, sled may have kept the beginning.
            let rebuilt = recovered.mirror_rebuilt.is_some();
            assert!(rebuilt || recovered.replayed > 0, "{name}");
        }
    }
}

#[test]
fn flipped_bytes_in_the_mirror_never_change_an_answer() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    store.close().unwrap();
    let mut random = Random::new(1);
    let mut rebuilt = 0;
    for n in 0..40 {
        let name = format!("copy{n}");
        crash_copy(&place.dir("a"), &place.dir(&name));
        let db = place.dir(&name).join("data.db/sled/db");
        let mut bytes = fs::read(&db).unwrap();
        let used = bytes.iter().rposition(|b| *b != 0).unwrap() as u64;
        for _ in 0..random.between(1, 3) {
            let at = usize::try_from(random.between(0, used)).unwrap();
            bytes[at] ^= 1 << random.between(0, 7);
        }
        fs::write(&db, bytes).unwrap();
        let (store, recovered) = place.open(&name);
        rebuilt += usize::from(recovered.mirror_rebuilt.is_some());
        same(&list_all(&store), &expected.messages);
        assert_eq!(content(&store), expected);
    }
    println!("{rebuilt} of 40 were rebuilt");
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
fn what_the_mirror_knows_and_the_log_has_lost_is_named() {
    let place = Place::new();
    let store = place.filled("a");
    let before = content(&store);
    let newest = segments(&place.dir("a")).pop().unwrap();
    let len = written_len(&newest);
    append_many(&store, "t", 5);
    let lost = content(&store);
    store.close().unwrap();
    for (name, cut) in [("whole", len), ("torn", len + 40)] {
        crash_copy(&place.dir("a"), &place.dir(name));
        fs::remove_file(place.dir(name).join("data")).unwrap();
        let newest = cut_newest(&place.dir(name), cut);
        let expected = Content {
            growth: lost.growth.clone(),
            quarters: lost.quarters.clone(),
            floor: lost.floor,
            next: lost.next,
            messages: before.messages.clone(),
            counts: before.counts,
            topics: before.topics.clone(),
        };
        let recovered = reopens_as(&place, name, &expected);
        assert_eq!(recovered.mirror_rebuilt, None);
        let text = &recovered.damage[0];
        assert!(text.contains(&newest.display().to_string()), "{text}");
        assert!(
            text.contains("5 messages of the sequences 3001 to 3005"),
            "{text}"
        );
        // What comes next is behind all that was, also for a mirror that is built anew.
        let (store, _) = place.open(name);
        append_many(&store, "t", 3);
        let expected = content(&store);
        drop(store);
        fs::remove_dir_all(place.dir(name).join("data.db/sled")).unwrap();
        fs::remove_file(place.dir(name).join("data")).unwrap();
        let (store, recovered) = place.open(name);
        assert_eq!(content(&store), expected);
        let told = recovered
            .damage
            .iter()
            .any(|text| text.contains("3001 to 3005"));
        assert!(told, "{:?}", recovered.damage);
    }
}

#[test]
fn a_log_that_lost_bytes_is_healed_from_the_snapshot() {
    let place = Place::new();
    let store = place.filled("a");
    append_many(&store, "t", 5);
    let expected = content(&store);
    drop(store);
    type Lose = (&'static str, fn(&Path));
    let lose: [Lose; 6] = [
        ("end", |dir| {
            let newest = segments(dir).pop().unwrap();
            cut_newest(dir, written_len(&newest) - 30);
        }),
        ("nearly all", |dir| drop(cut_newest(dir, 10))),
        ("newest", |dir| {
            fs::remove_file(segments(dir).pop().unwrap()).unwrap()
        }),
        ("middle", |dir| fs::remove_file(&segments(dir)[1]).unwrap()),
        ("oldest", |dir| fs::remove_file(&segments(dir)[0]).unwrap()),
        ("all but the middle", |dir| {
            for (number, file) in segments(dir).iter().enumerate() {
                if number != 1 {
                    fs::remove_file(file).unwrap();
                }
            }
        }),
    ];
    for (name, lose) in lose {
        for with_mirror in [true, false] {
            if !with_mirror && ["oldest", "all but the middle"].contains(&name) {
                // Nobody knows that they were not given back.
                continue;
            }
            let name = format!("{name} {with_mirror}");
            crash_copy(&place.dir("a"), &place.dir(&name));
            lose(&place.dir(&name));
            if !with_mirror {
                fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            }
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected, "{name}");
            assert!(!recovered.healed.is_empty(), "{name}");
            assert_eq!(recovered.damage, NO_DAMAGE, "{name}");
            append_many(&store, "t", 100);
            let expected = content(&store);
            drop(store);
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected, "{name}");
            assert_eq!((recovered.damage.len(), recovered.healed.len()), (0, 0));
            drop(store);
            fs::remove_dir_all(place.dir(&name).join("data.db")).unwrap();
            let (store, _) = place.open(&name);
            assert_eq!(content(&store), expected, "{name} restored");
        }
    }
}

/// What a power cut took from the log and the snapshot could not give back is in a file that is
/// not written over, and what is appended then is never mistaken for it.
#[test]
fn a_snapshot_with_more_than_the_log_is_kept() {
    let place = Place::new();
    let store = place.filled("a");
    let len = written_len(&segments(&place.dir("a")).pop().unwrap());
    append_many(&store, "t", 300);
    drop(store);
    // The last chunk, which the end of the log would be taken from, is damaged and the one
    // behind it is whole.
    let (store, _) = place.open("a");
    append_many(&store, "t", 7);
    let lost = content(&store);
    drop(store);
    let chunk = |bytes: &[u8]| {
        let magics = bytes.windows(4).enumerate();
        magics
            .filter(|(_, m)| *m == b"CHNK")
            .map(|(at, _)| at)
            .collect::<Vec<_>>()
    };
    let snapshot = place.dir("a/data");
    let mut bytes = fs::read(&snapshot).unwrap();
    let chunks = chunk(&bytes);
    let damaged = chunks[chunks.len() - 2] + 60;
    bytes[damaged] ^= 1;
    fs::write(&snapshot, &bytes).unwrap();
    cut_newest(&place.dir("a"), len);
    fs::remove_dir_all(place.dir("a/data.db/sled")).unwrap();
    let (store, recovered) = place.open("a");
    assert!(!recovered.damage.is_empty());
    let kept = content(&store);
    assert!(kept.messages.len() < lost.messages.len());
    append_many(&store, "u", 400);
    let expected = content(&store);
    drop(store);
    let (store, _) = place.open("a");
    assert_eq!(content(&store), expected);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    let (store, _) = place.open("a");
    assert_eq!(content(&store), expected);
}

/// Two histories of one store have the same places with other bytes: of a folder that was put
/// back to an earlier day, say, and the snapshot of the day after.
#[test]
fn the_snapshot_of_another_history_of_the_store_is_not_used() {
    let in_one_segment = [(3, 300), (300, 3), (40, 41), (40, 40)];
    let in_several = [(100, 16_000), (16_000, 100), (6_000, 6_000)];
    for (mine, other) in in_one_segment.into_iter().chain(in_several) {
        let place = Place::new();
        let store = place.filled("a");
        store.close().unwrap();
        drop(store);
        crash_copy(&place.dir("a"), &place.dir("b"));
        let (store, _) = place.open("a");
        append_many(&store, "other", other);
        drop(store);
        let (store, _) = place.open("b");
        append_many(&store, "mine", mine);
        let expected = content(&store);
        drop(store);
        fs::copy(place.dir("a/data"), place.dir("b/data")).unwrap();
        let backup = fs::read(place.dir("a/data")).unwrap();
        let (store, recovered) = place.open("b");
        assert_eq!(recovered.damage, NO_DAMAGE, "{mine} {other}");
        assert_eq!(recovered.healed, NO_DAMAGE, "{mine} {other}");
        same(&list_all(&store), &expected.messages);
        append_many(&store, "mine", 10);
        let expected = content(&store);
        drop(store);
        let kept = fs::read(place.dir("b/data.other"));
        assert!(kept.is_ok_and(|kept| kept == backup), "{mine} {other}");
        let (store, recovered) = place.open("b");
        assert_eq!(content(&store), expected);
        assert_eq!(recovered.damage, NO_DAMAGE);
        drop(store);
        fs::remove_dir_all(place.dir("b/data.db")).unwrap();
        let (store, _) = place.open("b");
        assert_eq!(content(&store), expected, "{mine} {other}");
    }
}

#[test]
fn without_its_folder_the_store_is_restored_from_the_snapshot() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    let recovered = reopens_as(&place, "a", &expected);
    assert_eq!(recovered.origin, Origin::Snapshot);
    assert_eq!(recovered.damage, NO_DAMAGE);
    assert_eq!(recovered.torn_bytes, 0);
}

#[test]
fn a_restore_that_was_cut_off_is_begun_again() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    for (n, left) in ["log.restoring/0000000001.seg", "log.restoring/junk"]
        .into_iter()
        .enumerate()
    {
        let name = format!("copy{n}");
        let db = place.dir(&name).join("data.db");
        fs::create_dir_all(db.join("log.restoring")).unwrap();
        fs::create_dir_all(db.join("log")).unwrap();
        fs::write(db.join(left), b"DPMQSEG").unwrap();
        fs::copy(place.dir("a/data"), place.dir(&name).join("data")).unwrap();
        reopens_as(&place, &name, &expected);
    }
    // The old folder is gone, and the new one does not have its name yet.
    fs::create_dir_all(place.dir("between/data.db/log.restoring")).unwrap();
    fs::copy(
        place.dir("a/data.db/format"),
        place.dir("between/data.db/format"),
    )
    .unwrap();
    fs::copy(place.dir("a/data"), place.dir("between/data")).unwrap();
    reopens_as(&place, "between", &expected);
}

#[test]
fn a_snapshot_copied_at_any_time_is_a_part_of_history() {
    let place = Place::new();
    let options = Options {
        snapshot_every: Duration::from_millis(5),
        ..place.options("a")
    };
    let (store, _) = open(&options);
    // (next sequence, content) after each step.
    let mut history = vec![content(&store)];
    let mut copies = vec![];
    for n in 0..60_u64 {
        append_many(&store, "t", 30);
        history.push(content(&store));
        change(
            &store,
            Change::Consumed { at: time(1) },
            n * 20..n * 20 + 25,
        );
        history.push(content(&store));
        std::thread::sleep(Duration::from_millis(2));
        if n % 5 == 0 && place.dir("a/data").exists() {
            let copy = place.dir(&format!("copy{n}"));
            fs::create_dir(&copy).unwrap();
            fs::copy(place.dir("a/data"), copy.join("data")).unwrap();
            copies.push(format!("copy{n}"));
        }
    }
    assert!(copies.len() > 5);
    for copy in copies {
        let (store, recovered) = place.open(&copy);
        assert_eq!(recovered.damage, NO_DAMAGE);
        let restored = content(&store);
        assert!(history.contains(&restored), "{copy} at {}", restored.next);
    }
}

#[test]
fn a_snapshot_cut_at_any_byte_is_a_part_of_history() {
    let place = Place::new();
    let options = place.options("a");
    let mut history = vec![];
    for n in 0..3 {
        let (store, _) = open(&options);
        history.push(content(&store));
        append_many(&store, "t", 3);
        history.push(content(&store));
        change(&store, Change::NotConsumed, [n * 3 + 1]);
        history.push(content(&store));
    }
    let whole = fs::read(place.dir("a/data")).unwrap();
    for len in (16..whole.len()).step_by(13) {
        let name = format!("cut{len}");
        fs::create_dir(place.dir(&name)).unwrap();
        fs::write(place.dir(&name).join("data"), &whole[..len]).unwrap();
        let (store, recovered) = place.open(&name);
        assert_eq!(recovered.damage, NO_DAMAGE, "{len}");
        assert!(history.contains(&content(&store)), "{len}");
        store.close().unwrap();
        drop(store);
        fs::remove_dir_all(place.dir(&name)).unwrap();
    }
}

#[test]
fn a_damaged_snapshot_gives_back_all_but_what_is_damaged() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    let whole = fs::read(place.dir("a/data")).unwrap();
    let mut random = Random::new(5);
    for n in 0..40 {
        let name = format!("flip{n}");
        let at = if n < 20 {
            16 + n
        } else {
            usize::try_from(random.between(16, whole.len() as u64 - 1)).unwrap()
        };
        let mut bytes = whole.clone();
        bytes[at] ^= 0x10;
        fs::create_dir(place.dir(&name)).unwrap();
        fs::write(place.dir(&name).join("data"), bytes).unwrap();
        let (store, recovered) = place.open(&name);
        let kept = list_all(&store);
        println!(
            "{at}: {} of {}; {:?}",
            kept.len(),
            expected.messages.len(),
            recovered.damage
        );
        assert!(
            !recovered.damage.is_empty() || recovered.torn_bytes > 0,
            "{at}"
        );
        // At most a frame is lost, with its messages or their changes; the last chunk's head
        // tells how much of it is there.
        assert!(kept.len() + 300 >= expected.messages.len(), "{at}");
        let codes: HashSet<MessageCode> = expected.messages.iter().map(|m| m.code).collect();
        let known = kept.iter().filter(|m| codes.contains(&m.code)).count();
        assert!(kept.len() - known <= 3, "{at}: deleted ones may be back");
    }
}

#[test]
fn a_torn_tail_is_cut_wherever_it_was_torn() {
    let place = Place::new();
    let (store, _) = place.open("a");
    append_many(&store, "t", 10);
    let newest = segments(&place.dir("a")).pop().unwrap();
    let len = || usize::try_from(written_len(&newest)).unwrap();
    // The mirror lags the steps: what it has was synced, and would be missed.
    crash_copy(&place.dir("a"), &place.dir("before"));
    // (length of the log, content) after each frame.
    let mut steps = vec![(len(), content(&store))];
    append(&store, "t", &["one", "two"]);
    steps.push((len(), content(&store)));
    change(&store, Change::Consumed { at: time(3) }, 3..6);
    steps.push((len(), content(&store)));
    append(&store, "u", &["three"]);
    steps.push((len(), content(&store)));
    crash_copy(&place.dir("a"), &place.dir("whole"));
    fs::remove_dir_all(place.dir("whole/data.db/sled")).unwrap();
    copy_dir(
        &place.dir("before/data.db/sled"),
        &place.dir("whole/data.db/sled"),
    );
    let with_room = fs::read(&newest).unwrap();
    let whole = written(with_room.clone());
    assert!(with_room.len() > whole.len());
    for with_mirror in [true, false] {
        let step = if with_mirror { 5 } else { 1 };
        for cut in (steps[0].0..=whole.len()).rev().step_by(step) {
            let name = format!("cut{cut}{with_mirror}");
            crash_copy(&place.dir("whole"), &place.dir(&name));
            if !with_mirror {
                fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            }
            let segment = segments(&place.dir(&name)).pop().unwrap();
            let mut torn = whole[..cut].to_vec();
            if cut % 2 == 0 {
                torn.resize(with_room.len(), 0);
            }
            fs::write(&segment, &torn).unwrap();
            let (store, recovered) = place.open(&name);
            let (end, expected) = steps
                .iter()
                .rfind(|(end, _)| torn.starts_with(&whole[..*end]))
                .unwrap();
            assert_eq!(&content(&store), expected, "{cut}");
            let torn_to = torn.iter().rposition(|byte| *byte != 0).unwrap() + 1;
            let torn_bytes = torn_to.saturating_sub(*end);
            assert_eq!(recovered.torn_bytes, torn_bytes as u64, "{cut}");
            assert_eq!(recovered.damage, NO_DAMAGE);
            if cut % 4 != 0 {
                continue;
            }
            // It goes on from there.
            append(&store, "t", &["after"]);
            let expected = content(&store);
            drop(store);
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected);
            assert_eq!((recovered.torn_bytes, recovered.damage.len()), (0, 0));
            drop(store);
            fs::remove_dir_all(place.dir(&name)).unwrap();
        }
    }
}

#[test]
fn a_segment_torn_while_it_was_begun_is_begun_again() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    store.close().unwrap();
    let last = segments(&place.dir("a")).pop().unwrap();
    let head = fs::read(&last).unwrap()[..60].to_vec();
    let number: u32 = last.file_stem().unwrap().to_str().unwrap().parse().unwrap();
    for len in [0, 1, 15, 16, 17, 30, 45, 60] {
        let name = format!("torn{len}");
        crash_copy(&place.dir("a"), &place.dir(&name));
        let mut head = head[..len].to_vec();
        if len >= 16 {
            head[12..16].copy_from_slice(&(number + 1).to_le_bytes());
        }
        let path = place
            .dir(&name)
            .join(format!("data.db/log/{:010}.seg", number + 1));
        fs::write(&path, head).unwrap();
        {
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected);
            assert_eq!(recovered.damage, NO_DAMAGE, "{len}");
            append_many(&store, "t", 3);
            // When all is expired and given back, the base must still tell what was.
            place.clock.set(time(100));
            store.expire(time(99)).unwrap();
            append_many(&store, "t", 2);
            append_many(&store, "t", 1000);
        }
        let (store, _) = place.open(&name);
        let kept = content(&store);
        drop(store);
        fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
        let (store, _) = place.open(&name);
        assert_eq!(content(&store).growth, kept.growth, "{len}");
        assert_eq!(content(&store), kept, "{len}");
        drop(store);
        fs::remove_dir_all(place.dir(&name)).unwrap();
        place.clock.set(NOON);
    }
}

#[test]
fn damage_in_the_log_costs_only_what_is_damaged() {
    let place = Place::new();
    let (store, _) = place.open("a");
    let mut all = vec![];
    for n in 0..100 {
        let long = format!("a message {n} ").repeat(20);
        all.extend(append(&store, "t", &[&long, &long]));
    }
    store.close().unwrap();
    drop(store);
    let files = segments(&place.dir("a"));
    let at_16 = fs::read(&files[0])
        .unwrap()
        .windows(4)
        .skip(17)
        .position(|w| w == b"DMQ\x01")
        .unwrap()
        + 17;
    let mut random = Random::new(3);
    for n in 0..30 {
        let file = &files[usize::try_from(random.between(0, files.len() as u64 - 2)).unwrap()];
        let len = written_len(file);
        let at = random.between(at_16 as u64, len - 1);
        for with_mirror in [true, false] {
            let name = format!("flip{n}{with_mirror}");
            crash_copy(&place.dir("a"), &place.dir(&name));
            fs::remove_file(place.dir(&name).join("data")).unwrap();
            let path = place
                .dir(&name)
                .join("data.db/log")
                .join(file.file_name().unwrap());
            let mut bytes = fs::read(&path).unwrap();
            bytes[usize::try_from(at).unwrap()] ^= 4;
            fs::write(&path, bytes).unwrap();
            if !with_mirror {
                fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            }
            let (store, recovered) = place.open(&name);
            let listed = list_all(&store);
            assert_eq!(listed.len(), 198, "{at} of {}", path.display());
            let codes: HashSet<_> = all.iter().copied().collect();
            assert!(listed.iter().all(|m| codes.contains(&m.code)));
            same(&scan(&store, &scan_of(StatusKind::Accepted)), &{
                let mut oldest_first = listed.clone();
                oldest_first.reverse();
                oldest_first
            });
            assert!(recovered.damage[0].contains(&path.display().to_string()));
            // The mirror tells of messages, and the scrub which of them cannot be read.
            let counted = if with_mirror { 200 } else { 198 };
            assert_eq!(store.counts().all(), counted);
            assert_eq!(store.next_sequence(), Sequence(201));
            // Life goes on, also with expiry over the damage.
            append_many(&store, "t", 3);
            place.clock.set(time(500));
            store.expire(time(500)).unwrap();
            assert_eq!(list_all(&store), []);
            assert_eq!(store.counts().all(), 0);
            place.clock.set(NOON);
        }
    }
}

#[test]
fn a_segment_with_a_damaged_head_is_read_all_the_same() {
    let place = Place::new();
    let store = place.filled("a");
    let expected = content(&store);
    drop(store);
    let files = segments(&place.dir("a"));
    for file in [0, 1, files.len() - 1] {
        for at in [0, 9, 13] {
            let name = format!("flip{file}at{at}");
            crash_copy(&place.dir("a"), &place.dir(&name));
            fs::remove_dir_all(place.dir(&name).join("data.db/sled")).unwrap();
            fs::remove_file(place.dir(&name).join("data")).unwrap();
            let path = &segments(&place.dir(&name))[file];
            let mut bytes = fs::read(path).unwrap();
            bytes[at] ^= 1;
            fs::write(path, bytes).unwrap();
            let (store, recovered) = place.open(&name);
            assert_eq!(content(&store), expected);
            assert_eq!(recovered.damage, NO_DAMAGE);
            assert!(recovered.healed[0].contains("from byte 0 to 16"));
        }
    }
}

#[test]
fn segments_of_deleted_messages_are_given_back() {
    let place = Place::new();
    let (store, _) = place.open("a");
    let dir = place.dir("a");
    for second in 0..40 {
        place.clock.set(time(second));
        append_many(&store, "t", 200);
        change(
            &store,
            Change::Consumed { at: time(second) },
            (1..8000).step_by(3),
        );
    }
    let growth = store.growth();
    let files = segments(&dir).len();
    let bytes = bytes_of(&dir.join("data.db/log"));
    assert!(files > 5, "{files}");
    assert_eq!(store.expire(time(35)).unwrap().all(), 35 * 200);
    append_many(&store, "t", 1);
    let expected = content(&store);
    assert_eq!(expected.messages.len(), 1001);
    store.close().unwrap();
    drop(store);
    assert!(segments(&dir).len() < files / 2);
    assert!(bytes_of(&dir.join("data.db/log")) < bytes / 2);
    // Growth and sequences live on without the mirror, and in the snapshot.
    let lose: [fn(&Path); 2] = [
        |dir| fs::remove_dir_all(dir.join("data.db/sled")).unwrap(),
        |dir| fs::remove_dir_all(dir.join("data.db")).unwrap(),
    ];
    for lose in lose {
        lose(&dir);
        reopens_as(&place, "a", &expected);
    }
    let (store, _) = place.open("a");
    assert_eq!(store.growth(), [(growth[0].0, growth[0].1 + 1)]);
    store.expire(time(1000)).unwrap();
    place.clock.set(time(1000));
    append_many(&store, "t", 1);
    append_many(&store, "t", 1);
    let expected = content(&store);
    drop(store);
    assert_eq!(segments(&dir).len(), 1);
    for lose in lose {
        lose(&dir);
        reopens_as(&place, "a", &expected);
    }
}

#[test]
fn the_snapshot_gets_smaller_when_messages_expire() {
    let place = Place::new();
    let options = Options {
        segment_bytes: 1 << 20,
        snapshot_every: Duration::from_millis(20),
        ..place.options("a")
    };
    let (store, _) = open(&options);
    let long = "x".repeat(100 << 10);
    for second in 0..50 {
        place.clock.set(time(second));
        append(&store, "t", &[&long, &long, &long, &long]);
    }
    let until = std::time::Instant::now() + Duration::from_secs(20);
    let wait_for = |what: &dyn Fn() -> bool| {
        while !what() {
            assert!(std::time::Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    wait_for(&|| bytes_of(&place.dir("a/data")) > 19 << 20);
    assert_eq!(store.expire(time(48)).unwrap().all(), 4 * 48);
    wait_for(&|| bytes_of(&place.dir("a/data")) < 3 << 20);
    let expected = content(&store);
    drop(store);
    assert!(bytes_of(&place.dir("a")) < 10 << 20);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    reopens_as(&place, "a", &expected);
}

#[test]
fn a_snapshot_that_was_late_has_no_hole() {
    let place = Place::new();
    let (store, _) = place.open("a");
    append_many(&store, "t", 300);
    drop(store);
    // The snapshot knows the beginning; then segments come and go before it looks again.
    let (store, _) = place.open("a");
    for second in 0..30 {
        place.clock.set(time(second));
        append_many(&store, "t", 200);
    }
    store.expire(time(29)).unwrap();
    append_many(&store, "t", 10);
    let expected = content(&store);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    let recovered = reopens_as(&place, "a", &expected);
    assert_eq!(recovered.damage, NO_DAMAGE);
}

#[test]
fn the_snapshot_of_another_store_is_put_aside() {
    let place = Place::new();
    drop(place.filled("a"));
    place.clock.set(NOON);
    drop(place.filled("b"));
    let backup = fs::read(place.dir("b/data")).unwrap();
    fs::write(place.dir("a/data"), &backup).unwrap();
    let (store, _) = place.open("a");
    let expected = content(&store);
    drop(store);
    assert_eq!(fs::read(place.dir("a/data.other")).unwrap(), backup);
    fs::remove_dir_all(place.dir("a/data.db")).unwrap();
    reopens_as(&place, "a", &expected);
    assert_eq!(fs::read_dir(place.dir("a")).unwrap().count(), 4);
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/fixtures/import")
        .join(name)
}

#[test]
fn a_file_of_the_original_is_taken_over_once() {
    for name in [
        "go-data-small",
        "go-data-206",
        "go-data-empty",
        "go-data-truncated",
    ] {
        let place = Place::new();
        let dir = place.dir("a");
        fs::create_dir(&dir).unwrap();
        fs::copy(fixture(name), dir.join("data")).unwrap();
        let read = import::read(&fixture(name)).unwrap();
        let (store, recovered) = place.open("a");
        let (imported, kept) = recovered.imported.unwrap();
        assert_eq!(
            (imported.added, imported.present),
            (read.messages.len() as u64, 0)
        );
        assert_eq!(recovered.damage.len(), usize::from(read.damage.is_some()));
        assert_eq!(kept, dir.join("data.original"));
        assert_eq!(fs::read(&kept).unwrap(), fs::read(fixture(name)).unwrap());
        let mut listed = list_all(&store);
        listed.sort_by_key(|m| (m.created, m.code));
        assert_eq!(listed.len(), read.messages.len());
        for (message, original) in listed.iter().zip(&read.messages) {
            assert_eq!(
                (message.code, message.created),
                (original.code, original.created)
            );
            assert_eq!(
                (&message.topic, &message.data),
                (&original.topic, &original.data)
            );
            assert_eq!(message.status, original.status);
        }
        append(&store, "t", &["new"]);
        let expected = content(&store);
        drop(store);
        let recovered = reopens_as(&place, "a", &expected);
        assert_eq!(recovered.imported, None);
        for lost in ["a/data.db/sled", "a/data.db"] {
            fs::remove_dir_all(place.dir(lost)).unwrap();
            reopens_as(&place, "a", &expected);
        }
        // As if the crash had come before the file was put aside.
        fs::rename(dir.join("data.original"), dir.join("data")).unwrap();
        let (store, recovered) = place.open("a");
        assert_eq!(content(&store), expected);
        let (imported, _) = recovered.imported.unwrap();
        assert_eq!(
            (imported.added, imported.present),
            (0, read.messages.len() as u64)
        );
    }
}

#[test]
fn messages_are_imported_into_a_store_that_has_some() {
    let place = Place::new();
    let store = place.filled("a");
    let before = content(&store);
    drop(store);
    let read = || import::read(&fixture("go-data-206")).unwrap().messages;
    let first = DiskStore::import(&place.options("a"), read(), &mut |_| {}).unwrap();
    assert_eq!((first.added, first.present), (206, 0));
    let again = DiskStore::import(&place.options("a"), read(), &mut |_| {}).unwrap();
    assert_eq!((again.added, again.present), (0, 206));
    let (store, _) = place.open("a");
    assert_eq!(store.counts().all(), before.counts.all() + 206);
    let originals = Query {
        to: Some(UnixSeconds(NOON.0 - 1)),
        ..Query::default()
    };
    let newer = Query {
        from: Some(NOON),
        ..Query::default()
    };
    let listed = list(&store, &originals).len() + list(&store, &newer).len();
    assert_eq!(listed as u64, store.counts().all());
    let expected = content(&store);
    drop(store);
    for lost in ["a/data.db/sled", "a/data.db"] {
        fs::remove_dir_all(place.dir(lost)).unwrap();
        reopens_as(&place, "a", &expected);
    }
    let nothing = DiskStore::import(&place.options("a"), vec![], &mut |_| {}).unwrap();
    assert_eq!(nothing, Imported::default());
}

#[test]
fn what_is_imported_below_the_floor_expires() {
    let place = Place::new();
    let messages = import::read(&fixture("go-data-206")).unwrap().messages;
    let newest = messages.last().unwrap().created;
    place.clock.set(UnixSeconds(newest.0 + 1000));
    let (store, _) = place.open("a");
    append_many(&store, "t", 5);
    place.clock.set(UnixSeconds(newest.0 + 2000));
    append_many(&store, "t", 5);
    store.expire(UnixSeconds(newest.0 + 1500)).unwrap();
    drop(store);
    DiskStore::import(&place.options("a"), messages, &mut |_| {}).unwrap();
    for _ in 0..2 {
        let (store, _) = place.open("a");
        assert_eq!(store.counts().all(), 211);
        drop(store);
        fs::remove_dir_all(place.dir("a/data.db/sled")).unwrap();
    }
    let (store, _) = place.open("a");
    // The clock was set back: the floor asked for is below the one there was.
    assert_eq!(store.expire(UnixSeconds(newest.0 + 1)).unwrap().all(), 206);
    assert_eq!(list_all(&store).len(), 5);
    let expected = content(&store);
    drop(store);
    fs::remove_dir_all(place.dir("a/data.db/sled")).unwrap();
    reopens_as(&place, "a", &expected);
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
