//! Where the time comes from, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use crate::message::UnixSeconds;

/// A wall clock: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU32>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `now` until [`Clock::set`] moves it; clones move together.
    pub fn manual(now: UnixSeconds) -> Clock {
        Clock(Source::Manual(Arc::new(AtomicU32::new(now.0))))
    }

    /// The time of day. It may jump in either direction.
    pub fn now(&self) -> UnixSeconds {
        match &self.0 {
            Source::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                UnixSeconds(u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
            }
            Source::Manual(now) => UnixSeconds(now.load(Ordering::Relaxed)),
        }
    }

    /// The time of day in Unix milliseconds; a manual clock knows whole seconds only.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Source::Manual(_) => u64::from(self.now().0) * 1000,
        }
    }

    /// Moves a manual clock; the system's clock is not moved.
    pub fn set(&self, now: UnixSeconds) {
        if let Source::Manual(cell) = &self.0 {
            cell.store(now.0, Ordering::Relaxed);
        }
    }
}
