//! The task that reads a topic that is behind back out of the store, along its cursor.
//!
//! What it reads goes through the queue, so that one pace is for all messages. It waits for three
//! things in turn: capacity of the topic's consumers, memory in the queue, and the dispatch, which
//! pushes what was read and moves the cursor.

use std::ops::RangeInclusive;
use std::sync::Arc;

use tokio::sync::oneshot;

use crate::broker::blocking::{Disk, READ_RETRY, read_back};
use crate::broker::push::consumers::Consumers;
use crate::broker::queue::Queue;
use crate::broker::queue::items::{Item, Refill};
use crate::message::{Sequence, StatusKind, Topic};
use crate::store::Scan;

/// Messages read back at once.
const REFILL_MESSAGES: usize = 1024;

/// Reads back one topic while it is behind.
pub(super) struct CatchUp {
    pub(super) queue: Arc<Queue>,
    pub(super) consumers: Arc<Consumers>,
    pub(super) disk: Disk,
    pub(super) topic: Topic,
    /// The number of the time that the topic fell behind. When that is over, so is this.
    pub(super) episode: u64,
}

impl CatchUp {
    /// Reads until the topic has caught up.
    pub(super) async fn run(self) {
        while let Some(capacity) = self.consumers.capacity_of(&self.topic) {
            let (woken, freed) = (capacity.notified(), self.consumers.freed());
            let behind = self.consumers.to_read_back(&self.topic, self.episode);
            let Some((messages, has_capacity)) = behind else {
                return;
            };
            if !has_capacity {
                tokio::select! {
                    () = woken => {}
                    () = freed => {}
                }
            } else if !self.read_on(messages).await {
                return;
            }
        }
    }

    /// Reads the next messages back, and waits until the dispatch has pushed them. Returns false
    /// when there is no dispatch any more.
    async fn read_on(&self, messages: RangeInclusive<Sequence>) -> bool {
        let memory = self.queue.refillable().await;
        let scan = Scan {
            kind: StatusKind::Accepted,
            topics: Some([self.topic.clone()].into()),
            from: *messages.start(),
            to: *messages.end(),
            messages_max: REFILL_MESSAGES,
            bytes_max: self.queue.refill_bytes(),
        };
        let Some(scanned) = read_back(&self.disk, scan).await else {
            drop(memory);
            tokio::time::sleep(READ_RETRY).await;
            return true;
        };
        let (done, pushed) = oneshot::channel();
        self.queue.push(Item::Behind(Refill {
            topic: self.topic.clone(),
            messages: scanned.messages,
            next: scanned.next,
            done,
        }));
        drop(memory);
        pushed.await.is_ok()
    }
}
