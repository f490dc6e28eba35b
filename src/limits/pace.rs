//! The pace at which a large body or frame has to come.
//!
//! It holds memory that others wait for as long as it comes. `server/` and `ws/` end what is
//! slower.

use std::time::Duration;

use tokio::time::Instant;

/// A client that sends at this pace may go on for ever.
const BYTES_PER_SECOND: f64 = 64.0 * 1024.0;

/// The time that a client has left to send something.
#[derive(Debug)]
pub struct ReceivePace {
    most: Duration,
    left: Duration,
    waiting: Option<Instant>,
}

impl ReceivePace {
    /// The client may rest for `most` at a time. Every byte that it sends earns it time.
    pub fn new(most: Duration) -> ReceivePace {
        ReceivePace {
            most,
            left: most,
            waiting: None,
        }
    }

    /// Begins to wait for more, unless it does so already. Returns the time at which the client is
    /// too slow.
    pub fn wait(&mut self) -> Instant {
        *self.waiting.get_or_insert_with(Instant::now) + self.left
    }

    /// `bytes` have come: the wait is over.
    pub fn received(&mut self, bytes: usize) {
        let earned = Duration::from_secs_f64(bytes as f64 / BYTES_PER_SECOND);
        let waited = self
            .waiting
            .take()
            .map_or(Duration::ZERO, |since| since.elapsed());
        self.left = (self.left.saturating_sub(waited) + earned).min(self.most);
    }
}
