//! Topics: the messages and clients of each, and how fast messages come and go.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::Broker;
use crate::broker::observe::topic_state::TopicState;
use crate::broker::push::pace::Pace;
use crate::message::Topic;
use crate::store::{Counts, TopicCounts};

/// Topics that are looked up at once, while the store waits to count messages.
const LOOKUPS: usize = 256;

impl Broker {
    /// Every topic that has messages or clients, in no order.
    pub fn topics(&self) -> Vec<TopicState> {
        let counts = self.0.store.topics().into_iter();
        let mut states: HashMap<Topic, TopicState> = counts
            .map(|TopicCounts { topic, counts }| (topic.clone(), TopicState::new(topic, counts)))
            .collect();
        let mut at = |topic: Topic, change: &dyn Fn(&mut TopicState)| {
            let entry = states.entry(topic.clone());
            change(entry.or_insert_with(|| TopicState::new(topic, Counts::default())));
        };
        for (topic, consumers) in self.0.consumers.topics() {
            at(topic, &|state| state.set_consumers(&consumers));
        }
        for topic in self.0.producers.topics() {
            at(topic, &|state| state.producers += 1);
        }
        let mut states: Vec<TopicState> = states.into_values().collect();
        states.retain(TopicState::has_anything);
        let wait = self.pace_wait();
        for some in states.chunks_mut(LOOKUPS) {
            self.0.activity.arrivals.fill(some, Instant::now());
            some.iter_mut().for_each(|state| state.set_wait(wait));
        }
        states
    }

    /// A topic, if it has messages or clients.
    pub fn topic(&self, topic: &Topic) -> Option<TopicState> {
        let mut state = TopicState::new(topic.clone(), self.0.store.topic(topic));
        if let Some(consumers) = self.0.consumers.of_topic(topic) {
            state.set_consumers(&consumers);
        }
        let producers = self.0.producers.topics().into_iter();
        state.producers = producers.filter(|other| other == topic).count();
        if !state.has_anything() {
            return None;
        }
        let arrivals = &self.0.activity.arrivals;
        arrivals.fill(std::slice::from_mut(&mut state), Instant::now());
        state.set_wait(self.pace_wait());
        Some(state)
    }

    /// How fast messages may leave.
    pub fn pace(&self) -> Pace {
        self.0.settings.borrow().pace
    }

    /// How long the pace holds back the last message of the queue.
    fn pace_wait(&self) -> Option<Duration> {
        let (queued, _, _) = self.0.queue.depth();
        self.pace().holds_back(queued)
    }
}
