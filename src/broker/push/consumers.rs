//! Who is connected, by topic, each with a bounded outbox; and which topics are behind.
//!
//! A topic is **behind** when none of its consumers has room: its messages then stay in the
//! store, and are read back when there is room again (`crate::broker::push::dispatch`). One consumer without
//! room beside others that have it is too slow, and is closed.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::futures::Notified;
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;

use crate::broker::clients::{Client, ClientInfo, CloseReason, CloseSignal, Closer, Numbers, Role};
use crate::broker::observe::topic_state::LaneState;
use crate::broker::push::delivery::{Delivery, Outcomes, Ticket, large_bytes};
use crate::broker::push::in_flight::{InFlight, OfTopic};
use crate::broker::push::outbox::OutboxUse;
use crate::broker::push::trace::{Recipient, Roster, Trace};
use crate::broker::settings::Settings;
use crate::message::{Message, Sequence, Topic};
use crate::sequences::SequenceSet;

/// A connected consumer and its outbox. The limits are passed by at most one batch.
pub(in crate::broker) struct Consumer {
    number: u64,
    info: Arc<ClientInfo>,
    outbox: mpsc::UnboundedSender<Ticket>,
    used: Arc<OutboxUse>,
    close: Closer,
}

impl Consumer {
    /// Wants its session to end.
    pub(in crate::broker) fn close(&self, reason: CloseReason) {
        self.close.close(reason);
    }

    /// The consumer as seen from outside.
    pub(in crate::broker) fn client(&self) -> Client {
        Client {
            number: self.number,
            role: Role::Consumer,
            info: self.info.clone(),
            messages: self.used.written(),
            outbox: Some(self.used.outbox()),
        }
    }

    fn recipient(&self) -> Recipient {
        Recipient {
            number: self.number,
            id: self.info.id.clone(),
            ip: self.info.ip,
        }
    }

    /// A ticket that finds nobody is dropped, which reports it as failed.
    fn send(&self, ticket: Ticket) {
        let _ = self.outbox.send(ticket);
    }
}

/// The consumers of a topic.
#[derive(Default)]
struct Lane {
    consumers: Vec<Arc<Consumer>>,
    /// Who the consumers are, for the trace.
    roster: Roster,
    behind: Option<Behind>,
    room: Arc<Notify>,
    /// The memory of its large messages in outboxes.
    large: OfTopic,
}

/// The topic's messages from `from` to `last` are in the store, still to be pushed.
#[derive(Clone, Copy, Debug)]
struct Behind {
    /// Each time that a topic comes to be behind has a number of its own.
    episode: u64,
    from: Sequence,
    last: Sequence,
    /// The memory that the next messages have to find; 0 if that is not known.
    needs: usize,
}

/// All consumers.
pub(in crate::broker) struct Consumers {
    /// Never held over an await: the dispatch, joins and leaves take turns for microseconds.
    lanes: Mutex<HashMap<Topic, Lane>>,
    any_room: Arc<Notify>,
    in_flight: Arc<InFlight>,
    /// How often a topic has come to be behind.
    episodes: AtomicU64,
    numbers: Arc<Numbers>,
    settings: watch::Receiver<Settings>,
    outcomes: Outcomes,
    trace: Trace,
    /// The last sequence that came from the queue for the first time.
    reached: AtomicU64,
}

/// A consumer's place among the others; dropping it leaves.
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

    /// What tells when the broker wants the session to end.
    pub fn close_signal(&self) -> CloseSignal {
        self.consumer.close.signal()
    }

    /// Whether as much waits for it as may.
    pub fn is_full(&self) -> bool {
        !self.consumer.used.has_room()
    }

    /// Whether it keeps memory of large messages that another topic or consumer waits for.
    pub fn is_in_the_way(&self) -> bool {
        self.consumer.used.has_large() && self.consumers.in_flight.is_wanted()
    }

    /// Leaves, and tells who it was, and what it was to get and did not. That comes again unless
    /// another consumer has it.
    pub fn leave(self) -> (ClientInfo, Missed) {
        let consumer = self.consumer.clone();
        // What is in the outbox is missed with it.
        drop(self);
        let (messages, bytes) = consumer.used.missed();
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

/// What came of a push.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::broker) enum Pushed {
    /// It is in at least one outbox, or nobody was there and that is recorded.
    Done,
    /// The topic is behind: the messages stay in the store.
    Behind,
    /// The topic has just come to be behind: somebody has to read it back, for this episode.
    BehindNow(u64),
}

/// How messages came to be pushed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::broker) enum Way {
    /// For the first time; when they were stored together, if that is known.
    Fresh(Option<Instant>),
    Requeued,
    ReadBack,
}

impl Consumers {
    pub(in crate::broker) fn new(
        settings: watch::Receiver<Settings>,
        outcomes: Outcomes,
        numbers: Arc<Numbers>,
    ) -> Arc<Consumers> {
        let any_room = Arc::<Notify>::default();
        Arc::new(Consumers {
            lanes: Mutex::default(),
            in_flight: InFlight::new(any_room.clone()),
            any_room,
            episodes: AtomicU64::new(0),
            numbers,
            settings,
            trace: Trace::new(outcomes.clock.clone()),
            outcomes,
            reached: AtomicU64::new(0),
        })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Topic, Lane>> {
        self.lanes.lock().expect("no holder of this lock panics")
    }

    /// Adds a consumer: from now on it gets what is pushed to its topic.
    pub(in crate::broker) fn join(self: &Arc<Consumers>, info: ClientInfo) -> Subscription {
        let (outbox, receiver) = mpsc::unbounded_channel();
        let mut lanes = self.lock();
        let lane = lanes.entry(info.topic.clone()).or_default();
        let limits = self.settings.borrow().outbox;
        let consumer = Arc::new(Consumer {
            number: self.numbers.next(),
            info: Arc::new(info),
            outbox,
            used: Arc::new(OutboxUse::new(
                limits,
                lane.room.clone(),
                self.any_room.clone(),
            )),
            close: Closer::new(),
        });
        lane.consumers.push(consumer.clone());
        lane.roster = lane.new_roster();
        lane.room.notify_one();
        self.any_room.notify_one();
        drop(lanes);
        self.outcomes.activity.tallies.joined(&consumer.info.topic);
        Subscription {
            consumer,
            consumers: self.clone(),
            outbox: receiver,
        }
    }

    fn leave(&self, consumer: &Consumer) {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(&consumer.info.topic) {
            lane.consumers
                .retain(|other| other.number != consumer.number);
            lane.roster = lane.new_roster();
            lane.room.notify_one();
            self.any_room.notify_one();
            if lane.consumers.is_empty() && lane.behind.is_none() {
                lanes.remove(&consumer.info.topic);
            }
        }
    }

    /// Everybody who is connected, longest first.
    pub(in crate::broker) fn list(&self) -> Vec<Arc<ClientInfo>> {
        let lanes = self.lock();
        let mut all: Vec<_> = lanes.values().flat_map(|lane| &lane.consumers).collect();
        all.sort_unstable_by_key(|consumer| consumer.number);
        all.into_iter()
            .map(|consumer| consumer.info.clone())
            .collect()
    }

    /// The same with their outboxes, in no order.
    pub(in crate::broker) fn clients(&self) -> Vec<Client> {
        let lanes = self.lock();
        let all = lanes.values().flat_map(|lane| &lane.consumers);
        all.map(|consumer| consumer.client()).collect()
    }

    /// The consumer with this number.
    pub(in crate::broker) fn find(&self, number: u64) -> Option<Arc<Consumer>> {
        let lanes = self.lock();
        let mut all = lanes.values().flat_map(|lane| &lane.consumers);
        all.find(|consumer| consumer.number == number).cloned()
    }

    /// Ends the sessions of all who logged in with the key of this name.
    pub(in crate::broker) fn close_of(&self, key: &str, reason: CloseReason) {
        let lanes = self.lock();
        let all = lanes.values().flat_map(|lane| &lane.consumers);
        for consumer in all.filter(|consumer| *consumer.info.key == *key) {
            consumer.close(reason);
        }
    }

    /// The topics that have consumers or are behind.
    pub(in crate::broker) fn lanes(&self) -> Vec<(Topic, LaneState)> {
        let (lanes, now) = (self.lock(), Instant::now());
        lanes
            .iter()
            .map(|(topic, lane)| (topic.clone(), lane.state(now)))
            .collect()
    }

    /// What the consumers of a topic are.
    pub(in crate::broker) fn lane(&self, topic: &Topic) -> Option<LaneState> {
        let lanes = self.lock();
        Some(lanes.get(topic)?.state(Instant::now()))
    }

    /// How many are connected.
    pub(in crate::broker) fn count(&self) -> usize {
        let lanes = self.lock();
        lanes.values().map(|lane| lane.consumers.len()).sum()
    }

    /// How many topics are behind.
    pub(in crate::broker) fn topics_behind(&self) -> usize {
        let lanes = self.lock();
        lanes.values().filter(|lane| lane.behind.is_some()).count()
    }

    /// The messages in all outboxes, and the bytes of their data.
    pub(in crate::broker) fn outboxes(&self) -> (usize, usize) {
        let lanes = self.lock();
        let all = lanes.values().flat_map(|lane| &lane.consumers);
        all.fold((0, 0), |(messages, bytes), consumer| {
            let outbox = consumer.used.outbox();
            (messages + outbox.messages, bytes + outbox.bytes)
        })
    }

    /// To whom messages were handed over.
    pub(in crate::broker) fn trace(&self) -> &Trace {
        &self.trace
    }

    /// Up to here everything has come from the queue once.
    pub(in crate::broker) fn reached(&self) -> Sequence {
        Sequence(self.reached.load(Ordering::Relaxed))
    }

    /// Whether nobody is connected.
    pub(in crate::broker) fn is_empty(&self) -> bool {
        let lanes = self.lock();
        lanes.values().all(|lane| lane.consumers.is_empty())
    }

    /// Waits until some topic has room, or nobody is connected any more.
    pub(in crate::broker) async fn open(&self) {
        loop {
            let room = self.any_room.notified();
            let is_open = |lane: &Lane| lane.is_open(&self.in_flight);
            if self.is_empty() || self.lock().values().any(is_open) {
                return;
            }
            room.await;
        }
    }

    /// The topics that somebody listens to and has room for.
    pub(in crate::broker) fn open_topics(&self) -> HashSet<Topic> {
        let lanes = self.lock();
        lanes
            .iter()
            .filter(|(_, lane)| lane.is_open(&self.in_flight))
            .map(|(topic, _)| topic.clone())
            .collect()
    }

    /// Hands messages of one topic to all its consumers, but for those that are gone. Where some
    /// have no room and others have, it tries again a few times, and closes those that still
    /// have none.
    pub(in crate::broker) async fn push(
        &self,
        topic: &Topic,
        messages: Vec<Message>,
        way: Way,
    ) -> Pushed {
        let retries = self.settings.borrow().retries;
        for _ in 0..retries {
            if !self.is_uneven(topic) {
                break;
            }
            tokio::task::yield_now().await;
        }
        self.hand_over(topic, messages, way)
    }

    /// Whether some consumers of a topic have room, and others have not.
    fn is_uneven(&self, topic: &Topic) -> bool {
        let lanes = self.lock();
        let lane = lanes.get(topic);
        lane.is_some_and(|lane| {
            lane.has_room() && !lane.consumers.iter().all(|c| c.used.has_room())
        })
    }

    fn hand_over(&self, topic: &Topic, mut messages: Vec<Message>, way: Way) -> Pushed {
        if let (Way::Fresh(_), Some(last)) = (way, messages.last()) {
            self.reached.fetch_max(last.sequence.0, Ordering::Relaxed);
        }
        let mut lanes = self.lock();
        // Who deletes waits for this lock before it says so: see `settle`.
        self.outcomes.store.retain_live(&mut messages);
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return Pushed::Done;
        };
        let stored = self.stored(first, way);
        let (first, last) = (first.sequence, last.sequence);
        let sequences: SequenceSet = messages.iter().map(|message| message.sequence).collect();
        let large = large_bytes(&messages);
        let lane = lanes.get_mut(topic);
        let Some(lane) = lane.filter(|lane| lane.blocks(way) || !lane.consumers.is_empty()) else {
            self.outcomes.not_consumed(sequences);
            return Pushed::Done;
        };
        let full = !lane.has_room();
        match way {
            // The sweep found room, and requeues no more before these are pushed: they
            // pass the limit by what it takes at once.
            Way::Requeued if !lane.blocks(way) => {}
            Way::Requeued => {
                self.outcomes.not_consumed(sequences);
                return Pushed::Done;
            }
            Way::Fresh(_) | Way::ReadBack if full || lane.blocks(way) => {
                return lane.fall_behind(way, (first, last), 0, &self.episodes);
            }
            Way::Fresh(_) | Way::ReadBack => {}
        }
        let Some(flying) = self.in_flight.take(&lane.large, large) else {
            if way != Way::Requeued {
                return lane.fall_behind(way, (first, last), large, &self.episodes);
            }
            self.outcomes.not_consumed(sequences);
            return Pushed::Done;
        };
        if let (Way::ReadBack, Some(behind)) = (way, &mut lane.behind) {
            behind.needs = 0;
        }
        let sessions = lane.consumers.len();
        let handover = self.trace.begin(sequences, lane.roster.clone());
        let outcomes = self.outcomes.clone();
        let delivery = Delivery::new(messages, stored, sessions, handover, outcomes, flying);
        for consumer in &lane.consumers {
            let room = full || consumer.used.has_room();
            let ticket = Ticket::new(delivery.clone(), consumer.used.clone());
            if room {
                consumer.send(ticket);
            } else {
                // It is missed before the session can ask for that.
                drop(ticket);
                consumer.close(CloseReason::TooSlow);
            }
        }
        Pushed::Done
    }

    /// Waits for what is being handed over: what was deleted before is pushed no more after.
    pub(in crate::broker) fn settle(&self) {
        drop(self.lock());
    }

    /// When messages of which this is the first were stored. What comes from the disk tells in
    /// whole seconds; what is pushed again has waited for a consumer, and not for its push.
    fn stored(&self, first: &Message, way: Way) -> Option<Instant> {
        match way {
            Way::Fresh(Some(at)) => Some(at),
            Way::Fresh(None) | Way::ReadBack => {
                let now = self.outcomes.clock.now();
                let age = now.saturating_sub(first.created.0.into()).0;
                Instant::now().checked_sub(Duration::from_secs(age.into()))
            }
            Way::Requeued => None,
        }
    }

    /// The messages of a topic that is behind which are still to be pushed: the first and the
    /// last. `None` when it is not behind.
    pub(in crate::broker) fn behind(&self, topic: &Topic) -> Option<(Sequence, Sequence)> {
        let lanes = self.lock();
        let behind = lanes.get(topic)?.behind?;
        Some((behind.from, behind.last))
    }

    /// The same, and whether somebody has room for them; `None` when this episode is over.
    /// Another may have begun, which somebody else reads back.
    pub(in crate::broker) fn to_read_back(
        &self,
        topic: &Topic,
        episode: u64,
    ) -> Option<(Sequence, Sequence, bool)> {
        let lanes = self.lock();
        let lane = lanes.get(topic)?;
        let behind = lane.behind.filter(|behind| behind.episode == episode)?;
        let room = lane.consumers.is_empty()
            || lane.has_room() && self.in_flight.has_room(&lane.large, behind.needs);
        Some((behind.from, behind.last, room))
    }

    /// How much data may be pushed again at once.
    pub(in crate::broker) fn free_bytes(&self) -> usize {
        self.in_flight.free()
    }

    /// Waits until memory of large messages is given back from now on.
    pub(in crate::broker) fn freed(&self) -> Notified<'_> {
        self.in_flight.freed()
    }

    /// What is woken when a topic's consumers may have room again.
    pub(in crate::broker) fn room(&self, topic: &Topic) -> Option<Arc<Notify>> {
        self.lock().get(topic).map(|lane| lane.room.clone())
    }

    /// A topic that is behind has been read back up to `next`.
    pub(in crate::broker) fn caught_up(&self, topic: &Topic, next: Sequence) {
        let mut lanes = self.lock();
        if let Some(lane) = lanes.get_mut(topic)
            && let Some(behind) = &mut lane.behind
        {
            behind.from = next;
            if behind.from > behind.last {
                lane.behind = None;
                self.any_room.notify_one();
                if lane.consumers.is_empty() {
                    lanes.remove(topic);
                }
            }
        }
    }
}

impl Lane {
    fn has_room(&self) -> bool {
        self.consumers
            .iter()
            .any(|consumer| consumer.used.has_room())
    }

    fn new_roster(&self) -> Roster {
        Roster::new(self.consumers.iter().map(|consumer| consumer.recipient()))
    }

    fn state(&self, now: Instant) -> LaneState {
        let rates = self
            .consumers
            .iter()
            .map(|consumer| consumer.used.rate().at(now));
        LaneState {
            consumers: self.consumers.len(),
            rate_out: rates.sum(),
            behind: self.behind.is_some(),
        }
    }

    /// Whether somebody listens and could take what is pushed again.
    fn is_open(&self, in_flight: &InFlight) -> bool {
        self.behind.is_none() && self.has_room() && in_flight.has_room(&self.large, 0)
    }

    /// Whether messages that come this way have to wait for those in the store.
    fn blocks(&self, way: Way) -> bool {
        self.behind.is_some() && way != Way::ReadBack
    }

    fn fall_behind(
        &mut self,
        way: Way,
        (first, last): (Sequence, Sequence),
        needs: usize,
        episodes: &AtomicU64,
    ) -> Pushed {
        match &mut self.behind {
            Some(behind) => {
                if way == Way::ReadBack {
                    behind.needs = needs;
                }
                behind.last = behind.last.max(last);
                Pushed::Behind
            }
            None => {
                let episode = episodes.fetch_add(1, Ordering::Relaxed);
                self.behind = Some(Behind {
                    episode,
                    from: first,
                    last,
                    needs,
                });
                Pushed::BehindNow(episode)
            }
        }
    }
}
