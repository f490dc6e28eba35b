//! Figures over time: the flow since the start, and the messages accepted on each day.

use std::collections::HashMap;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::Response;
use chrono::{DateTime, Days, Local, NaiveDate, Offset};
use serde::Serialize;

use crate::broker::{Broker, Point, Step};
use crate::http::api::error::ConsoleError;
use crate::http::api::reply;
use crate::http::api::request::params;
use crate::http::state::HttpState;
use crate::http::times;
use crate::message::UnixSeconds;

const POINTS: usize = 300;
const POINTS_MAX: usize = 3600;
const DAYS: usize = 7;
const DAYS_MAX: usize = 400;
/// Quarters of an hour are kept for fewer days.
const QUARTER_DAYS_MAX: usize = 31;
const QUARTER_SECONDS: u32 = 15 * 60;
const QUARTERS_A_DAY: usize = 96;

/// GET /api/series: the flow in each of the last steps.
pub(super) async fn series(
    State(state): State<HttpState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Columns {
        step: u32,
        start: u32,
        since: u32,
        accepted: Vec<u64>,
        delivered: Vec<u64>,
        consumed: Vec<u64>,
        not_consumed: Vec<u64>,
        waiting: Vec<u64>,
    }
    let [step, points] = params::read(query.as_deref(), ["step", "points"])?;
    let steps = [
        ("1", (1, Step::Second)),
        ("60", (60, Step::Minute)),
        ("3600", (3600, Step::Hour)),
    ];
    let (seconds, step) = params::choice("step", step.as_deref(), &steps)?;
    let points = params::whole("points", points.as_deref(), 1..=POINTS_MAX, POINTS)?;
    let series = state.broker.series(step, points);
    let column = |value: fn(&Point) -> u64| series.points.iter().map(value).collect();
    let columns = Columns {
        step: seconds,
        start: series.start.0,
        since: series.since.0,
        accepted: column(|point| point.accepted),
        delivered: column(|point| point.delivered),
        consumed: column(|point| point.consumed),
        not_consumed: column(|point| point.not_consumed),
        waiting: column(|point| point.waiting),
    };
    Ok(reply::of(StatusCode::OK, &columns))
}

#[derive(Clone, Copy, Serialize)]
#[serde(rename_all = "lowercase")]
enum Bucket {
    Day,
    Quarter,
}

/// The messages accepted in a span that begins at `start`.
#[derive(Debug, PartialEq, Serialize)]
struct Accepted {
    start: u32,
    accepted: u64,
}

/// GET /api/growth: the messages accepted in each span, as the store knows them.
pub(super) async fn growth(
    State(state): State<HttpState>,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    #[derive(Serialize)]
    struct Growth {
        bucket: Bucket,
        zone: String,
        buckets: Vec<Accepted>,
    }
    let [bucket, days] = params::read(query.as_deref(), ["bucket", "days"])?;
    let buckets = [("day", Bucket::Day), ("quarter", Bucket::Quarter)];
    let bucket = params::choice("bucket", bucket.as_deref(), &buckets)?;
    let days_max = match bucket {
        Bucket::Day => DAYS_MAX,
        Bucket::Quarter => QUARTER_DAYS_MAX,
    };
    let days = params::whole("days", days.as_deref(), 1..=days_max, DAYS)?;
    let now = state.broker.clock().now();
    let local = DateTime::from_timestamp(i64::from(now.0), 0)
        .unwrap_or_default()
        .with_timezone(&Local);
    let growth = match bucket {
        Bucket::Day => Growth {
            bucket,
            zone: local.offset().fix().to_string(),
            buckets: by_day(&state.broker, local.date_naive(), days),
        },
        Bucket::Quarter => Growth {
            bucket,
            zone: "UTC".to_owned(),
            buckets: by_quarter(&state.broker.growth_by_quarter(), now, days),
        },
    };
    Ok(reply::of(StatusCode::OK, &growth))
}

/// The last days including today.
fn by_day(broker: &Broker, today: NaiveDate, days: usize) -> Vec<Accepted> {
    let known = broker.growth().into_iter();
    let known: HashMap<_, _> = known.map(|(day, count)| (day.date(), count)).collect();
    let dates = (0..days as u64).rev();
    let dates = dates.filter_map(|back| today.checked_sub_days(Days::new(back)));
    dates
        .map(|date| Accepted {
            start: times::day_begin(date).0,
            accepted: known.get(&date).copied().unwrap_or(0),
        })
        .collect()
}

/// The quarters of an hour of the last days including the present one.
fn by_quarter(known: &[(UnixSeconds, u64)], now: UnixSeconds, days: usize) -> Vec<Accepted> {
    let known: HashMap<_, _> = known.iter().copied().collect();
    let present = now.0 - now.0 % QUARTER_SECONDS;
    let starts = (0..).map(|back: u32| present.checked_sub(back.checked_mul(QUARTER_SECONDS)?));
    let starts = starts.take(days * QUARTERS_A_DAY).map_while(|start| start);
    let mut buckets: Vec<_> = starts
        .map(|start| Accepted {
            start,
            accepted: known.get(&UnixSeconds(start)).copied().unwrap_or(0),
        })
        .collect();
    buckets.reverse();
    buckets
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_quarter_is_there() {
        let now = UnixSeconds(1_795_367_326);
        let present = 1_795_367_326 / QUARTER_SECONDS * QUARTER_SECONDS;
        let known = [
            (UnixSeconds(present), 3),
            (UnixSeconds(present - 2 * QUARTER_SECONDS), 5),
            (UnixSeconds(present - 1000 * QUARTER_SECONDS), 7),
        ];
        let buckets = by_quarter(&known, now, 2);
        assert_eq!(buckets.len(), 192);
        let counts: Vec<_> = buckets[188..]
            .iter()
            .map(|bucket| bucket.accepted)
            .collect();
        assert_eq!(counts, [0, 5, 0, 3]);
        assert_eq!(buckets[191].start, present);
        assert!(
            buckets
                .windows(2)
                .all(|two| two[1].start == two[0].start + QUARTER_SECONDS)
        );
        assert_eq!(by_quarter(&[], UnixSeconds(1000), 1).len(), 2);
    }
}
