//! Watches the file of keys, and ends the sessions of keys that are revoked or expired.

use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::access::{Access, End, LOOK_EVERY};
use crate::broker::{Broker, CloseReason};
use crate::config::SecretKey;
use crate::server::apart::Apart;

/// The keys, and the sessions that were opened with them.
#[derive(Clone)]
pub(super) struct Keys {
    pub(super) access: Access,
    pub(super) broker: Broker,
    /// The thread that reads the file.
    pub(super) apart: Apart,
}

impl Keys {
    /// Reads the file every [`LOOK_EVERY`], until `stop` is cancelled.
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

    /// Reads the file of keys. Ends the sessions of keys that are revoked, changed or expired; streams
    /// of the console API end by themselves.
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

    /// Reads the file now and uses it, for an operator who says that it is complete.
    pub(super) async fn look_for_sure(&self) {
        // A change counts when two reads agree on it.
        for _ in 0..2 {
            self.look().await;
        }
    }

    /// Replaces the secret key, and ends the sessions of the old one. Returns whether the new key
    /// differs.
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
