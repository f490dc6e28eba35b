//! Looks at the file of keys, and ends what was opened with keys that are no more.

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, End, LOOK_EVERY};
use crate::broker::{Broker, CloseReason};
use crate::config::SecretKey;
use crate::server::apart::Apart;

/// See the module.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) access: Access,
    pub(super) broker: Broker,
    /// Where files are looked at that say who may do what.
    pub(super) apart: Apart,
}

impl Keys {
    /// Looks again and again, until `stop` is cancelled.
    pub(super) async fn watch(self, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LOOK_EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                _ = ticks.tick() => self.look().await,
                () = stop.cancelled() => return,
            }
        }
    }

    /// Reads the file of keys if it has changed. Sessions of keys that are revoked, changed or
    /// expired are ended; streams of the console API end by themselves.
    async fn look(&self) {
        let keys = self.clone();
        let look = move || {
            for (grant, end) in keys.access.reload() {
                keys.end_sessions_of(grant.name(), end);
            }
        };
        if self.apart.run(look).await.is_none() {
            tracing::error!("the keys were not looked at");
        }
    }

    /// Looks now, for an operator who says that the file is as it should be.
    pub(super) async fn look_for_sure(&self) {
        // What two looks have seen counts.
        for _ in 0..2 {
            self.look().await;
        }
    }

    /// Goes over to another secret key; what was opened with the one before ends. False if it is
    /// the same.
    pub(super) fn change_secret(&self, secret: &SecretKey) -> bool {
        let changed = self.access.change_secret(secret);
        if let Some((grant, end)) = &changed {
            self.end_sessions_of(grant.name(), *end);
        }
        changed.is_some()
    }

    fn end_sessions_of(&self, name: &str, end: End) {
        let reason = match end {
            End::Revoked => CloseReason::KeyRevoked,
            End::Expired => CloseReason::KeyExpired,
        };
        self.broker.end_sessions_of(name, reason);
    }
}
