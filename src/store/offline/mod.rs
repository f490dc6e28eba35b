//! Works on a store that is not running, or on a copy of one: restore, examine, verify.
//!
//! It imports `recovery`, the options and what both import.

pub(super) mod examine;
pub(super) mod restore;
pub(super) mod verify;
