//! The queue between the store and the dispatch: a tokio channel of what was just stored, and
//! behind it, when memory for that is used up, a position in the store.
//!
//! **Hot:** messages go through the channel with their data. **Cold:** once the channel holds
//! as much data as it may, later messages stay on disk, and the feeder reads them back in order
//! as the channel drains; when it has caught up the queue is hot again. A restart begins cold,
//! at the first message that is still to be pushed. So the queue is never the only place of
//! anything, and its memory does not grow with the backlog.
//!
//! Half of the memory is for messages on their first way, a quarter for those that are pushed
//! again, and a quarter for those of topics that are behind: none of them waits for another.

use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::{Notify, Semaphore, SemaphorePermit, mpsc, oneshot};
use tokio::time::Instant;

use super::blocking::Disk;
use crate::broker::blocking::READ_RETRY;
use crate::broker::observe::activity::Activity;
use crate::message::{Message, Sequence, StatusKind, Topic};
use crate::store::{Committed, Reads, Scan};

/// Bytes that a message takes beside its data.
const MESSAGE_OVERHEAD_BYTES: usize = 160;
/// Messages read back at once.
const FEED_MESSAGES: usize = 4096;
/// The same, in bytes of data, for topics that are behind.
const REFILL_BYTES: usize = 1 << 20;
/// Messages that are pushed again at once; operators may have as many pushed beside them.
pub(super) const REQUEUE_MESSAGES: usize = 4096;

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
    /// Messages that may still come in; what is fresh and queued has taken its permit.
    room: Semaphore,
    capacity: usize,
    /// Messages have left the channel, or something went cold.
    moved: Notify,
    /// Who reads back messages of a topic that is behind: one at a time.
    refilling: tokio::sync::Mutex<()>,
    activity: Arc<Activity>,
}

#[derive(Debug)]
struct State {
    /// How much may be in the channel.
    memory_bytes: usize,
    fresh: Load,
    requeued: Load,
    refilled: Load,
    /// The last fresh message that has been handed over.
    left: Sequence,
    cold: Option<Cold>,
    /// Messages over the capacity, which a restart may find: room that is owed.
    owed: usize,
    /// Cold messages may be gone, and their room with them.
    recount: bool,
}

/// What is in the channel of one kind.
#[derive(Clone, Copy, Debug, Default)]
struct Load {
    messages: usize,
    bytes: usize,
}

impl Load {
    fn add(&mut self, more: Load) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }

    fn remove(&mut self, gone: Load) {
        self.messages -= gone.messages;
        self.bytes -= gone.bytes;
    }

    /// Whether so many bytes more are at most `bytes_max`; what is larger fits where nothing is.
    fn fits(&self, bytes: usize, bytes_max: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= bytes_max
    }
}

impl State {
    fn quarter(&self) -> usize {
        (self.memory_bytes / 4).max(1)
    }

    /// What is cold, if there is memory for some of it.
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
    /// How many they are: what they hold of the room.
    messages: usize,
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
                memory_bytes,
                fresh: Load::default(),
                requeued: Load::default(),
                refilled: Load::default(),
                left: Sequence::default(),
                cold: None,
                owed: 0,
                recount: false,
            }),
            room: Semaphore::new(capacity),
            capacity,
            moved: Notify::new(),
            refilling: tokio::sync::Mutex::default(),
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
        self.moved.notify_waiters();
    }

    /// How many messages there can be at once, but for those that are pushed again.
    pub(super) fn capacity(&self) -> usize {
        self.capacity
    }

    /// Waits for room for `messages`; to be forgotten when they are stored.
    pub(super) async fn room(&self, messages: usize) -> Option<SemaphorePermit<'_>> {
        let messages = u32::try_from(messages).ok()?;
        self.room.acquire_many(messages).await.ok()
    }

    /// How many messages wait, how many of them on disk, and how many bytes the others take of
    /// memory.
    pub(super) fn depth(&self) -> (usize, usize, usize) {
        let fresh = self.capacity - self.room.available_permits().min(self.capacity);
        let state = self.lock();
        let on_disk = state.cold.map_or(0, |cold| cold.messages);
        let bytes = state.fresh.bytes + state.requeued.bytes + state.refilled.bytes;
        (fresh + state.requeued.messages, on_disk.min(fresh), bytes)
    }

    /// Fresh messages up to `last` have been handed over: so many have left the queue.
    pub(super) fn handed_over(&self, messages: usize, last: Sequence) {
        self.lock().left = last;
        self.release(messages);
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

    /// Queues messages that are not fresh: what they take of memory was waited for before.
    pub(super) fn push(&self, item: Item) {
        self.send(&mut self.lock(), item);
    }

    /// Says that the dispatch is done with an item of this size.
    pub(super) fn taken(&self, size: Size) {
        let mut state = self.lock();
        state.load_mut(size.kind).remove(size.load);
        if size.kind != Kind::Fresh || state.fed().is_some() {
            self.moved.notify_waiters();
        }
    }

    /// Keeps at most about so much in memory from now on; what is there leaves in its turn.
    pub fn keep_in_memory(&self, bytes: usize) {
        self.lock().memory_bytes = bytes;
        self.moved.notify_waiters();
    }

    /// Whether a check may push messages again: what was before has left the channel, so that a
    /// consumer without room is noticed in time.
    pub(super) fn may_requeue(&self) -> bool {
        self.lock().requeued.messages == 0
    }

    /// Whether a message with so much data may be pushed again now.
    pub(super) fn may_requeue_one(&self, data_bytes: usize) -> bool {
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

    /// Waits for memory for more messages of a topic that is behind. Until they are queued and
    /// what is returned is dropped, nobody else gets any.
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

    /// How much data of a topic that is behind may be read back at once.
    pub(super) fn refill_bytes(&self) -> usize {
        self.refill(&self.lock())
    }

    fn refill(&self, state: &State) -> usize {
        state.quarter().min(REFILL_BYTES)
    }

    /// How much data may be read back at once.
    pub(super) fn chunk_bytes(&self) -> usize {
        self.lock().quarter()
    }

    /// The last message that has been through the queue for certain: those behind it are still
    /// in the channel, or to be read back.
    pub(super) fn passed(&self) -> Sequence {
        let state = self.lock();
        match state.cold {
            _ if state.fresh.messages > 0 => state.left,
            Some(cold) => Sequence(cold.next.0.saturating_sub(1)),
            None => Sequence(u64::MAX - 1),
        }
    }

    /// Messages may be gone: the room of those that were cold is to be given back.
    pub(super) fn recount(&self) {
        self.lock().recount = true;
        self.moved.notify_waiters();
    }

    /// Gives back the room of cold messages that are gone.
    fn release_gone(&self, store: &Arc<dyn Reads>) {
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

    /// Reads cold messages back, for ever.
    pub(super) async fn feed(self: Arc<Queue>, store: Arc<dyn Reads>, disk: Disk) {
        loop {
            let moved = self.moved.notified();
            self.release_gone(&store);
            let Some(cold) = self.lock().fed() else {
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
            let Some(scanned) = crate::broker::blocking::read_back(&disk, scan).await else {
                tokio::time::sleep(READ_RETRY).await;
                continue;
            };
            let last = Sequence(scanned.next.0.saturating_sub(1));
            let passed = store.accepted_between(cold.next, last);
            let passed = usize::try_from(passed).unwrap_or(usize::MAX);
            // What cannot be read leaves the queue with its neighbours.
            let mut gone = passed.saturating_sub(scanned.messages.len());
            {
                let mut state = self.lock();
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
                    self.send(&mut state, Item::Fresh(scanned.messages, None));
                }
            }
            self.release(gone);
        }
    }
}

/// Why messages are in the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Fresh,
    Requeued,
    Behind,
}

/// What an item takes of the channel.
#[derive(Clone, Copy, Debug)]
pub(super) struct Size {
    kind: Kind,
    load: Load,
}

impl Item {
    pub(super) fn size(&self) -> Size {
        let (kind, messages) = match self {
            Item::Fresh(messages, _) => (Kind::Fresh, messages),
            Item::Requeued(messages) => (Kind::Requeued, messages),
            Item::Behind(refill) => (Kind::Behind, &refill.messages),
        };
        Size {
            kind,
            load: Load {
                messages: messages.len(),
                bytes: bytes_of(messages),
            },
        }
    }
}
