//! The store: its health, its syncs, its use of the disk.

use std::fmt;

use prometheus_client::registry::Unit;

use crate::http::host::disk::Disk;
use crate::http::metrics::families::Families;
use crate::http::metrics::scrape::Scrape;
use crate::store::Measures;

impl Scrape {
    pub(super) fn store(&self, to: &mut Families<'_>) -> fmt::Result {
        self.health(to)?;
        if let Some(measures) = &self.measures {
            syncs(measures, to)?;
            copies(measures, to)?;
        }
        match &self.disk {
            Some(disk) => self.disk_use(disk, to),
            None => Ok(()),
        }
    }

    /// Whether messages are stored, and what of the store is impaired or damaged.
    fn health(&self, to: &mut Families<'_>) -> fmt::Result {
        to.gauge(
            "dpmq_ready",
            "1 if messages are accepted and stored, as /health/ready says.",
            None,
            u32::from(self.ready),
        )?;
        to.gauge(
            "dpmq_impaired_parts",
            "Parts of the store beside the log, mirror and snapshot, that cannot be written.",
            None,
            self.impaired,
        )?;
        to.gauge(
            "dpmq_damage_findings",
            "Places of the store that were found to be damaged since the start.",
            None,
            self.damage,
        )?;
        to.gauge(
            "dpmq_messages_ahead",
            "Messages dated ahead of the clock.",
            None,
            self.ahead,
        )
    }

    /// How much of the disk the store uses, and how much is free.
    fn disk_use(&self, disk: &Disk, to: &mut Families<'_>) -> fmt::Result {
        to.gauges(
            "dpmq_store",
            "Bytes that the store takes of the disk.",
            Some(Unit::Bytes),
            "part",
            [
                ("log", disk.log_bytes),
                ("mirror", disk.mirror_bytes),
                ("snapshot", disk.snapshot_bytes),
            ],
        )?;
        to.gauge(
            "dpmq_last_backup_time",
            "When a backup was sent whole last, in Unix seconds; 0: never.",
            Some(Unit::Seconds),
            self.last_backup.map_or(0, |at| at.0),
        )?;
        to.gauge(
            "dpmq_disk_free",
            "Bytes of the file system of the store that may still be written.",
            Some(Unit::Bytes),
            disk.free_bytes,
        )?;
        to.gauge(
            "dpmq_disk_size",
            "Bytes of the file system of the store.",
            Some(Unit::Bytes),
            disk.total_bytes,
        )
    }
}

/// The groups and syncs of the log.
fn syncs(measures: &Measures, to: &mut Families<'_>) -> fmt::Result {
    to.histogram(
        "dpmq_group_messages",
        "Messages that were synced together.",
        None,
        &measures.group_messages,
    )?;
    to.histogram(
        "dpmq_sync",
        "Time of a sync of the log.",
        Some(Unit::Seconds),
        &measures.sync_seconds,
    )
}

/// How far mirror and snapshot lag.
fn copies(measures: &Measures, to: &mut Families<'_>) -> fmt::Result {
    to.gauge(
        "dpmq_mirror_lag",
        "Bytes of the log that the mirror does not have yet.",
        Some(Unit::Bytes),
        measures.mirror_lag_bytes,
    )?;
    to.gauge(
        "dpmq_mirror_lag",
        "Time since the oldest of what the mirror does not have was written.",
        Some(Unit::Seconds),
        measures.mirror_lag.as_secs_f64(),
    )?;
    to.gauge(
        "dpmq_snapshot_age",
        "Time since the snapshot had everything, or since the start.",
        Some(Unit::Seconds),
        measures.snapshot_age.as_secs_f64(),
    )
}
