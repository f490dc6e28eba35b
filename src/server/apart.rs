//! A thread of its own for what nobody else's work may hold up.
//!
//! The threads that read the disk are shared, and clients can have all of them busy. Which keys
//! count is looked at here, or a key could put off its own end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// See the module. Clones are the same thread, which ends with the last of them.
#[derive(Clone)]
pub(super) struct Apart(mpsc::Sender<Work>);

impl Apart {
    /// # Errors
    /// The system has no thread to give.
    pub(super) fn start() -> io::Result<Apart> {
        let (sender, works) = mpsc::channel::<Work>();
        thread::Builder::new()
            .name("apart".to_owned())
            .spawn(move || {
                for work in works {
                    // Whoever asked for it notices that there is no answer.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                }
            })?;
        Ok(Apart(sender))
    }

    /// What comes of `work`, after what was asked for before; `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            // Nobody may wait for it any more.
            let _ = answer.send(work());
        });
        self.0.send(work).ok()?;
        answered.await.ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_panic_is_no_end() {
        let apart = Apart::start().unwrap();
        assert_eq!(apart.run(|| -> u8 { panic!("as a test does") }).await, None);
        assert_eq!(apart.run(|| 7).await, Some(7));
    }
}
