//! GET /api/attention: the topics that somebody should look at.
//!
//! To find them all topics are looked at, so what was found is kept for a while.

use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use tokio::time::Instant;

use crate::broker::{Broker, Concern, Concerns, TopicState, UNREAD_SECONDS};
use crate::http::HttpState;
use crate::http::api::blocking::off_thread;
use crate::http::api::error::Refusal;
use crate::http::api::reply;
use crate::http::api::request::params::NoParams;
use crate::http::api::topics::{Row, oldest_of};
use crate::http::routes::caller::Caller;
use crate::store::StoreError;

/// Topics that are named.
const TOPICS_MAX: usize = 20;
/// What was found counts for so many times as long as it took to find it: so however many topics
/// there are, it takes a twentieth of one processor.
const KEPT_TIMES: u32 = 20;

/// GET /api/attention.
pub(in crate::http::api) async fn attention(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Attention<'a> {
        after_seconds: u32,
        total: usize,
        topics: Vec<Named<'a>>,
    }
    #[derive(Serialize)]
    struct Named<'a> {
        reason: &'static str,
        #[serde(flatten)]
        row: Row<'a>,
    }
    let concerns = state.console.survey.get(&state.broker).await?;
    let _place = state.console.surveys.take(caller.key())?;
    let broker = state.broker.clone();
    let (total, found) = off_thread(move || {
        let seen = concerns.concerned.iter();
        let mut seen = seen.filter(|one| caller.sees(&one.topic));
        // Some may be in order by now.
        let named = seen.by_ref().take(TOPICS_MAX);
        let found: Vec<_> = named
            .map(|one| {
                let state = broker.topic(&one.topic);
                let state = state.filter(|state| holds(one.concern, state));
                Some((one.concern, state?))
            })
            .collect();
        let gone = found.iter().filter(|one| one.is_none()).count();
        let total = found.len() - gone + seen.count();
        (total, found.into_iter().flatten().collect::<Vec<_>>())
    })
    .await?;
    let (reasons, topics): (Vec<Concern>, Vec<TopicState>) = found.into_iter().unzip();
    let oldest = oldest_of(&state, &topics).await?;
    let rows = topics.iter().zip(oldest).zip(reasons);
    let attention = Attention {
        after_seconds: UNREAD_SECONDS,
        total,
        topics: rows
            .map(|((state, oldest), concern)| Named {
                reason: match concern {
                    Concern::NoConsumer => "no_consumer",
                    Concern::Behind => "behind",
                },
                row: Row::of(state, oldest),
            })
            .collect(),
    };
    Ok(reply::of(StatusCode::OK, &attention))
}

/// Whether a topic is still what it was found to be.
fn holds(concern: Concern, state: &TopicState) -> bool {
    match concern {
        Concern::Behind => state.behind,
        Concern::NoConsumer => {
            state.consumers == 0 && state.counts.accepted + state.counts.not_consumed > 0
        }
    }
}

/// What was found when all topics were looked at last.
#[derive(Default)]
pub(in crate::http::api) struct Survey(Mutex<Option<Known>>);

struct Known {
    until: Instant,
    concerns: Arc<Concerns>,
}

impl Survey {
    /// What is known, or what is found out now.
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

    /// What is known, if it is new enough. Else whoever asks has to find out, and others are
    /// content with what is known for so long.
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
