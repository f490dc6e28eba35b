//! The store as the broker sees it, with the ledger told of everything that passes.

use std::sync::{Arc, Mutex, MutexGuard};

use dpmq::message::{Draft, Message, MessageCode, Sequence, StatusKind, Topic, UnixSeconds};
use dpmq::sequences::SequenceSet;
use dpmq::store::{
    Appended, Backup, Change, Counts, Day, DiskStore, Health, Hold, Listed, Query, Reads, Scan,
    Scanned, Stats, Store, StoreError, TopicCounts, Usage, Work,
};
use tokio::sync::oneshot;
use tokio::sync::oneshot::error::TryRecvError;

use crate::ledger::Ledger;
use crate::world::lock;

type Answer = Result<(), StoreError>;

/// A change whose answer is still to come: its number, from the store, to the broker.
type Open = (u64, oneshot::Receiver<Answer>, oneshot::Sender<Answer>);

/// See the module.
pub(crate) struct Watched {
    pub(crate) store: DiskStore,
    ledger: Arc<Mutex<Ledger>>,
    open: Mutex<Vec<Open>>,
}

impl Watched {
    pub(crate) fn new(store: DiskStore, ledger: Arc<Mutex<Ledger>>) -> Watched {
        Watched {
            store,
            ledger,
            open: Mutex::default(),
        }
    }

    fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    /// Does a step, and passes the answers on. A mirror or a snapshot may fail.
    pub(crate) fn work(&self, work: Work) {
        let _ = self.store.work(work);
        self.pass_answers();
    }

    /// Does all that was asked for.
    pub(crate) fn write_all(&self) {
        while self.store.work(Work::Write(usize::MAX)).unwrap() > 0 {
            self.pass_answers();
        }
        self.pass_answers();
    }

    /// What the store has answered since, in the order of asking.
    pub(crate) fn pass_answers(&self) {
        let open = std::mem::take(&mut *self.open.lock().unwrap());
        let mut still_open = vec![];
        for (number, mut from, to) in open {
            match from.try_recv() {
                Err(TryRecvError::Empty) => still_open.push((number, from, to)),
                answer => {
                    let answer = answer.unwrap_or(Err(StoreError::Closed));
                    self.ledger().tell(number, &answer);
                    // The broker does not wait for most of them.
                    let _ = to.send(answer);
                }
            }
        }
        self.open.lock().unwrap().extend(still_open);
        if self.store.health().refusing.is_none() {
            self.ledger().apply_carried();
        }
    }
}

impl Store for Watched {
    fn append(&self, drafts: Vec<Draft>, hold: Option<Box<dyn Hold>>) -> Appended {
        self.ledger().hand_over(&drafts);
        self.store.append(drafts, hold)
    }

    fn change(&self, change: Change, sequences: SequenceSet) -> oneshot::Receiver<Answer> {
        let number = self.ledger().ask(change, sequences.clone());
        let from = self.store.change(change, sequences);
        let (to, receiver) = oneshot::channel();
        self.open.lock().unwrap().push((number, from, to));
        receiver
    }

    fn expire(&self, cutoff: UnixSeconds) -> Result<Counts, StoreError> {
        self.ledger().expiring(cutoff);
        let expired = self.store.expire(cutoff);
        self.pass_answers();
        if let Ok(deleted) = &expired {
            self.ledger().expired(cutoff, deleted.all());
        }
        expired
    }

    fn expire_ahead(&self, now: UnixSeconds, end: Sequence) -> Result<Counts, StoreError> {
        let sequences = self.ledger().expiring_ahead(now, end);
        let expired = self.store.expire_ahead(now, end);
        self.pass_answers();
        if let Ok(deleted) = &expired {
            self.ledger().purged(&sequences, deleted.all());
        }
        expired
    }

    fn purge(&self, topic: &Topic, kinds: &[StatusKind]) -> Result<u64, StoreError> {
        let sequences = self.ledger().purging(topic, kinds);
        let purged = self.store.purge(topic, kinds);
        self.pass_answers();
        if let Ok(messages) = purged {
            self.ledger().purged(&sequences, messages);
        }
        purged
    }

    fn probe(&self) {
        self.store.probe();
    }

    fn close(&self) -> Result<(), StoreError> {
        let closed = self.store.close();
        self.pass_answers();
        closed
    }
}

impl Reads for Watched {
    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError> {
        self.store.scan(scan)
    }

    fn list(&self, query: &Query, bytes_max: usize) -> Result<Listed, StoreError> {
        self.store.list(query, bytes_max)
    }

    fn find(&self, code: MessageCode, bytes_max: usize) -> Result<Listed, StoreError> {
        self.store.find(code, bytes_max)
    }

    fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError> {
        self.store.oldest_waiting()
    }

    fn oldest_waiting_of(&self, topics: &[Topic]) -> Result<Vec<Option<UnixSeconds>>, StoreError> {
        self.store.oldest_waiting_of(topics)
    }

    fn accepted_between(&self, first: Sequence, last: Sequence) -> u64 {
        self.store.accepted_between(first, last)
    }

    fn retain_live(&self, messages: &mut Vec<Message>) {
        self.store.retain_live(messages);
    }

    fn next_sequence(&self) -> Sequence {
        self.store.next_sequence()
    }

    fn cutoff(&self) -> UnixSeconds {
        self.store.cutoff()
    }

    fn newest(&self) -> Option<UnixSeconds> {
        self.store.newest()
    }

    fn backup(&self) -> Option<Backup> {
        self.store.backup()
    }
}

impl Stats for Watched {
    fn counts(&self) -> Counts {
        self.store.counts()
    }

    fn growth(&self) -> Vec<(Day, u64)> {
        self.store.growth()
    }

    fn growth_by_quarter(&self) -> Vec<(UnixSeconds, u64)> {
        self.store.growth_by_quarter()
    }

    fn topics(&self) -> Vec<TopicCounts> {
        self.store.topics()
    }

    fn topic(&self, topic: &Topic) -> Counts {
        self.store.topic(topic)
    }

    fn topic_count(&self) -> usize {
        self.store.topic_count()
    }

    fn ahead(&self, now: UnixSeconds) -> u64 {
        self.ledger().looks += 1;
        self.store.ahead(now)
    }

    fn health(&self) -> Health {
        self.store.health()
    }

    fn damage(&self) -> Vec<String> {
        self.store.damage()
    }

    fn is_alive(&self) -> bool {
        self.store.is_alive()
    }

    fn usage(&self) -> Option<Usage> {
        self.store.usage()
    }
}
