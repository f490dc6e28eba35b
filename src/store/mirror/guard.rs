//! What goes wrong in sled: it costs the mirror, and not the process.

use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::store::error::StoreError;

/// An error of sled, or of what it gave back.
pub(super) fn failed(error: impl std::fmt::Display) -> StoreError {
    StoreError::Mirror(error.to_string().into())
}

/// sled panics where it finds what cannot be; that must cost the mirror, not the process.
pub(super) fn guarded<T>(work: impl FnOnce() -> Result<T, StoreError>) -> Result<T, StoreError> {
    catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|_| Err(failed("sled panicked")))
}
