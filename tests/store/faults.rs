//! The store on a disk that is full, fails, or cannot sync, at every operation in turn; and what
//! a simulation found once.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common_store::*;
use crate::simulated_disk::{Cut, Faults, SimDisk};
use dpmq::clock::Clock;
use dpmq::message::{MessageCode, Sequence, StatusKind, UnixSeconds};
use dpmq::store::{
    Appended, Change, DiskStore, Files, Options, Query, Reads, Stats, Store, StoreError, Work,
};

/// A store on a simulated disk; its mirror is in a real folder.
struct Place {
    root: tempfile::TempDir,
    disk: SimDisk,
    clock: Clock,
}

impl Place {
    fn new(seed: u64) -> Place {
        let root = memory_dir();
        let disk = SimDisk::new(root.path(), seed);
        let clock = Clock::manual(NOON);
        Place { root, disk, clock }
    }

    fn options(&self) -> Options {
        Options {
            files: Arc::new(self.disk.clone()),
            segment_bytes: 2 << 10,
            ..options(self.root.path(), &self.clock)
        }
    }

    fn open(&self) -> DiskStore {
        let (store, found) = DiskStore::open_by_hand(&self.options(), nobody()).unwrap();
        let unfinished = |text: &&String| text.contains("a write that was not finished");
        let ahead = found.damage.iter().find(|text| !unfinished(text));
        assert_eq!(ahead, None, "the mirror is never ahead of the log");
        store
    }

    /// Ends `store` as `how` does, and opens it again.
    fn after(&mut self, store: DiskStore, how: Option<Cut>) -> DiskStore {
        store.abandon();
        drop(store);
        self.disk = match how {
            Some(cut) => self.disk.cut(cut),
            None => self.disk.killed(),
        };
        self.open()
    }
}

/// What a store was asked to do, and has answered.
#[derive(Default)]
struct Asked {
    waiting: Vec<(String, Appended)>,
    /// By code, what it is the code of.
    stored: BTreeMap<[u8; 40], String>,
    refused: Vec<StoreError>,
    deleted: Vec<MessageCode>,
    number: u32,
}

impl Asked {
    fn append(&mut self, store: &DiskStore, count: usize, bytes: usize) {
        for _ in 0..count {
            self.number += 1;
            let text = format!("{} {}", self.number, "x".repeat(bytes));
            let name = format!("t{}", self.number % 3);
            let drafts = vec![draft(&topic(&name), &text)];
            self.waiting.push((text, store.append(drafts, None)));
        }
    }

    fn write(&mut self, store: &DiskStore) {
        let _ = store.work(Work::Write(usize::MAX));
        for (text, mut answer) in self.waiting.drain(..) {
            match answer.try_recv().unwrap() {
                Ok(codes) => drop(self.stored.insert(codes[0].to_hex(), text)),
                Err(error) => self.refused.push(error),
            }
        }
    }

    fn delete_first(&mut self, store: &DiskStore) {
        // Nothing can be read while the power is out.
        let mut read = vec![];
        let _ = list_into(&mut read, store, &Query::default());
        let Some(message) = read.pop() else { return };
        let sequences = set([message.sequence.0]);
        let mut answer = store.change(Change::Deleted, sequences);
        let _ = store.work(Work::Write(usize::MAX));
        // Of one that was refused nothing was promised.
        self.stored.remove(&message.code.to_hex());
        if answer.try_recv().unwrap().is_ok() {
            self.deleted.push(message.code);
        }
    }

    /// A day in the life of a store: it writes, syncs, begins segments, mirrors, deletes, expires
    /// and takes snapshots.
    fn day(&mut self, store: &DiskStore, clock: &Clock) {
        self.append(store, 5, 100);
        self.write(store);
        drop(store.change(Change::NotConsumed, set(1..4)));
        self.append(store, 3, 900);
        self.write(store);
        let _ = store.work(Work::Mirror);
        let _ = store.work(Work::Snapshot);
        clock.set(UnixSeconds(clock.now().0 + 10));
        let at = clock.now();
        drop(store.change(Change::Consumed { at }, set([2, 5, 6])));
        self.write(store);
        self.append(store, 4, 700);
        self.write(store);
        self.delete_first(store);
        let _ = store.work(Work::Mirror);
        self.append(store, 4, 50);
        self.write(store);
        // One that failed may have come into the log all the same.
        let _ = store.expire(UnixSeconds(NOON.0 + 5));
        self.stored.retain(|code, _| created(code) >= NOON.0 + 5);
        let _ = store.work(Work::Mirror);
        let _ = store.work(Work::Snapshot);
        for bytes in [2000, 10, 900] {
            self.append(store, 2, bytes);
            self.write(store);
        }
        let _ = store.work(Work::Snapshot);
    }

    /// What was answered is there.
    fn check(&self, store: &DiskStore, when: &str) {
        let listed = list_all(store);
        let by_code: BTreeMap<_, _> = listed
            .iter()
            .map(|message| (message.code.to_hex(), message))
            .collect();
        for (code, text) in &self.stored {
            let message = by_code.get(code);
            let data = message.map(|message| message.data.to_string());
            assert_eq!(data.as_ref(), Some(text), "{when}");
        }
        for code in &self.deleted {
            assert!(!by_code.contains_key(&code.to_hex()), "{when}: came back");
        }
        assert_eq!(store.counts().all(), listed.len() as u64, "{when}");
    }
}

fn created(code: &[u8; 40]) -> u32 {
    let time = std::str::from_utf8(&code[32..]).unwrap();
    u32::from_str_radix(time, 16).unwrap()
}

fn runs(place: &Place, faults: Faults) -> (DiskStore, Asked) {
    let store = place.open();
    place.disk.set_faults(faults);
    let mut asked = Asked::default();
    asked.day(&store, &place.clock);
    (store, asked)
}

/// Whether the sync of a segment has failed; one that could not be begun is not there.
fn log_is_in_doubt(place: &Place) -> bool {
    let failed = place.disk.failed_syncs();
    failed.iter().any(|name| name.ends_with(".seg"))
}

fn at_every_operation(
    faults: impl Fn(u64) -> Faults,
    check: impl Fn(Place, DiskStore, Asked, u64),
) {
    let place = Place::new(1);
    let store = place.open();
    let before = place.disk.operations();
    Asked::default().day(&store, &place.clock);
    let operations = place.disk.operations() - before;
    assert!(operations > 50, "{operations} operations");
    for operation in 0..operations {
        let place = Place::new(operation);
        let (store, asked) = runs(&place, faults(operation));
        check(place, store, asked, operation);
    }
}

/// The store goes on by itself once the disk does.
fn goes_on(mut place: Place, store: DiskStore, mut asked: Asked, when: &str) {
    place.disk.set_faults(Faults::default());
    let refused = asked.refused.len();
    asked.append(&store, 3, 10);
    asked.write(&store);
    assert_eq!(asked.refused.len(), refused, "{when}: {:?}", asked.refused);
    assert_eq!(store.health().refusing, None, "{when}");
    asked.check(&store, when);
    let store = place.after(store, Some(Cut::None));
    asked.check(&store, when);
}

#[test]
fn a_full_disk_at_any_write_refuses_and_goes_on_when_there_is_room() {
    for lasting in [Some(1), Some(5), None] {
        at_every_operation(
            |after| Faults {
                after,
                lasting,
                room_bytes: Some(usize::try_from(after % 40).unwrap()),
                ..Faults::default()
            },
            |place, store, asked, at| {
                let when = format!("full at {at} for {lasting:?}");
                for error in &asked.refused {
                    let cause = error.cause();
                    assert!(cause.contains("no storage space"), "{when}: {cause}");
                }
                asked.check(&store, &when);
                goes_on(place, store, asked, &when);
            },
        );
    }
}

/// A disk was full for good: expiry and purge, which make room, had none to be written in.
#[test]
fn a_full_disk_takes_messages_again_when_what_is_on_it_is_gone() {
    for seed in 0..10 {
        let mut place = Place::new(seed);
        let mut store = place.open();
        let mut asked = Asked::default();
        let faults = Faults {
            capacity_bytes: Some(place.disk.used_bytes() + (30 << 10)),
            ..Faults::default()
        };
        let bytes = usize::try_from(10 + 100 * seed).unwrap();
        for round in 0..6 {
            let when = format!("seed {seed}, round {round}");
            place.disk.set_faults(faults);
            asked.refused.clear();
            while asked.refused.is_empty() {
                for _ in 0..4 {
                    asked.append(&store, 3, bytes);
                    asked.write(&store);
                }
                let _ = store.work(Work::Mirror);
                let _ = store.work(Work::Snapshot);
            }
            // What becomes of them finds its place, as long as there is some.
            drop(store.change(Change::NotConsumed, set(1..store.next_sequence().0)));
            asked.write(&store);
            asked.check(&store, &when);
            if round % 2 == 0 {
                store = place.after(store, None);
                asked.check(&store, &when);
                place.disk.set_faults(faults);
            }
            if round % 3 == 0 {
                for name in ["t0", "t1", "t2"] {
                    store.purge(&topic(name), &StatusKind::ALL).unwrap();
                }
            } else {
                place.clock.set(UnixSeconds(place.clock.now().0 + 10));
                store.expire(place.clock.now()).unwrap();
            }
            asked.stored.clear();
            asked.check(&store, &when);
            store.probe();
            asked.write(&store);
            let _ = store.work(Work::Mirror);
            let _ = store.work(Work::Snapshot);
            asked.refused.clear();
            asked.append(&store, 1, bytes);
            asked.write(&store);
            assert!(asked.refused.is_empty(), "{when}: {:?}", asked.refused);
            assert_eq!(store.health().refusing, None, "{when}");
            asked.check(&store, &when);
        }
    }
}

#[test]
fn a_write_that_fails_anywhere_is_refused_and_made_up() {
    for lasting in [Some(1), Some(4), None] {
        at_every_operation(
            |after| Faults {
                after,
                lasting,
                writes: true,
                ..Faults::default()
            },
            |place, store, asked, at| {
                let when = format!("failing at {at} for {lasting:?}");
                asked.check(&store, &when);
                goes_on(place, store, asked, &when);
            },
        );
    }
}

#[test]
fn after_a_sync_of_the_log_has_failed_nothing_is_accepted_until_a_restart() {
    for lasting in [Some(1), None] {
        at_every_operation(
            |after| Faults {
                after,
                lasting,
                syncs: true,
                ..Faults::default()
            },
            |mut place, store, mut asked, at| {
                let when = format!("sync fails at {at} for {lasting:?}");
                asked.check(&store, &when);
                if !log_is_in_doubt(&place) {
                    return goes_on(place, store, asked, &when);
                }
                place.disk.set_faults(Faults::default());
                let refused = asked.refused.len();
                asked.append(&store, 1, 10);
                asked.write(&store);
                let new = &asked.refused[refused..];
                assert!(
                    matches!(new, [StoreError::Poisoned(_)]),
                    "{when}: {new:?} {:?}",
                    place.disk.failed_syncs()
                );
                assert!(
                    store.health().refusing.unwrap().contains("sync failed"),
                    "{when}"
                );
                asked.check(&store, &when);
                // What is read after a restart stays, too.
                let store = place.after(store, None);
                asked.check(&store, &when);
                let found = content(&store);
                let store = place.after(store, Some(Cut::None));
                assert_eq!(content(&store), found, "{when}");
                goes_on(place, store, asked, &when);
            },
        );
    }
}

#[test]
fn an_error_that_the_system_tells_another_thread_is_no_success() {
    for other in [Work::Take, Work::Mirror] {
        let (mut after, mut operations) = (0, 1);
        while after < operations {
            let mut place = Place::new(after);
            let store = Arc::new(place.open());
            let before = place.disk.operations();
            let weak = Arc::downgrade(&store);
            place.disk.set_others(Some(Arc::new(move || {
                let _ = weak.upgrade().unwrap().work(other);
            })));
            place.disk.set_faults(Faults {
                after,
                next_sync: true,
                ..Faults::default()
            });
            let mut asked = Asked::default();
            asked.day(&store, &place.clock);
            place.disk.set_others(None);
            operations = place.disk.operations() - before;
            let when = format!("{other:?} everywhere, an error after {after} operations");
            asked.check(&store, &when);
            place.disk.set_faults(Faults::default());
            // From which what the log lacks would be healed.
            let _ = place.disk.remove_file(&place.options().snapshot);
            place.disk.sync_dir(place.root.path()).unwrap();
            let store = place.after(Arc::into_inner(store).unwrap(), Some(Cut::None));
            asked.check(&store, &when);
            after += 1;
        }
        assert!(operations > 50, "{operations} operations");
    }
}

/// Small groups have room of zeros behind them. What of it a full disk takes in part is cut off
/// with the rest when the segment is closed.
#[test]
fn room_that_was_written_in_part_is_no_damage() {
    for (after, room) in (0..8).flat_map(|after| [1, 2000, 4095].map(|room| (after, room))) {
        let mut place = Place::new(1);
        let store = place.open();
        let mut asked = Asked::default();
        place.disk.set_faults(Faults {
            after,
            lasting: Some(2),
            room_bytes: Some(room),
            ..Faults::default()
        });
        // The segment is full, and closed at once.
        asked.append(&store, 1, 2500);
        asked.write(&store);
        place.disk.set_faults(Faults::default());
        asked.append(&store, 1, 10);
        asked.write(&store);
        let expected = list_all(&store);
        store.abandon();
        drop(store);
        place.disk = place.disk.killed();
        std::fs::remove_dir_all(place.root.path().join("data.db/sled")).unwrap();
        let (store, found) = DiskStore::open_by_hand(&place.options(), nobody()).unwrap();
        assert_eq!(found.damage, [""; 0], "{after} {room}");
        same(&list_all(&store), &expected);
    }
}

#[test]
fn a_segment_that_a_power_cut_brings_back_takes_no_messages_with_it() {
    for seed in 0..16 {
        let mut place = Place::new(seed);
        let store = place.open();
        let mut asked = Asked::default();
        place.disk.set_faults(Faults {
            folder_syncs: true,
            ..Faults::default()
        });
        // The first group fills the segment, and no other one can be begun.
        for count in [5, 3, 3] {
            asked.append(&store, count, 500);
            asked.write(&store);
        }
        let store = place.after(store, Some(Cut::Some));
        let when = format!("seed {seed}");
        asked.check(&store, &when);
        let accepted: u64 = store.growth().iter().map(|(_, count)| count).sum();
        assert_eq!(accepted, 11, "{when}");
        let mut deleted = store.change(Change::Deleted, set(1..7));
        let number = |text: &str| text.split_once(' ').unwrap().0.parse::<u32>().unwrap();
        asked.stored.retain(|_, text| number(text) >= 7);
        asked.append(&store, 5, 900);
        asked.write(&store);
        deleted.try_recv().unwrap().unwrap();
        let _ = store.work(Work::Mirror);
        asked.check(&store, &when);
        let store = place.after(store, None);
        asked.check(&store, &when);
    }
}

#[test]
fn a_power_cut_at_any_operation_loses_nothing_answered() {
    for cut in [Cut::None, Cut::All, Cut::Some, Cut::Some] {
        at_every_operation(
            |after| Faults {
                power_after: Some(after),
                ..Faults::default()
            },
            |mut place, store, asked, at| {
                let when = format!("power cut at {at}, {cut:?}");
                let store = place.after(store, Some(cut));
                asked.check(&store, &when);
                goes_on(place, store, asked, &when);
            },
        );
    }
}

#[test]
fn writes_that_do_less_than_asked_are_gone_on_with() {
    let place = Place::new(5);
    let faults = Faults {
        short: true,
        ..Faults::default()
    };
    let (store, asked) = runs(&place, faults);
    assert!(asked.refused.is_empty());
    goes_on(place, store, asked, "short");
}

/// Messages whose sync had failed were served after a restart, and could be pushed; the next
/// power cut took them away, because the system holds a page for written whose sync failed.
#[test]
fn what_a_restart_finds_is_made_durable_before_it_is_served() {
    for seed in 0..20 {
        let mut place = Place::new(seed);
        let store = place.open();
        let mut asked = Asked::default();
        asked.append(&store, 1, 10);
        asked.write(&store);
        place.disk.set_faults(Faults {
            syncs: true,
            ..Faults::default()
        });
        asked.append(&store, 4, 10);
        asked.write(&store);
        assert_eq!(asked.refused.len(), 4);
        let store = place.after(store, None);
        let served = content(&store);
        let store = place.after(store, Some(Cut::None));
        assert_eq!(content(&store), served);
        asked.check(&store, "after both");
    }
}

/// A message that was to be pushed again while the disk was full had its old status in memory,
/// was not queued, and then became "accepted" all the same: nobody pushed it until a restart.
#[test]
fn what_is_refused_is_not_done_later() {
    let place = Place::new(1);
    let store = place.open();
    let mut asked = Asked::default();
    asked.append(&store, 1, 10);
    asked.write(&store);
    drop(store.change(Change::NotConsumed, set([1])));
    asked.write(&store);
    place.disk.set_faults(Faults {
        writes: true,
        ..Faults::default()
    });
    let mut requeued = store.change(Change::Requeued, set([1]));
    asked.write(&store);
    assert!(requeued.try_recv().unwrap().is_err());
    place.disk.set_faults(Faults::default());
    asked.append(&store, 1, 10);
    asked.write(&store);
    assert_eq!(store.counts().not_consumed, 1);
}

/// Outcomes that could not be written waited for the next request, and messages that nobody had
/// got were not pushed again before there was one.
#[test]
fn outcomes_are_made_up_without_being_asked() {
    let place = Place::new(1);
    let (store, _) = DiskStore::open(&place.options(), nobody()).unwrap();
    append(&store, "t", &["a"]);
    place.disk.set_faults(Faults {
        writes: true,
        ..Faults::default()
    });
    let refused = store.change(Change::NotConsumed, set([1]));
    assert!(refused.blocking_recv().unwrap().is_err());
    assert_eq!(store.counts().not_consumed, 0);
    assert!(store.health().refusing.is_some());
    place.disk.set_faults(Faults::default());
    let until = Instant::now() + Duration::from_secs(30);
    while store.counts().not_consumed == 0 {
        assert!(Instant::now() < until, "nothing is made up");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(store.health().refusing, None);
}

/// Messages got the sequences of a frame whose data was damaged and whose head was not: whoever
/// read them found the damaged frame first, and could not read them.
#[test]
fn sequences_of_damaged_messages_are_not_given_away_again() {
    let mut place = Place::new(1);
    let store = place.open();
    let mut asked = Asked::default();
    asked.append(&store, 2, 10);
    asked.write(&store);
    let end = written(place.disk.read(&newest_segment(&place)).unwrap()).len();
    asked.append(&store, 3, 100);
    asked.write(&store);
    let last = list_all(&store)[0].sequence;
    drop(store.change(Change::NotConsumed, set([1])));
    asked.write(&store);
    // Somewhere in the data of the three.
    let path = newest_segment(&place);
    let segment = place.disk.read(&path).unwrap();
    let at = end + find(&segment[end..], b"xxxxxxxx") + 3;
    let file = place.disk.open(&path, dpmq::store::OpenHow::Write).unwrap();
    file.write_all_at(b"y", at as u64).unwrap();
    file.sync().unwrap();
    let store = place.after(store, None);
    assert!(store.next_sequence() > last, "{:?}", store.next_sequence());
    let codes = {
        let mut asked = Asked::default();
        asked.append(&store, 5, 20);
        asked.write(&store);
        asked.check(&store, "behind the damage");
        asked.stored.len()
    };
    assert_eq!(codes, 5);
    let scanned = scan(&store, &scan_of(StatusKind::Accepted));
    assert!(
        scanned
            .iter()
            .all(|m| m.sequence == Sequence(2) || m.sequence > last)
    );
}

fn newest_segment(place: &Place) -> PathBuf {
    let log = place.root.path().join("data.db/log");
    let mut names = place.disk.list(&log).unwrap();
    names.sort();
    log.join(names.last().unwrap())
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    let mut windows = bytes.windows(what.len());
    windows.position(|window| window == what).unwrap()
}
