//! How much of the disk the store uses, and how much is free.

use std::path::Path;
use std::sync::Mutex;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

use crate::broker::Broker;
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

/// The last measurement, and its time.
#[derive(Default)]
pub(in crate::http) struct DiskCache(Mutex<Option<(Instant, Option<Disk>)>>);

impl DiskCache {
    /// The last measurement if it is fresh, else a new one.
    pub(in crate::http) async fn get(&self, broker: &Broker) -> Option<Disk> {
        if let Some(known) = self.fresh() {
            return known;
        }
        let disk = match broker.usage().await {
            Some(usage) => tokio::task::spawn_blocking(move || measure(usage))
                .await
                .ok(),
            None => None,
        };
        let mut known = self.0.lock().expect("no holder of this lock panics");
        *known = Some((Instant::now(), disk.clone()));
        disk
    }

    /// The last measurement if it is fresh. Otherwise the caller measures, and for the next
    /// interval other callers get the old one.
    fn fresh(&self) -> Option<Option<Disk>> {
        let mut known = self.0.lock().expect("no holder of this lock panics");
        let (since, disk) = known.as_mut()?;
        if since.elapsed() < DISK_EVERY {
            return Some(disk.clone());
        }
        *since = Instant::now();
        None
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

    #[tokio::test(start_paused = true)]
    async fn the_disk_is_not_asked_all_the_time() {
        let cache = DiskCache(Mutex::new(Some((Instant::now(), None))));
        assert!(cache.fresh().is_some());
        tokio::time::advance(DISK_EVERY).await;
        assert!(cache.fresh().is_none(), "the first one asks");
        assert!(cache.fresh().is_some(), "the others do not");
        assert!(DiskCache::default().fresh().is_none());
    }
}
