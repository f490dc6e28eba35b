//! What the store on disk does about bytes that are not what was written: random damage to
//! every kind of its files, beside a model that tells what was there.
//!
//! `DPMQ_DAMAGE_POSITIONS=1000` for more than a sample, `DPMQ_SEED` to repeat.

#![allow(clippy::unwrap_used, reason = "a test that fails says where")]
#![allow(clippy::print_stdout, reason = "it shows what was found")]

mod common_store;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

use common_store::*;
use dpmq::clock::Clock;
use dpmq::message::{Message, MessageCode, Status, UnixSeconds};
use dpmq::store::{Change, DiskStore, Options, Recovered, Store};
use serde::de::IgnoredAny;

const SECTOR: u64 = 512;

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

// ---- a store with a history

/// What was in the store, now and ever.
#[derive(Default)]
struct Truth {
    model: Model,
    written: HashMap<MessageCode, Message>,
    had: HashMap<MessageCode, Vec<Status>>,
}

impl Truth {
    /// Remembers every message as it is now.
    fn look(&mut self) {
        for message in self.model.messages.values() {
            self.written
                .entry(message.code)
                .or_insert_with(|| message.clone());
            let had = self.had.entry(message.code).or_default();
            if !had.contains(&message.status) {
                had.push(message.status);
            }
        }
    }
}

struct History {
    random: Random,
    clock: Clock,
    truth: Truth,
    seen: Seen,
}

impl History {
    /// A store below `dir` with segments, topics, statuses, deletions and expiry; the mirror and
    /// the snapshot lag a little if it is `killed`.
    fn write(dir: &Path, seed: u64, killed: bool) -> Truth {
        let mut history = History {
            random: Random::new(seed),
            clock: Clock::manual(NOON),
            truth: Truth {
                model: Model::new(),
                ..Truth::default()
            },
            seen: Seen::default(),
        };
        let live = dir.with_extension("live");
        for _ in 0..3 {
            let store = history.open(&live);
            history.steps(&store, 14);
            store.close().unwrap();
        }
        if killed {
            let store = history.open(&live);
            history.steps(&store, 8);
            crash_copy(&live, dir);
            // The mirror, which was copied first, has no more than the log.
            let _ = fs::remove_dir_all(&live);
        } else {
            fs::rename(&live, dir).unwrap();
        }
        history.truth
    }

    fn open(&mut self, dir: &Path) -> DiskStore {
        let (seen, hook) = recorder();
        self.seen = seen;
        let (store, recovered) = DiskStore::open(&small(dir, &self.clock), hook).unwrap();
        assert_eq!((recovered.damage.len(), recovered.healed.len()), (0, 0));
        store
    }

    fn steps(&mut self, store: &DiskStore, steps: u64) {
        for _ in 0..steps {
            let now = self.clock.now().0 + u32::try_from(self.random.between(0, 20)).unwrap();
            self.clock.set(UnixSeconds(now));
            self.step(store);
            self.truth.look();
        }
        self.truth.model.check(store);
    }

    fn step(&mut self, store: &DiskStore) {
        let model = &mut self.truth.model;
        let some = |random: &mut Random, next: u64| {
            let first = random.between(1, next);
            let last = random.between(first, (first + 60).min(next));
            let step = usize::try_from(random.between(1, 3)).unwrap();
            set((first..=last).step_by(step))
        };
        let what = match self.random.between(0, 13) {
            0..=7 => {
                let texts: Vec<String> = (0..self.random.between(1, 25))
                    .map(|n| format!("{n} ").repeat(index(self.random.between(0, 90))))
                    .collect();
                let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
                append(store, &format!("t{}", self.random.between(0, 4)), &texts);
                for message in self.seen.lock().unwrap().drain(..) {
                    model.accept(message);
                }
                return;
            }
            8 | 9 => Change::NotConsumed,
            10 | 11 => Change::Consumed {
                at: self.clock.now(),
            },
            12 if self.random.one_in(2) => Change::Requeued,
            12 => Change::Deleted,
            _ => {
                let floor = UnixSeconds(NOON.0 + (self.clock.now().0 - NOON.0) / 5);
                assert_eq!(store.expire(floor).unwrap(), model.expire(floor));
                return;
            }
        };
        let sequences = some(&mut self.random, model.next);
        let changed = store.change(what, sequences.clone());
        changed.blocking_recv().unwrap().unwrap();
        model.change(what, &sequences);
    }
}

fn small(dir: &Path, clock: &Clock) -> Options {
    Options {
        segment_bytes: 16 << 10,
        ..options(dir, clock)
    }
}

// ---- damage

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Log,
    Mirror,
    Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Fault {
    Flip,
    Truncate,
    Zero,
    Misdirected,
}

/// What is beside the damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Beside {
    Everything,
    NoSnapshot,
    NoMirror,
    Nothing,
}

/// Bytes of a file that are not what was written.
#[derive(Debug)]
struct Hit {
    kind: Kind,
    fault: Fault,
    file: PathBuf,
    from: u64,
    to: u64,
}

fn files_of(dir: &Path, kind: Kind) -> Vec<PathBuf> {
    let mut files = match kind {
        Kind::Log => segments(dir),
        Kind::Mirror => files_below(&dir.join("data.db/sled")),
        Kind::Snapshot => vec![dir.join("data")],
    };
    files.retain(|file| fs::metadata(file).is_ok_and(|meta| meta.len() > 0));
    files
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect();
    files.sort();
    files
}

/// Damages one file below `dir`, by chance.
fn hit(random: &mut Random, dir: &Path, kinds: &[Kind]) -> Hit {
    loop {
        let kind = *random.of(kinds);
        let file = random.of(&files_of(dir, kind)).clone();
        let before = fs::read(&file).unwrap();
        // The mirror's file is mostly zeros that are not used yet.
        let used = before.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
        let at = random.between(0, used - 1);
        let sector = at / SECTOR * SECTOR;
        let end = (sector + SECTOR).min(before.len() as u64);
        let range = index(sector)..index(end);
        let mut bytes = before.clone();
        let faults = [
            Fault::Flip,
            Fault::Truncate,
            Fault::Zero,
            Fault::Misdirected,
        ];
        let fault = *random.of(&faults);
        let (from, to) = match fault {
            Fault::Flip => {
                bytes[index(at)] ^= 1 << random.between(0, 7);
                (at, at + 1)
            }
            Fault::Truncate => {
                bytes.truncate(index(at));
                (at, before.len() as u64)
            }
            Fault::Zero => {
                bytes[range].fill(0);
                (sector, end)
            }
            Fault::Misdirected => {
                let others = files_of(dir, *random.of(kinds));
                let other = fs::read(random.of(&others)).unwrap();
                let from = random.between(0, other.len() as u64 / SECTOR) * SECTOR;
                let other = &other[index(from)..];
                let len = other.len().min(range.len());
                bytes[range][..len].copy_from_slice(&other[..len]);
                (sector, end)
            }
        };
        if bytes != before {
            fs::write(&file, bytes).unwrap();
            return Hit {
                kind,
                fault,
                file,
                from,
                to,
            };
        }
    }
}

type RawAccepts = (
    u64,
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
    Vec<u32>,
);
type RawMeta = (IgnoredAny, Option<RawAccepts>, IgnoredAny, IgnoredAny);

/// The sequences in the frames of a segment that a hit touches.
fn messages_in(segment: &[u8], hit: &Hit) -> BTreeSet<u64> {
    let word = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut touched) = (16, BTreeSet::new());
    while at < segment.len() {
        let (meta, data) = (word(at + 4), word(at + 8));
        let end = at + 20 + meta + data;
        let raw: RawMeta = rmp_serde::from_slice(&segment[at + 20..at + 20 + meta]).unwrap();
        if (at as u64) < hit.to && hit.from < end as u64 {
            let accepts = raw.1.into_iter();
            touched.extend(accepts.flat_map(|raw| raw.0..raw.0 + raw.5.len() as u64));
        }
        at = end;
    }
    touched
}

// ---- the test

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything is as it was, and nothing is said.
    Harmless,
    /// Everything is as it was, and what was made whole is named.
    Healed,
    /// Something is not there, and that is said.
    Reported,
}

struct Case {
    random: Random,
    dir: PathBuf,
    truth: Truth,
    clock: Clock,
    killed: bool,
    name: String,
    /// Messages that were compared.
    read: usize,
}

impl Case {
    fn open(&self) -> (DiskStore, Recovered) {
        DiskStore::open(&small(&self.dir, &self.clock), nobody())
            .unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    /// Checks what is there after the damage, and that it stays there.
    fn check(&mut self, hit: &Hit, beside: Beside, touched: &BTreeSet<u64>) -> Outcome {
        let name = self.name.clone();
        let (store, recovered) = self.open();
        let listed = list_all(&store);
        self.read = listed.len();
        for message in &listed {
            let written = self.truth.written.get(&message.code).unwrap();
            assert_eq!(message.sequence, written.sequence, "{name}");
            assert_eq!(message.topic, written.topic, "{name}");
            assert_eq!(message.data, written.data, "{name}");
            assert_eq!(message.created, written.created, "{name}");
            let had = &self.truth.had[&message.code];
            let known = had.iter().any(|status| match (status, message.status) {
                // Where the mirror is lost, so may be the time, with the frame that had it.
                (Status::Consumed { .. }, Status::Consumed { .. }) => true,
                (status, found) => *status == found,
            });
            assert!(
                known,
                "{name}: {:?} was never {:?}",
                message.code, message.status
            );
        }
        let there: BTreeSet<u64> = listed.iter().map(|message| message.sequence.0).collect();
        let lost: BTreeSet<u64> = self
            .truth
            .model
            .messages
            .keys()
            .copied()
            .filter(|sequence| !there.contains(sequence))
            .collect();
        let undamaged: Vec<_> = lost.difference(touched).collect();
        assert!(
            undamaged.is_empty(),
            "{name}: lost {undamaged:?}; {recovered:#?}"
        );
        let said = !recovered.damage.is_empty() || recovered.torn_bytes > 0;
        let outcome = if said {
            self.is_named(hit, &recovered);
            let unread = store.counts().all() - listed.len() as u64;
            assert!(
                unread <= lost.len() as u64,
                "{name}: {unread} are counted only"
            );
            Outcome::Reported
        } else {
            // Of a log alone nobody knows how long it was.
            let may_be_short = hit.fault == Fault::Truncate && beside == Beside::Nothing;
            if !(may_be_short && hit.kind == Kind::Log) {
                self.truth.model.check(&store);
            }
            if recovered.healed.is_empty() && recovered.mirror_rebuilt.is_none() {
                Outcome::Harmless
            } else {
                Outcome::Healed
            }
        };
        // The snapshot of a store that was killed lacks the last of the log.
        let has_backup = beside == Beside::Everything && !self.killed;
        assert!(
            outcome != Outcome::Reported || (hit.kind == Kind::Log && !has_backup),
            "{name}: {recovered:#?}"
        );
        drop(store);
        self.goes_on(&listed);
        outcome
    }

    /// What is said names the file and the bytes.
    fn is_named(&self, hit: &Hit, recovered: &Recovered) {
        let file = hit.file.display().to_string();
        let named = recovered.damage.iter().any(|text| text.contains(&file));
        assert!(
            named || recovered.torn_bytes > 0,
            "{}: {recovered:#?}",
            self.name
        );
    }

    /// Opened again it has the same, takes new messages, and keeps them.
    fn goes_on(&mut self, listed: &[Message]) {
        let (store, again) = self.open();
        same(&list_all(&store), listed);
        assert_eq!(again.mirror_rebuilt, None, "{}", self.name);
        assert_eq!(again.torn_bytes, 0, "{}", self.name);
        append_many(&store, "after", 3);
        let last = self.random.between(1, self.truth.model.next);
        change(&store, Change::Consumed { at: NOON }, [last]);
        let expected = content(&store);
        assert_eq!(expected.messages.len(), listed.len() + 3);
        drop(store);
        let (store, _) = self.open();
        assert_eq!(content(&store), expected, "{}", self.name);
        drop(store);
        // The mirror is rebuilt to the same, unless the log has lost what it knew.
        let (store, recovered) = self.open();
        let whole = store.damage().is_empty();
        drop((store, recovered));
        for lose in ["data.db/sled", "data.db"] {
            fs::remove_dir_all(self.dir.join(lose)).unwrap();
            let (store, _) = self.open();
            if whole {
                assert_eq!(content(&store), expected, "{} without {lose}", self.name);
            } else {
                let there: BTreeSet<_> = list_all(&store).iter().map(|m| m.code).collect();
                let all = expected.messages.iter().all(|m| there.contains(&m.code));
                assert!(all, "{} without {lose}", self.name);
            }
        }
    }
}

#[test]
fn damage_is_harmless_or_healed_or_reported() {
    let positions = number("DPMQ_DAMAGE_POSITIONS", 60);
    let seed = number("DPMQ_SEED", 1);
    println!("seed {seed}");
    let root = tempfile::tempdir().unwrap();
    let mut tally: BTreeMap<(Kind, Fault), BTreeMap<Outcome, u64>> = BTreeMap::new();
    let mut read = 0;
    let histories = (positions / 100).clamp(2, 12);
    for n in 0..histories {
        let killed = n % 2 == 1;
        let origin = root.path().join(format!("origin{n}"));
        let mut truth = History::write(&origin, seed * 1000 + n, killed);
        let mut random = Random::new(seed * 1000 + 500 + n);
        for position in 0..positions / histories {
            let dir = root.path().join("hit");
            crash_copy(&origin, &dir);
            let kinds = [Kind::Log, Kind::Log, Kind::Mirror, Kind::Snapshot];
            let beside = *random.of(&[
                Beside::Everything,
                Beside::Everything,
                Beside::NoSnapshot,
                Beside::NoMirror,
                Beside::Nothing,
            ]);
            let kinds: &[Kind] = match beside {
                Beside::Everything => &kinds,
                Beside::NoSnapshot => &kinds[..3],
                _ => &kinds[..1],
            };
            if matches!(beside, Beside::NoSnapshot | Beside::Nothing) {
                fs::remove_file(dir.join("data")).unwrap();
            }
            if matches!(beside, Beside::NoMirror | Beside::Nothing) {
                fs::remove_dir_all(dir.join("data.db/sled")).unwrap();
            }
            let hit = hit(&mut random, &dir, kinds);
            let touched = match hit.kind {
                Kind::Log => {
                    let file = hit.file.strip_prefix(&dir).unwrap();
                    messages_in(&fs::read(origin.join(file)).unwrap(), &hit)
                }
                _ => BTreeSet::new(),
            };
            let name = format!("history {n}, position {position}, {beside:?}: {hit:?}");
            let mut case = Case {
                random: Random::new(position),
                dir: dir.clone(),
                truth,
                clock: Clock::manual(UnixSeconds(NOON.0 + 10_000)),
                killed,
                name,
                read: 0,
            };
            let outcome = case.check(&hit, beside, &touched);
            read += case.read;
            truth = case.truth;
            let outcomes = tally.entry((hit.kind, hit.fault)).or_default();
            *outcomes.entry(outcome).or_default() += 1;
            fs::remove_dir_all(&dir).unwrap();
        }
    }
    println!("{read} messages read back: none differs, none that was not hit is missing");
    println!("file      damage       harmless  healed  reported");
    for ((kind, fault), outcomes) in tally {
        let of = |outcome| outcomes.get(&outcome).copied().unwrap_or_default();
        println!(
            "{:9} {:12} {:>8} {:>7} {:>9}",
            format!("{kind:?}"),
            format!("{fault:?}"),
            of(Outcome::Harmless),
            of(Outcome::Healed),
            of(Outcome::Reported),
        );
    }
}
