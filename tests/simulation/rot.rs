//! Bits of the log turn on the disk while the store runs, where the snapshot has them too; then
//! the snapshot is written, and perhaps anew.

use std::collections::BTreeMap;
use std::path::PathBuf;

use dpmq::message::UnixSeconds;
use dpmq::store::{Stats, Store, Work};

use crate::simulated_disk::Faults;
use crate::world::{Life, World};

/// Bits that turn at once at the most.
const BITS_MAX: u64 = 4;
/// The head of a segment. With a first frame that is damaged too nobody can tell another seed or
/// format from those of another store or version: it is refused, and nothing of it is touched.
const HEAD_BYTES: usize = 16;

impl World {
    /// The last thing in a life: nothing reads the log before the next one but the snapshot.
    pub(crate) fn rot(&mut self, life: &Life) {
        let refusing = life.store.health().refusing;
        if refusing.is_some_and(|why| why.contains("sync failed")) {
            // Nothing can be healed before a restart.
            return;
        }
        self.disk.set_faults(Faults::default());
        self.disk.set_others(None);
        // Somebody may want it, however old it really is.
        self.times.keep(None);
        self.set_clock();
        let age = *self.random.of(&[0, 10, 1000]);
        let cutoff = UnixSeconds(self.clock.now().0 - age);
        self.say(|| format!("what is older than {age} s expires, and bits turn"));
        let _ = life.store.expire(cutoff);
        // What was taken before, and what has come since.
        life.store.work(Work::Mirror);
        life.store.work(Work::Mirror);
        // A snapshot of another history gives nothing back, where it has the same bytes too.
        if self.tally.other_histories > 0 && life.store.store.work(Work::Snapshot).is_err() {
            return;
        }
        let kept = self.in_the_snapshot();
        for _ in 0..self.random.between(1, BITS_MAX) {
            if kept.is_empty() {
                break;
            }
            let all: Vec<_> = kept.iter().collect();
            let (path, bytes) = *self.random.of(&all);
            let at = usize::try_from(self.random.between(0, *bytes as u64 - 1)).unwrap();
            let bit = 1 << self.random.between(0, 7);
            if at < HEAD_BYTES {
                continue;
            }
            self.say(|| format!("bit {bit} at {at} of {}", path.display()));
            self.tally.turned += 1;
            self.disk.flip(path, at, bit);
        }
        self.turned = true;
        life.store.work(Work::Snapshot);
    }

    /// The files of the log, and how many bytes of each the snapshot has, the same.
    fn in_the_snapshot(&self) -> BTreeMap<PathBuf, usize> {
        let dir = self.root.path();
        let log = self.disk.tree(&dir.join("data.db/log"));
        let snapshot = self.disk.tree(&dir.join("data"));
        let mut kept = BTreeMap::new();
        let Some(bytes) = snapshot.values().next() else {
            return kept;
        };
        let word = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
        let mut at = 16;
        while at + 20 <= bytes.len() && bytes[at..].starts_with(b"CHNK") {
            let (segment, from, len) = (word(at + 4), word(at + 8), word(at + 12) as usize);
            let from = from as usize;
            let Some(chunk) = bytes.get(at + 20..at + 20 + len) else {
                break;
            };
            let path = dir.join(format!("data.db/log/{segment:010}.seg"));
            let before = kept.get(&path).copied().unwrap_or(0);
            let there = log.get(&path).and_then(|file| file.get(from..from + len));
            if before == from && there == Some(chunk) && len > 0 {
                kept.insert(path, from + len);
            }
            at += 20 + len;
        }
        kept
    }
}
