//! GET /metrics: what there is to measure, in the text of OpenMetrics or of Prometheus.
//! `docs/metrics.md` says what each number means, and a test holds both equal.
//!
//! Nothing is kept here: counters and histograms are those of broker, store and edges, and
//! everything else is asked for at each scrape.

mod accept;
mod text;
mod topics;

use std::time::Duration;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::access::Lack;
use crate::broker::{Backlog, ToldTopics, Totals};
use crate::connection::connection_stats::{Ended, Refused, Transport};
use crate::http::api::{Disk, Refusal};
use crate::http::front::gate;
use crate::http::metrics::accept::Format;
use crate::http::routes::caller::Caller;
use crate::http::{HttpState, process};
use crate::message::UnixSeconds;
use crate::store::{Counts, Measures};

/// Everything that is told of one moment.
#[derive(Debug)]
struct Scrape {
    totals: Totals,
    counts: Counts,
    backlog: Backlog,
    topics: usize,
    /// Those that are told one by one.
    told_topics: ToldTopics,
    now: UnixSeconds,
    /// How long ago the oldest waiting message was created; `None` if it is not known.
    oldest_waiting_seconds: Option<u32>,
    /// `None` without a disk.
    measures: Option<Measures>,
    disk: Option<Disk>,
    last_backup: Option<UnixSeconds>,
    damage: usize,
    ahead: u64,
    impaired: usize,
    ready: bool,
    consumers: usize,
    producers: usize,
    connections: u64,
    connections_accepted: u64,
    connections_refused: [(Refused, u64); Refused::ALL.len()],
    logins_refused: [(Transport, u64); Transport::ALL.len()],
    lacked: [(Lack, u64); Lack::ALL.len()],
    sessions_ended: [(Ended, u64); Ended::ALL.len()],
    messages_missed: u64,
    uptime: Duration,
    started_at: u32,
    resident_bytes: Option<u64>,
    cpu_seconds: f64,
    /// Files that are open, and how many may be.
    files: Option<(u64, u64)>,
}

/// See the module.
pub(super) async fn metrics(
    State(state): State<HttpState>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
) -> Result<Response, Refusal> {
    let key = caller.as_ref().map_or("", |Extension(caller)| caller.key());
    let _permit = state.console.scrapes.take(key)?;
    let format = Format::wanted(&headers);
    let mut scrape = scrape(&state).await;
    if let Some(Extension(caller)) = &caller {
        let told = &mut scrape.told_topics.topics;
        told.retain(|told| caller.sees(&told.topic));
    }
    let text = text::encode(scrape, format);
    let headers = [
        (header::CONTENT_TYPE, format.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        (header::VARY, "Accept"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    Ok((headers, text).into_response())
}

async fn scrape(state: &HttpState) -> Scrape {
    let (broker, connections) = (&state.broker, &state.connections);
    let (consumers, producers) = broker.client_counts();
    let health = broker.health();
    let files = tokio::task::spawn_blocking(process::files).await;
    Scrape {
        totals: broker.totals(),
        counts: broker.counts(),
        backlog: broker.backlog(),
        topics: broker.topic_count(),
        told_topics: broker.told_topics().await,
        now: broker.clock().now(),
        oldest_waiting_seconds: oldest_waiting_seconds(state).await,
        measures: broker.measures(),
        disk: state.console.disk.get(broker).await,
        last_backup: broker.last_backup(),
        damage: broker.damage().len(),
        ahead: broker.ahead(),
        impaired: health.impaired.len(),
        ready: gate::unready(broker, &state.stop).is_none(),
        consumers,
        producers,
        connections: connections.open(),
        connections_accepted: connections.accepted.get(),
        connections_refused: Refused::ALL.map(|why| (why, connections.refused(why).get())),
        logins_refused: Transport::ALL
            .map(|transport| (transport, connections.logins_refused(transport).get())),
        lacked: Lack::ALL.map(|what| (what, state.access.lacked(what).get())),
        sessions_ended: Ended::ALL.map(|why| (why, connections.ended(why).get())),
        messages_missed: connections.missed.get(),
        uptime: state.started.elapsed(),
        started_at: state.started_at.0,
        resident_bytes: process::resident_bytes().await,
        cpu_seconds: process::cpu_seconds(),
        files: files.ok().flatten(),
    }
}

/// Zero if nothing waits.
async fn oldest_waiting_seconds(state: &HttpState) -> Option<u32> {
    match state.broker.oldest_waiting().await {
        Ok(oldest) => {
            let now = state.broker.clock().now();
            Some(oldest.map_or(0, |at| now.saturating_sub(at.0.into()).0))
        }
        Err(error) => {
            tracing::warn!(%error, "the oldest waiting message is not known");
            None
        }
    }
}
