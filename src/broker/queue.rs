//! The queue between the store and the dispatch: a tokio channel of what was just stored, and
//! behind it, when memory for that is used up, a position in the store.
//!
//! **Hot:** messages go through the channel with their data. **Cold:** once the channel holds
//! as much data as it may, later messages stay on disk, and the feeder reads them back in order
//! as the channel drains; when it has caught up the queue is hot again. A restart begins cold,
//! at the first message that is still to be pushed. So the queue is never the only place of
//! anything, and its memory does not grow with the backlog.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::activity::Activity;
use super::blocking::Disk;
use crate::message::{Message, Sequence, StatusKind, Topic};
use crate::store::{Committed, Scan, Store};

/// Bytes that a message takes beside its data.
const MESSAGE_OVERHEAD_BYTES: usize = 160;
/// Messages read back at once.
const FEED_MESSAGES: usize = 4096;

/// What the dispatch gets.
#[derive(Debug)]
pub(super) enum Item {
    /// Messages on their first way, in the order in which they were stored; and when they were
    /// stored together, unless they come from the disk.
    Fresh(Vec<Message>, Option<Instant>),
    /// Messages that were not consumed, and are pushed again.
    Requeued(Vec<Message>),
    /// Messages that a topic's consumers had no room for before.
    Behind(Refill),
    /// What comes behind has no message of a deletion that is over: see [`Deletion`].
    Fence,
}

/// What was read back for a topic that is behind.
#[derive(Debug)]
pub(super) struct Refill {
    pub(super) topic: Topic,
    pub(super) messages: Vec<Message>,
    /// Up to here everything of the topic is in `messages`.
    pub(super) next: Sequence,
    pub(super) done: oneshot::Sender<()>,
}

/// See the module.
#[derive(Debug)]
pub struct Queue {
    sender: mpsc::UnboundedSender<Item>,
    state: Mutex<State>,
    /// Messages that may still come in; what is queued has taken its permit.
    room: Semaphore,
    capacity: usize,
    /// The channel has drained to half of its memory, or something went cold.
    moved: Notify,
    /// Deletions whose messages may be in the channel.
    deletions: AtomicUsize,
    activity: Arc<Activity>,
}

#[derive(Debug)]
struct State {
    hot_bytes: usize,
    /// How much that may be.
    memory_bytes: usize,
    /// Messages in the channel that are pushed again.
    requeued: usize,
    cold: Option<Cold>,
    /// Messages over the capacity, which a restart may find: room that is owed.
    owed: usize,
    /// Cold messages may be gone, and their room with them.
    recount: bool,
}

/// The messages from `next` to `end` are to be read back.
#[derive(Clone, Copy, Debug)]
struct Cold {
    next: Sequence,
    end: Sequence,
    /// How many they are: what they hold of the room.
    messages: usize,
}

/// Messages are being deleted; while this is held, and until what is in the channel then has
/// left it, the dispatch asks the store which messages are still there.
pub(super) struct Deletion<'a>(&'a Queue);

impl Drop for Deletion<'_> {
    fn drop(&mut self) {
        // Without a dispatch nobody is pushed to.
        let _ = self.0.sender.send(Item::Fence);
        self.0.recount();
    }
}

/// The receiving end of the queue, for the dispatch.
#[derive(Debug)]
pub struct Items(pub(super) mpsc::UnboundedReceiver<Item>);

fn bytes_of(messages: &[Message]) -> usize {
    let data: usize = messages.iter().map(|message| message.data.len()).sum();
    data + messages.len() * MESSAGE_OVERHEAD_BYTES
}

impl Queue {
    /// A queue of at most `capacity` messages that keeps at most about `memory_bytes` of them
    /// in memory.
    pub fn new(capacity: usize, memory_bytes: usize) -> (Arc<Queue>, Items) {
        let capacity = capacity.clamp(1, Semaphore::MAX_PERMITS);
        let (sender, receiver) = mpsc::unbounded_channel();
        let queue = Queue {
            sender,
            state: Mutex::new(State {
                hot_bytes: 0,
                memory_bytes,
                requeued: 0,
                cold: None,
                owed: 0,
                recount: false,
            }),
            room: Semaphore::new(capacity),
            capacity,
            moved: Notify::new(),
            deletions: AtomicUsize::new(0),
            activity: Arc::default(),
        };
        (Arc::new(queue), Items(receiver))
    }

    /// What the store calls with messages just stored: they are queued in that order.
    pub fn committed(self: &Arc<Queue>) -> Committed {
        let queue = self.clone();
        Box::new(move |messages| {
            let now = Instant::now();
            queue.activity.committed(&messages, now);
            queue.push_fresh(messages, now);
        })
    }

    /// Where what is committed is counted.
    pub(super) fn activity(&self) -> &Arc<Activity> {
        &self.activity
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// Queues what a restart found: `messages` of them, the last before `end`.
    pub(super) fn recover(&self, messages: u64, end: Sequence) {
        if messages == 0 {
            return;
        }
        let messages = usize::try_from(messages).unwrap_or(usize::MAX);
        let mut state = self.lock();
        let taken = self.room.forget_permits(messages.min(self.capacity));
        state.owed = messages - taken;
        let last = Sequence(end.0.saturating_sub(1));
        state.cold = Some(Cold {
            next: Sequence(1),
            end: last,
            messages,
        });
        self.moved.notify_one();
    }

    /// How many messages there can be at once.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits for room for `messages`; to be forgotten when they are stored.
    pub(super) async fn room(&self, messages: usize) -> Option<SemaphorePermit<'_>> {
        let messages = u32::try_from(messages).ok()?;
        self.room.acquire_many(messages).await.ok()
    }

    /// How many messages there is room for now.
    pub(super) fn free(&self) -> usize {
        self.room.available_permits()
    }

    /// How many messages wait on disk, and how many bytes the others take of memory.
    pub(super) fn depth(&self) -> (usize, usize) {
        let state = self.lock();
        let on_disk = state.cold.map_or(0, |cold| cold.messages);
        (on_disk, state.hot_bytes)
    }

    /// Room for `messages`, if there is.
    pub(super) fn try_room(&self, messages: usize) -> Option<SemaphorePermit<'_>> {
        let messages = u32::try_from(messages).ok()?;
        self.room.try_acquire_many(messages).ok()
    }

    /// Gives back the room of messages that have left the queue, or never came in.
    pub(super) fn release(&self, messages: usize) {
        let mut state = self.lock();
        let paid = messages.min(state.owed);
        state.owed -= paid;
        drop(state);
        self.room.add_permits(messages - paid);
    }

    /// No producer waits for room any more.
    pub(super) fn close(&self) {
        self.room.close();
    }

    fn push_fresh(&self, messages: Vec<Message>, now: Instant) {
        let (Some(first), Some(last)) = (messages.first(), messages.last()) else {
            return;
        };
        let (first, last) = (first.sequence, last.sequence);
        let bytes = bytes_of(&messages);
        let mut state = self.lock();
        let fits = state.hot_bytes == 0 || state.hot_bytes + bytes <= state.memory_bytes;
        match &mut state.cold {
            None if fits => {
                state.hot_bytes += bytes;
                // Without a dispatch the messages stay where they are safe: in the store.
                let _ = self.sender.send(Item::Fresh(messages, Some(now)));
            }
            None => {
                state.cold = Some(Cold {
                    next: first,
                    end: last,
                    messages: messages.len(),
                });
                self.moved.notify_one();
            }
            Some(cold) => {
                cold.end = last;
                cold.messages += messages.len();
            }
        }
    }

    /// Queues messages that are not fresh, whatever memory they take.
    pub(super) fn push(&self, item: Item) {
        let mut state = self.lock();
        let size = item.size();
        state.hot_bytes += size.bytes;
        state.requeued += size.requeued;
        let _ = self.sender.send(item);
    }

    /// Says that the dispatch is done with an item of this size.
    pub(super) fn taken(&self, size: Size) {
        let mut state = self.lock();
        let before = state.hot_bytes;
        state.hot_bytes -= size.bytes;
        state.requeued -= size.requeued;
        let half = state.memory_bytes / 2;
        let drained = state.hot_bytes <= half && (before > half || state.cold.is_some());
        if drained || size.requeued > 0 {
            self.tell_moved();
        }
    }

    /// Keeps at most about so much in memory from now on; what is there leaves in its turn.
    pub fn keep_in_memory(&self, bytes: usize) {
        self.lock().memory_bytes = bytes;
        self.tell_moved();
    }

    /// Both wait for it: those who wait now, and the feeder, which may be about to.
    fn tell_moved(&self) {
        self.moved.notify_waiters();
        self.moved.notify_one();
    }

    /// Whether messages may be pushed again: what was before has left the channel, so that a
    /// consumer without room is noticed in time, and at least half of the memory is free.
    pub(super) fn may_requeue(&self) -> bool {
        let state = self.lock();
        state.requeued == 0 && state.hot_bytes <= state.memory_bytes / 2
    }

    /// Waits until messages may be pushed again.
    pub(super) async fn requeueable(&self) {
        loop {
            let moved = self.moved.notified();
            if self.may_requeue() {
                return;
            }
            moved.await;
        }
    }

    /// How much data may be read back at once.
    pub(super) fn chunk_bytes(&self) -> usize {
        (self.lock().memory_bytes / 4).max(1)
    }

    /// The last message that has been through the queue for certain: those behind it are
    /// still to be read back.
    pub(super) fn passed(&self) -> Sequence {
        match self.lock().cold {
            Some(cold) => Sequence(cold.next.0.saturating_sub(1)),
            None => Sequence(u64::MAX - 1),
        }
    }

    /// Begins to delete messages, of which some may be in the queue.
    pub(super) fn begin_deletion(&self) -> Deletion<'_> {
        self.deletions.fetch_add(1, Ordering::SeqCst);
        Deletion(self)
    }

    /// The dispatch has met [`Item::Fence`].
    pub(super) fn end_deletion(&self) {
        self.deletions.fetch_sub(1, Ordering::SeqCst);
    }

    /// Whether messages in the channel may have been deleted.
    pub(super) fn has_deletions(&self) -> bool {
        self.deletions.load(Ordering::SeqCst) > 0
    }

    /// Messages may be gone: the room of those that were cold is to be given back.
    pub(super) fn recount(&self) {
        self.lock().recount = true;
        self.moved.notify_one();
    }

    /// Gives back the room of cold messages that are gone.
    fn release_gone(&self, store: &Arc<dyn Store>) {
        let cold = {
            let mut state = self.lock();
            if !std::mem::take(&mut state.recount) {
                return;
            }
            state.cold
        };
        let Some(cold) = cold else { return };
        let there = store.accepted_between(cold.next, cold.end);
        let there = usize::try_from(there).unwrap_or(usize::MAX);
        let gone = cold.messages.saturating_sub(there);
        if let Some(cold) = &mut self.lock().cold {
            cold.messages -= gone;
        }
        self.release(gone);
    }

    fn cold_and_drained(&self) -> Option<Cold> {
        let state = self.lock();
        state
            .cold
            .filter(|_| state.hot_bytes <= state.memory_bytes / 2)
    }

    /// Reads cold messages back, for ever.
    pub(super) async fn feed(self: Arc<Queue>, store: Arc<dyn Store>, disk: Disk) {
        loop {
            let moved = self.moved.notified();
            self.release_gone(&store);
            let Some(cold) = self.cold_and_drained() else {
                moved.await;
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
            let Some(scanned) = super::read_back(&disk, scan).await else {
                continue;
            };
            let last = Sequence(scanned.next.0.saturating_sub(1));
            let passed = store.accepted_between(cold.next, last);
            let passed = usize::try_from(passed).unwrap_or(usize::MAX);
            // What cannot be read leaves the queue with its neighbours.
            let mut gone = passed.saturating_sub(scanned.messages.len());
            {
                let mut state = self.lock();
                state.hot_bytes += bytes_of(&scanned.messages);
                if let Some(cold) = &mut state.cold {
                    cold.next = scanned.next;
                    gone = gone.min(cold.messages.saturating_sub(scanned.messages.len()));
                    cold.messages = cold.messages.saturating_sub(scanned.messages.len() + gone);
                    if cold.next > cold.end {
                        gone += cold.messages;
                        state.cold = None;
                    }
                }
                if !scanned.messages.is_empty() {
                    let _ = self.sender.send(Item::Fresh(scanned.messages, None));
                }
            }
            self.release(gone);
        }
    }
}

/// What an item takes of the channel.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    bytes: usize,
    /// Messages that are pushed again.
    requeued: usize,
}

impl Item {
    pub(super) fn size(&self) -> Size {
        let (messages, requeued) = match self {
            Item::Fresh(messages, _) => (messages, 0),
            Item::Requeued(messages) => (messages, messages.len()),
            Item::Behind(refill) => (&refill.messages, 0),
            Item::Fence => return Size::default(),
        };
        Size {
            bytes: bytes_of(messages),
            requeued,
        }
    }
}
