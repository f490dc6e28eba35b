//! What is done with a store that is not running, or with a copy of one: a restore, a look, a check.
//!
//! It imports `recovery`, the options and what both import.

pub(super) mod examine;
pub(super) mod restore;
pub(super) mod verify;
