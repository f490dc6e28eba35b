//! How fast messages leave.

use std::time::Duration;

/// How fast messages leave: a pause after each full batch.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Messages in a batch.
    pub batch_messages: usize,
    /// The pause after a batch.
    pub pause: Duration,
}

impl Pace {
    /// The most messages that leave in a second; `None`: there is no limit.
    pub fn per_second(&self) -> Option<f64> {
        let is_set = !self.pause.is_zero();
        is_set.then(|| self.batch_messages as f64 / self.pause.as_secs_f64())
    }

    /// How long it holds back the last of `queued` messages; `None`: all leave at once.
    pub(in crate::broker) fn holds_back(&self, queued: usize) -> Option<Duration> {
        let per_second = self.per_second()?;
        let seconds = queued as f64 / per_second;
        (queued > self.batch_messages)
            .then(|| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}
