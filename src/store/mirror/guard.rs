//! Turns errors and panics of sled into errors of the mirror.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::store::error::StoreError;

/// An error of sled, or of data that sled returned.
pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Mirror(error.to_string().into())
}

/// Runs `work`. sled panics on inconsistent data: that must cost the mirror, not the process.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(failed("sled panicked")))
}
