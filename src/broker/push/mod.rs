//! From the queue to the outboxes of consumers, and what comes of it.

mod catch_up;
pub(super) mod consumers;
mod cursor;
pub(super) mod delivery;
pub(super) mod dispatch;
pub(super) mod encoding;
pub(super) mod in_flight;
pub(super) mod outbox;
pub(super) mod pace;
pub(super) mod trace;
