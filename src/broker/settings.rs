//! How the broker pushes, checks and bounds.

use std::time::Duration;

use crate::broker::blocking::Blocking;
use crate::broker::push::outbox::OutboxLimits;
use crate::broker::push::pace::Pace;
use crate::clock::Clock;

/// How the broker pushes, checks and bounds; see `config/application.yaml`.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How fast messages leave.
    pub pace: Pace,
    /// Immediate retries for a consumer without capacity.
    pub retries: u32,
    /// The bounds of what waits for one consumer.
    pub outbox: OutboxLimits,
    /// Whether messages that were not consumed are pushed again.
    pub re_push: bool,
    /// Messages older than this many seconds are deleted; `None`: messages are kept.
    pub clean_after_seconds: Option<u64>,
    /// Time between two checks.
    pub check_every: Duration,
    /// Where the time comes from.
    pub clock: Clock,
    /// Where work that blocks on the disk runs.
    pub blocking: Blocking,
}
