//! Topics as JSON.

use std::time::Duration;

use serde::Serialize;

use crate::broker::TopicState;
use crate::http::api::json::numbers::{CountsJson, rounded, waiting};
use crate::message::UnixSeconds;

/// A topic in a list.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct TopicRow<'a> {
    topic: &'a str,
    counts: CountsJson,
    waiting: u64,
    oldest_waiting: Option<u32>,
    consumers: usize,
    producers: usize,
    rate_in: f64,
    rate_out: f64,
    behind: bool,
    pace_seconds: Option<u64>,
}

impl<'a> TopicRow<'a> {
    pub(in crate::http::api) fn of(
        state: &'a TopicState,
        oldest_waiting: Option<UnixSeconds>,
    ) -> TopicRow<'a> {
        TopicRow {
            topic: state.topic.as_str(),
            counts: state.counts.into(),
            waiting: waiting(state.counts),
            oldest_waiting: oldest_waiting.map(|at| at.0),
            consumers: state.consumers,
            producers: state.producers,
            rate_in: rounded(state.rate_in),
            rate_out: rounded(state.rate_out),
            behind: state.behind,
            pace_seconds: state.held_back.map(whole_seconds),
        }
    }
}

/// The seconds, rounded up.
fn whole_seconds(time: Duration) -> u64 {
    let begun = u64::from(time.subsec_nanos() > 0);
    time.as_secs().saturating_add(begun)
}
