//! Where work that blocks on the disk runs.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::oneshot;

use crate::store::{Scan, Scanned, Storage, StoreError};

/// Where work that blocks on the disk runs.
#[derive(Clone, Debug, Default)]
pub enum Blocking {
    /// On threads that are allowed to block.
    #[default]
    Threads,
    /// In a simulation, whose store answers without another thread. The work is done when it gets
    /// a turn, and answered when it gets the next one.
    InTurn(Turns),
}

/// The work that waits for a turn, oldest first. Clones share it.
#[derive(Clone, Debug, Default)]
pub struct Turns(Arc<Mutex<Vec<oneshot::Sender<()>>>>);

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Vec<oneshot::Sender<()>>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// The number of those that wait.
    pub fn waiting(&self) -> usize {
        self.lock().len()
    }

    /// Gives a turn to the one at this place, if there is one.
    pub fn pass(&self, place: usize) {
        let mut waiting = self.lock();
        if place < waiting.len() {
            // Work that was given up needs no turn.
            let _ = waiting.remove(place).send(());
        }
    }

    async fn wait(&self) {
        let (turn, comes) = oneshot::channel();
        self.lock().push(turn);
        // The sender is dropped with the simulation only.
        let _ = comes.await;
    }
}

/// The store, for calls that block.
#[derive(Clone)]
pub(super) struct Disk {
    store: Arc<dyn Storage>,
    blocking: Blocking,
}

impl Disk {
    pub(super) fn new(store: Arc<dyn Storage>, blocking: Blocking) -> Disk {
        Disk { store, blocking }
    }

    /// Runs `work` with the store. If it panics, the answer is that of a closed store. Work that
    /// has begun is finished, even if its caller no longer waits.
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

/// The pause after a failure to read, before the next try.
pub(super) const READ_RETRY: Duration = Duration::from_secs(1);

/// Reads messages back on a thread that is allowed to block; `None` if that fails.
pub(super) async fn read_back(disk: &Disk, scan: Scan) -> Option<Scanned> {
    let scanned = disk.run(move |store| store.scan(&scan)).await;
    scanned
        .inspect_err(|error| tracing::error!(%error, "messages could not be read back"))
        .ok()
}
