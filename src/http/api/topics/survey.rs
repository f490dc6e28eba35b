//! Finds the topics that need attention. That takes a look at all topics, so the result is kept for
//! a while.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Broker, Concerns};
use crate::store::StoreError;

/// A result is kept for this many times the time that it took. So the surveys take at most a
/// twentieth of one processor, however many topics there are.
const KEPT_TIMES: u32 = 20;

/// The result of the last survey.
#[derive(Default)]
pub(in crate::http) struct Survey(Mutex<Option<Known>>);

struct Known {
    until: Instant,
    concerns: Arc<Concerns>,
}

impl Survey {
    /// The last result if it is fresh, else a new one.
    pub(in crate::http::api) async fn get(
        &self,
        broker: &Broker,
    ) -> Result<Arc<Concerns>, StoreError> {
        let begin = Instant::now();
        if let Some(known) = self.fresh(begin) {
            return Ok(known);
        }
        let concerns = Arc::new(broker.concerns().await?);
        *self.lock() = Some(Known {
            until: Instant::now() + begin.elapsed() * KEPT_TIMES,
            concerns: concerns.clone(),
        });
        Ok(concerns)
    }

    /// The last result if it is fresh. Otherwise the caller makes a survey, and for the next second
    /// other callers get the old result.
    fn fresh(&self, now: Instant) -> Option<Arc<Concerns>> {
        let mut known = self.lock();
        let known = known.as_mut()?;
        if now < known.until {
            return Some(known.concerns.clone());
        }
        known.until = now + Duration::from_secs(1);
        None
    }

    fn lock(&self) -> MutexGuard<'_, Option<Known>> {
        self.0.lock().expect("no holder of this lock panics")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn all_topics_are_not_looked_at_all_the_time() {
        let known = Known {
            until: Instant::now() + Duration::from_secs(3),
            concerns: Arc::default(),
        };
        let survey = Survey(Mutex::new(Some(known)));
        assert!(survey.fresh(Instant::now()).is_some());
        tokio::time::advance(Duration::from_secs(3)).await;
        assert!(
            survey.fresh(Instant::now()).is_none(),
            "the first one looks"
        );
        assert!(survey.fresh(Instant::now()).is_some(), "the others do not");
        assert!(Survey::default().fresh(Instant::now()).is_none());
    }
}
