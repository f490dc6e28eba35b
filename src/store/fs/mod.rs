//! The disk below a store: files, their names, locks, and reserved space.
//!
//! It imports the errors alone. Only this module and the mirror, whose files are sled's, name
//! `std::fs`.

pub(super) mod files;
pub(super) mod last_backup;
pub(super) mod layout;
pub(super) mod lock;
pub(super) mod reserve;
