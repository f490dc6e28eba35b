//! The periodic check: what is pushed again, and what expires.

pub(super) mod expiry;
pub(super) mod sweep;
