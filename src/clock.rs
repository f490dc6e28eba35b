//! Where the time comes from, so that tests can move it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{DateTime, Utc};

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

    /// The time of day as a date. Before 1970 it is 1970, as it is for everybody who asks here.
    pub fn date(&self) -> DateTime<Utc> {
        date_of(self.now_ms())
    }

    /// Moves a manual clock; the system's clock is not moved.
    pub fn set(&self, now: UnixSeconds) {
        if let Source::Manual(cell) = &self.0 {
            cell.store(now.0, Ordering::Relaxed);
        }
    }
}

/// What has no date is 1970.
fn date_of(unix_ms: u64) -> DateTime<Utc> {
    let date = i64::try_from(unix_ms).map(DateTime::from_timestamp_millis);
    date.ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_date() {
        let clock = Clock::manual(UnixSeconds(1_795_367_326));
        assert_eq!(clock.date().to_rfc3339(), "2026-11-22T17:08:46+00:00");
        for (ms, date) in [
            (1, "1970-01-01T00:00:00.001+00:00"),
            (4_294_967_296_000, "2106-02-07T06:28:16+00:00"),
            (u64::MAX, "1970-01-01T00:00:00+00:00"),
            (i64::MAX as u64, "1970-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(date_of(ms).to_rfc3339(), date, "{ms}");
        }
    }
}
