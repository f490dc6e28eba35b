//! A store with a history, and what was ever in it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use dpmq::clock::Clock;
use dpmq::message::{Message, MessageCode, Status, UnixSeconds};
use dpmq::store::{Change, DiskStore, Options, Store};

use crate::common_store::*;
use crate::damage::fault::index;

/// What was in the store, now and ever.
#[derive(Default)]
pub(crate) struct Truth {
    pub(crate) model: Model,
    pub(crate) written: HashMap<MessageCode, Message>,
    pub(crate) had: HashMap<MessageCode, Vec<Status>>,
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

pub(crate) struct History {
    random: Random,
    clock: Clock,
    truth: Truth,
    seen: Seen,
}

impl History {
    /// A store below `dir` with segments, topics, statuses, deletions and expiry; the mirror and
    /// the snapshot lag a little if it is `killed`.
    pub(crate) fn write(dir: &Path, seed: u64, killed: bool) -> Truth {
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
        let opened = unlocked(|| {
            let (seen, hook) = recorder();
            self.seen = seen;
            DiskStore::open(&small(dir, &self.clock), hook)
        });
        let (store, recovered) = opened.unwrap();
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
            // Nothing becomes of a message before it is stored.
            let newest = next.saturating_sub(1).max(1);
            let first = random.between(1, newest);
            let last = random.between(first, (first + 60).min(newest));
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
                let cutoff = UnixSeconds(NOON.0 + (self.clock.now().0 - NOON.0) / 5);
                assert_eq!(store.expire(cutoff).unwrap(), model.expire(cutoff));
                return;
            }
        };
        let sequences = some(&mut self.random, model.next);
        let changed = store.change(what, sequences.clone());
        changed.blocking_recv().unwrap().unwrap();
        model.change(what, &sequences);
    }
}

pub(crate) fn small(dir: &Path, clock: &Clock) -> Options {
    Options {
        segment_bytes: 16 << 10,
        ..options(dir, clock)
    }
}
