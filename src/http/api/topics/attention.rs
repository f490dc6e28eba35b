//! GET /api/attention: the topics that need attention.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::broker::{Broker, Concern, Concerns, TopicState, UNREAD_SECONDS};
use crate::http::api::blocking::off_thread;
use crate::http::api::error::ConsoleError;
use crate::http::api::json::topic::TopicRow;
use crate::http::api::reply;
use crate::http::api::request::params::NoParams;
use crate::http::api::topics::list::oldest_of;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;

/// The most topics that a reply names.
const TOPICS_MAX: usize = 20;
/// GET /api/attention.
pub(in crate::http::api) async fn attention(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
) -> Result<Response, ConsoleError> {
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
        row: TopicRow<'a>,
    }
    let concerns = state.console.survey.get(&state.broker).await?;
    let _place = state.places.surveys.take(caller.key())?;
    let broker = state.broker.clone();
    let (total, found) = off_thread(move || shown(&broker, &caller, &concerns)).await?;
    let (reasons, topics): (Vec<_>, Vec<_>) = found.into_iter().unzip();
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
                row: TopicRow::of(state, oldest),
            })
            .collect(),
    };
    Ok(reply::of(StatusCode::OK, &attention))
}

/// The number of topics that were found and the key may see, and the first of them as they are now.
fn shown(
    broker: &Broker,
    caller: &Caller,
    concerns: &Concerns,
) -> (usize, Vec<(Concern, TopicState)>) {
    let seen = concerns.concerned.iter();
    let mut seen = seen.filter(|one| caller.sees(&one.topic));
    // Some may need no attention any more.
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
    (total, found.into_iter().flatten().collect())
}

/// Whether the concern still applies to the topic.
fn holds(concern: Concern, state: &TopicState) -> bool {
    match concern {
        Concern::Behind => state.behind,
        Concern::NoConsumer => {
            state.consumers == 0 && state.counts.accepted + state.counts.not_consumed > 0
        }
    }
}
