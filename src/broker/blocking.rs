//! Where work that blocks on the disk runs.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::{Scan, Scanned, Storage, StoreError};

/// The threads for work that blocks, or none.
#[derive(Clone, Debug, Default)]
pub enum Blocking {
    /// On threads that may block.
    #[default]
    Threads,
    /// In a simulation, whose store answers without waiting for another thread: when it is its
    /// turn, and answered when it is its turn again.
    InTurn(Turns),
}

/// Who waits for a turn, in the order of coming. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<Vec<oneshot::Sender<()>>>>);

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Lets one go on, if as many wait.
    pub fn pass(&self, place: usize) {
        let mut waiting = self.lock();
        if place < waiting.len() {
            // Whoever is gone needs no turn.
            let _ = waiting.remove(place).send(());
        }
    }

    async fn wait(&self) {
        let (turn, comes) = oneshot::channel();
        self.lock().push(turn);
        // It is dropped with the simulation only.
        let _ = comes.await;
    }
}

/// The store, for work that blocks.
#[derive(Clone)]
pub(super) struct Disk {
    store: Arc<dyn Storage>,
    blocking: Blocking,
}

impl Disk {
    pub(super) fn new(store: Arc<dyn Storage>, blocking: Blocking) -> Disk {
        Disk { store, blocking }
    }

    /// Works with the store; work that panics is answered as by a store that is closed. Work
    /// that was begun is done, though nobody waits for it any more.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&dyn Storage) -> Result<T, StoreError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let store = self.store.clone();
        let running = match &self.blocking {
            Blocking::Threads => tokio::task::spawn_blocking(move || work(&*store)),
            Blocking::InTurn(turns) => {
                let turns = turns.clone();
                tokio::spawn(async move {
                    turns.wait().await;
                    let done = work(&*store);
                    turns.wait().await;
                    done
                })
            }
        };
        running.await.unwrap_or(Err(StoreError::Closed))
    }
}

/// After a failure to read, the next try is in this time.
pub(super) const READ_RETRY: Duration = Duration::from_secs(1);

/// Reads messages back on a thread that may block; `None` if that fails.
pub(super) async fn read_back(disk: &Disk, scan: Scan) -> Option<Scanned> {
    let scanned = disk.run(move |store| store.scan(&scan)).await;
    scanned
        .inspect_err(|error| tracing::error!(%error, "messages could not be read back"))
        .ok()
}
