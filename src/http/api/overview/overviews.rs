//! The newest overview for all listeners.

use std::sync::{Mutex, MutexGuard};

use axum::body::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The overviews, and the task that builds them.
#[derive(Default)]
pub(in crate::http) struct Overviews {
    /// The newest event; `None` while nobody listens.
    newest: watch::Sender<Option<Bytes>>,
    /// The task that builds the overviews.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Overviews {
    /// Listens. The first overview comes at once. Without a running task, `start` spawns one.
    pub(super) fn subscribe(
        &self,
        start: impl FnOnce() -> JoinHandle<()>,
    ) -> watch::Receiver<Option<Bytes>> {
        let mut task = self.lock();
        let mut receiver = self.newest.subscribe();
        match &*task {
            Some(running) if !running.is_finished() => receiver.mark_changed(),
            Some(_) | None => *task = Some(start()),
        }
        receiver
    }

    /// Whether nobody listens. The task must then end, because the next listener starts another.
    pub(super) fn unused(&self) -> bool {
        let mut task = self.lock();
        let unused = self.newest.receiver_count() == 0;
        if unused {
            self.newest.send_replace(None);
            *task = None;
        }
        unused
    }

    /// Passes an overview to the listeners.
    pub(super) fn tell(&self, newest: Bytes) {
        self.newest.send_replace(Some(newest));
    }

    fn lock(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_built_when_nobody_listens() {
        let overviews = Overviews::default();
        let listener = overviews.newest.subscribe();
        overviews
            .newest
            .send_replace(Some(Bytes::from_static(b"old")));
        assert!(!overviews.unused());
        drop(listener);
        assert!(overviews.unused());
        assert!(
            overviews.newest.borrow().is_none(),
            "the next one gets no old one"
        );
    }
}
