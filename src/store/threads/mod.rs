//! What works behind a store: writer, mirror and snapshot, each on a thread of its own or step by
//! step.
//!
//! It imports `commit`, `reader`, `repair`, `mirror` and `snapshot`.

pub(super) mod drive;
pub(super) mod mirroring;
pub(super) mod snapshotting;
