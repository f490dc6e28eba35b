//! The newest overview, for all who listen to it.

use std::sync::{Mutex, MutexGuard};

use axum::body::Bytes;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// The overview for all who listen to it.
#[derive(Default)]
pub(in crate::http) struct Overviews {
    /// The newest event; `None` while nobody listens.
    newest: watch::Sender<Option<Bytes>>,
    /// What makes them.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Overviews {
    /// Listens; the first overview comes at once. If nobody builds them, `start` does.
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

    /// Whether nobody listens; then the task has to end, for the next one starts another.
    pub(super) fn unused(&self) -> bool {
        let mut task = self.lock();
        let unused = self.newest.receiver_count() == 0;
        if unused {
            self.newest.send_replace(None);
            *task = None;
        }
        unused
    }

    /// Tells those who listen.
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
