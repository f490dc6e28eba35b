//! The periodic check: deletes expired messages, and queues messages again that were not consumed
//! and now have a consumer. These have a share of the queue's memory of their own, so they come
//! however many producers wait for slots.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until};

use crate::broker::blocking::{Disk, read_back};
use crate::broker::check::expiry::Expiry;
use crate::broker::error::PushAgainError;
use crate::broker::observe::activity::Activity;
use crate::broker::push::consumers::Consumers;
use crate::broker::queue::items::Item;
use crate::broker::queue::{Queue, REQUEUE_MESSAGES};
use crate::broker::settings::Settings;
use crate::clock::Clock;
use crate::message::{MessageCode, Sequence, Status, StatusKind};
use crate::store::{Change, Counts, Scan, Storage, StoreError};

const DAY_SECONDS: u64 = 24 * 3600;

/// Deletes expired messages and queues others again, at an interval.
pub(in crate::broker) struct Sweep {
    pub(in crate::broker) queue: Arc<Queue>,
    pub(in crate::broker) consumers: Arc<Consumers>,
    pub(in crate::broker) store: Arc<dyn Storage>,
    pub(in crate::broker) disk: Disk,
    pub(in crate::broker) clock: Clock,
    pub(in crate::broker) activity: Arc<Activity>,
    pub(in crate::broker) expiry: Expiry,
    pub(in crate::broker) settings: watch::Receiver<Settings>,
    /// When the next check is.
    pub(in crate::broker) next: watch::Sender<Instant>,
}

/// A message that an operator wants to be pushed again now.
pub(in crate::broker) struct PushAgain {
    pub(in crate::broker) code: MessageCode,
    pub(in crate::broker) done: oneshot::Sender<Result<(), PushAgainError>>,
}

impl Sweep {
    /// Checks at every interval, without end. Between two checks it queues what operators want to
    /// be pushed again.
    pub(in crate::broker) async fn run(mut self, mut wanted: mpsc::Receiver<PushAgain>) {
        self.warn_if_clock_was_ahead();
        let mut changes = self.settings.clone();
        let mut every = changes.borrow_and_update().check_every;
        // Where a check that found the queue full continues.
        let mut unfinished = None;
        loop {
            let next = *self.next.borrow();
            tokio::select! {
                // However long a check takes, operators get a turn after it.
                biased;
                () = sleep_until(next) => {
                    self.store.probe();
                    self.expire().await;
                    unfinished = self.go_on(unfinished.or(Some(Sequence(1)))).await;
                    self.next.send_replace(Instant::now() + every);
                }
                Ok(()) = changes.changed() => {
                    let now = changes.borrow_and_update().check_every;
                    if now != every {
                        every = now;
                        self.next.send_replace(Instant::now() + every);
                    }
                }
                () = self.capacity(), if unfinished.is_some() => {
                    unfinished = self.go_on(unfinished).await;
                }
                Some(wanted) = wanted.recv() => {
                    let pushed = self.push_again(wanted.code).await;
                    // An operator that has left needs no answer.
                    let _ = wanted.done.send(pushed);
                }
            }
        }
    }

    /// Continues a check. Returns where to continue next, if it is not done.
    async fn go_on(&self, unfinished: Option<Sequence>) -> Option<Sequence> {
        let re_push = self.settings.borrow().re_push;
        match unfinished.filter(|_| re_push) {
            Some(from) => self.requeue(from).await,
            None => None,
        }
    }

    /// Warns if the cutoff of expiry shows that the clock was ahead before this start.
    fn warn_if_clock_was_ahead(&self) {
        let cutoff = self.store.cutoff();
        if cutoff.saturating_sub(DAY_SECONDS) > self.clock.now() {
            tracing::warn!(
                cutoff = cutoff.0,
                "the clock was ahead before this start, and messages older than the cutoff have expired; new messages get the current time"
            );
        }
    }

    async fn expire(&mut self) {
        let after_seconds = self.settings.borrow().clean_after_seconds;
        let now = self.clock.now();
        let ahead = self.store.ahead(now);
        self.expiry.notice(ahead);
        let Some(after_seconds) = after_seconds else {
            return self.expiry.look(now);
        };
        let cutoff = self.expiry.cutoff(now, after_seconds);
        self.delete(move |store| store.expire(cutoff)).await;
        let aged = self.expiry.aged(self.store.next_sequence(), after_seconds);
        if ahead > 0 {
            self.delete(move |store| store.expire_ahead(now, aged))
                .await;
        }
    }

    /// Deletes expired messages, and counts them.
    async fn delete(
        &self,
        expire: impl FnOnce(&dyn Storage) -> Result<Counts, StoreError> + Send + 'static,
    ) {
        match self.disk.run(expire).await {
            Ok(deleted) if deleted.all() == 0 => {}
            Ok(deleted) => {
                self.queue.messages_deleted();
                let unread = deleted.accepted + deleted.not_consumed;
                let counters = &self.activity.counters;
                counters.expired_unread.add(unread);
                counters.expired_consumed.add(deleted.consumed);
                tracing::info!(messages = deleted.all(), unread, "deleted expired messages");
            }
            Err(error) => tracing::error!(%error, "expired messages could not be deleted"),
        }
    }

    /// Only the sweep queues messages again, so none is queued twice.
    async fn push_again(&self, code: MessageCode) -> Result<(), PushAgainError> {
        let find = move |store: &dyn Storage| store.find(code, usize::MAX);
        let mut found = self.disk.run(find).await?.messages;
        let mut message = found.pop().ok_or(PushAgainError::Gone)?;
        match message.status.kind() {
            StatusKind::Accepted => return Err(PushAgainError::Waiting),
            StatusKind::Consumed => return Err(PushAgainError::Consumed),
            StatusKind::NotConsumed => {}
        }
        // A message that is still to be read back from the store would be pushed twice.
        let behind = self.consumers.behind(&message.topic).is_some();
        let has_room = self.queue.may_requeue_one(message.data.len());
        if behind || !has_room || message.sequence > self.queue.passed() {
            return Err(PushAgainError::Full);
        }
        let sequences = [message.sequence].into_iter().collect();
        let requeued = self.store.change(Change::Requeued, sequences).await;
        requeued.unwrap_or(Err(StoreError::Closed))?;
        self.activity.counters.requeued.add(1);
        message.status = Status::Accepted;
        self.queue.push(Item::Requeued(vec![message]));
        Ok(())
    }

    /// Waits until the queue and a consumer can take more that is pushed again.
    async fn capacity(&self) {
        self.queue.requeueable().await;
        self.consumers.open().await;
    }

    /// Queues messages again from `from` on, in order. Returns where to continue, if the queue or
    /// the consumers could not take more. Each check passes every message once, so a message that
    /// fails again waits for the next check.
    async fn requeue(&self, mut from: Sequence) -> Option<Sequence> {
        loop {
            let to = self.queue.passed();
            if self.consumers.is_empty() || from > to {
                return None;
            }
            let topics = self.consumers.open_topics();
            if topics.is_empty() || !self.queue.may_requeue() {
                return Some(from);
            }
            let scan = Scan {
                kind: StatusKind::NotConsumed,
                topics: Some(topics),
                from,
                to: to.min(self.store.next_sequence()),
                messages_max: REQUEUE_MESSAGES,
                // Memory that was taken since `open_topics` does not end the check.
                bytes_max: self
                    .queue
                    .chunk_bytes()
                    .min(self.consumers.free_bytes())
                    .max(1),
            };
            let scanned = read_back(&self.disk, scan).await?;
            let mut messages = scanned.messages;
            if messages.is_empty() {
                return None;
            }
            let sequences = messages.iter().map(|message| message.sequence).collect();
            let requeued = self.store.change(Change::Requeued, sequences).await;
            if !matches!(requeued, Ok(Ok(()))) {
                return None;
            }
            let counters = &self.activity.counters;
            counters.requeued.add(messages.len() as u64);
            for message in &mut messages {
                message.status = Status::Accepted;
            }
            self.queue.push(Item::Requeued(messages));
            from = scanned.next;
        }
    }
}
