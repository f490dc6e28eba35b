//! What the store measures of itself: by its threads while they work, for whoever shows it.

use std::path::PathBuf;
use std::time::Duration;

use crate::measure::{Histogram, MESSAGES, SECONDS, Spread};

/// See the module.
#[derive(Clone, Debug, PartialEq)]
pub struct Measures {
    /// Messages of each group that was synced.
    pub group_messages: Spread,
    /// Seconds that each of these syncs took.
    pub sync_seconds: Spread,
    /// Bytes of the log that the mirror does not have yet.
    pub mirror_lag_bytes: u64,
    /// How long ago the oldest of them was written; zero if there are none.
    pub mirror_lag: Duration,
    /// How long ago the snapshot had everything, or the store was opened.
    pub snapshot_age: Duration,
}

/// What the writer measures.
#[derive(Debug)]
pub(crate) struct Syncs {
    pub(crate) group_messages: Histogram,
    pub(crate) seconds: Histogram,
}

impl Default for Syncs {
    fn default() -> Syncs {
        Syncs {
            group_messages: Histogram::new(MESSAGES),
            seconds: Histogram::new(SECONDS),
        }
    }
}

/// What a store takes of the disk, in bytes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// The folder of log and mirror.
    pub path: PathBuf,
    /// The log.
    pub log_bytes: u64,
    /// The mirror.
    pub mirror_bytes: u64,
    /// The snapshot.
    pub snapshot_bytes: u64,
}
