//! Random histories of the store on disk beside a plain model: whatever is asked, and however
//! the store ended in between, the answers are those of the model.
//!
//! Each history comes from a seed, which a failure prints; `STORE_SEED=<seed>` repeats it, and
//! `STORE_HISTORIES=<number>` runs more or fewer.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::path::PathBuf;

use crate::common_store::*;
use dpmq::clock::Clock;
use dpmq::message::{Sequence, Status, StatusKind, Topic, UnixSeconds};
use dpmq::sequences::{SequenceSet, Span};
use dpmq::store::{Change, DiskStore, Options, Query, Reads, Scan, Store};

const HISTORIES: u64 = 100;
const STEPS: u64 = 14;

#[test]
fn random_histories_have_the_answers_of_the_model() {
    if let Ok(seed) = std::env::var("STORE_SEED") {
        return history(seed.parse().unwrap());
    }
    let run = |seeds: std::ops::Range<u64>| {
        for seed in seeds {
            if let Err(panic) = catch_unwind(AssertUnwindSafe(|| history(seed))) {
                println!("the history of STORE_SEED={seed} failed");
                resume_unwind(panic);
            }
        }
    };
    let histories = std::env::var("STORE_HISTORIES").map_or(HISTORIES, |n| n.parse().unwrap());
    std::thread::scope(|scope| {
        scope.spawn(|| run(0..histories / 2));
        run(histories / 2..histories);
    });
}

fn history(seed: u64) {
    let mut world = World::new(seed);
    for _ in 0..STEPS {
        world.step();
        world.check();
    }
}

struct World {
    random: Random,
    root: tempfile::TempDir,
    /// How many folders the store has lived in.
    folders: u32,
    clock: Clock,
    options: Options,
    store: Option<DiskStore>,
    seen: Seen,
    model: Model,
    topics: Vec<Topic>,
    text: String,
    last_created: UnixSeconds,
    trace: bool,
}

impl World {
    fn new(seed: u64) -> World {
        let mut random = Random::new(seed);
        let root = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOON);
        let mut options = options(&root.path().join("0"), &clock);
        options.segment_bytes = *random.of(&[4 << 10, 32 << 10, 256 << 10]);
        let (seen, committed) = recorder();
        let (store, _) = DiskStore::open(&options, committed).unwrap();
        World {
            topics: (0..random.between(1, 7))
                .map(|n| topic(&format!("t{n}")))
                .collect(),
            text: (0..200 << 10)
                .map(|_| char::from(b'a' + u8::try_from(random.between(0, 25)).unwrap()))
                .collect(),
            random,
            root,
            folders: 0,
            clock,
            options,
            store: Some(store),
            seen,
            model: Model::new(),
            last_created: UnixSeconds::MIN,
            trace: std::env::var("STORE_SEED").is_ok(),
        }
    }

    fn store(&self) -> &DiskStore {
        self.store.as_ref().unwrap()
    }

    fn folder(&self) -> PathBuf {
        self.root.path().join(self.folders.to_string())
    }

    fn step(&mut self) {
        match self.random.between(0, 19) {
            0..=6 => self.append(),
            7..=11 => self.change(),
            12 => self.expire(),
            13 => self.expire_or_purge(),
            14 | 15 => self.move_clock(),
            16 => self.reopen("close"),
            17 => self.reopen("crash"),
            18 => self.reopen("crash without mirror"),
            _ => self.reopen("restore"),
        }
    }

    fn append(&mut self) {
        let calls = *self.random.of(&[1, 1, 1, 5]);
        let mut waiting = vec![];
        for _ in 0..calls {
            let most = *self.random.of(&[1, 10, 100, 600]);
            let mut drafts = vec![];
            for _ in 0..self.random.between(1, most) {
                let longest = match self.random.between(0, 599) {
                    0 => 200 << 10,
                    1..=20 => 2000,
                    _ => 60,
                };
                let length = usize::try_from(self.random.between(1, longest)).unwrap();
                let text = &self.text[self.text.len() - length..];
                let sticky = self.random.one_in(2);
                let t = if sticky {
                    &self.topics[0]
                } else {
                    self.random.of(&self.topics)
                };
                drafts.push(draft(t, text));
            }
            waiting.push((drafts.clone(), self.store().append(drafts, None)));
        }
        // A cutoff that is far ahead is of a clock that was.
        let now = match self.clock.now() {
            now if self.model.cutoff.0.saturating_sub(60) > now.0 => now,
            now => now.max(self.model.cutoff),
        };
        if now.0 < self.last_created.0.saturating_sub(60) {
            self.last_created = now;
        }
        self.last_created = self.last_created.max(now);
        self.say(format!("append {calls}"));
        for (drafts, answer) in waiting {
            let codes = answer.blocking_recv().unwrap().unwrap();
            assert_eq!(codes.len(), drafts.len());
            let seen: Vec<_> = self.seen.lock().unwrap().drain(..codes.len()).collect();
            for ((message, code), draft) in seen.into_iter().zip(codes).zip(drafts) {
                assert_eq!(message.code, code);
                assert_eq!((&message.topic, &message.data), (&draft.topic, &draft.data));
                assert_eq!(message.created, self.last_created);
                self.model.accept(message);
            }
        }
    }

    fn some_sequences(&mut self) -> SequenceSet {
        let next = self.model.next;
        let first = self.random.between(0, next);
        let len = *self.random.of(&[1, 50, 700, 5000]);
        let len = self.random.between(1, len);
        let mut set = SequenceSet::new();
        if self.random.one_in(2) {
            set.insert_span(Span { first, len });
        } else {
            let mut at = first;
            let apart = self.random.between(2, 20);
            while at < (first + len).min(next + 5) {
                set.insert(Sequence(at));
                at += self.random.between(1, apart);
            }
        }
        set
    }

    fn change(&mut self) {
        let mut waiting = vec![];
        for _ in 0..self.random.between(1, 4) {
            let at = self.clock.now();
            let change = match self.random.between(0, 9) {
                0..=2 => Change::NotConsumed,
                3 | 4 => Change::Requeued,
                5..=8 => Change::Consumed { at },
                _ => Change::Deleted,
            };
            let set = self.some_sequences();
            self.say(format!("{change:?} of {}", set.len()));
            self.model.change(change, &set);
            waiting.push(self.store().change(change, set));
        }
        for done in waiting {
            done.blocking_recv().unwrap().unwrap();
        }
    }

    fn expire_or_purge(&mut self) {
        if self.random.one_in(2) {
            return self.expire();
        }
        let topic = self.random.of(&self.topics).clone();
        let kinds = match self.random.between(0, 2) {
            0 => &StatusKind::ALL[..],
            1 => &[StatusKind::Accepted, StatusKind::NotConsumed],
            _ => &[StatusKind::Consumed],
        };
        self.say(format!("purge {topic} {kinds:?}"));
        let purged = self.store().purge(&topic, kinds).unwrap();
        assert_eq!(purged, self.model.purge(&topic, kinds));
    }

    fn expire(&mut self) {
        let times: Vec<_> = self.model.messages.values().map(|m| m.created).collect();
        if times.is_empty() {
            return;
        }
        let plus = u32::try_from(self.random.between(0, 1)).unwrap();
        let cutoff = UnixSeconds(self.random.of(&times).0 + plus);
        self.say(format!("expire {cutoff:?}"));
        let deleted = self.store().expire(cutoff).unwrap();
        assert_eq!(deleted, self.model.expire(cutoff));
    }

    fn move_clock(&mut self) {
        let now = self.clock.now();
        let by = *self.random.of(&[1, 5, 1000, 90_000]);
        let by = u32::try_from(self.random.between(1, by)).unwrap();
        let to = match self.random.between(0, 5) {
            0 => now.0 - by.min(59),
            1 => now.0 - by.min(5000),
            _ => now.0 + by,
        };
        self.say(format!("clock {now:?} to {to}"));
        self.clock.set(UnixSeconds(to));
    }

    fn reopen(&mut self, how: &str) {
        self.say(how.into());
        let from = self.folder();
        self.folders += 1;
        let to = self.folder();
        match how {
            "close" => {
                self.store().close().unwrap();
                self.store = None;
                fs::rename(&from, &to).unwrap();
            }
            "crash" | "crash without mirror" => {
                crash_copy(&from, &to);
                if how == "crash without mirror" {
                    fs::remove_dir_all(to.join("data.db/sled")).unwrap();
                }
                self.store = None;
                fs::remove_dir_all(&from).unwrap();
            }
            _ => {
                self.store = None;
                fs::create_dir_all(&to).unwrap();
                fs::copy(from.join("data"), to.join("data")).unwrap();
                fs::remove_dir_all(&from).unwrap();
            }
        }
        self.options.snapshot = to.join("data");
        let (seen, committed) = recorder();
        let (store, recovered) = DiskStore::open(&self.options, committed).unwrap();
        assert_eq!(recovered.damage, [""; 0], "{recovered:?}");
        assert_eq!(recovered.torn_bytes, 0, "{recovered:?}");
        assert_eq!(recovered.counts, self.model.counts());
        self.store = Some(store);
        self.seen = seen;
        self.last_created = UnixSeconds::MIN;
    }

    fn check(&mut self) {
        self.model.check(self.store());
        let created: Vec<_> = self.model.messages.values().map(|m| m.created).collect();
        for _ in 0..2 {
            let (from, to) = if created.is_empty() {
                (None, None)
            } else {
                let mut bound = || {
                    let some = self.random.one_in(2);
                    some.then(|| *self.random.of(&created))
                };
                (bound(), bound())
            };
            let query = Query {
                from,
                to,
                status: self
                    .random
                    .one_in(2)
                    .then(|| *self.random.of(&StatusKind::ALL)),
                topic: self
                    .random
                    .one_in(2)
                    .then(|| self.random.of(&self.topics).clone()),
                before: {
                    let some = self.random.one_in(2) && !self.model.messages.is_empty();
                    some.then(|| {
                        let all: Vec<_> = self.model.messages.values().collect();
                        self.random.of(&all).mark()
                    })
                },
            };
            same(&list(self.store(), &query), &self.model.list(&query));
        }
        let some = self.random.between(0, self.model.next);
        let (first, last) = (
            Sequence(some),
            Sequence(some + self.random.between(0, 3000)),
        );
        let messages = self.model.messages.range(first.0..=last.0);
        let accepted = messages.filter(|(_, message)| message.status == Status::Accepted);
        assert_eq!(
            self.store().accepted_between(first, last),
            accepted.count() as u64
        );
        let all: Vec<_> = self.model.messages.values().cloned().collect();
        if !all.is_empty() {
            let message = self.random.of(&all);
            let found = self.store().find(message.code, usize::MAX).unwrap();
            same(&found.messages, std::slice::from_ref(message));
        }
        for kind in StatusKind::ALL {
            let from = self.random.between(0, self.model.next);
            let asked = Scan {
                kind,
                topics: self.random.one_in(2).then(|| {
                    let some = self.random.between(0, self.topics.len() as u64);
                    let some = usize::try_from(some).unwrap();
                    self.topics[..some].iter().cloned().collect()
                }),
                from: Sequence(from),
                to: Sequence(from + self.random.between(0, self.model.next)),
                messages_max: usize::try_from(*self.random.of(&[200, 9999])).unwrap(),
                bytes_max: usize::try_from(*self.random.of(&[20_000, 1 << 30])).unwrap(),
            };
            same(&scan(self.store(), &asked), &self.model.scan(&asked));
        }
    }

    fn say(&self, what: String) {
        if self.trace {
            eprintln!("{what}; {:?}", self.model.counts());
        }
    }
}
