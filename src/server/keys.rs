//! Looks at the file of keys, and ends what was opened with keys that are no more.

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, End, LOOK_EVERY};
use crate::broker::{Broker, CloseReason};

/// Reloads again and again, until `stop` is cancelled.
pub(super) async fn watch(access: Access, broker: Broker, stop: CancellationToken) {
    let mut ticks = tokio::time::interval(LOOK_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => reload(&access, &broker).await,
            () = stop.cancelled() => return,
        }
    }
}

/// Reads the file of keys if it has changed. Sessions of keys that are revoked, changed or
/// expired are ended; streams of the console API end by themselves.
pub(super) async fn reload(access: &Access, broker: &Broker) {
    let reading = access.clone();
    let ended = match tokio::task::spawn_blocking(move || reading.reload()).await {
        Ok(ended) => ended,
        Err(error) => return tracing::error!(%error, "the keys were not looked at"),
    };
    for (grant, end) in ended {
        let reason = match end {
            End::Revoked => CloseReason::KeyRevoked,
            End::Expired => CloseReason::KeyExpired,
        };
        broker.end_sessions_of(grant.name(), reason);
    }
}
