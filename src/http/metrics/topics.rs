//! The metrics of single topics: those that `server.metricsTopics` names.

use std::fmt;

use prometheus_client::registry::Unit;

use crate::http::metrics::families::Families;
use crate::http::metrics::scrape::Scrape;

impl Scrape {
    pub(super) fn topics(&self, to: &mut Families<'_>) -> fmt::Result {
        to.gauge(
            "dpmq_topics_left_out",
            "Topics that server.metricsTopics fits, and that are not told, since too many are.",
            None,
            self.told_topics.left_out,
        )?;
        let topics = &*self.told_topics.topics;
        if topics.is_empty() {
            // A family needs a sample.
            return Ok(());
        }
        to.gauge_of_each(
            "dpmq_topic_waiting_messages",
            "Messages of the topic that are not consumed.",
            None,
            topics,
            |topic| topic.waiting,
        )?;
        to.gauge_of_each(
            "dpmq_topic_oldest_waiting",
            "Age of the oldest of them; 0 if there is none.",
            Some(Unit::Seconds),
            topics,
            |topic| {
                topic
                    .oldest_waiting
                    .map_or(0, |at| self.now.saturating_sub(at.0.into()).0)
            },
        )?;
        to.gauge_of_each(
            "dpmq_topic_consumers",
            "Consumers of the topic that are connected.",
            None,
            topics,
            |topic| topic.consumers,
        )?;
        to.counter_of_each(
            "dpmq_topic_messages_accepted",
            "Messages of the topic stored.",
            topics,
            |topic| topic.accepted,
        )?;
        to.counter_of_each(
            "dpmq_topic_messages_delivered",
            "Messages of the topic written to consumers, each consumer counted.",
            topics,
            |topic| topic.delivered,
        )
    }
}
