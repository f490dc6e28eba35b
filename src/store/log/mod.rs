//! The log: append-only segments of checksummed frames. What is in it happened.
//!
//! One end writes ([`local`]). Any thread reads what is complete ([`segments`], [`walk`]). The log
//! imports `fs` and the store's words.

#[doc(hidden)]
pub mod bench;
pub(super) mod damage;
pub(super) mod encode;
pub(super) mod frame;
pub(super) mod local;
pub(super) mod position;
mod seed;
pub(super) mod segment;
pub(super) mod segments;
pub(super) mod walk;
