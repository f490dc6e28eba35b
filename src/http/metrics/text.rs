//! The names, units and labels of what is measured.

use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeGaugeValue, NoLabelSet, prometheus_text, text,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::access::Lack;
use crate::broker::RefusedFor;
use crate::connection::connection_stats::{Ended, Refused, Transport};
use crate::http::metrics::Scrape;
use crate::http::metrics::accept::Format;
use crate::measure::Spread;

/// The text of a scrape.
pub(super) fn encode(scrape: Scrape, format: Format) -> String {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    let encoded = match format {
        Format::OpenMetrics => text::encode(&mut text, &registry),
        Format::Prometheus => prometheus_text::encode(&mut text, &registry),
    };
    encoded.expect("a string takes everything");
    text
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut to = Metrics(encoder);
        self.messages(&mut to)?;
        self.waiting(&mut to)?;
        self.topics(&mut to)?;
        self.store(&mut to)?;
        self.clients(&mut to)?;
        self.process(&mut to)
    }
}

impl Scrape {
    fn messages(&self, to: &mut Metrics<'_>) -> fmt::Result {
        let totals = &self.totals;
        to.counter(
            "dpmq_messages_accepted",
            "Messages stored.",
            totals.accepted,
        )?;
        to.counter(
            "dpmq_messages_delivered",
            "Messages written to consumers, each consumer counted.",
            totals.delivered,
        )?;
        to.counter(
            "dpmq_messages_consumed",
            "Messages that were written to at least one consumer.",
            totals.consumed,
        )?;
        to.counter(
            "dpmq_messages_not_consumed",
            "Messages that were pushed and written to nobody, each time counted.",
            totals.not_consumed,
        )?;
        to.counter(
            "dpmq_messages_requeued",
            "Messages that were queued again after nobody had consumed them.",
            totals.requeued,
        )?;
        to.counters(
            "dpmq_messages_expired",
            "Messages deleted because they were older than mq.cleanTime.",
            "status",
            [
                ("consumed", totals.expired_consumed),
                ("unread", totals.expired_unread),
            ],
        )?;
        to.counter(
            "dpmq_messages_deleted",
            "Messages deleted or purged by an operator.",
            totals.deleted,
        )?;
        to.counters(
            "dpmq_messages_refused",
            "Messages that were not accepted.",
            "reason",
            totals.refused.map(|(why, messages)| {
                let reason = match why {
                    RefusedFor::TooLarge => "too_large",
                    RefusedFor::Invalid => "invalid",
                    RefusedFor::QueueFull => "queue_full",
                    RefusedFor::Busy => "busy",
                    RefusedFor::NotStored => "not_stored",
                    RefusedFor::Stopping => "stopping",
                };
                (reason, messages)
            }),
        )?;
        to.histogram(
            "dpmq_acknowledgement",
            "Time from publishing a message to its answer.",
            Some(Unit::Seconds),
            &totals.acknowledgement_seconds,
        )?;
        to.histogram(
            "dpmq_push",
            "Time from storing a message to writing it to the socket of a consumer.",
            Some(Unit::Seconds),
            &totals.push_seconds,
        )
    }

    fn waiting(&self, to: &mut Metrics<'_>) -> fmt::Result {
        let (counts, backlog) = (&self.counts, &self.backlog);
        to.gauges(
            "dpmq_stored_messages",
            "Messages in the store.",
            None,
            "status",
            [
                ("accepted", counts.accepted),
                ("not_consumed", counts.not_consumed),
                ("consumed", counts.consumed),
            ],
        )?;
        if let Some(seconds) = self.oldest_waiting_seconds {
            to.gauge(
                "dpmq_oldest_waiting",
                "Age of the oldest message that is not consumed; 0 if there is none.",
                Some(Unit::Seconds),
                seconds,
            )?;
        }
        to.gauge(
            "dpmq_topics",
            "Topics that have messages.",
            None,
            self.topics,
        )?;
        to.gauge(
            "dpmq_topics_behind",
            "Topics whose consumers all have full outboxes.",
            None,
            backlog.topics_behind,
        )?;
        to.gauges(
            "dpmq_queue_messages",
            "Messages that wait to be pushed for the first time, or again.",
            None,
            "place",
            [
                ("memory", backlog.queued - backlog.queued_on_disk),
                ("disk", backlog.queued_on_disk),
            ],
        )?;
        to.gauge(
            "dpmq_queue_capacity_messages",
            "Messages that may wait to be pushed; then producers wait.",
            None,
            backlog.queue_capacity,
        )?;
        to.gauge(
            "dpmq_queue_memory",
            "Memory that queued messages take.",
            Some(Unit::Bytes),
            backlog.queue_bytes,
        )?;
        to.gauge(
            "dpmq_outbox_messages",
            "Messages that wait for the sockets of consumers.",
            None,
            backlog.outbox_messages,
        )?;
        to.gauge(
            "dpmq_outbox",
            "Data of the messages that wait for the sockets of consumers, each consumer counted.",
            Some(Unit::Bytes),
            backlog.outbox_bytes,
        )
    }

    fn store(&self, to: &mut Metrics<'_>) -> fmt::Result {
        to.gauge(
            "dpmq_ready",
            "1 if messages are accepted and stored, as /health/ready says.",
            None,
            u32::from(self.ready),
        )?;
        to.gauge(
            "dpmq_impaired_parts",
            "Parts of the store beside the log, mirror and snapshot, that cannot be written.",
            None,
            self.impaired,
        )?;
        to.gauge(
            "dpmq_damage_findings",
            "Places of the store that were found to be damaged since the start.",
            None,
            self.damage,
        )?;
        to.gauge(
            "dpmq_messages_ahead",
            "Messages dated ahead of the clock.",
            None,
            self.ahead,
        )?;
        if let Some(measures) = &self.measures {
            to.histogram(
                "dpmq_group_messages",
                "Messages that were synced together.",
                None,
                &measures.group_messages,
            )?;
            to.histogram(
                "dpmq_sync",
                "Time of a sync of the log.",
                Some(Unit::Seconds),
                &measures.sync_seconds,
            )?;
            to.gauge(
                "dpmq_mirror_lag",
                "Bytes of the log that the mirror does not have yet.",
                Some(Unit::Bytes),
                measures.mirror_lag_bytes,
            )?;
            to.gauge(
                "dpmq_mirror_lag",
                "Time since the oldest of what the mirror does not have was written.",
                Some(Unit::Seconds),
                measures.mirror_lag.as_secs_f64(),
            )?;
            to.gauge(
                "dpmq_snapshot_age",
                "Time since the snapshot had everything, or since the start.",
                Some(Unit::Seconds),
                measures.snapshot_age.as_secs_f64(),
            )?;
        }
        if let Some(disk) = &self.disk {
            to.gauges(
                "dpmq_store",
                "Bytes that the store takes of the disk.",
                Some(Unit::Bytes),
                "part",
                [
                    ("log", disk.log_bytes),
                    ("mirror", disk.mirror_bytes),
                    ("snapshot", disk.snapshot_bytes),
                ],
            )?;
            to.gauge(
                "dpmq_last_backup_time",
                "When a backup was sent whole last, in Unix seconds; 0: never.",
                Some(Unit::Seconds),
                self.last_backup.map_or(0, |at| at.0),
            )?;
            to.gauge(
                "dpmq_disk_free",
                "Bytes of the file system of the store that may still be written.",
                Some(Unit::Bytes),
                disk.free_bytes,
            )?;
            to.gauge(
                "dpmq_disk_size",
                "Bytes of the file system of the store.",
                Some(Unit::Bytes),
                disk.total_bytes,
            )?;
        }
        Ok(())
    }

    fn clients(&self, to: &mut Metrics<'_>) -> fmt::Result {
        let (consumers, producers) = (self.consumers as u64, self.producers as u64);
        let others = self.connections.saturating_sub(consumers + producers);
        to.gauges(
            "dpmq_connections",
            "Connections that are open.",
            None,
            "role",
            [
                ("consumer", consumers),
                ("producer", producers),
                ("other", others),
            ],
        )?;
        to.counter(
            "dpmq_connections_accepted",
            "Connections that were accepted.",
            self.connections_accepted,
        )?;
        to.counters(
            "dpmq_connections_refused",
            "Connections that were refused.",
            "reason",
            self.connections_refused.map(|(why, connections)| {
                let reason = match why {
                    Refused::Handshake => "handshake",
                    Refused::Limit => "limit",
                    Refused::AddressLimit => "address_limit",
                    Refused::Files => "files",
                    Refused::Slow => "slow",
                    Refused::Tls => "tls",
                };
                (reason, connections)
            }),
        )?;
        to.counters(
            "dpmq_sessions_ended",
            "Sessions over WebSocket that the server ended.",
            "reason",
            self.sessions_ended.map(|(why, sessions)| {
                let reason = match why {
                    Ended::Stopping => "stopping",
                    Ended::Protocol => "protocol",
                    Ended::TooLarge => "too_large",
                    Ended::Policy => "policy",
                    Ended::TooSlow => "too_slow",
                    Ended::Silent => "silent",
                    Ended::Failed => "failed",
                };
                (reason, sessions)
            }),
        )?;
        to.counter(
            "dpmq_messages_missed",
            "Messages that waited for a consumer whose session the server ended.",
            self.messages_missed,
        )?;
        to.counters(
            "dpmq_logins_refused",
            "Wrong keys.",
            "via",
            self.logins_refused.map(|(transport, logins)| {
                let name = match transport {
                    Transport::Http => "http",
                    Transport::WebSocket => "websocket",
                };
                (name, logins)
            }),
        )?;
        to.counters(
            "dpmq_access_refused",
            "What keys were not good for.",
            "reason",
            self.lacked.map(|(what, times)| {
                let reason = match what {
                    Lack::Right => "right",
                    Lack::Topic => "topic",
                    Lack::Time => "expired",
                };
                (reason, times)
            }),
        )
    }

    fn process(&self, to: &mut Metrics<'_>) -> fmt::Result {
        to.info(
            "dpmq_build",
            "The version that runs.",
            &[("version", env!("CARGO_PKG_VERSION"))],
        )?;
        to.gauge(
            "dpmq_uptime",
            "Time since the store was opened.",
            Some(Unit::Seconds),
            self.uptime.as_secs_f64(),
        )?;
        to.gauge(
            "process_start_time",
            "When the store was opened, in Unix seconds.",
            Some(Unit::Seconds),
            self.started_at,
        )?;
        to.cpu(self.cpu_seconds)?;
        if let Some(bytes) = self.resident_bytes {
            to.gauge(
                "process_resident_memory",
                "Memory that the process has.",
                Some(Unit::Bytes),
                bytes,
            )?;
        }
        if let Some((open, most)) = self.files {
            let help = "Files and sockets that are open.";
            to.gauge("process_open_fds", help, None, open)?;
            let help = "Files and sockets that may be open.";
            to.gauge("process_max_fds", help, None, most)?;
        }
        Ok(())
    }
}

/// Writes one family after the other.
pub(super) struct Metrics<'a>(pub(super) DescriptorEncoder<'a>);

impl Metrics<'_> {
    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&value, None)
    }

    fn counters<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: [(&str, u64); N],
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (case, value) in values {
            let labels = [(label, case)];
            let mut metric = family.encode_family(&labels)?;
            metric.encode_counter::<NoLabelSet, _, u64>(&value, None)?;
        }
        Ok(())
    }

    fn cpu(&mut self, seconds: f64) -> fmt::Result {
        let (to, unit) = (&mut self.0, Some(&Unit::Seconds));
        let help = "Time of all processors together that the process has had.";
        let mut family = to.encode_descriptor("process_cpu", help, unit, MetricType::Counter)?;
        family.encode_counter::<NoLabelSet, _, u64>(&seconds, None)
    }

    pub(super) fn gauge(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        value: impl EncodeGaugeValue,
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        family.encode_gauge(&value)
    }

    fn gauges<const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        label: &str,
        values: [(&str, impl EncodeGaugeValue); N],
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Gauge)?;
        for (case, value) in values {
            let labels = [(label, case)];
            family.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<Unit>,
        spread: &Spread,
    ) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, unit.as_ref(), MetricType::Histogram)?;
        let (sum, count) = (spread.sum, spread.count());
        family.encode_histogram::<NoLabelSet>(sum, count, &spread.buckets, None)
    }

    fn info(&mut self, name: &str, help: &str, labels: &[(&str, &str)]) -> fmt::Result {
        let to = &mut self.0;
        let mut family = to.encode_descriptor(name, help, None, MetricType::Info)?;
        family.encode_info(&labels)
    }
}
