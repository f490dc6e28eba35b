//! What a start or an import found.

use std::path::PathBuf;

use crate::store::counts::Counts;

/// Where the messages came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There was nothing.
    Nothing,
    /// The store's own log.
    Log,
    /// The snapshot: the store was gone.
    Snapshot,
}

/// What was found at the start, for the log and for whoever asks.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Where the messages came from.
    pub origin: Origin,
    /// What there is now.
    pub counts: Counts,
    /// Frames of the log that the mirror did not have.
    pub replayed: u64,
    /// Why the mirror was built anew, if it was.
    pub mirror_rebuilt: Option<String>,
    /// Bytes at the end of the log, or of the snapshot it was restored from, that are not whole
    /// and were cut off: of a write that was not finished, or damage of the last one.
    pub torn_bytes: u64,
    /// What was damaged and is whole again, each as a sentence.
    pub healed: Vec<String>,
    /// What of the log or the snapshot cannot be read, each as a sentence.
    pub damage: Vec<String>,
    /// The messages imported from a file of the original, and the name it has now.
    pub imported: Option<(Imported, PathBuf)>,
}

/// What came of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages added to the store.
    pub added: u64,
    /// Messages that the store had already, by their code.
    pub present: u64,
}
