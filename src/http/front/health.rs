//! The health of the server: whether it accepts messages, and the paths that tell.

use serde::Serialize;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;

/// The path that tells whether the process has to be restarted.
pub(in crate::http) const LIVE: &str = "/health/live";
/// The path that tells whether messages are accepted and stored.
pub(in crate::http) const READY: &str = "/health/ready";

/// Why the server is not ready.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(in crate::http) enum Unready {
    /// The store is being opened.
    Starting,
    /// The server is stopping.
    Stopping,
    /// Messages cannot be stored.
    Storage,
}

/// Why the broker does not accept messages now; `None` if it does.
pub(in crate::http) fn unready(broker: &Broker, stop: &CancellationToken) -> Option<Unready> {
    if stop.is_cancelled() {
        return Some(Unready::Stopping);
    }
    let stores = broker.is_alive() && broker.health().refusing.is_none();
    (!stores).then_some(Unready::Storage)
}
