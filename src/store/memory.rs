//! The engine without a disk: messages are gone when the process ends (`isPersistent: 0`).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard};

use tokio::sync::oneshot;

use crate::clock::{Clock, without_step_back};
use crate::message::{
    Draft, Message, MessageCode, Sequence, Status, StatusKind, Topic, UnixSeconds,
};
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::committed::{Appended, Committed, Hold};
use crate::store::counts::{Counts, TopicCounts};
use crate::store::error::StoreError;
use crate::store::growth::{Calendar, Day, Growth};
use crate::store::health::Health;
use crate::store::measures::Usage;
use crate::store::query::{LISTED_MAX, Listed, Mark, Query, Rest, Scan, Scanned, rest_after};
use crate::store::snapshot::backup::Backup;
use crate::store::{Reads, Stats, Store};

/// Messages in memory, and nowhere else.
pub struct MemoryStore {
    state: Mutex<State>,
    clock: Clock,
}

struct State {
    messages: BTreeMap<Sequence, Message>,
    /// Their positions in a list.
    marks: BTreeSet<Mark>,
    counts: Counts,
    topics: HashMap<Topic, Counts>,
    growth: Growth,
    calendar: Calendar,
    next: Sequence,
    cutoff: UnixSeconds,
    id_counter: u128,
    committed: Committed,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Clock, committed: Committed) -> MemoryStore {
        let state = State {
            messages: BTreeMap::new(),
            marks: BTreeSet::new(),
            counts: Counts::default(),
            topics: HashMap::new(),
            growth: Growth::default(),
            calendar: Calendar::default(),
            next: Sequence(1),
            cutoff: UnixSeconds::MIN,
            id_counter: u128::from(getrandom::u64().expect("the system gives random numbers"))
                << 64,
            committed,
            closed: false,
        };
        MemoryStore {
            state: Mutex::new(state),
            clock,
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }
}

impl State {
    /// The messages dated ahead of the clock: see [`Stats::ahead`].
    fn ahead(&self, now: UnixSeconds) -> impl Iterator<Item = Sequence> + '_ {
        let (last, mut calendar) = (Day::last_not_ahead(now), Calendar::default());
        let ahead = move |message: &&Message| calendar.day(message.created) > last;
        self.messages
            .values()
            .filter(ahead)
            .map(|message| message.sequence)
    }

    fn remove(&mut self, sequence: Sequence) -> Option<StatusKind> {
        let removed = self.messages.remove(&sequence)?;
        let kind = removed.status.kind();
        self.marks.remove(&removed.mark());
        self.count(&removed.topic, Some(kind), None);
        Some(kind)
    }

    /// Removes these messages. Returns their number by status.
    fn remove_all(&mut self, sequences: &[Sequence]) -> Counts {
        let mut counts = Counts::default();
        for kind in sequences.iter().filter_map(|at| self.remove(*at)) {
            *counts.of(kind) += 1;
        }
        counts
    }

    /// Counts a message that changed its status, came or went.
    fn count(&mut self, topic: &Topic, from: Option<StatusKind>, to: Option<StatusKind>) {
        let of_topic = self.topics.entry(topic.clone()).or_default();
        for counts in [&mut self.counts, of_topic] {
            if let Some(from) = from {
                *counts.of(from) -= 1;
            }
            if let Some(to) = to {
                *counts.of(to) += 1;
            }
        }
        if self
            .topics
            .get(topic)
            .is_some_and(|counts| counts.all() == 0)
        {
            self.topics.remove(topic);
        }
    }

    fn waiting(&self) -> impl Iterator<Item = &Message> {
        let messages = self.messages.values();
        messages.filter(|message| message.status.kind() != StatusKind::Consumed)
    }

    fn apply(&mut self, change: Change, sequence: Sequence) {
        let status = match change {
            Change::Requeued => Status::Accepted,
            Change::NotConsumed => Status::NotConsumed,
            Change::Consumed { at } => Status::Consumed { at },
            Change::Deleted => {
                self.remove(sequence);
                return;
            }
        };
        if let Some(message) = self.messages.get_mut(&sequence)
            && message.status.kind().may_become(status.kind())
        {
            let before = std::mem::replace(&mut message.status, status).kind();
            let topic = message.topic.clone();
            self.count(&topic, Some(before), Some(status.kind()));
        }
    }
}

impl Store for MemoryStore {
    fn append(&self, drafts: Vec<Draft>, hold: Option<Box<dyn Hold>>) -> Appended {
        let (done, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return receiver;
        }
        let created = without_step_back(self.clock.now(), state.cutoff);
        let day = state.calendar.day(created);
        let mut messages = Vec::with_capacity(drafts.len());
        for draft in drafts {
            state.id_counter = state.id_counter.wrapping_add(1);
            let message = Message {
                sequence: state.next,
                code: MessageCode::new(draft.digest(created, state.id_counter), created),
                topic: draft.topic,
                data: draft.data,
                created,
                status: Status::Accepted,
            };
            state.next = state.next.next();
            state.count(&message.topic, None, Some(StatusKind::Accepted));
            state.growth.add(day, created, 1);
            state.marks.insert(message.mark());
            state.messages.insert(message.sequence, message.clone());
            messages.push(message);
        }
        let codes = messages.iter().map(|message| message.code).collect();
        (state.committed)(messages);
        drop(state);
        if let Some(hold) = hold {
            hold.stored();
        }
        let _ = done.send(Ok(codes));
        receiver
    }

    fn change(
        &self,
        change: Change,
        sequences: SequenceSet,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return receiver;
        }
        for sequence in sequences.iter() {
            state.apply(change, sequence);
        }
        drop(state);
        let _ = done.send(Ok(()));
        receiver
    }

    fn expire(&self, cutoff: UnixSeconds) -> Result<Counts, StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let old: Vec<Sequence> = state
            .messages
            .values()
            .filter(|message| message.created < cutoff)
            .map(|message| message.sequence)
            .collect();
        if !old.is_empty() {
            state.cutoff = state.cutoff.max(cutoff);
        }
        Ok(state.remove_all(&old))
    }

    fn expire_ahead(&self, now: UnixSeconds, end: Sequence) -> Result<Counts, StoreError> {
        let mut state = self.lock();
        let aged: Vec<Sequence> = state.ahead(now).take_while(|at| *at < end).collect();
        Ok(state.remove_all(&aged))
    }

    fn purge(&self, topic: &Topic, kinds: &[StatusKind]) -> Result<u64, StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let purged: Vec<Sequence> = state
            .messages
            .values()
            .filter(|message| message.topic == *topic && kinds.contains(&message.status.kind()))
            .map(|message| message.sequence)
            .collect();
        for sequence in &purged {
            state.remove(*sequence);
        }
        Ok(purged.len() as u64)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.lock().closed = true;
        Ok(())
    }
}

impl Reads for MemoryStore {
    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError> {
        let state = self.lock();
        let mut scanned = Scanned {
            messages: vec![],
            next: Sequence(scan.to.0.saturating_add(1)),
        };
        let mut bytes = 0;
        if scan.from > scan.to {
            return Ok(scanned);
        }
        for message in state.messages.range(scan.from..=scan.to).map(|(_, m)| m) {
            let wanted = message.status.kind() == scan.kind
                && scan
                    .topics
                    .as_ref()
                    .is_none_or(|topics| topics.contains(&message.topic));
            if !wanted {
                continue;
            }
            if scanned.messages.len() >= scan.messages_max || bytes >= scan.bytes_max {
                scanned.next = message.sequence;
                break;
            }
            bytes += message.data.len();
            scanned.messages.push(message.clone());
        }
        Ok(scanned)
    }

    fn list(&self, query: &Query, bytes_max: usize) -> Result<Listed, StoreError> {
        let state = self.lock();
        let from = Mark {
            created: query.from.unwrap_or(UnixSeconds::MIN),
            sequence: Sequence(0),
        };
        let to = Mark {
            created: query.to.unwrap_or(UnixSeconds::MAX),
            sequence: Sequence(u64::MAX),
        };
        let before = query.before.map_or(to, |mark| mark.min(to));
        let (mut messages, mut bytes) = (vec![], 0);
        for mark in state.marks.range(from.min(before)..before).rev() {
            let message = &state.messages[&mark.sequence];
            let status = query.status.unwrap_or(message.status.kind());
            let topic = query.topic.as_ref().unwrap_or(&message.topic);
            if status != message.status.kind() || *topic != message.topic {
                continue;
            }
            bytes += message.data.len();
            if bytes > bytes_max || messages.len() == LISTED_MAX {
                let rest = rest_after(&messages, message.data.len());
                return Ok(Listed { messages, rest });
            }
            messages.push(message.clone());
        }
        let rest = Rest::Nothing;
        Ok(Listed { messages, rest })
    }

    fn find(&self, code: MessageCode, bytes_max: usize) -> Result<Listed, StoreError> {
        let state = self.lock();
        let found = state.messages.values().find(|message| message.code == code);
        Ok(match found {
            Some(message) if message.data.len() > bytes_max => Listed {
                messages: vec![],
                rest: Rest::Large(message.data.len()),
            },
            found => Listed {
                messages: found.into_iter().cloned().collect(),
                rest: Rest::Nothing,
            },
        })
    }

    fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError> {
        let state = self.lock();
        let first = state.waiting().next();
        Ok(first.map(|message| message.created))
    }

    fn oldest_waiting_of(&self, topics: &[Topic]) -> Result<Vec<Option<UnixSeconds>>, StoreError> {
        let state = self.lock();
        let mut first: HashMap<&Topic, UnixSeconds> = HashMap::new();
        for message in state.waiting() {
            first.entry(&message.topic).or_insert(message.created);
        }
        let first = topics.iter().map(|topic| first.get(topic).copied());
        Ok(first.collect())
    }

    fn accepted_between(&self, first: Sequence, last: Sequence) -> u64 {
        let state = self.lock();
        let messages = state.messages.range(first..=last.max(first));
        messages
            .filter(|(_, message)| message.status == Status::Accepted)
            .count() as u64
    }

    fn retain_live(&self, messages: &mut Vec<Message>) {
        let state = self.lock();
        messages.retain(|message| state.messages.contains_key(&message.sequence));
    }

    fn next_sequence(&self) -> Sequence {
        self.lock().next
    }

    fn cutoff(&self) -> UnixSeconds {
        self.lock().cutoff
    }

    fn newest(&self) -> Option<UnixSeconds> {
        let state = self.lock();
        let created = state.messages.values().map(|message| message.created);
        created.max()
    }

    fn backup(&self) -> Option<Backup> {
        None
    }
}

impl Stats for MemoryStore {
    fn counts(&self) -> Counts {
        self.lock().counts
    }

    fn growth(&self) -> Vec<(Day, u64)> {
        self.lock().growth.by_day()
    }

    fn growth_by_quarter(&self) -> Vec<(UnixSeconds, u64)> {
        self.lock().growth.by_quarter()
    }

    fn topics(&self) -> Vec<TopicCounts> {
        let state = self.lock();
        let topics = state.topics.iter();
        topics
            .map(|(topic, counts)| TopicCounts {
                topic: topic.clone(),
                counts: *counts,
            })
            .collect()
    }

    fn topic(&self, topic: &Topic) -> Counts {
        self.lock().topics.get(topic).copied().unwrap_or_default()
    }

    fn topic_count(&self) -> usize {
        self.lock().topics.len()
    }

    fn ahead(&self, now: UnixSeconds) -> u64 {
        self.lock().ahead(now).count() as u64
    }

    fn health(&self) -> Health {
        Health::default()
    }

    fn is_alive(&self) -> bool {
        !self.lock().closed
    }

    fn usage(&self) -> Option<Usage> {
        None
    }
}
