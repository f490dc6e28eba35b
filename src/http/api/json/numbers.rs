//! Numbers as JSON.

use serde::Serialize;

use crate::store::Counts;

/// The number of messages by status.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct CountsJson {
    all: u64,
    accepted: u64,
    not_consumed: u64,
    consumed: u64,
}

impl From<Counts> for CountsJson {
    fn from(counts: Counts) -> CountsJson {
        CountsJson {
            all: counts.all(),
            accepted: counts.accepted,
            not_consumed: counts.not_consumed,
            consumed: counts.consumed,
        }
    }
}

/// The messages that are not consumed.
pub(in crate::http::api) fn waiting(counts: Counts) -> u64 {
    counts.accepted + counts.not_consumed
}

/// A number with at most three decimals.
pub(in crate::http::api) fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}
