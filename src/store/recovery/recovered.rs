//! The results of a start and of an import.

use std::path::PathBuf;

use crate::store::counts::Counts;

/// Where the messages came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Nowhere: the store is new.
    Nothing,
    /// The store's own log.
    Log,
    /// The snapshot: the rest of the store was gone.
    Snapshot,
}

/// What a start found, for the log and the console.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Where the messages came from.
    pub origin: Origin,
    /// The messages there are now.
    pub counts: Counts,
    /// Frames of the log that the mirror lacked.
    pub replayed: u64,
    /// Why the mirror was rebuilt, if it was.
    pub mirror_rebuilt: Option<String>,
    /// Incomplete bytes at the end of the log, or of the snapshot it was restored from. They were
    /// cut off: they come from an unfinished write, or from damage to the last one.
    pub torn_bytes: u64,
    /// What was damaged and is healed, each as a sentence.
    pub healed: Vec<String>,
    /// What of the log or the snapshot cannot be read, each as a sentence.
    pub damage: Vec<String>,
    /// The messages imported from a file of the original, and the name it has now.
    pub imported: Option<(Imported, PathBuf)>,
}

impl Recovered {
    /// The result of a start that has found nothing yet.
    pub(super) fn of(origin: Origin) -> Recovered {
        Recovered {
            origin,
            counts: Counts::default(),
            replayed: 0,
            mirror_rebuilt: None,
            torn_bytes: 0,
            healed: vec![],
            damage: vec![],
            imported: None,
        }
    }
}

/// The result of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages added to the store.
    pub added: u64,
    /// Messages that the store had already, by their code.
    pub present: u64,
}
