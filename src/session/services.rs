//! What all sessions of a server work with.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::Access;
use crate::broker::Broker;
use crate::config::Live;
use crate::connection::connection_stats::ConnectionStats;
use crate::limits::fairness::FairShare;

/// What all sessions of a server work with; clones are the same.
#[derive(Clone)]
pub struct Services {
    /// Where messages go to and come from.
    pub broker: Broker,
    /// Limits and times.
    pub config: Live,
    /// The keys.
    pub access: Access,
    /// Where a client takes turns until it has logged in.
    pub fair_share: FairShare,
    /// Cancelled when the server stops: sessions then end with [`Cause::Stopping`].
    ///
    /// [`Cause::Stopping`]: super::Cause::Stopping
    pub stop: CancellationToken,
    /// Every session runs under it.
    pub tracker: TaskTracker,
    /// Where refused clients and ended sessions are counted.
    pub connections: Arc<ConnectionStats>,
}
