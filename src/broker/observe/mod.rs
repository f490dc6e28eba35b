//! What the broker counts and shows of messages. Nothing is decided by it.

pub(super) mod activity;
pub(super) mod concerns;
pub(super) mod counters;
pub(super) mod history;
pub(super) mod observed;
pub(super) mod rates;
pub(super) mod tallies;
pub(super) mod topic_state;
pub(super) mod topics;
pub(super) mod watch;
pub(super) mod whereabouts;
