//! The mirror tells nothing that the log does not: a store that has lost it is the same.

use std::sync::Arc;

use dpmq::store::{DiskStore, Options, Storage};

use crate::common_store::{content, memory_dir, nobody};
use crate::ledger::End;
use crate::simulated_disk::{SimDisk, Tree};
use crate::world::World;

impl World {
    /// The files of the store as the next life finds them, if it is to be compared.
    pub(crate) fn compared_files(&mut self) -> Option<Tree> {
        let has_mirror = self.path("data.db/sled").exists();
        // What is damaged, or of another history, is healed as far as it is known.
        let is_plain = !std::mem::take(&mut self.turned) && self.tally.other_histories == 0;
        // A power cut takes from the log alone.
        let compares =
            has_mirror && is_plain && (self.random.one_in(3) || self.end == End::PowerCut);
        compares.then(|| self.disk.tree(self.root.path()))
    }

    /// The store, which is opened, has what the log alone of these files has.
    pub(crate) fn compare(&mut self, store: &dyn Storage, files: &Tree) {
        self.tally.compared += 1;
        let root = memory_dir();
        let disk = SimDisk::new(root.path(), 1);
        let moved = files.iter().map(|(path, bytes)| {
            let below = path.strip_prefix(self.root.path()).unwrap();
            (root.path().join(below), bytes.clone())
        });
        disk.put(root.path(), &moved.collect()).unwrap();
        let options = Options {
            files: Arc::new(disk.clone()),
            snapshot: root.path().join("data"),
            ..self.options.clone()
        };
        let (alone, _) = DiskStore::open_by_hand(&options, nobody()).unwrap();
        assert_eq!(content(store), content(&alone), "the mirror and the log");
        alone.abandon();
    }
}
