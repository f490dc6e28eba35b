//! The threads of a store: writer, mirror and snapshot, or a simulation in their place.
//!
//! It imports `commit`, `reader`, `repair`, `mirror` and `snapshot`.

pub(super) mod drive;
pub(super) mod mirroring;
pub(super) mod snapshotting;
