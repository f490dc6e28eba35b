//! Server-sent events: the overview each second, and a topic as it is published to.
//!
//! One task builds the overview for all who listen, and ends when nobody does.

use std::convert::Infallible;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::Stream;
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::{Instant, Interval, MissedTickBehavior};

use crate::broker::{Watch, Watched};
use crate::http::HttpState;
use crate::http::api::error::Refusal;
use crate::http::api::json::message::Full;
use crate::http::api::overview;
use crate::http::api::reply;
use crate::http::api::request::params::{AboutTopic, NoParams};
use crate::http::api::state::{STREAMS_MAX, Taken, TooMany};
use crate::http::routes::caller::Caller;

const OVERVIEW_EVERY: Duration = Duration::from_secs(1);
/// So that nobody between takes a quiet connection for a dead one.
const COMMENT_EVERY: Duration = Duration::from_secs(15);
/// Data of a watched message that is shown.
const DATA_BYTES_MAX: usize = 64 << 10;

/// GET /api/events.
pub(in crate::http::api) async fn events(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
) -> Result<Response, Refusal> {
    let permit = state.console.streams.take(caller.key())?;
    let overviews = state.console.overviews.subscribe(&state);
    let events = stream::unfold(overviews, async |mut overviews| {
        loop {
            // Whoever is slow gets the newest one next, and none that is old.
            overviews.changed().await.ok()?;
            let newest = overviews.borrow_and_update().clone();
            if let Some(newest) = newest {
                return Some((newest, overviews));
            }
        }
    });
    Ok(send(&state, permit, events))
}

/// GET /api/topics/{topic}/watch.
pub(in crate::http::api) async fn watch(
    State(state): State<HttpState>,
    caller: Caller,
    AboutTopic(topic): AboutTopic,
) -> Result<Response, Refusal> {
    caller.may_use(&topic)?;
    let permit = state.console.streams.take(caller.key())?;
    let watch = state.broker.watch(topic);
    let watch = watch.ok_or(TooMany {
        what: "streams of events",
        max: STREAMS_MAX,
    })?;
    let events = stream::unfold(watch, async |mut watch: Watch| {
        let next = watch.next().await;
        Some((watched_event(&next), watch))
    });
    Ok(send(&state, permit, events))
}

fn watched_event(watched: &Watched) -> Bytes {
    #[derive(Serialize)]
    struct Missed {
        missed: u64,
    }
    match watched {
        Watched::Message(message) => event("message", &Full::of(message, DATA_BYTES_MAX)),
        Watched::Missed(missed) => event("missed", &Missed { missed: *missed }),
    }
}

/// An event; JSON has no line ends of its own.
fn event(name: &str, data: &impl Serialize) -> Bytes {
    format!("event: {name}\ndata: {}\n\n", reply::text_of(data)).into()
}

/// Replies with events until the client leaves or the server stops.
fn send(
    state: &HttpState,
    permit: Taken,
    events: impl Stream<Item = Bytes> + Send + 'static,
) -> Response {
    let mut ticks = tokio::time::interval_at(Instant::now() + COMMENT_EVERY, COMMENT_EVERY);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let comments = stream::unfold(ticks, async |mut ticks: Interval| {
        ticks.tick().await;
        Some((Bytes::from_static(b":\n\n"), ticks))
    });
    let texts = stream::select(events, comments).map(move |text| {
        let _held = &permit;
        Ok::<_, Infallible>(text)
    });
    let stopped = state.stop.clone().cancelled_owned();
    let headers = [
        (header::CONTENT_TYPE, "text/event-stream"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Body::from_stream(texts.take_until(stopped))).into_response()
}

/// The overview for all who listen to it.
#[derive(Default)]
pub(in crate::http::api) struct Overviews {
    /// The newest event; `None` while nobody listens.
    newest: watch::Sender<Option<Bytes>>,
    /// What makes them.
    task: Mutex<Option<JoinHandle<()>>>,
}

impl Overviews {
    /// Listens; the first overview comes at once.
    fn subscribe(&self, state: &HttpState) -> watch::Receiver<Option<Bytes>> {
        let mut task = self.lock();
        let mut receiver = self.newest.subscribe();
        match &*task {
            Some(running) if !running.is_finished() => receiver.mark_changed(),
            Some(_) | None => *task = Some(tokio::spawn(tell(state.clone()))),
        }
        receiver
    }

    /// Whether nobody listens; then the task has to end, for the next one starts another.
    fn unused(&self) -> bool {
        let mut task = self.lock();
        let unused = self.newest.receiver_count() == 0;
        if unused {
            self.newest.send_replace(None);
            *task = None;
        }
        unused
    }

    fn lock(&self) -> MutexGuard<'_, Option<JoinHandle<()>>> {
        self.task.lock().expect("no holder of this lock panics")
    }
}

/// Builds the overview each second, as long as somebody listens.
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
        let event = event("overview", &overview::build(&state).await);
        overviews.newest.send_replace(Some(event));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::json::message::sample;

    #[test]
    fn an_event_is_two_lines_whatever_the_data_is() {
        let watched = Watched::Message(sample(1, "a\r\nb\n\ndata: c"));
        let text = String::from_utf8(watched_event(&watched).into()).unwrap();
        assert!(
            text.starts_with("event: message\ndata: {\"sequence\":1,"),
            "{text}"
        );
        assert!(text.ends_with("\"dataComplete\":true}\n\n"), "{text}");
        assert_eq!(text.lines().count(), 3);
        let missed = watched_event(&Watched::Missed(7));
        assert_eq!(missed, "event: missed\ndata: {\"missed\":7}\n\n");
    }

    #[test]
    fn nothing_is_built_when_nobody_listens() {
        let overviews = Overviews::default();
        let listener = overviews.newest.subscribe();
        overviews
            .newest
            .send_replace(Some(Bytes::from_static(b"old")));
        assert!(!overviews.unused());
        drop(listener);
        assert!(overviews.unused());
        assert!(
            overviews.newest.borrow().is_none(),
            "the next one gets no old one"
        );
    }

    #[test]
    fn a_watched_message_is_cut() {
        let large = sample(1, &"é".repeat(DATA_BYTES_MAX));
        let text = watched_event(&Watched::Message(large));
        assert!(text.len() < DATA_BYTES_MAX + 500);
        assert!(text.ends_with(b"\"dataComplete\":false}\n\n"));
    }
}
