//! The disk below a store: files, their names, locks, and room that is kept free.
//!
//! It imports the errors alone. Only here and in the mirror, whose files are sled's, is `std::fs` named.

pub(super) mod files;
pub(super) mod last_backup;
pub(super) mod layout;
pub(super) mod lock;
pub(super) mod reserve;
