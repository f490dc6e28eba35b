//! The writer: one thread that takes the waiting requests, writes them in one append, syncs once,
//! and answers them all.
//!
//! It owns order, sequences, times, batching and failure. It waits only for the disk and for the
//! next request.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::UnboundedReceiver;

use crate::clock::{Clock, without_step_back};
use crate::message::{Message, Sequence, Status, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::commit::apply::apply;
use crate::store::commit::group::{Group, Request};
use crate::store::commit::poison::{Poison, poison_on_error};
use crate::store::commit::refusals::Refusals;
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
/// The data in one group. More waits for the next group, so that early messages get their answer
/// early.
const GROUP_BYTES_MAX: usize = 8 << 20;
/// Outcomes that could not be written are tried again after this pause, or with the next request.
const RETRY_PAUSE: Duration = Duration::from_secs(1);
/// The interval at which the writer looks for the next request during that pause.
const RETRY_POLL: Duration = Duration::from_millis(5);
/// A buffer larger than this is not kept.
const BUFFER_KEPT_BYTES: usize = 16 << 20;

/// Writes requests to the log, and answers them.
pub(crate) struct Writer {
    pub(crate) log: Log,
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) poison: Poison,
    pub(crate) clock: Clock,
    pub(crate) committed: Committed,
    /// Goes into message codes: the upper half is random, the lower half counts.
    pub(crate) id_counter: u128,
    /// Outcomes that could not be written, and wait for a retry.
    pub(crate) retry: Vec<(Change, SequenceSet)>,
    /// Why the last write failed.
    pub(crate) refused: Option<StoreError>,
    pub(crate) last_created: UnixSeconds,
    /// The messages before this need no space in the log any more.
    pub(crate) purged_before: Sequence,
    pub(crate) refusals: Refusals,
    pub(crate) trouble: Trouble,
    pub(crate) syncs: Arc<Syncs>,
    /// The bytes of the group being written.
    pub(crate) buffer: Vec<u8>,
}

impl Writer {
    /// Serves requests until [`Request::Close`], or until nobody can send any more. Then syncs
    /// everything written.
    pub(crate) fn run(
        mut self,
        mut requests: UnboundedReceiver<Request>,
    ) -> Result<(), StoreError> {
        let mut taken = Vec::with_capacity(REQUESTS_MAX);
        loop {
            let ended = self.wait(&mut requests, &mut taken);
            if self.serve(&mut taken) || ended {
                return self.end();
            }
        }
    }

    /// Waits for requests and takes them, or takes none when outcomes are due for a retry. Returns
    /// whether nobody can send any more.
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

    /// Whether outcomes wait for a retry.
    pub(crate) fn has_retry(&self) -> bool {
        !self.retry.is_empty()
    }

    /// Writes the requests, and answers them. Returns whether [`Request::Close`] was among them.
    pub(crate) fn serve(&mut self, requests: &mut Vec<Request>) -> bool {
        let mut buffer = std::mem::take(&mut self.buffer);
        let mut closing = false;
        let mut group = self.begin();
        for request in requests.drain(..) {
            closing |= matches!(request, Request::Close);
            if matches!(request, Request::Expire { .. } | Request::Probe) {
                self.commit(std::mem::take(&mut group), &mut buffer);
            }
            self.add(&mut group, request);
            if group.bytes >= GROUP_BYTES_MAX || group.expire.is_some() || group.probe {
                self.commit(std::mem::take(&mut group), &mut buffer);
                group = self.begin();
            }
        }
        self.commit(group, &mut buffer);
        self.buffer = buffer;
        closing
    }

    /// Syncs everything written, unless something could not be written.
    pub(crate) fn end(mut self) -> Result<(), StoreError> {
        let retries = self.has_retry();
        match (self.poison.get(), self.refused) {
            (Some(reason), _) => Err(StoreError::Poisoned(reason.clone())),
            (None, Some(error)) if retries => Err(error),
            _ => self.log.drop_preallocated().and_then(|()| self.log.sync()),
        }
    }

    fn begin(&mut self) -> Group {
        Group {
            changes: std::mem::take(&mut self.retry),
            ..Group::default()
        }
    }

    fn add(&mut self, group: &mut Group, request: Request) {
        match request {
            Request::Append { drafts, hold, done } => {
                group.appends.push((done, drafts.len(), hold));
                let created = self.now();
                for draft in drafts {
                    group.bytes += draft.data.len();
                    self.id_counter = self.id_counter.wrapping_add(1);
                    group.messages.push(Message {
                        sequence: Sequence::default(),
                        code: draft.code(created, self.id_counter),
                        topic: draft.topic,
                        data: draft.data,
                        created,
                        status: Status::Accepted,
                    });
                }
            }
            Request::Change {
                change,
                sequences,
                done,
            } => {
                group.change(change, sequences);
                group.waiting.push(done);
            }
            Request::Expire { cutoff, also, done } => {
                group.expire = Some(cutoff);
                group.change(Change::Deleted, also);
                group.waiting.push(done);
            }
            Request::Probe => group.probe = true,
            Request::Close => {}
        }
    }

    /// The creation time of a message accepted now. It is not before the cutoff of expiry, nor
    /// before the last message, unless the clock was really set back from there.
    fn now(&mut self) -> UnixSeconds {
        let now = without_step_back(self.clock.now(), self.lock().cutoff());
        let now = without_step_back(now, self.last_created);
        if now < self.last_created {
            tracing::warn!(
                from = self.last_created.0,
                to = now.0,
                "the clock was set back"
            );
        }
        self.last_created = now;
        now
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().expect("no holder of this lock panics")
    }

    fn commit(&mut self, mut group: Group, buffer: &mut Vec<u8>) {
        let next = self.lock().next_sequence();
        for (message, sequence) in group.messages.iter_mut().zip(next.0..) {
            message.sequence = Sequence(sequence);
        }
        match self.write(&group, buffer) {
            Ok(position) => self.finish(group, position, buffer),
            Err(error) => {
                if error.is_full() && !group.messages.is_empty() && !group.changes.is_empty() {
                    let changes = group.take_changes();
                    match self.write(&changes, buffer) {
                        Ok(position) => self.finish(changes, position, buffer),
                        Err(error) => self.refuse(changes, &error),
                    }
                }
                self.refuse(group, &error);
            }
        }
        if buffer.capacity() > BUFFER_KEPT_BYTES {
            *buffer = vec![];
        }
        self.maintain();
    }

    /// Appends the group, and syncs it if a caller waits for that. Returns where it begins, and its
    /// frames of messages.
    fn write(
        &mut self,
        group: &Group,
        buffer: &mut Vec<u8>,
    ) -> Result<(Position, Vec<Written>), StoreError> {
        if let Some(reason) = self.poison.get() {
            return Err(StoreError::Poisoned(reason.clone()));
        }
        let urgency = group.urgency();
        if urgency.is_none() {
            self.reserve.fill()?;
        }
        let start = self.log.end();
        buffer.clear();
        let frames = encode_messages(buffer, self.log.seed(), &group.messages);
        if group.probe {
            frame::encode(buffer, self.log.seed(), &Frame::default());
        }
        for of_frame in group.change_frames() {
            let frame = Frame {
                cutoff: of_frame.cutoff,
                changes: &of_frame.changes,
                ..Frame::default()
            };
            frame::encode(buffer, self.log.seed(), &frame);
        }
        if buffer.is_empty() {
            return Ok((start, frames));
        }
        match urgency {
            None => self.log.append(buffer)?,
            Some(urgency) => {
                let append = || self.log.append(buffer);
                self.reserve.spend(urgency, append)?;
            }
        }
        if group.is_synced()
            && let Err(error) = self.sync_group(group.messages.len())
        {
            // The caller learns that it is not stored, so no read should find it.
            self.log.rollback(start);
            return Err(error);
        }
        Ok((start, frames))
    }

    /// Syncs a group of this many messages.
    fn sync_group(&self, messages: usize) -> Result<(), StoreError> {
        let start = Instant::now();
        self.sync()?;
        if messages > 0 {
            self.syncs.seconds.add_time(start.elapsed(), 1);
            self.syncs.group_messages.add(messages as f64, 1);
        }
        Ok(())
    }

    fn sync(&self) -> Result<(), StoreError> {
        poison_on_error(self.log.sync(), &self.poison)
    }

    /// Makes a written group visible, and answers its requests.
    fn finish(&mut self, group: Group, (start, frames): (Position, Vec<Written>), buffer: &[u8]) {
        if !buffer.is_empty() {
            if self.refusals.is_open() && self.reserve.is_whole() {
                self.trouble.note(Component::Log, None);
                if let Some(refused) = self.refusals.stored(Instant::now()) {
                    tracing::info!(refused, "messages are stored again");
                }
            }
            let mut index = self.lock();
            let last = index.next_sequence().0 + group.messages.len() as u64 - 1;
            self.log.publish(last);
            apply(&mut index, &group, start, frames);
            index.advance(self.log.end());
            drop(index);
            self.watermarks.written(group.is_synced(), self.log.end());
        }
        let mut codes = group.messages.iter().map(|message| message.code);
        let answers: Vec<_> = group
            .appends
            .into_iter()
            .map(|(done, len, hold)| (done, codes.by_ref().take(len).collect::<Vec<_>>(), hold))
            .collect();
        drop(codes);
        if !group.messages.is_empty() {
            (self.committed)(group.messages);
        }
        for (done, codes, hold) in answers {
            // A caller that no longer waits does not need the answer.
            let _ = done.send(Ok(codes));
            if let Some(hold) = hold {
                hold.stored();
            }
        }
        for done in group.waiting {
            let _ = done.send(Ok(()));
        }
    }

    fn refuse(&mut self, mut group: Group, error: &StoreError) {
        let messages = group.messages.len();
        if self.refusals.refused(messages, Instant::now()) {
            tracing::error!(%error, "messages are refused, because they cannot be stored");
        }
        self.trouble.note(Component::Log, Some(error));
        // Requests with a waiting caller fail. Outcomes have happened, so they are kept.
        group.changes.retain(|(change, _)| change.is_outcome());
        if matches!(error, StoreError::Poisoned(_)) {
            // Nothing can be written any more, so at least memory has the outcomes.
            for (change, sequences) in &group.changes {
                self.lock().change(*change, sequences);
            }
        } else {
            self.retry.extend(group.changes);
            self.refused = Some(error.clone());
        }
        for (done, _, hold) in group.appends {
            drop(hold);
            let _ = done.send(Err(error.clone()));
        }
        for done in group.waiting {
            let _ = done.send(Err(error.clone()));
        }
    }

    /// Begins the next segment. With `to_purge`, it does so to purge the one before.
    fn roll(&mut self, checkpoint: &Checkpoint, to_purge: bool) -> Result<(), StoreError> {
        self.log.drop_preallocated()?;
        self.sync()?;
        match to_purge {
            true => self
                .reserve
                .spend(Urgency::Expiry, || self.log.roll(checkpoint)),
            false => self.log.roll(checkpoint),
        }
    }

    /// Begins the next segment when it is due, and purges segments whose messages are all gone.
    fn maintain(&mut self) {
        if self.poison.get().is_some() {
            return;
        }
        let (first_live, idle, checkpoint) = {
            let mut index = self.lock();
            let first_live = index.first_live();
            let idle = self.log.is_idle(first_live);
            let roll = self.log.is_full() || idle;
            (first_live, idle, roll.then(|| index.checkpoint()))
        };
        if let Some(checkpoint) = checkpoint {
            match self.roll(&checkpoint, idle) {
                Ok(()) => {
                    self.lock().advance(self.log.end());
                    self.watermarks.written(true, self.log.end());
                }
                Err(error) => {
                    tracing::error!(%error, "no new log segment can be created; the log continues in the old one")
                }
            }
        }
        let end_of_dead = self.log.segments().end_of_dead(Sequence(first_live));
        if let Some(end) = end_of_dead.filter(|end| self.purged_before < *end) {
            // A power cut must not lose the cutoff that made them dead once they are removed.
            if self.sync().is_ok() {
                self.purged_before = end;
                self.watermarks.purge_before(end);
            }
        }
    }
}
