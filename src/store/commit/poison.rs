//! The effect of a failed sync on the store.

use std::sync::{Arc, OnceLock};

use crate::store::error::StoreError;

/// Set once a sync has failed: nobody knows what is on the disk, so nothing more is written.
pub(crate) type Poison = Arc<OnceLock<Arc<str>>>;

/// Poisons the store if a sync has failed.
pub(crate) fn poison_on_error(
    synced: Result<(), StoreError>,
    poison: &Poison,
) -> Result<(), StoreError> {
    synced.map_err(|error| {
        let reason: Arc<str> = error.to_string().into();
        tracing::error!(%reason, "a sync failed: nothing more is accepted until a restart");
        StoreError::Poisoned(poison.get_or_init(|| reason).clone())
    })
}
