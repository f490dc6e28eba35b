//! The commands for whole stores: take a backup, make a store of one, check one.

pub(super) mod backup;
pub(super) mod restore;
pub(super) mod verify;
