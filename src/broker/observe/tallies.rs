//! The topics that the metrics tell one by one: what came and went of each, and what waits.
//!
//! The configuration selects them ([`Broker::tell_topics`]), and their number is bounded: those
//! that come first get a place, and the others are only counted. When all places are taken, topics
//! that have nothing left lose theirs. A batch of messages costs a read lock and a look-up, and
//! nothing while no topic is told. The store is never called under this lock.

use std::collections::{HashMap, HashSet};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::measure::Counter;
use crate::message::{Message, Topic, UnixSeconds};
use crate::store::Stats;

/// The most topics that are told at the same time.
pub const TOLD_TOPICS_MAX: usize = 1000;

/// Whether a topic is to be told.
pub type WantedTopics = Arc<dyn Fn(&Topic) -> bool + Send + Sync>;

/// What the metrics tell of topics.
#[derive(Clone, Debug, Default)]
pub struct ToldTopics {
    /// By name.
    pub topics: Vec<ToldTopic>,
    /// The number of wanted topics with messages that have no place.
    pub left_out: usize,
}

/// What the metrics tell of a topic.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ToldTopic {
    /// Its name.
    pub topic: Topic,
    /// The number of messages that are not consumed.
    pub waiting: u64,
    /// When the oldest of them was created; `None` if there is none or it cannot be read.
    pub oldest_waiting: Option<UnixSeconds>,
    /// The number of connected consumers.
    pub consumers: usize,
    /// Messages stored since it got its place.
    pub accepted: u64,
    /// Messages written to consumers since then, each consumer counted.
    pub delivered: u64,
}

/// Counts for each topic that has a place.
#[derive(Default)]
pub(in crate::broker) struct Tallies {
    /// Whether any topic is wanted.
    pub(in crate::broker) is_on: AtomicBool,
    told: RwLock<Told>,
}

#[derive(Default)]
pub(in crate::broker) struct Told {
    wanted: Option<WantedTopics>,
    pub(in crate::broker) topics: HashMap<Topic, Arc<Tally>>,
}

#[derive(Debug, Default)]
pub(in crate::broker) struct Tally {
    pub(in crate::broker) accepted: Counter,
    pub(in crate::broker) delivered: Counter,
}

impl fmt::Debug for Tallies {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(&self.read().topics).finish()
    }
}

impl Told {
    fn wants(&self, topic: &Topic) -> bool {
        self.wanted.as_ref().is_some_and(|wanted| wanted(topic))
    }

    pub(in crate::broker) fn is_full(&self) -> bool {
        self.topics.len() >= TOLD_TOPICS_MAX
    }

    /// The tally of a topic. A topic without a place gets one if it is wanted and a place is free.
    fn tally(&mut self, topic: &Topic) -> Option<&Tally> {
        if !self.topics.contains_key(topic) {
            if self.is_full() || !self.wants(topic) {
                return None;
            }
            self.topics.insert(topic.clone(), Arc::default());
        }
        self.topics.get(topic).map(|tally| &**tally)
    }
}

impl Tallies {
    pub(in crate::broker) fn read(&self) -> RwLockReadGuard<'_, Told> {
        self.told.read().expect("no holder of this lock panics")
    }

    pub(in crate::broker) fn write(&self) -> RwLockWriteGuard<'_, Told> {
        self.told.write().expect("no holder of this lock panics")
    }

    /// Counts messages that were stored together.
    pub(in crate::broker) fn accepted(&self, messages: &[Message]) {
        if self.is_on.load(Ordering::Relaxed) {
            for run in messages.chunk_by(|a, b| a.topic == b.topic) {
                let count = run.len() as u64;
                self.with(&run[0].topic, |tally| tally.accepted.add(count));
            }
        }
    }

    /// Counts messages of a topic that were written to a consumer.
    pub(in crate::broker) fn delivered(&self, topic: &Topic, messages: u64) {
        if self.is_on.load(Ordering::Relaxed) {
            self.with(topic, |tally| tally.delivered.add(messages));
        }
    }

    /// A consumer of the topic has joined.
    pub(in crate::broker) fn joined(&self, topic: &Topic) {
        if self.is_on.load(Ordering::Relaxed) {
            self.with(topic, |_| {});
        }
    }

    fn with(&self, topic: &Topic, count: impl FnOnce(&Tally)) {
        let told = self.read();
        if let Some(tally) = told.topics.get(topic) {
            return count(tally);
        }
        if told.is_full() || !told.wants(topic) {
            return;
        }
        drop(told);
        if let Some(tally) = self.write().tally(topic) {
            count(tally);
        }
    }

    /// Tells the `wanted` topics from now on. Those that are told already keep their counts.
    pub(in crate::broker) fn want(&self, wanted: Option<WantedTopics>) {
        let mut told = self.write();
        self.is_on.store(wanted.is_some(), Ordering::Relaxed);
        told.wanted = wanted;
        let Told { wanted, topics } = &mut *told;
        topics.retain(|topic, _| wanted.as_ref().is_some_and(|wanted| wanted(topic)));
    }

    /// Gives places to topics that have messages in `store`. Returns the number that find none.
    pub(in crate::broker) fn fill(&self, store: &dyn Stats) -> usize {
        let (Some(wanted), known, free) = ({
            let told = self.read();
            let known: HashSet<Topic> = told.topics.keys().cloned().collect();
            let free = TOLD_TOPICS_MAX.saturating_sub(known.len());
            (told.wanted.clone(), known, free)
        }) else {
            return 0;
        };
        let (mut found, mut left_out) = (vec![], 0);
        store.each_topic(&mut |topic, _| {
            if !wanted(topic) || known.contains(topic) {
                return;
            }
            match found.len() < free {
                true => found.push(topic.clone()),
                false => left_out += 1,
            }
        });
        let mut told = self.write();
        for topic in &found {
            // Other topics may have taken places in the meantime.
            left_out += usize::from(told.tally(topic).is_none());
        }
        left_out
    }

    /// The topics that are told, by name.
    pub(in crate::broker) fn topics(&self) -> Vec<(Topic, Arc<Tally>)> {
        let told = self.read().topics.clone();
        let mut topics: Vec<_> = told.into_iter().collect();
        topics.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        topics
    }
}
