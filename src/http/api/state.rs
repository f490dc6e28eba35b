//! What the console API keeps between requests: bounded, and nothing that matters.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::error::Refusal;
use super::events::Overviews;
use super::export::Links;
use super::overview::DiskCache;

/// Streams of events that can be open at once.
pub(super) const STREAMS_MAX: usize = 64;
/// Searches and exports that can run at once: each keeps the disk busy.
const LISTS_MAX: usize = 8;

/// Backups that can be sent at once: each keeps the files of the log on the disk, expired or not.
const BACKUPS_MAX: usize = 2;

/// Scrapes of the metrics that can be answered at once: each reads the disk.
const SCRAPES_MAX: usize = 4;

/// See the module.
pub(in crate::http) struct Console {
    pub(super) links: Links,
    pub(super) overviews: Overviews,
    pub(in crate::http) disk: DiskCache,
    streams: Arc<Semaphore>,
    lists: Arc<Semaphore>,
    backups: Arc<Semaphore>,
    scrapes: Arc<Semaphore>,
}

impl Console {
    /// Nothing is open.
    pub(in crate::http) fn new() -> Console {
        Console {
            links: Links::default(),
            overviews: Overviews::default(),
            disk: DiskCache::default(),
            streams: Arc::new(Semaphore::new(STREAMS_MAX)),
            lists: Arc::new(Semaphore::new(LISTS_MAX)),
            backups: Arc::new(Semaphore::new(BACKUPS_MAX)),
            scrapes: Arc::new(Semaphore::new(SCRAPES_MAX)),
        }
    }

    /// A place for a stream of events, as long as it is held.
    pub(super) fn stream_permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = self.streams.clone().try_acquire_owned();
        permit.map_err(|_| Refusal::too_many("streams of events", STREAMS_MAX))
    }

    /// A place for a search or an export, as long as it is held.
    pub(super) fn list_permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = self.lists.clone().try_acquire_owned();
        permit.map_err(|_| Refusal::too_many("searches and exports", LISTS_MAX))
    }

    /// A place for a backup, as long as it is held.
    pub(super) fn backup_permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = self.backups.clone().try_acquire_owned();
        permit.map_err(|_| Refusal::too_many("backups", BACKUPS_MAX))
    }

    /// A place for a scrape of the metrics, as long as it is held.
    pub(in crate::http) fn scrape_permit(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let permit = self.scrapes.clone().try_acquire_owned();
        permit.map_err(|_| Refusal::too_many("scrapes", SCRAPES_MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_many_searches_and_no_more() {
        let console = Console::new();
        let mut open: Vec<_> = (0..LISTS_MAX)
            .map(|_| console.list_permit().unwrap())
            .collect();
        assert!(console.list_permit().is_err());
        open.pop();
        assert!(console.list_permit().is_ok());
    }
}
