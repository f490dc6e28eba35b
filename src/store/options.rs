//! How to open a store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::store::commit::order::OrderOf;
use crate::store::fs::files::{Files, OsFiles};
use crate::store::fs::reserve::RESERVE_BYTES;
use crate::store::log::local::SEGMENT_BYTES_TARGET;

/// How to open a [`DiskStore`](crate::store::disk::DiskStore).
#[derive(Clone, Debug)]
pub struct Options {
    /// The path of the snapshot. The store itself is in a folder of this name with `.db` appended.
    pub snapshot: PathBuf,
    /// The interval between two snapshots.
    pub snapshot_every: Duration,
    /// Whether to remove the existing store and begin an empty one.
    pub clear: bool,
    /// The source of the time.
    pub clock: Clock,
    /// The disk of log and snapshot.
    pub files: Arc<dyn Files>,
    /// The size at which the log begins a new file, at most a GiB.
    pub segment_bytes: u64,
    /// Bytes of the disk reserved for what frees space when the disk is full.
    pub reserve_bytes: u64,
    /// The order that the store follows: its own, if nothing else is said.
    pub order: OrderOf,
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
            order: OrderOf::default(),
        }
    }
}
