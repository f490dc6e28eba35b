//! The consumers that are connected, by topic, each with a bounded outbox.
//!
//! A topic is **behind** when none of its consumers has capacity. Its messages then stay in the
//! store, and are read back when there is capacity again. A consumer without capacity beside others
//! that have it is too slow, and is closed.

pub(in crate::broker) mod consumer;
pub(in crate::broker) mod topic;

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::broker::clients::{Client, ClientInfo, CloseReason, CloseSignal, Numbers};
use crate::broker::observe::topic_state::ConsumersState;
use crate::broker::push::consumers::consumer::Consumer;
use crate::broker::push::consumers::topic::{Admit, PushKind, TopicConsumers};
use crate::broker::push::delivery::{Delivery, Outcomes, Ticket, large_bytes};
use crate::broker::push::in_flight::{Flying, InFlight};
use crate::broker::push::outbox::OutboxUse;
use crate::broker::push::trace::Trace;
use crate::broker::settings::Settings;
use crate::message::{Message, Sequence, Topic};
use crate::sequences::SequenceSet;

/// All consumers.
pub(in crate::broker) struct Consumers {
    /// Never held over an await: the dispatch, joins and leaves take turns for microseconds.
    topics: Mutex<HashMap<Topic, TopicConsumers>>,
    any_capacity: Arc<Notify>,
    in_flight: Arc<InFlight>,
    /// Numbers the times that a topic fell behind.
    episodes: AtomicU64,
    numbers: Arc<Numbers>,
    settings: watch::Receiver<Settings>,
    outcomes: Outcomes,
    trace: Trace,
    /// The last sequence that came from the queue for the first time.
    reached: AtomicU64,
}

/// A consumer's place in the list. Dropping it leaves.
pub struct Subscription {
    consumer: Arc<Consumer>,
    consumers: Arc<Consumers>,
    outbox: mpsc::UnboundedReceiver<Ticket>,
}

impl Subscription {
    /// Waits for tickets, and takes up to `limit` of them. Safe to cancel.
    pub async fn recv(&mut self, tickets: &mut Vec<Ticket>, limit: usize) {
        self.outbox.recv_many(tickets, limit).await;
    }

    /// Tells when the broker asks the session to end.
    pub fn close_signal(&self) -> CloseSignal {
        self.consumer.close_signal()
    }

    /// Whether its outbox is full.
    pub fn is_full(&self) -> bool {
        !self.consumer.has_capacity()
    }

    /// Whether it has memory of large messages that another topic or consumer waits for.
    pub fn is_in_the_way(&self) -> bool {
        self.consumer.has_large() && self.consumers.in_flight.is_wanted()
    }

    /// Leaves. Returns the client, and what it was to get and did not. That is pushed again, unless
    /// another consumer has got it.
    pub fn leave(self) -> (ClientInfo, Missed) {
        let consumer = self.consumer.clone();
        // What is in the outbox is missed with it.
        drop(self);
        let (messages, bytes) = consumer.missed();
        let missed = Missed { messages, bytes };
        ((*consumer.info).clone(), missed)
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.consumers.leave(&self.consumer);
    }
}

/// What a consumer was to get, and did not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missed {
    /// Messages.
    pub messages: u64,
    /// Bytes of their data.
    pub bytes: u64,
}

/// The outcome of a push.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::broker) enum Pushed {
    /// The messages are in at least one outbox, or recorded as not consumed.
    Done,
    /// The topic is behind: the messages stay in the store.
    Behind,
    /// The topic has just fallen behind, for the episode of this number: it has to be read back.
    BehindNow(u64),
}

impl Consumers {
    pub(in crate::broker) fn new(
        settings: watch::Receiver<Settings>,
        outcomes: Outcomes,
        numbers: Arc<Numbers>,
    ) -> Arc<Consumers> {
        let any_capacity = Arc::<Notify>::default();
        Arc::new(Consumers {
            topics: Mutex::default(),
            in_flight: InFlight::new(any_capacity.clone()),
            any_capacity,
            episodes: AtomicU64::new(0),
            numbers,
            settings,
            trace: Trace::new(outcomes.clock.clone()),
            outcomes,
            reached: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, TopicConsumers>> {
        self.topics.lock().expect("no holder of this lock panics")
    }

    /// Adds a consumer. From now on it gets what is pushed to its topic.
    pub(in crate::broker) fn join(self: &Arc<Consumers>, info: ClientInfo) -> Subscription {
        let (outbox, receiver) = mpsc::unbounded_channel();
        let mut topics = self.lock();
        let of_topic = topics.entry(info.topic.clone()).or_default();
        let limits = self.settings.borrow().outbox;
        let used = OutboxUse::new(limits, of_topic.capacity.clone(), self.any_capacity.clone());
        let consumer = Arc::new(Consumer::new(self.numbers.next(), info, outbox, used));
        of_topic.consumers.push(consumer.clone());
        of_topic.renew_roster();
        of_topic.capacity.notify_one();
        self.any_capacity.notify_one();
        drop(topics);
        self.outcomes.activity.tallies.joined(&consumer.info.topic);
        Subscription {
            consumer,
            consumers: self.clone(),
            outbox: receiver,
        }
    }

    fn leave(&self, consumer: &Consumer) {
        let mut topics = self.lock();
        if let Some(of_topic) = topics.get_mut(&consumer.info.topic) {
            of_topic
                .consumers
                .retain(|other| other.number != consumer.number);
            of_topic.renew_roster();
            of_topic.capacity.notify_one();
            self.any_capacity.notify_one();
            if of_topic.consumers.is_empty() && of_topic.cursor.is_none() {
                topics.remove(&consumer.info.topic);
            }
        }
    }

    /// The connected consumers, in the order in which they joined.
    pub(in crate::broker) fn list(&self) -> Vec<Arc<ClientInfo>> {
        let topics = self.lock();
        let mut all: Vec<_> = topics
            .values()
            .flat_map(|of_topic| &of_topic.consumers)
            .collect();
        all.sort_unstable_by_key(|consumer| consumer.number);
        all.into_iter()
            .map(|consumer| consumer.info.clone())
            .collect()
    }

    /// The same with their outboxes, in no order.
    pub(in crate::broker) fn clients(&self) -> Vec<Client> {
        let topics = self.lock();
        let all = topics.values().flat_map(|of_topic| &of_topic.consumers);
        all.map(|consumer| consumer.client()).collect()
    }

    /// The consumer with this number.
    pub(in crate::broker) fn find(&self, number: u64) -> Option<Arc<Consumer>> {
        let topics = self.lock();
        let mut all = topics.values().flat_map(|of_topic| &of_topic.consumers);
        all.find(|consumer| consumer.number == number).cloned()
    }

    /// Ends the sessions of all consumers that logged in with the key of this name.
    pub(in crate::broker) fn close_of(&self, key: &str, reason: CloseReason) {
        let topics = self.lock();
        let all = topics.values().flat_map(|of_topic| &of_topic.consumers);
        for consumer in all.filter(|consumer| *consumer.info.key == *key) {
            consumer.close(reason);
        }
    }

    /// The topics that have consumers or are behind.
    pub(in crate::broker) fn topics(&self) -> Vec<(Topic, ConsumersState)> {
        let (topics, now) = (self.lock(), Instant::now());
        topics
            .iter()
            .map(|(topic, of_topic)| (topic.clone(), of_topic.state(now)))
            .collect()
    }

    /// The state of a topic's consumers.
    pub(in crate::broker) fn of_topic(&self, topic: &Topic) -> Option<ConsumersState> {
        let topics = self.lock();
        Some(topics.get(topic)?.state(Instant::now()))
    }

    /// The number of connected consumers.
    pub(in crate::broker) fn count(&self) -> usize {
        let topics = self.lock();
        topics
            .values()
            .map(|of_topic| of_topic.consumers.len())
            .sum()
    }

    /// The number of topics that are behind.
    pub(in crate::broker) fn topics_behind(&self) -> usize {
        let topics = self.lock();
        topics
            .values()
            .filter(|of_topic| of_topic.cursor.is_some())
            .count()
    }

    /// The number of messages in all outboxes, and the bytes of their data.
    pub(in crate::broker) fn outboxes(&self) -> (usize, usize) {
        let topics = self.lock();
        let all = topics.values().flat_map(|of_topic| &of_topic.consumers);
        all.fold((0, 0), |(messages, bytes), consumer| {
            let outbox = consumer.outbox();
            (messages + outbox.messages, bytes + outbox.bytes)
        })
    }

    /// The newest hand-overs.
    pub(in crate::broker) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The last message that came from the queue for the first time.
    pub(in crate::broker) fn reached(&self) -> Sequence {
        Sequence(self.reached.load(Ordering::Relaxed))
    }

    /// Whether no consumer is connected.
    pub(in crate::broker) fn is_empty(&self) -> bool {
        let topics = self.lock();
        topics
            .values()
            .all(|of_topic| of_topic.consumers.is_empty())
    }

    /// Waits until a topic has capacity, or no consumer is connected any more.
    pub(in crate::broker) async fn open(&self) {
        loop {
            let capacity = self.any_capacity.notified();
            let is_open = |of_topic: &TopicConsumers| of_topic.is_open(&self.in_flight);
            if self.is_empty() || self.lock().values().any(is_open) {
                return;
            }
            capacity.await;
        }
    }

    /// The topics with a consumer that has capacity.
    pub(in crate::broker) fn open_topics(&self) -> HashSet<Topic> {
        let topics = self.lock();
        topics
            .iter()
            .filter(|(_, of_topic)| of_topic.is_open(&self.in_flight))
            .map(|(topic, _)| topic.clone())
            .collect()
    }

    /// Hands messages of one topic to all its consumers, except those messages that are deleted.
    /// Where some consumers have capacity and others lack it, it tries again a few times, and then
    /// closes those that still lack it.
    pub(in crate::broker) async fn push(
        &self,
        topic: &Topic,
        messages: Vec<Message>,
        kind: PushKind,
    ) -> Pushed {
        let retries = self.settings.borrow().retries;
        for _ in 0..retries {
            let is_uneven = self
                .lock()
                .get(topic)
                .is_some_and(TopicConsumers::is_uneven);
            if !is_uneven {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.hand_over(topic, messages, kind)
    }

    fn hand_over(&self, topic: &Topic, mut messages: Vec<Message>, kind: PushKind) -> Pushed {
        if let (PushKind::Fresh(_), Some(last)) = (kind, messages.last()) {
            self.reached.fetch_max(last.sequence.0, Ordering::Relaxed);
        }
        let mut topics = self.lock();
        // A deletion takes this lock before its answer: see `settle`.
        self.outcomes.store.retain_live(&mut messages);
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return Pushed::Done;
        };
        let range = first.sequence..=last.sequence;
        let Some(consumers) = topics.get_mut(topic) else {
            return self.not_consumed(&messages);
        };
        let over_limit = match consumers.admit(kind) {
            Admit::Push => false,
            Admit::PushOverLimit => true,
            Admit::Store => return self.leave_in_store(consumers, kind, range, 0),
            Admit::NotConsumed => return self.not_consumed(&messages),
        };
        let large = large_bytes(&messages);
        match self.in_flight.take(&consumers.large, large) {
            Some(flying) => self.deliver(consumers, messages, kind, over_limit, flying),
            None if kind == PushKind::Requeued => self.not_consumed(&messages),
            None => self.leave_in_store(consumers, kind, range, large),
        }
    }

    fn not_consumed(&self, messages: &[Message]) -> Pushed {
        self.outcomes.not_consumed(sequences(messages));
        Pushed::Done
    }

    fn leave_in_store(
        &self,
        consumers: &mut TopicConsumers,
        kind: PushKind,
        range: RangeInclusive<Sequence>,
        needs_bytes: usize,
    ) -> Pushed {
        match consumers.leave_in_store(kind, range, needs_bytes, &self.episodes) {
            Some(episode) => Pushed::BehindNow(episode),
            None => Pushed::Behind,
        }
    }

    /// Puts messages into the outboxes of consumers. One without capacity is closed, unless
    /// `over_limit` is set.
    fn deliver(
        &self,
        consumers: &mut TopicConsumers,
        messages: Vec<Message>,
        kind: PushKind,
        over_limit: bool,
        flying: Flying,
    ) -> Pushed {
        if let (PushKind::ReadBack, Some(cursor)) = (kind, &mut consumers.cursor) {
            cursor.needs_bytes = 0;
        }
        let stored = messages.first().and_then(|first| self.stored(first, kind));
        let sessions = consumers.consumers.len();
        let roster = consumers.roster.clone();
        let handover = self.trace.begin(sequences(&messages), roster);
        let outcomes = self.outcomes.clone();
        let delivery = Delivery::new(messages, stored, sessions, handover, outcomes, flying);
        for consumer in &consumers.consumers {
            let has_capacity = over_limit || consumer.has_capacity();
            let ticket = consumer.ticket(delivery.clone());
            if has_capacity {
                consumer.send(ticket);
            } else {
                // Count it as missed before the session ends and asks for that.
                drop(ticket);
                consumer.close(CloseReason::TooSlow);
            }
        }
        Pushed::Done
    }

    /// Waits until a hand-over that has begun is done. Messages that were deleted before this call
    /// are not pushed after it.
    pub(in crate::broker) fn settle(&self) {
        drop(self.lock());
    }

    /// When messages of which this is the first were stored. What comes from the disk tells in
    /// whole seconds. What is pushed again has waited for a consumer, and not for its push.
    fn stored(&self, first: &Message, kind: PushKind) -> Option<Instant> {
        match kind {
            PushKind::Fresh(Some(at)) => Some(at),
            PushKind::Fresh(None) | PushKind::ReadBack => {
                let now = self.outcomes.clock.now();
                let age = now.saturating_sub(first.created.0.into()).0;
                Instant::now().checked_sub(Duration::from_secs(age.into()))
            }
            PushKind::Requeued => None,
        }
    }

    /// The messages of a topic that is behind which are still to be pushed. `None` when it is not
    /// behind.
    pub(in crate::broker) fn behind(&self, topic: &Topic) -> Option<RangeInclusive<Sequence>> {
        let topics = self.lock();
        Some(topics.get(topic)?.cursor?.messages())
    }

    /// The same, and whether a consumer has capacity for them. `None` when this episode is over.
    /// Another may have begun, with a task of its own.
    pub(in crate::broker) fn to_read_back(
        &self,
        topic: &Topic,
        episode: u64,
    ) -> Option<(RangeInclusive<Sequence>, bool)> {
        let topics = self.lock();
        let of_topic = topics.get(topic)?;
        let cursor = of_topic.cursor.filter(|cursor| cursor.episode == episode)?;
        let has_memory = || {
            self.in_flight
                .has_memory(&of_topic.large, cursor.needs_bytes)
        };
        let has_capacity = of_topic.consumers.is_empty() || of_topic.has_capacity() && has_memory();
        Some((cursor.messages(), has_capacity))
    }

    /// The bytes of data that may be pushed again at once.
    pub(in crate::broker) fn free_bytes(&self) -> usize {
        self.in_flight.free()
    }

    /// Waits until memory of large messages is given back from now on.
    pub(in crate::broker) fn freed(&self) -> Notified<'_> {
        self.in_flight.freed()
    }

    /// Woken when a topic's consumers may have capacity again.
    pub(in crate::broker) fn capacity_of(&self, topic: &Topic) -> Option<Arc<Notify>> {
        let topics = self.lock();
        topics.get(topic).map(|of_topic| of_topic.capacity.clone())
    }

    /// The messages before `next` of a topic that is behind are read back.
    pub(in crate::broker) fn advance(&self, topic: &Topic, next: Sequence) {
        let mut topics = self.lock();
        if let Some(of_topic) = topics.get_mut(topic)
            && let Some(cursor) = &mut of_topic.cursor
            && cursor.advance(next)
        {
            of_topic.cursor = None;
            self.any_capacity.notify_one();
            if of_topic.consumers.is_empty() {
                topics.remove(topic);
            }
        }
    }
}

fn sequences(messages: &[Message]) -> SequenceSet {
    messages.iter().map(|message| message.sequence).collect()
}
