//! A value that is expensive to find out, kept for a while.

use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

/// The last value, while it is fresh.
pub(in crate::http) struct Cached<T>(Mutex<Option<Kept<T>>>);

struct Kept<T> {
    value: T,
    until: Instant,
}

impl<T> Default for Cached<T> {
    fn default() -> Cached<T> {
        Cached(Mutex::default())
    }
}

impl<T: Clone> Cached<T> {
    /// The last value if it is fresh. Otherwise the caller finds out a new one, and for `grace`
    /// other callers get the old one.
    pub(in crate::http) fn fresh(&self, grace: Duration) -> Option<T> {
        let mut kept = self.lock();
        let kept = kept.as_mut()?;
        let now = Instant::now();
        if now < kept.until {
            return Some(kept.value.clone());
        }
        kept.until = now + grace;
        None
    }

    /// Keeps a new value for this time.
    pub(in crate::http) fn keep(&self, value: T, time: Duration) {
        let until = Instant::now() + time;
        *self.lock() = Some(Kept { value, until });
    }

    fn lock(&self) -> MutexGuard<'_, Option<Kept<T>>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn one_caller_finds_out_a_new_value_and_the_others_get_the_old_one() {
        let (cached, grace) = (Cached::default(), Duration::from_secs(1));
        assert_eq!(cached.fresh(grace), None);
        cached.keep("old", Duration::from_secs(3));
        assert_eq!(cached.fresh(grace), Some("old"));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(cached.fresh(grace), None, "the first caller finds out");
        assert_eq!(cached.fresh(grace), Some("old"), "the others do not");
        tokio::time::advance(grace).await;
        assert_eq!(cached.fresh(grace), None, "it took too long");
        cached.keep("new", grace);
        assert_eq!(cached.fresh(grace), Some("new"));
    }
}
