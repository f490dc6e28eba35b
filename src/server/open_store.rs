//! Opens the store of a configuration, and says what was recovered.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;

use crate::clock::Clock;
use crate::config::{Durability, MqConfig, Recovery};
use crate::store::{Committed, DiskStore, MemoryStore, Options, Origin, Recovered, Storage};

/// Opens the store, whose committed messages go to `committed`.
///
/// # Errors
/// The store cannot be opened.
pub(super) async fn open_store(
    mq: &MqConfig,
    committed: Committed,
) -> anyhow::Result<Arc<dyn Storage>> {
    let clock = Clock::system();
    if mq.durability == Durability::Memory {
        tracing::warn!(
            "mq.isPersistent is 0: messages are in memory only, and a restart loses them"
        );
        return Ok(Arc::new(MemoryStore::new(clock, committed)));
    }
    let options = options(mq, clock);
    let started = std::time::Instant::now();
    let opened = tokio::task::spawn_blocking(move || DiskStore::open(&options, committed)).await?;
    let (store, recovered) = opened.context("cannot open the store")?;
    report(mq, &recovered, started.elapsed());
    Ok(Arc::new(store))
}

/// How the store of `mq` is opened.
pub(super) fn options(mq: &MqConfig, clock: Clock) -> Options {
    Options {
        snapshot_every: mq.persistent_every,
        clear: mq.recovery == Recovery::Empty,
        clock,
        segment_bytes: mq.segment_bytes,
        ..Options::new(&mq.persistent_file)
    }
}

/// Logs what was recovered, and where it is.
fn report(mq: &MqConfig, recovered: &Recovered, took: Duration) {
    let file = mq.persistent_file.display();
    if let Some((imported, kept)) = &recovered.imported {
        let kept = kept.display();
        tracing::info!(
            "took {} messages over from the original's {file}, which is now {kept}",
            imported.added
        );
    }
    for healed in &recovered.healed {
        tracing::warn!("healed: {healed}");
    }
    for damage in &recovered.damage {
        tracing::error!("damaged: {damage}; everything else is served");
    }
    if let Some(reason) = &recovered.mirror_rebuilt {
        tracing::warn!("the mirror was rebuilt from the log: {reason}");
    }
    if recovered.torn_bytes > 0 {
        tracing::warn!(
            "cut {} bytes off the end of the log: an unfinished write, which no producer was told of, or damage to the last one",
            recovered.torn_bytes
        );
    }
    let counts = recovered.counts;
    let from = match recovered.origin {
        Origin::Nothing => "a new store",
        Origin::Log => "the store",
        Origin::Snapshot => "the snapshot, since the store was gone",
    };
    tracing::info!(
        "recovered {} messages from {from} in {took:.1?}: {} to be pushed, {} not consumed, {} consumed",
        counts.all(),
        counts.accepted,
        counts.not_consumed,
        counts.consumed
    );
    tracing::info!("data is in {file}.db, the snapshot for backups in {file}");
}
