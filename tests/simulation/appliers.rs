//! Stores that follow the same order come to the same state, whatever their disks, segments and
//! restarts.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use dpmq::clock::Clock;
use dpmq::message::{StatusKind, Topic, UnixSeconds};
use dpmq::sequences::{SequenceSet, Span};
use dpmq::store::{Change, DiskStore, Options, Reads, Store, Work};

use crate::common_store::ordered::Tape;
use crate::common_store::{NOON, Random, content, draft, memory_dir, nobody, topic};
use crate::simulated_disk::{Faults, SimDisk};

const TOPICS: [&str; 3] = ["a", "b", "c"];

/// One of the stores.
struct Applier {
    number: usize,
    options: Options,
    disk: SimDisk,
    root: tempfile::TempDir,
    tape: Tape,
    store: Option<DiskStore>,
}

impl Applier {
    fn new(number: usize, clock: &Clock, tape: &Tape, random: &mut Random) -> Applier {
        let root = memory_dir();
        let disk = SimDisk::new(root.path(), random.next());
        let options = Options {
            files: Arc::new(disk.clone()),
            clock: clock.clone(),
            segment_bytes: random.between(2 << 10, 64 << 10),
            reserve_bytes: 8 << 10,
            order: tape.of(number),
            ..Options::new(root.path().join("data"))
        };
        let mut applier = Applier {
            number,
            options,
            disk,
            root,
            tape: tape.clone(),
            store: None,
        };
        applier.open();
        applier
    }

    fn open(&mut self) {
        let (store, _) = DiskStore::open_by_hand(&self.options, nobody()).unwrap();
        self.store = Some(store);
    }

    fn store(&self) -> &DiskStore {
        self.store.as_ref().unwrap()
    }

    /// Applies the first `entries` entries.
    fn catch_up(&self, entries: usize) {
        self.tape.let_take(self.number, entries);
        while self.store().work(Work::Write(usize::MAX)).unwrap() > 0 {}
    }

    /// Does what threads would do at some time, or restarts.
    fn live(&mut self, random: &mut Random) {
        match random.between(0, 19) {
            0..4 => drop(self.store().work(Work::Mirror)),
            4 => drop(self.store().work(Work::Take)),
            5 => drop(self.store().work(Work::Snapshot)),
            6 => {
                self.store.take().unwrap().close().unwrap();
                if random.one_in(3) {
                    fs::remove_dir_all(self.path("data.db/sled")).unwrap();
                }
                self.open();
            }
            _ => {}
        }
    }

    fn path(&self, below: &str) -> PathBuf {
        self.root.path().join(below)
    }

    /// Has a full disk while it applies `entries`, and then has room again.
    fn catch_up_without_room(&self, entries: usize, random: &mut Random) {
        self.disk.set_faults(Faults {
            room_bytes: Some(usize::try_from(random.between(0, 2000)).unwrap()),
            ..Faults::default()
        });
        self.catch_up(entries);
        self.disk.set_faults(Faults::default());
        self.catch_up(entries);
    }

    /// Proposes something. What needs several proposals is applied here meanwhile.
    fn propose(&self, random: &mut Random, clock: &Clock) {
        let store = self.store();
        let topic: Topic = topic(random.of::<&str>(&TOPICS));
        self.tape.let_take(self.number, usize::MAX);
        match random.between(0, 29) {
            0 => {
                let old = u32::try_from(random.between(1, 400)).unwrap();
                let _ = store.expire(UnixSeconds(clock.now().0.saturating_sub(old)));
            }
            1 => drop(store.purge(&topic, &[*random.of(&StatusKind::ALL)])),
            2..14 => {
                let change = *random.of(&[
                    Change::Requeued,
                    Change::NotConsumed,
                    Change::Consumed { at: clock.now() },
                    Change::Consumed { at: clock.now() },
                    Change::Deleted,
                ]);
                drop(store.change(change, some_sequences(store, random)));
            }
            _ => {
                let count = random.between(1, 60);
                let texts =
                    (0..count).map(|_| "x".repeat(usize::try_from(random.between(0, 89)).unwrap()));
                let drafts = texts.map(|text| draft(&topic, &text)).collect();
                drop(store.append(drafts, None));
            }
        }
        while self.store().work(Work::Write(usize::MAX)).unwrap() > 0 {}
    }
}

fn some_sequences(store: &DiskStore, random: &mut Random) -> SequenceSet {
    let next = store.next_sequence().0;
    let mut set = SequenceSet::new();
    for _ in 0..random.between(1, 3) {
        let first = random.between(1, next);
        let len = random.between(1, 200);
        set.insert_span(Span { first, len });
    }
    set
}

/// One history of two stores. Returns the number of entries.
pub(crate) fn history(seed: u64) -> usize {
    let mut random = Random::new(seed);
    let clock = Clock::manual(NOON);
    let tape = Tape::new(&clock, 2);
    let mut stores = [0, 1].map(|number| Applier::new(number, &clock, &tape, &mut random));
    for _ in 0..random.between(20, 150) {
        let by = usize::try_from(random.between(0, 1)).unwrap();
        stores[by].propose(&mut random, &clock);
        let entries = tape.len();
        let other = &stores[1 - by];
        match random.one_in(10) {
            true => other.catch_up_without_room(entries, &mut random),
            false => other.catch_up(entries),
        }
        let [one, two] = [0, 1].map(|number| {
            assert_eq!(tape.taken(number), entries, "DPMQ_SEED={seed}");
            stores[number].store().state_digest()
        });
        assert_eq!(one, two, "DPMQ_SEED={seed} after {entries} entries");
        for applier in &mut stores {
            applier.live(&mut random);
        }
        let seconds = u32::try_from(random.between(0, 40)).unwrap();
        let back = u32::try_from(random.between(0, 10)).unwrap();
        clock.set(UnixSeconds(clock.now().0 + seconds - back.min(seconds)));
    }
    let [one, two] = [0, 1].map(|number| content(stores[number].store()));
    assert_eq!(one, two, "DPMQ_SEED={seed}");
    tape.len()
}
