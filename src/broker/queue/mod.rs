//! The queue between the store and the dispatch: a tokio channel of what was just stored, and
//! after it, when the memory for that is used up, a position in the store.
//!
//! **Hot:** messages go through the channel with their data. **Cold:** once the channel holds
//! as much data as it may, later messages stay on disk, and the feeder reads them back in order
//! as the channel drains. When the feeder has caught up, the queue is hot again. A restart begins
//! cold, at the first message that is still to be pushed. So the queue is never the only place of
//! anything, and its memory does not grow with the backlog.
//!
//! Half of the memory is for messages that are pushed for the first time, a quarter for those that
//! are pushed again, and a quarter for those of topics that are behind. None waits for another.
//!
//! The number of messages is bounded too. A producer waits for a slot for each message before the
//! store gets it. Once the messages are stored, the queue has their slots until they leave it.

mod feed;
pub(super) mod items;
pub(super) mod slots;

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::Instant;

use crate::broker::queue::items::{Item, Kind, Load, MESSAGE_OVERHEAD_BYTES, Size, bytes_of};
use crate::broker::queue::slots::Slots;
use crate::message::{Message, Sequence};

/// Bytes of data that are read back at once for a topic that is behind.
const REFILL_BYTES: usize = 1 << 20;
/// Messages that are pushed again at once; operators may have as many pushed beside them.
pub(in crate::broker) const REQUEUE_MESSAGES: usize = 4096;

/// What is to be pushed, in order: its first part in memory, the rest as a position in the store.
#[derive(Debug)]
pub(in crate::broker) struct Queue {
    sender: mpsc::UnboundedSender<Item>,
    state: Mutex<State>,
    /// Counts the free slots, which producers wait for.
    free: Arc<Semaphore>,
    capacity: usize,
    /// Messages have left the channel, or something went cold.
    moved: Notify,
    /// Messages were deleted: the cold ones have to be counted again.
    deleted: Notify,
    /// Held by the task that reads back a topic that is behind: one at a time.
    refilling: tokio::sync::Mutex<()>,
}

#[derive(Debug)]
struct State {
    /// The most memory for messages in the channel.
    memory_bytes: usize,
    fresh: Load,
    requeued: Load,
    refilled: Load,
    /// The last fresh message that has been handed over.
    left: Sequence,
    cold: Option<Cold>,
    /// Fresh messages that have not left the queue, in the channel and cold.
    waiting: usize,
    /// The slots of waiting messages. There are fewer of them where a restart has found more
    /// messages than the queue has slots, and until the store reports those just stored.
    slots: Slots,
}

impl State {
    /// Counts messages that have left. Returns the slots that are free with that.
    fn left(&mut self, messages: usize) -> Option<Slots> {
        self.waiting = self.waiting.saturating_sub(messages);
        self.slots.beyond(self.waiting)
    }

    fn quarter(&self) -> usize {
        (self.memory_bytes / 4).max(1)
    }

    /// The cold messages, if there is memory for some of them.
    fn fed(&self) -> Option<Cold> {
        self.cold
            .filter(|_| self.fresh.bytes <= self.memory_bytes / 4)
    }

    fn load_mut(&mut self, kind: Kind) -> &mut Load {
        match kind {
            Kind::Fresh => &mut self.fresh,
            Kind::Requeued => &mut self.requeued,
            Kind::Behind => &mut self.refilled,
        }
    }
}

/// The messages from `next` to `end` are to be read back.
#[derive(Clone, Copy, Debug)]
struct Cold {
    next: Sequence,
    end: Sequence,
    messages: usize,
}

/// The receiving end of the queue, for the dispatch.
#[derive(Debug)]
pub(in crate::broker) struct Items(pub(in crate::broker) mpsc::UnboundedReceiver<Item>);

impl Queue {
    /// A queue of at most `capacity` messages that keeps at most about `memory_bytes` of them
    /// in memory.
    pub(in crate::broker) fn new(capacity: usize, memory_bytes: usize) -> (Arc<Queue>, Items) {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::unbounded_channel();
        let free = Arc::new(Semaphore::new(capacity));
        let queue = Queue {
            sender,
            state: Mutex::new(State {
                memory_bytes,
                fresh: Load::default(),
                requeued: Load::default(),
                refilled: Load::default(),
                left: Sequence::default(),
                cold: None,
                waiting: 0,
                slots: Slots::none(&free),
            }),
            free,
            capacity,
            moved: Notify::new(),
            deleted: Notify::new(),
            refilling: tokio::sync::Mutex::default(),
        };
        (Arc::new(queue), Items(receiver))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Queues what a restart found: `messages` of them, the last before `end`.
    pub(in crate::broker) fn recover(&self, messages: u64, end: Sequence) {
        if messages == 0 {
            return;
        }
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        let mut state = self.lock();
        state.waiting += messages;
        state.slots.add(Slots::take_free(&self.free, messages));
        let last = Sequence(end.0.saturating_sub(1));
        state.cold = Some(Cold {
            next: Sequence(1),
            end: last,
            messages,
        });
        self.moved.notify_waiters();
    }

    /// The number of slots. Messages that are pushed again need none.
    pub(in crate::broker) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits for a slot for each message; `None` once the queue is closed. Safe to cancel.
    pub(in crate::broker) async fn slots(&self, messages: usize) -> Option<Slots> {
        Slots::wait(&self.free, messages).await
    }

    /// Takes over the slots of messages that are stored. Some of them may have left already.
    pub(in crate::broker) fn keep(&self, slots: Slots) {
        let mut state = self.lock();
        state.slots.add(slots);
        let free = state.left(0);
        drop(state);
        drop(free);
    }

    /// The number of waiting messages, the number of those that are on disk only, and the memory
    /// that the others take.
    pub(in crate::broker) fn depth(&self) -> (usize, usize, usize) {
        let fresh = self.capacity - self.free.available_permits().min(self.capacity);
        let state = self.lock();
        let on_disk = state.cold.map_or(0, |cold| cold.messages);
        let bytes = state.fresh.bytes + state.requeued.bytes + state.refilled.bytes;
        (fresh + state.requeued.messages, on_disk.min(fresh), bytes)
    }

    /// These fresh messages, the last of them `last`, are handed over and have left the queue.
    pub(in crate::broker) fn handed_over(&self, messages: usize, last: Sequence) {
        let mut state = self.lock();
        state.left = last;
        let free = state.left(messages);
        drop(state);
        drop(free);
    }

    /// Refuses producers that wait for a slot, now and later.
    pub(in crate::broker) fn close(&self) {
        self.free.close();
    }

    /// Queues messages just stored, in their order. The store waits for it.
    pub(in crate::broker) fn push_fresh(&self, messages: Vec<Message>, now: Instant) {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return;
        };
        let (first, last) = (first.sequence, last.sequence);
        let bytes = bytes_of(&messages);
        let mut state = self.lock();
        state.waiting += messages.len();
        let fits = state.fresh.fits(bytes, state.memory_bytes / 2);
        match &mut state.cold {
            None if fits => self.send(&mut state, Item::Fresh(messages, Some(now))),
            None => {
                state.cold = Some(Cold {
                    next: first,
                    end: last,
                    messages: messages.len(),
                });
                self.moved.notify_waiters();
            }
            Some(cold) => {
                cold.end = last;
                cold.messages += messages.len();
            }
        }
    }

    fn send(&self, state: &mut State, item: Item) {
        let size = item.size();
        state.load_mut(size.kind).add(size.load);
        // Without a dispatch the messages stay where they are safe: in the store.
        let _ = self.sender.send(item);
    }

    /// Queues messages that are not fresh. The caller has waited for their memory before.
    pub(in crate::broker) fn push(&self, item: Item) {
        self.send(&mut self.lock(), item);
    }

    /// The dispatch is done with an item of this size.
    pub(in crate::broker) fn taken(&self, size: Size) {
        let mut state = self.lock();
        state.load_mut(size.kind).remove(size.load);
        if size.kind != Kind::Fresh || state.fed().is_some() {
            self.moved.notify_waiters();
        }
    }

    /// Keeps at most about this much in memory from now on. What is there leaves in its turn.
    pub(in crate::broker) fn keep_in_memory(&self, bytes: usize) {
        self.lock().memory_bytes = bytes;
        self.moved.notify_waiters();
    }

    /// Whether a check may push messages again: those before have left the channel. So a consumer
    /// without capacity is noticed in time.
    pub(in crate::broker) fn may_requeue(&self) -> bool {
        self.lock().requeued.messages == 0
    }

    /// Whether a message with this much data may be pushed again now.
    pub(in crate::broker) fn may_requeue_one(&self, data_bytes: usize) -> bool {
        let state = self.lock();
        let bytes = data_bytes + MESSAGE_OVERHEAD_BYTES;
        state.requeued.messages < 2 * REQUEUE_MESSAGES
            && state.requeued.fits(bytes, state.quarter())
    }

    /// Waits until a check may push messages again.
    pub(super) async fn requeueable(&self) {
        loop {
            let moved = self.moved.notified();
            if self.may_requeue() {
                return;
            }
            moved.await;
        }
    }

    /// Waits for memory for more messages of a topic that is behind. No other topic gets any until
    /// the caller has queued them and dropped the guard.
    pub(super) async fn refillable(&self) -> tokio::sync::MutexGuard<'_, ()> {
        let turn = self.refilling.lock().await;
        loop {
            let moved = self.moved.notified();
            {
                let state = self.lock();
                if state.refilled.fits(self.refill(&state), state.quarter()) {
                    return turn;
                }
            }
            moved.await;
        }
    }

    /// The bytes of data that may be read back at once for a topic that is behind.
    pub(in crate::broker) fn refill_bytes(&self) -> usize {
        self.refill(&self.lock())
    }

    fn refill(&self, state: &State) -> usize {
        state.quarter().min(REFILL_BYTES)
    }

    /// The bytes of data that may be read back at once.
    pub(in crate::broker) fn chunk_bytes(&self) -> usize {
        self.lock().quarter()
    }

    /// The last message that has certainly left the queue. Later ones are still in the channel, or
    /// cold.
    pub(in crate::broker) fn passed(&self) -> Sequence {
        let state = self.lock();
        match state.cold {
            _ if state.fresh.messages > 0 => state.left,
            Some(cold) => Sequence(cold.next.0.saturating_sub(1)),
            None => Sequence(u64::MAX - 1),
        }
    }

    /// Messages were deleted. The feeder frees the slots of those that were cold.
    pub(in crate::broker) fn messages_deleted(&self) {
        self.deleted.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;
    use crate::broker::fixture::message;

    fn take(queue: &Queue, count: usize) -> Option<Slots> {
        queue.slots(count).now_or_never().flatten()
    }

    fn used(queue: &Queue) -> usize {
        queue.depth().0
    }

    #[test]
    fn slots_are_free_once_messages_are_stored_and_have_left() {
        let (queue, _items) = Queue::new(4, 1 << 20);
        let slots = take(&queue, 3).unwrap();
        queue.push_fresh((1..=3).map(|n| message("t", n)).collect(), Instant::now());
        queue.handed_over(2, Sequence(2));
        assert_eq!(used(&queue), 3, "the store has not reported them yet");
        queue.keep(slots);
        assert_eq!(used(&queue), 1);
        let more = take(&queue, 3).unwrap();
        assert!(take(&queue, 1).is_none());
        queue.handed_over(1, Sequence(3));
        assert_eq!(used(&queue), 3);
        drop(more);
        assert_eq!(used(&queue), 0, "what is refused needs no slot");
    }

    #[test]
    fn a_queue_with_more_messages_than_slots_has_none_free_until_the_rest_fits() {
        let (queue, _items) = Queue::new(4, 1 << 20);
        queue.recover(6, Sequence(7));
        for (left, free) in [(1, 0), (1, 0), (1, 1), (2, 3), (1, 4)] {
            queue.handed_over(left, Sequence(1));
            assert_eq!(4 - used(&queue), free);
        }
        assert!(take(&queue, 5).is_none() && take(&queue, 4).is_some());
    }
}
