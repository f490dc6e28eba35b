//! GET /api/events: the overview each second, as server-sent events.
//!
//! One task builds the overview for all listeners. It ends when the last one leaves.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use tokio::time::MissedTickBehavior;

use crate::http::api::error::ConsoleError;
use crate::http::api::overview;
use crate::http::api::request::params::NoParams;
use crate::http::routes::caller::Caller;
use crate::http::sse;
use crate::http::state::HttpState;

const OVERVIEW_EVERY: Duration = Duration::from_secs(1);

/// GET /api/events.
pub(in crate::http::api) async fn events(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
) -> Result<Response, ConsoleError> {
    let place = state.places.streams.take(caller.key())?;
    let overviews = &state.console.overviews;
    let overviews = overviews.subscribe(|| tokio::spawn(tell(state.clone())));
    let events = stream::unfold(overviews, async |mut overviews| {
        loop {
            // A slow client gets the newest overview next, and skips older ones.
            overviews.changed().await.ok()?;
            let newest = overviews.borrow_and_update().clone();
            if let Some(newest) = newest {
                return Some((newest, overviews));
            }
        }
    });
    Ok(sse::reply(events, state.stop.clone(), place))
}

/// Builds the overview each second until nobody listens.
async fn tell(state: HttpState) {
    let overviews = &state.console.overviews;
    let mut ticks = tokio::time::interval(OVERVIEW_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = state.stop.cancelled() => return,
        }
        if overviews.unused() {
            return;
        }
        let event = sse::event("overview", &overview::build(&state).await);
        overviews.tell(event);
    }
}
