//! A thread of its own for work that must not wait for other work.
//!
//! The threads that read the disk are shared, and clients can keep all of them busy. The file of
//! keys is read here, or a key could delay its own end.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc;
use std::thread;

use tokio::sync::oneshot;

type Work = Box<dyn FnOnce() + Send>;

/// A thread that runs one piece of work after the other. Clones are the same thread, which ends
/// with the last of them.
#[derive(Clone)]
pub(super) struct Apart(mpsc::Sender<Work>);

impl Apart {
    /// Starts the thread.
    ///
    /// # Errors
    /// The system cannot start a thread.
    pub(super) fn start() -> io::Result<Apart> {
        let (sender, works) = mpsc::channel::<Work>();
        thread::Builder::new()
            .name("apart".to_owned())
            .spawn(move || {
                for work in works {
                    // The caller of `run` notices a panic: there is no answer.
                    let _ = catch_unwind(AssertUnwindSafe(work));
                }
            })?;
        Ok(Apart(sender))
    }

    /// Runs `work` after all work before it, and returns its result; `None` if it panicked.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (answer, answered) = oneshot::channel();
        let work = Box::new(move || {
            // It fails if the caller waits no more.
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
