//! Where work that blocks on the disk runs.

use std::sync::Arc;

use crate::store::{Store, StoreError};

/// The threads for work that blocks, or none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Blocking {
    /// On threads that may block.
    #[default]
    Threads,
    /// At once, where it was asked for: in a simulation, whose store answers without waiting
    /// for another thread.
    InPlace,
}

/// The store, for work that blocks.
#[derive(Clone)]
pub(super) struct Disk {
    store: Arc<dyn Store>,
    blocking: Blocking,
}

impl Disk {
    pub(super) fn new(store: Arc<dyn Store>, blocking: Blocking) -> Disk {
        Disk { store, blocking }
    }

    /// Works with the store; work that panics is answered as by a store that is closed.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Store) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        match self.blocking {
            Blocking::InPlace => work(&*self.store),
            Blocking::Threads => {
                let store = self.store.clone();
                let done = tokio::task::spawn_blocking(move || work(&*store)).await;
                done.unwrap_or(Err(StoreError::Closed))
            }
        }
    }
}
