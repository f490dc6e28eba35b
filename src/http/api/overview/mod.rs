//! The overview: the state of the broker at a glance.

pub(in crate::http::api) mod events;
pub(in crate::http::api) mod overviews;

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::broker::{Broker, Concern, Concerns, Rates, Step, UNREAD_SECONDS};
use crate::config::Durability;
use crate::http::api::error::ConsoleError;
use crate::http::api::json::numbers::rounded;
use crate::http::api::json::numbers::{CountsJson, waiting};
use crate::http::api::reply;
use crate::http::api::request::params::NoParams;
use crate::http::host::disk::Disk;
use crate::http::host::process;
use crate::http::state::HttpState;

/// The most findings shown, since an overview is sent each second. The log has all of them.
const DAMAGE_SHOWN_MAX: usize = 5;

/// GET /api/overview.
pub(super) async fn overview(
    State(state): State<HttpState>,
    _: NoParams,
) -> Result<Response, ConsoleError> {
    let overview = build(&state).await;
    Ok(reply::of(StatusCode::OK, &overview))
}

/// The state of the broker at one moment.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Overview {
    version: &'static str,
    started_at: u32,
    now_ms: u64,
    health: HealthJson,
    durability: &'static str,
    counts: CountsJson,
    rates: RatesJson,
    pace_per_second: Option<f64>,
    backlog: BacklogJson,
    memory: MemoryJson,
    disk: Option<Disk>,
    clients: ClientsJson,
    topics: usize,
    last: PointJson,
}

#[derive(Serialize)]
struct HealthJson {
    state: &'static str,
    reasons: Vec<String>,
    damage: Vec<String>,
    keys: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct RatesJson {
    accepted: f64,
    delivered: f64,
    consumed: f64,
    not_consumed: f64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct BacklogJson {
    waiting: u64,
    queued: usize,
    queue_capacity: usize,
    topics_behind: usize,
    oldest_waiting: Option<u32>,
    without_consumer: Option<WithoutConsumer>,
}

/// Topics without a consumer in which a message has waited for at least `after_seconds`.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct WithoutConsumer {
    after_seconds: u32,
    topics: usize,
    messages: u64,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct MemoryJson {
    resident_bytes: Option<u64>,
}

#[derive(Serialize)]
struct ClientsJson {
    consumers: usize,
    producers: usize,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PointJson {
    at: u32,
    accepted: u64,
    delivered: u64,
    consumed: u64,
    not_consumed: u64,
    waiting: u64,
}

/// The overview of this moment.
pub(super) async fn build(state: &HttpState) -> Overview {
    let broker = &state.broker;
    let disk = state.disk.get(broker).await;
    let (consumers, producers) = broker.client_counts();
    let (counts, rates, backlog) = (broker.counts(), broker.rates(), broker.backlog());
    let concerns = concerns(state).await;
    Overview {
        version: env!("CARGO_PKG_VERSION"),
        started_at: state.started_at.0,
        now_ms: broker.clock().now_ms(),
        health: health(state),
        durability: match state.config().mq.durability {
            Durability::Disk => "disk",
            Durability::Memory => "memory",
        },
        counts: counts.into(),
        rates: rates.into(),
        pace_per_second: broker.pace().per_second(),
        backlog: BacklogJson {
            waiting: waiting(counts),
            queued: backlog.queued,
            queue_capacity: backlog.queue_capacity,
            topics_behind: backlog.topics_behind,
            oldest_waiting: oldest_waiting(broker).await,
            without_consumer: concerns.as_deref().map(WithoutConsumer::of),
        },
        memory: MemoryJson {
            resident_bytes: process::resident_bytes().await,
        },
        disk,
        clients: ClientsJson {
            consumers,
            producers,
        },
        topics: concerns.map_or_else(|| broker.topic_count(), |concerns| concerns.topics),
        last: last_point(broker),
    }
}

/// The health of the store and of the file of keys.
fn health(state: &HttpState) -> HealthJson {
    let (health, keys) = (state.broker.health(), state.access.trouble());
    let mut damage = state.broker.damage();
    damage.truncate(DAMAGE_SHOWN_MAX);
    HealthJson {
        state: match (&health.refusing, &health.impaired[..], &keys) {
            (Some(_), _, _) => "refusing",
            (None, [], None) => "ok",
            (None, _, _) => "impaired",
        },
        reasons: health.refusing.into_iter().chain(health.impaired).collect(),
        damage,
        keys,
    }
}

impl From<Rates> for RatesJson {
    fn from(rates: Rates) -> RatesJson {
        RatesJson {
            accepted: rounded(rates.accepted),
            delivered: rounded(rates.delivered),
            consumed: rounded(rates.consumed),
            not_consumed: rounded(rates.not_consumed),
        }
    }
}

impl WithoutConsumer {
    fn of(concerns: &Concerns) -> WithoutConsumer {
        let (topics, messages) = concerns.of(Concern::NoConsumer);
        WithoutConsumer {
            after_seconds: UNREAD_SECONDS,
            topics,
            messages,
        }
    }
}

/// Unix seconds. A failure is logged and leaves it out: an overview is needed most when little
/// works.
async fn oldest_waiting(broker: &Broker) -> Option<u32> {
    match broker.oldest_waiting().await {
        Ok(oldest) => oldest.map(|at| at.0),
        Err(error) => {
            tracing::warn!(%error, "the oldest waiting message is not known");
            None
        }
    }
}

/// The topics that need attention. A failure is logged and leaves them out.
async fn concerns(state: &HttpState) -> Option<Arc<Concerns>> {
    let found = state.console.survey.get(&state.broker).await;
    found
        .inspect_err(|error| tracing::warn!(%error, "the topics that need attention are not known"))
        .ok()
}

/// The newest full second; zeros before the first one.
fn last_point(broker: &Broker) -> PointJson {
    let series = broker.series(Step::Second, 1);
    let point = series.points.last().copied().unwrap_or_default();
    PointJson {
        at: series.start.0,
        accepted: point.accepted,
        delivered: point.delivered,
        consumed: point.consumed,
        not_consumed: point.not_consumed,
        waiting: point.waiting,
    }
}
