//! How much of the disk the store uses, and how much is free.

use std::path::Path;
use std::time::Duration;

use serde::Serialize;

use crate::broker::Broker;
use crate::http::cached::Cached;
use crate::store::Usage;

/// The disk is measured at most this often.
const DISK_EVERY: Duration = Duration::from_secs(2);

/// How much of the disk the store uses, and how much is free.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http) struct Disk {
    path: String,
    pub(in crate::http) log_bytes: u64,
    pub(in crate::http) mirror_bytes: u64,
    pub(in crate::http) snapshot_bytes: u64,
    pub(in crate::http) free_bytes: u64,
    pub(in crate::http) total_bytes: u64,
}

/// The last measurement.
#[derive(Default)]
pub(in crate::http) struct DiskCache(Cached<Option<Disk>>);

impl DiskCache {
    /// The last measurement if it is fresh, else a new one; `None` without a disk.
    pub(in crate::http) async fn get(&self, broker: &Broker) -> Option<Disk> {
        if let Some(known) = self.0.fresh(DISK_EVERY) {
            return known;
        }
        let disk = match broker.usage().await {
            Some(usage) => tokio::task::spawn_blocking(move || measure(usage))
                .await
                .ok(),
            None => None,
        };
        self.0.keep(disk.clone(), DISK_EVERY);
        disk
    }
}

/// Asks the file system for its free space. Blocks.
fn measure(usage: Usage) -> Disk {
    let (free_bytes, total_bytes) = space(&usage.path);
    Disk {
        path: usage.path.display().to_string(),
        log_bytes: usage.log_bytes,
        mirror_bytes: usage.mirror_bytes,
        snapshot_bytes: usage.snapshot_bytes,
        free_bytes,
        total_bytes,
    }
}

/// The bytes that this process may still write, and the size of the file system. Logs a warning and
/// returns zeros if the file system does not tell.
fn space(path: &Path) -> (u64, u64) {
    match rustix::fs::statvfs(path) {
        Ok(stat) => {
            let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
            (bytes(stat.f_bavail), bytes(stat.f_blocks))
        }
        Err(error) => {
            tracing::warn!(%error, path = %path.display(), "the free space is not known");
            (0, 0)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_has_room() {
        let (free, total) = space(Path::new("/"));
        assert!(total > 0 && free <= total, "{free} of {total}");
        assert_eq!(space(Path::new("/nowhere")), (0, 0));
    }
}
