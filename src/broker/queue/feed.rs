//! The feeder: reads messages that went cold back into the channel.

use std::sync::Arc;

use crate::broker::blocking::{Disk, READ_RETRY, read_back};
use crate::broker::queue::items::Item;
use crate::broker::queue::{Cold, Queue};
use crate::message::{Sequence, StatusKind};
use crate::store::{Reads, Scan, Scanned};

/// Messages read back at once.
const FEED_MESSAGES: usize = 4096;

impl Queue {
    /// Reads cold messages back, without end.
    pub(in crate::broker) async fn feed(self: Arc<Queue>, store: Arc<dyn Reads>, disk: Disk) {
        loop {
            let moved = self.moved.notified();
            let Some(cold) = self.lock().fed() else {
                tokio::select! {
                    () = moved => {}
                    () = self.deleted.notified() => self.count_cold(&*store),
                }
                continue;
            };
            let scan = Scan {
                kind: StatusKind::Accepted,
                topics: None,
                from: cold.next,
                to: cold.end,
                messages_max: FEED_MESSAGES,
                bytes_max: self.chunk_bytes(),
            };
            match read_back(&disk, scan).await {
                Some(scanned) => self.feed_in(&*store, cold, scanned),
                None => tokio::time::sleep(READ_RETRY).await,
            }
        }
    }

    /// Queues what was read back of `cold`, up to `scanned.next`.
    fn feed_in(&self, store: &dyn Reads, cold: Cold, scanned: Scanned) {
        let (messages, next) = (scanned.messages, scanned.next);
        let last = Sequence(next.0.saturating_sub(1));
        let passed = store.accepted_between(cold.next, last);
        let passed = usize::try_from(passed).unwrap_or(usize::MAX);
        // Messages that cannot be read leave the queue with their neighbours.
        let mut gone = passed.saturating_sub(messages.len());
        let mut state = self.lock();
        if let Some(cold) = &mut state.cold {
            cold.next = next;
            gone = gone.min(cold.messages.saturating_sub(messages.len()));
            cold.messages = cold.messages.saturating_sub(messages.len() + gone);
            if cold.next > cold.end {
                gone += cold.messages;
                state.cold = None;
            }
        }
        if !messages.is_empty() {
            self.send(&mut state, Item::Fresh(messages, None));
        }
        let free = state.left(gone);
        drop(state);
        drop(free);
    }

    /// Counts the cold messages again. Those that were deleted have left the queue.
    fn count_cold(&self, store: &dyn Reads) {
        let Some(cold) = self.lock().cold else { return };
        let there = store.accepted_between(cold.next, cold.end);
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        let gone = cold.messages.saturating_sub(there);
        let mut state = self.lock();
        if let Some(cold) = &mut state.cold {
            cold.messages -= gone;
        }
        let free = state.left(gone);
        drop(state);
        drop(free);
    }
}
