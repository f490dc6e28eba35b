//! Random damage to every kind of file of the store: nothing that was not hit may be missing,
//! nothing may be read that was not written, and what is missing is named.
//!
//! `DPMQ_DAMAGE_POSITIONS=1000` for more than a sample, `DPMQ_SEED` to repeat.

mod failing;
pub(crate) mod fault;
mod history;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;

use crate::common_store::*;
use crate::damage::fault::{Beside, Fault, Hit, Kind, hit, messages_in};
use dpmq::clock::Clock;
use dpmq::message::{Message, Status, UnixSeconds};
use dpmq::store::{Change, DiskStore, Recovered, Stats};
use history::{History, Truth, small};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// Everything is as it was, and nothing is said.
    Harmless,
    /// Everything is as it was, and what was made whole is named.
    Healed,
    /// Something is not there, and that is said.
    Reported,
    /// The last frames are gone, cut off between two of them, and nothing else had them.
    Unknown,
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

impl Drop for Case {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("{}", self.name);
        }
    }
}

impl Case {
    fn open(&self) -> (DiskStore, Recovered) {
        unlocked(|| DiskStore::open(&small(&self.dir, &self.clock), nobody()))
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
            // The deletion may be lost, and then what came for it later counts.
            let is_back = !self.truth.model.messages.contains_key(&message.sequence.0);
            let known = is_back
                || had.iter().any(|status| match (status, message.status) {
                    // The frame that had it may be lost, and with it the time; what came later, and
                    // changed nothing then, leaves the message behind of what it was.
                    (Status::Consumed { .. }, _) => true,
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
            let cut = (hit.kind, hit.fault) == (Kind::Log, Fault::Truncate);
            // How long a log was is known to mirror and snapshot, as far as they had come.
            let nobody_knows = self.killed || beside == Beside::Nothing;
            if cut && nobody_knows && store.counts() != self.truth.model.counts() {
                return self.end(store, &listed, Outcome::Unknown);
            }
            self.truth.model.check(&store);
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
        self.end(store, &listed, outcome)
    }

    fn end(&mut self, store: DiskStore, listed: &[Message], outcome: Outcome) -> Outcome {
        drop(store);
        self.goes_on(listed);
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
            truth = std::mem::take(&mut case.truth);
            let outcomes = tally.entry((hit.kind, hit.fault)).or_default();
            *outcomes.entry(outcome).or_default() += 1;
            fs::remove_dir_all(&dir).unwrap();
        }
    }
    println!("{read} messages read back: none differs, none that was not hit is missing");
    println!("file      damage       harmless  healed  reported  unknown");
    for ((kind, fault), outcomes) in tally {
        let of = |outcome| outcomes.get(&outcome).copied().unwrap_or_default();
        println!(
            "{:9} {:12} {:>8} {:>7} {:>9} {:>8}",
            format!("{kind:?}"),
            format!("{fault:?}"),
            of(Outcome::Harmless),
            of(Outcome::Healed),
            of(Outcome::Reported),
            of(Outcome::Unknown),
        );
    }
}
