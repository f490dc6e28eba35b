//! Turns requests into answers: groups, their order in the log, and the state that they lead to.
//!
//! It imports `index`, `log`, `fs` and the store's words.

mod apply;
pub(super) mod group;
pub(super) mod poison;
pub(super) mod refusals;
pub(super) mod watermarks;
pub(super) mod writer;
