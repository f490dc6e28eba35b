//! The engine without a disk: messages are gone when the process ends (`isPersistent: 0`).

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard};

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::day::Calendar;
use super::index::last_days;
use super::{Appended, Change, Committed, Counts, Day, Query, Scan, Scanned, Store, StoreError};
use crate::clock::Clock;
use crate::message::{Draft, Message, Sequence, Status, UnixSeconds};
use crate::sequences::SequenceSet;

/// Messages in memory, and nowhere else.
pub struct MemoryStore {
    state: Mutex<State>,
    clock: Clock,
}

struct State {
    messages: BTreeMap<Sequence, Message>,
    /// By [`crate::message::StatusKind::index`].
    counts: [u64; 3],
    growth: BTreeMap<Day, u64>,
    calendar: Calendar,
    next: Sequence,
    floor: UnixSeconds,
    unique: u128,
    committed: Committed,
    closed: bool,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(clock: Clock, committed: Committed) -> MemoryStore {
        let state = State {
            messages: BTreeMap::new(),
            counts: [0; 3],
            growth: BTreeMap::new(),
            calendar: Calendar::default(),
            next: Sequence(1),
            floor: UnixSeconds::MIN,
            unique: u128::from(RandomState::new().hash_one(std::process::id())) << 64,
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
    fn remove(&mut self, sequence: Sequence) -> bool {
        let removed = self.messages.remove(&sequence);
        if let Some(message) = &removed {
            self.counts[message.status.kind().index()] -= 1;
        }
        removed.is_some()
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
            self.counts[message.status.kind().index()] -= 1;
            self.counts[status.kind().index()] += 1;
            message.status = status;
        }
    }
}

impl Store for MemoryStore {
    fn append(&self, drafts: Vec<Draft>, permit: Option<OwnedSemaphorePermit>) -> Appended {
        let (done, receiver) = oneshot::channel();
        let mut state = self.lock();
        if state.closed {
            return receiver;
        }
        let created = self.clock.now().max(state.floor);
        let day = state.calendar.day(created);
        let mut messages = Vec::with_capacity(drafts.len());
        for draft in drafts {
            state.unique = state.unique.wrapping_add(1);
            let message = Message {
                sequence: state.next,
                code: draft.code(created, state.unique),
                topic: draft.topic,
                data: draft.data,
                created,
                status: Status::Accepted,
            };
            state.next = state.next.next();
            state.counts[message.status.kind().index()] += 1;
            *state.growth.entry(day).or_default() += 1;
            state.messages.insert(message.sequence, message.clone());
            messages.push(message);
        }
        let codes = messages.iter().map(|message| message.code).collect();
        (state.committed)(messages);
        drop(state);
        drop(permit);
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

    fn expire(&self, floor: UnixSeconds) -> Result<u64, StoreError> {
        let mut state = self.lock();
        if state.closed {
            return Err(StoreError::Closed);
        }
        let old: Vec<Sequence> = state
            .messages
            .values()
            .filter(|message| message.created < floor)
            .map(|message| message.sequence)
            .collect();
        for sequence in &old {
            state.remove(*sequence);
        }
        if !old.is_empty() {
            state.floor = state.floor.max(floor);
        }
        Ok(old.len() as u64)
    }

    fn counts(&self) -> Counts {
        let [accepted, not_consumed, consumed] = self.lock().counts;
        Counts {
            accepted,
            not_consumed,
            consumed,
        }
    }

    fn growth(&self) -> Vec<(Day, u64)> {
        let state = self.lock();
        last_days(&state.growth)
            .map(|(day, n)| (*day, *n))
            .collect()
    }

    fn next_sequence(&self) -> Sequence {
        self.lock().next
    }

    fn floor(&self) -> UnixSeconds {
        self.lock().floor
    }

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

    fn list(
        &self,
        query: &Query,
        each: &mut dyn FnMut(Vec<Message>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        const CHUNK: usize = 256;
        let mut found: Vec<(UnixSeconds, Sequence)> = self
            .lock()
            .messages
            .values()
            .filter(|message| {
                query.from.is_none_or(|from| from <= message.created)
                    && query.to.is_none_or(|to| message.created <= to)
                    && query
                        .status
                        .is_none_or(|kind| kind == message.status.kind())
                    && query
                        .topic
                        .as_ref()
                        .is_none_or(|topic| *topic == message.topic)
            })
            .map(|message| (message.created, message.sequence))
            .collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        for chunk in found.chunks(CHUNK) {
            let state = self.lock();
            let messages = chunk
                .iter()
                .filter_map(|(_, sequence)| state.messages.get(sequence).cloned())
                .collect();
            drop(state);
            if each(messages).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn close(&self) -> Result<(), StoreError> {
        self.lock().closed = true;
        Ok(())
    }
}
