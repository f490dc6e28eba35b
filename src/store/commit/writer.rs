//! The writer: one thread that proposes the waiting requests, writes what is ordered in one append,
//! syncs once, applies it, and answers the callers.
//!
//! It owns batching and failure. It waits only for the disk and for the next request.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::message::Sequence;
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::commit::apply::{apply, resolve};
use crate::store::commit::order::{Durability, Order, OrderEntry};
use crate::store::commit::poison::{Poison, poison_on_error};
use crate::store::commit::propose::{Callers, Group, Proposer};
use crate::store::commit::refusals::Refusals;
use crate::store::commit::request::Request;
use crate::store::commit::resolved::Resolved;
use crate::store::commit::watermarks::Watermarks;
use crate::store::committed::Committed;
use crate::store::error::StoreError;
use crate::store::fs::reserve::{Reserve, Urgency};
use crate::store::health::{Component, Trouble};
use crate::store::index::Index;
use crate::store::log::encode::{Written, encode_messages};
use crate::store::log::frame::{self, Checkpoint, Frame};
use crate::store::log::local::Log;
use crate::store::log::position::Position;
use crate::store::measures::Syncs;

/// The largest number of requests taken at once.
const REQUESTS_MAX: usize = 1024;
/// What could not be written is tried again after this pause, or with the next request.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The interval at which the writer looks for the next request during that pause.
const RETRY_POLL: Duration = Duration::from_millis(5);
/// A buffer larger than this is not kept.
const BUFFER_KEPT_BYTES: usize = 16 << 20;

/// What the writer writes to, and tells of it.
pub(crate) struct WriterParts {
    pub(crate) log: Log,
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) poison: Poison,
    pub(crate) committed: Committed,
    pub(crate) trouble: Trouble,
    pub(crate) syncs: Arc<Syncs>,
    pub(crate) proposer: Proposer,
    pub(crate) order: Box<dyn Order>,
}

/// Writes what is ordered to the log, and answers the requests.
pub(crate) struct Writer {
    parts: WriterParts,
    /// Who waits for what was proposed and is not back yet, in that order.
    proposed: VecDeque<Callers>,
    /// Outcomes that could not be written, and are proposed again.
    retry: Vec<(Change, SequenceSet)>,
    /// What is ordered, and could not be written. Nothing after it is applied before.
    stuck: Option<(Resolved, Callers)>,
    /// Why the last write failed.
    refused: Option<StoreError>,
    refusals: Refusals,
    /// The bytes of what is being written.
    buffer: Vec<u8>,
}

/// An entry that is in the log.
struct Recorded {
    start: Position,
    /// The frames of messages.
    frames: Vec<Written>,
    bytes: usize,
    synced: bool,
}

impl Writer {
    pub(crate) fn new(parts: WriterParts) -> Writer {
        Writer {
            parts,
            proposed: VecDeque::new(),
            retry: vec![],
            stuck: None,
            refused: None,
            refusals: Refusals::default(),
            buffer: vec![],
        }
    }

    /// Serves requests until [`Request::Close`] and everything proposed is applied, or until nobody
    /// can send any more. Then syncs everything written.
    pub(crate) fn run(
        mut self,
        mut requests: UnboundedReceiver<Request>,
    ) -> Result<(), StoreError> {
        let mut taken = Vec::with_capacity(REQUESTS_MAX);
        let mut closing = false;
        loop {
            let ended = self.wait(&mut requests, &mut taken);
            closing |= self.serve(&mut taken);
            if ended || closing && (self.proposed.is_empty() || self.stuck.is_some()) {
                return self.end();
            }
        }
    }

    /// Waits for requests and takes them, or takes none when a retry is due. Returns whether nobody
    /// can send any more.
    fn wait(&self, requests: &mut UnboundedReceiver<Request>, taken: &mut Vec<Request>) -> bool {
        let until = Instant::now() + RETRY_PAUSE;
        while self.has_retry() && requests.is_empty() && !requests.is_closed() {
            if Instant::now() > until {
                return false;
            }
            std::thread::sleep(RETRY_POLL);
        }
        requests.blocking_recv_many(taken, REQUESTS_MAX) == 0
    }

    /// Whether something waits for a retry.
    pub(crate) fn has_retry(&self) -> bool {
        !self.retry.is_empty() || self.stuck.is_some()
    }

    /// Proposes the requests, and applies what is ordered by then. Returns whether
    /// [`Request::Close`] was among them.
    pub(crate) fn serve(&mut self, requests: &mut Vec<Request>) -> bool {
        self.unstick();
        let mut closing = false;
        let mut group = Group::of_outcomes(std::mem::take(&mut self.retry));
        for request in requests.drain(..) {
            closing |= matches!(request, Request::Close);
            if matches!(request, Request::Expire { .. } | Request::Probe) {
                self.propose(std::mem::take(&mut group));
            }
            if matches!(request, Request::Probe) {
                self.probe();
            }
            self.parts.proposer.add(&mut group, request);
            if group.is_full() {
                self.propose(std::mem::take(&mut group));
                group = Group::of_outcomes(std::mem::take(&mut self.retry));
            }
        }
        self.propose(group);
        closing
    }

    fn propose(&mut self, group: Group) {
        if !group.is_empty() {
            self.proposed.push_back(group.callers);
            self.parts.order.propose(group.proposal);
        }
        self.take_ordered();
    }

    fn take_ordered(&mut self) {
        while self.stuck.is_none()
            && let Some(entry) = self.parts.order.next()
        {
            self.take(entry);
        }
    }

    /// Tries again what is ordered and could not be written.
    fn unstick(&mut self) {
        if let Some((resolved, callers)) = self.stuck.take() {
            self.record(resolved, callers);
            self.take_ordered();
        }
    }

    /// Learns whether the disk takes messages again.
    fn probe(&mut self) {
        let probe = Resolved {
            probe: true,
            ..Resolved::default()
        };
        match self.write(&probe) {
            Ok(recorded) => self.finish(probe, Callers::default(), recorded),
            Err(error) => self.refuse(probe, Callers::default(), &error),
        }
    }

    fn take(&mut self, entry: OrderEntry) {
        let callers = match entry.is_own {
            true => self.proposed.pop_front().unwrap_or_default(),
            false => Callers::default(),
        };
        let (next, created, before) = {
            let index = self.lock();
            let created = index.time_of(entry.at);
            (index.next_sequence(), created, index.last_created())
        };
        let resolved = resolve(entry, next, created);
        if let Some(first) = resolved.messages.first()
            && first.created < before
        {
            tracing::warn!(
                from = before.0,
                to = first.created.0,
                "the clock was set back"
            );
        }
        self.record(resolved, callers);
    }

    /// Writes and applies an entry, or refuses it if it can still be refused.
    fn record(&mut self, mut resolved: Resolved, mut callers: Callers) {
        match self.write(&resolved) {
            Ok(recorded) => self.finish(resolved, callers, recorded),
            Err(error) if self.is_decided(&error) => {
                self.note_refusal(resolved.messages.len(), &error);
                self.stuck = Some((resolved, callers));
            }
            Err(error) => {
                if error.is_full() && !resolved.messages.is_empty() && !resolved.changes.is_empty()
                {
                    let changes = resolved.take_changes();
                    let callers = callers.take_changes();
                    match self.write(&changes) {
                        Ok(recorded) => self.finish(changes, callers, recorded),
                        Err(error) => self.refuse(changes, callers, &error),
                    }
                }
                self.refuse(resolved, callers, &error);
            }
        }
        if self.buffer.capacity() > BUFFER_KEPT_BYTES {
            self.buffer = vec![];
        }
        self.maintain();
    }

    /// Whether an entry stands although this disk cannot have it now.
    fn is_decided(&self, error: &StoreError) -> bool {
        let poisoned = matches!(error, StoreError::Poisoned(_));
        self.parts.order.durability() == Durability::Order && !poisoned
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.parts
            .index
            .lock()
            .expect("no holder of this lock panics")
    }

    /// Syncs everything written, unless something could not be written.
    pub(crate) fn end(mut self) -> Result<(), StoreError> {
        let retries = self.has_retry();
        match (self.parts.poison.get(), self.refused) {
            (Some(reason), _) => Err(StoreError::Poisoned(reason.clone())),
            (None, Some(error)) if retries => Err(error),
            _ => self
                .parts
                .log
                .drop_preallocated()
                .and_then(|()| self.parts.log.sync()),
        }
    }

    /// Appends an entry, and syncs it if a caller waits for that.
    fn write(&mut self, resolved: &Resolved) -> Result<Recorded, StoreError> {
        let WriterParts {
            log,
            reserve,
            order,
            poison,
            ..
        } = &mut self.parts;
        if let Some(reason) = poison.get() {
            return Err(StoreError::Poisoned(reason.clone()));
        }
        let urgency = resolved.urgency();
        if urgency.is_none() {
            reserve.fill()?;
        }
        let start = log.end();
        let frames = encode(&mut self.buffer, log.seed(), resolved);
        let synced = resolved.is_synced() && order.durability() == Durability::Disk;
        let recorded = Recorded {
            start,
            frames,
            bytes: self.buffer.len(),
            synced,
        };
        if recorded.bytes == 0 {
            return Ok(recorded);
        }
        match urgency {
            None => log.append(&self.buffer)?,
            Some(urgency) => reserve.spend(urgency, || log.append(&self.buffer))?,
        }
        if synced && let Err(error) = self.sync_group(resolved.messages.len()) {
            // The caller learns that it is not stored, so no read should find it.
            self.parts.log.rollback(start);
            return Err(error);
        }
        Ok(recorded)
    }

    /// Syncs a group of this many messages.
    fn sync_group(&self, messages: usize) -> Result<(), StoreError> {
        let start = Instant::now();
        self.sync()?;
        if messages > 0 {
            self.parts.syncs.seconds.add_time(start.elapsed(), 1);
            self.parts.syncs.group_messages.add(messages as f64, 1);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        poison_on_error(self.parts.log.sync(), &self.parts.poison)
    }

    /// Makes what was written visible, and answers its callers.
    fn finish(&mut self, resolved: Resolved, callers: Callers, recorded: Recorded) {
        let Recorded {
            start,
            frames,
            bytes,
            synced,
        } = recorded;
        if bytes > 0 {
            self.note_stored();
            let log = &self.parts.log;
            let mut index = self.lock();
            let last = index.next_sequence().0 + resolved.messages.len() as u64 - 1;
            log.publish(last);
            apply(&mut index, &resolved, start, frames);
            index.advance(log.end());
            drop(index);
            self.parts.watermarks.written(synced, log.end());
        }
        let codes: Vec<_> = resolved
            .messages
            .iter()
            .map(|message| message.code)
            .collect();
        if !resolved.messages.is_empty() {
            (self.parts.committed)(resolved.messages);
        }
        callers.answer(codes);
    }

    fn note_stored(&mut self) {
        if self.refusals.is_open() && self.parts.reserve.is_whole() {
            self.parts.trouble.note(Component::Log, None);
            if let Some(refused) = self.refusals.stored(Instant::now()) {
                tracing::info!(refused, "messages are stored again");
            }
        }
    }

    fn note_refusal(&mut self, messages: usize, error: &StoreError) {
        if self.refusals.refused(messages, Instant::now()) {
            tracing::error!(%error, "messages are refused, because they cannot be stored");
        }
        self.parts.trouble.note(Component::Log, Some(error));
        self.refused = Some(error.clone());
    }

    fn refuse(&mut self, mut resolved: Resolved, callers: Callers, error: &StoreError) {
        self.note_refusal(resolved.messages.len(), error);
        // Requests with a waiting caller fail. Outcomes have happened, so they are kept.
        resolved.changes.retain(|(change, _)| change.is_outcome());
        if matches!(error, StoreError::Poisoned(_)) {
            // Nothing can be written any more, so at least memory has the outcomes.
            for (change, sequences) in &resolved.changes {
                self.lock().change(*change, sequences);
            }
        } else {
            self.retry.extend(resolved.changes);
        }
        callers.refuse(error);
    }

    /// Begins the next segment. With `to_purge`, it does so to purge the one before.
    fn roll(&mut self, checkpoint: &Checkpoint, to_purge: bool) -> Result<(), StoreError> {
        self.parts.log.drop_preallocated()?;
        self.sync()?;
        match to_purge {
            true => self
                .parts
                .reserve
                .spend(Urgency::Expiry, || self.parts.log.roll(checkpoint)),
            false => self.parts.log.roll(checkpoint),
        }
    }

    /// Begins the next segment when it is due, and purges segments whose messages are all gone.
    fn maintain(&mut self) {
        if self.parts.poison.get().is_some() {
            return;
        }
        let (first_live, idle, checkpoint) = {
            let mut index = self.lock();
            let first_live = index.first_live();
            let idle = self.parts.log.is_idle(first_live);
            let roll = self.parts.log.is_full() || idle;
            (first_live, idle, roll.then(|| index.checkpoint()))
        };
        if let Some(checkpoint) = checkpoint {
            match self.roll(&checkpoint, idle) {
                Ok(()) => {
                    self.lock().advance(self.parts.log.end());
                    self.parts.watermarks.written(true, self.parts.log.end());
                }
                Err(error) => {
                    tracing::error!(%error, "no new log segment can be created; the log continues in the old one")
                }
            }
        }
        let end_of_dead = self.parts.log.segments().end_of_dead(Sequence(first_live));
        if let Some(end) = end_of_dead.filter(|end| self.parts.watermarks.lock().first_kept < *end)
        {
            // A power cut must not lose the cutoff that made them dead once they are removed.
            if self.sync().is_ok() {
                self.parts.watermarks.purge_before(end);
            }
        }
    }
}

/// Writes the frames of an entry to `buffer`. Returns those of messages.
fn encode(buffer: &mut Vec<u8>, seed: u32, resolved: &Resolved) -> Vec<Written> {
    buffer.clear();
    let frames = encode_messages(buffer, seed, &resolved.messages);
    if resolved.probe {
        frame::encode(buffer, seed, &Frame::default());
    }
    for of_frame in resolved.change_frames() {
        let frame = Frame {
            cutoff: of_frame.cutoff,
            changes: &of_frame.changes,
            ..Frame::default()
        };
        frame::encode(buffer, seed, &frame);
    }
    frames
}
