//! The numbers of one moment.

use std::time::Duration;

use crate::access::Lack;
use crate::broker::{Backlog, ToldTopics, Totals};
use crate::connection::connection_stats::{Ended, Refused, Transport};
use crate::http::front::health;
use crate::http::host::disk::Disk;
use crate::http::host::process;
use crate::http::state::HttpState;
use crate::message::UnixSeconds;
use crate::store::{Counts, Measures};

/// All numbers of one moment.
#[derive(Debug)]
pub(super) struct Scrape {
    pub(super) totals: Totals,
    pub(super) counts: Counts,
    pub(super) backlog: Backlog,
    pub(super) topics: usize,
    /// The topics with numbers of their own.
    pub(super) told_topics: ToldTopics,
    pub(super) now: UnixSeconds,
    /// The age of the oldest waiting message; `None` if the store cannot tell.
    pub(super) oldest_waiting_seconds: Option<u32>,
    /// `None` without a disk.
    pub(super) measures: Option<Measures>,
    pub(super) disk: Option<Disk>,
    pub(super) last_backup: Option<UnixSeconds>,
    pub(super) damage: usize,
    pub(super) ahead: u64,
    pub(super) impaired: usize,
    pub(super) ready: bool,
    pub(super) consumers: usize,
    pub(super) producers: usize,
    pub(super) connections: u64,
    pub(super) connections_accepted: u64,
    pub(super) connections_refused: [(Refused, u64); Refused::ALL.len()],
    pub(super) logins_refused: [(Transport, u64); Transport::ALL.len()],
    pub(super) lacked: [(Lack, u64); Lack::ALL.len()],
    pub(super) sessions_ended: [(Ended, u64); Ended::ALL.len()],
    pub(super) messages_missed: u64,
    pub(super) uptime: Duration,
    pub(super) started_at: u32,
    pub(super) resident_bytes: Option<u64>,
    pub(super) cpu_seconds: f64,
    /// The number of open files, and its limit.
    pub(super) files: Option<(u64, u64)>,
}

/// Collects all numbers.
pub(super) async fn scrape(state: &HttpState) -> Scrape {
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
        disk: state.disk.get(broker).await,
        last_backup: broker.last_backup(),
        damage: broker.damage().len(),
        ahead: broker.ahead(),
        impaired: health.impaired.len(),
        ready: health::unready(broker, &state.stop).is_none(),
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
