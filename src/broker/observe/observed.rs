//! What the broker shows of itself: totals, their history, its backlog, and watchers of a topic.

use std::sync::atomic::Ordering;

use crate::broker::Broker;
use crate::broker::observe::counters::{RefusedFor, Totals};
use crate::broker::observe::history::{Backlog, Rates, Series, Step};
use crate::broker::observe::tallies::{ToldTopic, ToldTopics, WantedTopics};
use crate::broker::observe::watch::Watch;
use crate::message::Topic;
use crate::store::Storage;

impl Broker {
    /// What happened since the start.
    pub fn totals(&self) -> Totals {
        let counters = &self.0.activity.counters;
        Totals {
            accepted: counters.accepted.get(),
            delivered: counters.delivered.get(),
            consumed: counters.consumed.get(),
            not_consumed: counters.not_consumed.get(),
            requeued: counters.requeued.get(),
            expired_consumed: counters.expired_consumed.get(),
            expired_unread: counters.expired_unread.get(),
            deleted: counters.deleted.get(),
            refused: RefusedFor::ALL.map(|why| (why, counters.refused[why as usize].get())),
            acknowledgement_seconds: counters.acknowledgement_seconds.spread(),
            push_seconds: counters.push_seconds.spread(),
        }
    }

    /// Counts messages that an edge refused before the broker saw them, or after they had waited
    /// too long. The broker counts those that it refuses itself.
    pub fn count_refused(&self, why: RefusedFor, messages: usize) {
        self.0.activity.counters.refused(why, messages);
    }
}

impl Broker {
    /// Watches a topic from now on. A slow watcher misses messages, and delays nobody. The caller
    /// bounds the number of watchers.
    pub fn watch(&self, topic: Topic) -> Watch {
        self.0.activity.watchers.join(topic)
    }
}

impl Broker {
    /// The last `points` full steps, or fewer if the broker has not run that long.
    pub fn series(&self, step: Step, points: usize) -> Series {
        self.0.history.lock().series(step, points)
    }

    /// How fast messages come and go.
    pub fn rates(&self) -> Rates {
        self.0.history.lock().rates()
    }

    /// The messages that wait in the broker.
    pub fn backlog(&self) -> Backlog {
        let queue = &self.0.queue;
        let (queued, queued_on_disk, queue_bytes) = queue.depth();
        let (outbox_messages, outbox_bytes) = self.0.consumers.outboxes();
        Backlog {
            queued,
            queued_on_disk,
            queue_bytes,
            queue_capacity: queue.capacity(),
            topics_behind: self.0.consumers.topics_behind(),
            outbox_messages,
            outbox_bytes,
        }
    }
}

impl Broker {
    /// Selects the topics that [`Broker::told_topics`] tells from now on; `None`: none.
    pub async fn tell_topics(&self, wanted: Option<WantedTopics>) {
        let activity = self.0.activity.clone();
        activity.tallies.want(wanted);
        for (topic, _) in self.0.consumers.topics() {
            activity.tallies.joined(&topic);
        }
        let filled = self.0.disk.run(move |store| {
            activity.tallies.fill(store);
            Ok(())
        });
        // A closed store has no topics to tell.
        let _ = filled.await;
    }

    /// The figures of the topics that are told.
    pub async fn told_topics(&self) -> ToldTopics {
        if !self.0.activity.tallies.is_on.load(Ordering::Relaxed) {
            return ToldTopics::default();
        }
        let broker = self.clone();
        let told = self.0.disk.run(move |store| Ok(broker.look_at(store)));
        told.await.unwrap_or_default()
    }

    fn look_at(&self, store: &dyn Storage) -> ToldTopics {
        let tallies = &self.0.activity.tallies;
        let is_full = tallies.read().is_full();
        let left_out = if is_full { self.reuse_places(store) } else { 0 };
        let tallies = tallies.topics();
        let names: Vec<Topic> = tallies.iter().map(|(topic, _)| topic.clone()).collect();
        let oldest = store.oldest_waiting_of(&names).unwrap_or_else(|error| {
            tracing::warn!(%error, "the oldest waiting message is not known");
            vec![None; names.len()]
        });
        let topics = tallies.into_iter().zip(oldest);
        let topics = topics.map(|((topic, tally), oldest_waiting)| {
            let counts = store.topic(&topic);
            ToldTopic {
                waiting: counts.accepted + counts.not_consumed,
                oldest_waiting,
                consumers: self.listeners(&topic),
                accepted: tally.accepted.get(),
                delivered: tally.delivered.get(),
                topic,
            }
        });
        ToldTopics {
            topics: topics.collect(),
            left_out,
        }
    }

    fn listeners(&self, topic: &Topic) -> usize {
        let state = self.0.consumers.of_topic(topic);
        state.map_or(0, |state| state.consumers)
    }

    /// Gives the places of topics that have nothing to others. Returns the number of topics that
    /// find none.
    fn reuse_places(&self, store: &dyn Storage) -> usize {
        let tallies = &self.0.activity.tallies;
        let topics = tallies.topics().into_iter().map(|(topic, _)| topic);
        let gone: Vec<Topic> = topics
            .filter(|topic| store.topic(topic).all() == 0)
            .filter(|topic| self.listeners(topic) == 0)
            .collect();
        {
            let mut told = tallies.write();
            for topic in &gone {
                told.topics.remove(topic);
            }
        }
        tallies.fill(store)
    }
}
