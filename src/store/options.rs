//! How a store is opened.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::store::fs::files::{Files, OsFiles};
use crate::store::fs::reserve::RESERVE_BYTES;
use crate::store::log::local::SEGMENT_BYTES_TARGET;

/// How to open a [`DiskStore`](crate::store::disk::DiskStore).
#[derive(Clone, Debug)]
pub struct Options {
    /// The snapshot file; the store itself is in a folder of this name with `.db` behind.
    pub snapshot: PathBuf,
    /// Time between two snapshots.
    pub snapshot_every: Duration,
    /// Whether to begin with nothing, and remove what there is.
    pub clear: bool,
    /// Where the time comes from.
    pub clock: Clock,
    /// The disk that log and snapshot are on.
    pub files: Arc<dyn Files>,
    /// The log begins a new file when the newest has this many bytes, at most a GiB.
    pub segment_bytes: u64,
    /// Bytes of the disk that are kept for what makes room when it is full.
    pub reserve_bytes: u64,
}

impl Options {
    /// A store with its snapshot at `snapshot`, written every hour.
    pub fn new(snapshot: impl Into<PathBuf>) -> Options {
        Options {
            snapshot: snapshot.into(),
            snapshot_every: Duration::from_secs(3600),
            clear: false,
            clock: Clock::system(),
            files: Arc::new(OsFiles),
            segment_bytes: SEGMENT_BYTES_TARGET,
            reserve_bytes: RESERVE_BYTES,
        }
    }
}
