//! The flow of messages, and the messages that wait.

use std::fmt;

use prometheus_client::registry::Unit;

use crate::broker::RefusedFor;
use crate::http::metrics::families::Families;
use crate::http::metrics::scrape::Scrape;

impl Scrape {
    pub(super) fn messages(&self, to: &mut Families<'_>) -> fmt::Result {
        self.outcomes(to)?;
        self.removals(to)?;
        self.refusals(to)?;
        self.times(to)
    }

    /// Messages accepted, delivered, consumed and queued again.
    fn outcomes(&self, to: &mut Families<'_>) -> fmt::Result {
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
        )
    }

    /// Messages that expire or are deleted.
    fn removals(&self, to: &mut Families<'_>) -> fmt::Result {
        let totals = &self.totals;
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
        )
    }

    /// Messages refused, by reason.
    fn refusals(&self, to: &mut Families<'_>) -> fmt::Result {
        to.counters(
            "dpmq_messages_refused",
            "Messages that were not accepted.",
            "reason",
            self.totals.refused.map(|(why, messages)| {
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
        )
    }

    /// How long answers and pushes take.
    fn times(&self, to: &mut Families<'_>) -> fmt::Result {
        let totals = &self.totals;
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

    pub(super) fn waiting(&self, to: &mut Families<'_>) -> fmt::Result {
        self.stored(to)?;
        self.topics_behind(to)?;
        self.queue(to)?;
        self.outboxes(to)
    }

    /// The messages in the store.
    fn stored(&self, to: &mut Families<'_>) -> fmt::Result {
        let counts = &self.counts;
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
        Ok(())
    }

    /// The topics, and those that are behind.
    fn topics_behind(&self, to: &mut Families<'_>) -> fmt::Result {
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
            self.backlog.topics_behind,
        )
    }

    /// The messages in the queue.
    fn queue(&self, to: &mut Families<'_>) -> fmt::Result {
        let backlog = &self.backlog;
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
        )
    }

    /// The messages in the outboxes.
    fn outboxes(&self, to: &mut Families<'_>) -> fmt::Result {
        let backlog = &self.backlog;
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
}
