//! The store's measurements: its threads take them while they work, the metrics show them.

use std::path::PathBuf;
use std::time::Duration;

use crate::measure::{Histogram, MESSAGES, SECONDS, Spread};

/// The store's measurements.
#[derive(Clone, Debug, PartialEq)]
pub struct Measures {
    /// The number of messages in each synced group.
    pub group_messages: Spread,
    /// Seconds that each of these syncs took.
    pub sync_seconds: Spread,
    /// Bytes of the log that the mirror lacks.
    pub mirror_lag_bytes: u64,
    /// How long ago the oldest of them was written; zero if there are none.
    pub mirror_lag: Duration,
    /// How long ago the snapshot last had everything, or the store was opened.
    pub snapshot_age: Duration,
}

/// The measurements of the writer.
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

/// The disk space that a store uses, in bytes.
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
