//! The way of messages from the queue to the outboxes of consumers, and its outcome.

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
