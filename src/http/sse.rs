//! Server-sent events as the body of a reply.

use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::time::{Instant, Interval, MissedTickBehavior};
use tokio_util::sync::CancellationToken;

use crate::http::headers::uncached;

/// A quiet connection gets a comment this often, so that no proxy takes it for dead.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// An event. JSON has no line ends, so it is two lines.
pub(in crate::http) fn event(name: &str, data: &impl Serialize) -> Bytes {
    let data = serde_json::to_string(data).expect("events are structs of texts and numbers");
    format!("event: {name}\ndata: {data}\n\n").into()
}

/// Replies with events until the client leaves or `stop` is cancelled. `held` is dropped then.
pub(in crate::http) fn reply(
    events: impl Stream<Item = Bytes> + Send + 'static,
    stop: CancellationToken,
    held: impl Send + 'static,
) -> Response {
    let mut ticks = tokio::time::interval_at(Instant::now() + COMMENT_EVERY, COMMENT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let comments = stream::unfold(ticks, async |mut ticks: Interval| {
        ticks.tick().await;
        Some((Bytes::from_static(b":\n\n"), ticks))
    });
    let texts = stream::select(events, comments).map(move |text| {
        let _held = &held;
        Ok::<_, Infallible>(text)
    });
    let headers = uncached("text/event-stream");
    let texts = texts.take_until(stop.cancelled_owned());
    (headers, Body::from_stream(texts)).into_response()
}
