//! GET /api/topics/{topic}/watch: messages of a topic as they are stored, as server-sent events.

use axum::body::Bytes;
use axum::extract::State;
use axum::response::Response;
use futures_util::stream;
use serde::Serialize;

use crate::broker::{Watch, Watched};
use crate::http::api::error::ConsoleError;
use crate::http::api::json::message::FullMessage;
use crate::http::api::request::params::AboutTopic;
use crate::http::routes::caller::Caller;
use crate::http::sse;
use crate::http::state::HttpState;

/// The most data of a watched message that is shown.
const DATA_BYTES_MAX: usize = 64 << 10;

/// GET /api/topics/{topic}/watch.
pub(in crate::http::api) async fn watch(
    State(state): State<HttpState>,
    caller: Caller,
    AboutTopic(topic): AboutTopic,
) -> Result<Response, ConsoleError> {
    caller.may_use(&topic)?;
    let place = state.places.streams.take(caller.key())?;
    let watch = state.broker.watch(topic);
    let events = stream::unfold(watch, async |mut watch: Watch| {
        let next = watch.next().await;
        Some((watched_event(&next), watch))
    });
    Ok(sse::reply(events, state.stop.clone(), place))
}

fn watched_event(watched: &Watched) -> Bytes {
    #[derive(Serialize)]
    struct Missed {
        missed: u64,
    }
    match watched {
        Watched::Message(message) => {
            sse::event("message", &FullMessage::of(message, DATA_BYTES_MAX))
        }
        Watched::Missed(missed) => sse::event("missed", &Missed { missed: *missed }),
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
    fn a_watched_message_is_cut() {
        let large = sample(1, &"é".repeat(DATA_BYTES_MAX));
        let text = watched_event(&Watched::Message(large));
        assert!(text.len() < DATA_BYTES_MAX + 500);
        assert!(text.ends_with(b"\"dataComplete\":false}\n\n"));
    }
}
