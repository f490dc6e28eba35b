//! Files of other histories: a store that is put back to an earlier day and goes on from there,
//! the folder of one day beside the snapshot of another, a snapshot of another store.

use std::fs;
use std::path::{Path, PathBuf};

use dpmq::store::{DiskStore, Files, Options, Storage, Store, Work};

use crate::common_store::{copy_dir, draft, memory_dir, nobody, topic};
use crate::ledger::{End, Ledger};
use crate::simulated_disk::{SimDisk, Tree};
use crate::world::{World, lock};

/// A store that is put away, and what is known of it.
pub(crate) struct Aside {
    files: Tree,
    ledger: Ledger,
    end: End,
    /// What was stored, and what was done in all, when it and the one that runs were the same.
    common: Common,
}

#[derive(Clone, Copy)]
struct Common {
    stored: u64,
    done: u64,
}

impl Common {
    fn of(ledger: &Ledger) -> Common {
        Common {
            stored: ledger.stored,
            done: ledger.done(),
        }
    }

    /// It has messages that were not there then.
    fn has_grown(self, ledger: &Ledger) -> bool {
        ledger.stored > self.stored
    }

    /// It is as it was then.
    fn is_same(self, ledger: &Ledger) -> bool {
        ledger.done() == self.done
    }
}

impl Aside {
    fn has_grown(&self) -> bool {
        self.common.has_grown(&self.ledger)
    }

    fn is_same(&self) -> bool {
        self.common.is_same(&self.ledger)
    }
}

/// What is known of a store that was put together from two.
#[derive(Default)]
pub(crate) struct Doubt {
    /// If the log goes on in the snapshot, it has all of that one: what is known of it.
    pub(crate) whole: Option<Ledger>,
    /// The file that was put at the snapshot's place and is of another history: it is there.
    kept: Option<Kept>,
}

/// A file that is not overwritten.
struct Kept {
    file: Vec<u8>,
    /// What is known of the history that it is of, if that is one of this store.
    of: Option<Ledger>,
}

impl World {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    fn files(&self) -> Tree {
        let mut files = self.disk.tree(&self.path("data.db"));
        files.append(&mut self.disk.tree(&self.path("data")));
        files
    }

    /// The store as it is, the mirror included.
    fn put_away(&self, mirror: &str, common: Common) -> Aside {
        let mirror = self.path(mirror);
        let _ = fs::remove_dir_all(&mirror);
        let sled = self.path("data.db/sled");
        if sled.exists() {
            copy_dir(&sled, &mirror);
        }
        Aside {
            files: self.files(),
            ledger: self.ledger().clone(),
            end: self.end,
            common,
        }
    }

    fn put_back(&mut self, files: &Tree, mirror: &str) {
        for name in ["data.db", "data"] {
            let path = self.path(name);
            let below = files
                .range(path.clone()..)
                .take_while(|(file, _)| file.starts_with(&path));
            let below = below
                .map(|(file, bytes)| (file.clone(), bytes.clone()))
                .collect();
            self.disk.put(&path, &below).unwrap();
        }
        self.disk.sync_dir(self.root.path()).unwrap();
        let sled = self.path("data.db/sled");
        let _ = fs::remove_dir_all(&sled);
        // A mirror is given no other name where another history of it may come by.
        let _ = fs::remove_dir_all(self.path("older"));
        if self.path(mirror).exists() {
            copy_dir(&self.path(mirror), &sled);
        }
    }

    fn put_snapshot(&self, bytes: Vec<u8>) {
        let path = self.path("data");
        self.disk
            .put(&path, &Tree::from([(path.clone(), bytes)]))
            .unwrap();
    }

    /// What somebody does with copies of the store while nothing runs.
    pub(crate) fn other_histories(&mut self) {
        self.check_kept();
        // Without a log the store would be made of whatever snapshot is there.
        let has_log = !self.disk.tree(&self.path("data.db/log")).is_empty();
        if self.tally.turned > 0 || !has_log || !self.random.one_in(self.copies) {
            return;
        }
        let Some(aside) = self.aside.take() else {
            if self.random.one_in(10) {
                return self.of_another_store();
            }
            if self.end == End::Closed {
                self.say(|| "the store is copied".into());
                let common = Common::of(&self.ledger());
                self.aside = Some(self.put_away("aside", common));
            }
            return;
        };
        let grown = aside.common.has_grown(&self.ledger());
        let same = aside.common.is_same(&self.ledger());
        match self.random.between(0, 2) {
            0 => {
                self.say(|| "the store goes on from the copy".into());
                let now = self.put_away("now", aside.common);
                self.put_back(&aside.files, "aside");
                let _ = fs::remove_dir_all(self.path("aside"));
                let _ = fs::rename(self.path("now"), self.path("aside"));
                *lock(&self.ledger) = aside.ledger;
                self.end = aside.end;
                self.aside = Some(now);
                self.doubt = Doubt::default();
            }
            // Both went on: it is the store of the log.
            1 if grown && aside.has_grown() => {
                let from_copy = aside.files.get(&self.path("data")).cloned();
                let Some(bytes) = from_copy else { return };
                self.say(|| "the snapshot of another history is put beside the store".into());
                self.tally.other_histories += 1;
                self.doubt.kept = (aside.end == End::Closed).then(|| Kept {
                    file: bytes.clone(),
                    of: Some(aside.ledger),
                });
                self.put_snapshot(bytes);
            }
            1 if aside.is_same() => {
                let Some(bytes) = aside.files.get(&self.path("data")).cloned() else {
                    return;
                };
                self.say(|| "an earlier snapshot is put beside the store".into());
                self.tally.other_histories += 1;
                self.put_snapshot(bytes);
            }
            // The log is put back, and the snapshot is of now. Where nothing but outcomes has come
            // to one of them, nobody can tell which it is.
            2 if aside.is_same() && grown && self.end == End::Closed
                || aside.has_grown() && (grown || same) =>
            {
                let snapshot = self.disk.tree(&self.path("data"));
                let Some(bytes) = snapshot.into_values().next() else {
                    return;
                };
                self.say(|| {
                    format!(
                        "the log is put back beside the snapshot: {grown} {}",
                        aside.has_grown()
                    )
                });
                self.tally.other_histories += 1;
                let now = self.ledger().clone();
                let both = grown && aside.has_grown();
                self.doubt = Doubt {
                    kept: (both && self.end == End::Closed).then(|| Kept {
                        file: bytes.clone(),
                        of: Some(now.clone()),
                    }),
                    whole: (!aside.has_grown()).then_some(now),
                };
                self.put_back(&aside.files, "aside");
                self.put_snapshot(bytes);
                *lock(&self.ledger) = aside.ledger;
                self.end = aside.end;
            }
            _ => self.aside = Some(aside),
        }
    }

    fn of_another_store(&mut self) {
        self.say(|| "the snapshot of another store is put beside".into());
        let root = memory_dir();
        let disk = SimDisk::new(root.path(), 1);
        let options = Options {
            clock: self.clock.clone(),
            files: std::sync::Arc::new(disk.clone()),
            ..Options::new(root.path().join("data"))
        };
        let (store, _) = DiskStore::open_by_hand(&options, nobody()).unwrap();
        let answer = store.append(vec![draft(&topic("other"), "not of this store")], None);
        store.work(Work::Write(1)).unwrap();
        drop(answer);
        store.close().unwrap();
        let bytes = disk
            .tree(&root.path().join("data"))
            .into_values()
            .next()
            .unwrap();
        self.tally.other_histories += 1;
        self.doubt.kept = Some(Kept {
            file: bytes.clone(),
            of: None,
        });
        self.put_snapshot(bytes);
    }

    /// The store is open: which of two it is, and what of the other must be kept.
    pub(crate) fn settle_doubt(&mut self, store: &dyn Storage) {
        self.settle_kept(store);
        let Some(whole) = self.doubt.whole.take() else {
            return;
        };
        let last = self.ledger().last_sequence();
        if whole.last_sequence() > last && store.next_sequence().0 > last + 1 {
            *lock(&self.ledger) = whole;
        }
    }

    /// Where the log has nothing any more of what both had, a file is kept for what it alone has,
    /// unless that is older than what has expired.
    fn settle_kept(&mut self, store: &dyn Storage) {
        let others = self.doubt.kept.as_ref().and_then(|kept| kept.of.as_ref());
        if others.is_some_and(|of| !of.has_others(&self.ledger(), store.cutoff())) {
            self.doubt.kept = None;
        }
    }

    /// The file of another history is where it was put, or beside.
    fn check_kept(&mut self) {
        let Some(Kept { file, .. }) = &self.doubt.kept else {
            return;
        };
        let is_it = |path: &Path| {
            self.disk
                .tree(path)
                .into_values()
                .any(|bytes| bytes == *file)
        };
        let names = self.disk.list(self.root.path()).unwrap();
        let mut names = names
            .iter()
            .filter(|name| *name == "data" || name.starts_with("data.other"));
        assert!(names.any(|name| is_it(&self.path(name))), "overwritten");
    }
}
