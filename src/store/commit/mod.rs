//! Turns requests into answers: they are proposed, put in one order, written to the log, and applied.
//!
//! It imports `index`, `log`, `fs` and the store's words.

mod apply;
pub(super) mod order;
pub(super) mod poison;
pub(super) mod propose;
pub(super) mod refusals;
pub(super) mod request;
mod resolved;
pub(super) mod watermarks;
pub(super) mod writer;
