//! Finds the topics that need attention. That takes a look at all topics, so the result is kept for
//! a while.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::{Broker, Concerns};
use crate::http::cached::Cached;
use crate::store::StoreError;

/// A result is kept for this many times the time that it took. So the surveys take at most a
/// twentieth of one processor, however many topics there are.
const KEPT_TIMES: u32 = 20;

/// While one caller makes a survey, the others get the old result, for this long.
const GRACE: Duration = Duration::from_secs(1);

/// The result of the last survey.
#[derive(Default)]
pub(in crate::http) struct Survey(Cached<Arc<Concerns>>);

impl Survey {
    /// The last result if it is fresh, else a new one.
    pub(in crate::http::api) async fn get(
        &self,
        broker: &Broker,
    ) -> Result<Arc<Concerns>, StoreError> {
        let begin = Instant::now();
        if let Some(known) = self.0.fresh(GRACE) {
            return Ok(known);
        }
        let concerns = Arc::new(broker.concerns().await?);
        self.0.keep(concerns.clone(), begin.elapsed() * KEPT_TIMES);
        Ok(concerns)
    }
}
