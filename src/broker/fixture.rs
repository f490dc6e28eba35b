//! For tests: a store with canned answers, and a broker over it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt;
use tokio::sync::oneshot;

use super::{Blocking, Broker, ClientInfo, Inbox, OutboxLimits, Pace, Subscription, Tasks, Ticket};
use crate::broker::settings::Settings;
use crate::clock::Clock;
use crate::message::{
    Draft, Message, MessageCode, Sequence, Status, StatusKind, Topic, UnixSeconds,
};
use crate::sequences::SequenceSet;
use crate::store::{
    Appended, Backup, Change, Committed, Counts, Day, Health, Hold, Listed, MemoryStore, Query,
    Reads, Scan, Scanned, Stats, Store, StoreError, TopicCounts, Usage,
};

/// A store that keeps nothing. It answers that it has these topics, and that every message waits.
pub(super) struct FakeStore {
    /// Answers the calls that no test cares about.
    pub(super) empty: MemoryStore,
    pub(super) topics: Vec<TopicCounts>,
    /// When the oldest waiting message of each topic was created, if a test needs it.
    pub(super) oldest: Vec<UnixSeconds>,
    /// Whether it panics when it is asked which messages exist.
    pub(super) breaks: bool,
}

impl Default for FakeStore {
    fn default() -> FakeStore {
        FakeStore {
            empty: MemoryStore::new(Clock::manual(UnixSeconds(1000)), Box::new(|_| {})),
            topics: vec![],
            oldest: vec![],
            breaks: false,
        }
    }
}

impl Store for FakeStore {
    fn append(&self, drafts: Vec<Draft>, hold: Option<Box<dyn Hold>>) -> Appended {
        self.empty.append(drafts, hold)
    }

    fn change(&self, _: Change, _: SequenceSet) -> oneshot::Receiver<Result<(), StoreError>> {
        oneshot::channel().1
    }

    fn expire(&self, _: UnixSeconds) -> Result<Counts, StoreError> {
        Ok(Counts::default())
    }

    fn purge(&self, topic: &Topic, kinds: &[StatusKind]) -> Result<u64, StoreError> {
        self.empty.purge(topic, kinds)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.empty.close()
    }
}

impl Reads for FakeStore {
    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError> {
        Ok(Scanned {
            messages: vec![],
            next: scan.to.next(),
        })
    }

    fn list(&self, query: &Query, bytes_max: usize) -> Result<Listed, StoreError> {
        self.empty.list(query, bytes_max)
    }

    fn find(&self, code: MessageCode, bytes_max: usize) -> Result<Listed, StoreError> {
        self.empty.find(code, bytes_max)
    }

    fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError> {
        self.empty.oldest_waiting()
    }

    fn oldest_waiting_of(&self, topics: &[Topic]) -> Result<Vec<Option<UnixSeconds>>, StoreError> {
        let oldest = topics.iter().map(|topic| {
            let told = self.topics.iter().zip(&self.oldest);
            told.into_iter()
                .find(|(told, _)| told.topic == *topic)
                .map(|(_, at)| *at)
        });
        Ok(oldest.collect())
    }

    fn accepted_between(&self, first: Sequence, last: Sequence) -> u64 {
        last.0 + 1 - first.0
    }

    fn retain_live(&self, _: &mut Vec<Message>) {
        assert!(!self.breaks, "the store breaks");
    }

    fn next_sequence(&self) -> Sequence {
        Sequence(1)
    }

    fn cutoff(&self) -> UnixSeconds {
        UnixSeconds::MIN
    }

    fn backup(&self) -> Option<Backup> {
        self.empty.backup()
    }
}

impl Stats for FakeStore {
    fn counts(&self) -> Counts {
        let topics = self.topics.iter().map(|topic| topic.counts);
        topics.fold(Counts::default(), |sum, counts| Counts {
            accepted: sum.accepted + counts.accepted,
            not_consumed: sum.not_consumed + counts.not_consumed,
            consumed: sum.consumed + counts.consumed,
        })
    }

    fn growth(&self) -> Vec<(Day, u64)> {
        self.empty.growth()
    }

    fn growth_by_quarter(&self) -> Vec<(UnixSeconds, u64)> {
        self.empty.growth_by_quarter()
    }

    fn topics(&self) -> Vec<TopicCounts> {
        self.topics.clone()
    }

    fn topic(&self, topic: &Topic) -> Counts {
        let told = self.topics.iter().find(|told| told.topic == *topic);
        told.map(|told| told.counts).unwrap_or_default()
    }

    fn topic_count(&self) -> usize {
        self.empty.topic_count()
    }

    fn health(&self) -> Health {
        self.empty.health()
    }

    fn usage(&self) -> Option<Usage> {
        self.empty.usage()
    }
}

/// A broker over [`FakeStore`], and the way in for messages.
pub(super) struct Running {
    pub(super) broker: Broker,
    pub(super) tasks: Tasks,
    committed: Committed,
}

/// Settings of a broker that pushes at once, and whose clock stands still.
pub(crate) fn settings() -> Settings {
    Settings {
        pace: Pace {
            batch_messages: 100,
            pause: Duration::ZERO,
        },
        retries: 1,
        outbox: OutboxLimits {
            messages: 100,
            bytes: 1 << 20,
        },
        re_push: true,
        clean_after_seconds: None,
        check_every: Duration::from_secs(60),
        clock: Clock::manual(UnixSeconds(1000)),
        blocking: Blocking::Threads,
    }
}

pub(super) fn start(store: FakeStore, settings: Settings) -> Running {
    let inbox = Inbox::new(1000, 1 << 20);
    let committed = inbox.committed();
    let (broker, tasks) = Broker::start(Arc::new(store), inbox, settings);
    Running {
        broker,
        tasks,
        committed,
    }
}

pub(super) fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

pub(super) fn client(name: &str, id: &str) -> ClientInfo {
    ClientInfo {
        id: id.to_owned(),
        topic: topic(name),
        ip: std::net::Ipv4Addr::LOCALHOST.into(),
        since: UnixSeconds(1000),
        key: "secretKey".into(),
    }
}

/// A message that was just stored.
pub(super) fn message(name: &str, sequence: u64) -> Message {
    Message {
        sequence: Sequence(sequence),
        code: MessageCode::from_bytes([0; 20]),
        topic: topic(name),
        data: "x".into(),
        created: UnixSeconds(1000),
        status: Status::Accepted,
    }
}

/// Takes the next ticket; a ticket that is dropped has failed.
pub(super) async fn ticket(subscription: &mut Subscription) -> Ticket {
    let mut tickets = vec![];
    subscription.recv(&mut tickets, 1).await;
    tickets.remove(0)
}

impl Running {
    /// Queues messages, as the store does once they are safe.
    pub(super) fn commit(&mut self, messages: Vec<Message>) {
        let queue = &self.broker.0.queue;
        let slots = queue.slots(messages.len()).now_or_never();
        (self.committed)(messages);
        queue.keep(slots.unwrap().unwrap());
    }

    /// Waits until `condition` holds; what leads to it must not need time to pass.
    pub(super) async fn until(&self, condition: impl Fn(&Broker) -> bool) {
        let holds = async {
            while !condition(&self.broker) {
                tokio::task::yield_now().await;
            }
        };
        let patience = Duration::from_secs(20);
        tokio::time::timeout(patience, holds).await.unwrap();
    }

    pub(super) fn join(&self, name: &str, id: &str) -> Subscription {
        self.broker.join(client(name, id))
    }
}
