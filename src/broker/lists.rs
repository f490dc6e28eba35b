//! Lists of messages, read piece by piece. A client that reads slowly is waited for here, and never
//! on a thread that reads the disk.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::blocking::Disk;
use crate::limits::memory_budget::{MemoryBudget, Reservation, SMALL_BYTES};
use crate::message::{Message, MessageCode};
use crate::store::{Listed, Query, Rest, Storage, StoreError};

/// Pieces that are read at the same time. Most threads for blocking work stay free for others.
const READING_MAX: usize = 8;
/// The data of all large messages that are read for lists and not sent yet.
const LARGE_BYTES_MAX: usize = 64 << 20;
/// The same, for lists that are requested with one key.
const KEY_BYTES_MAX: usize = LARGE_BYTES_MAX / 2;
/// How long a list that begins with a large message waits for memory. A list that has begun waits
/// as long as it takes.
const MEMORY_WAIT: Duration = Duration::from_secs(2);
/// Keys whose budgets are remembered though nothing of them is taken.
const IDLE_KEYS_MAX: usize = 64;
/// The data of small messages that a wide piece has, and the number of wide pieces. A list that
/// gets none reads smaller pieces, and does not wait.
const WIDE_BYTES: usize = 1 << 20;
const WIDE_MAX: usize = 32;

/// The pieces of a list, newest message first. A list that is not complete ends with an error.
/// Dropping this ends the list.
pub type Pieces = mpsc::Receiver<Result<Piece, StoreError>>;

/// The next messages of a list, whose memory is taken as long as the piece is held.
#[derive(Debug, Default)]
pub struct Piece {
    messages: std::vec::IntoIter<Message>,
    memory: Option<Reserved>,
}

impl Piece {
    fn new(messages: Vec<Message>, memory: Option<Reserved>) -> Piece {
        Piece {
            messages: messages.into_iter(),
            memory,
        }
    }

    /// Whether it has so much data that searching it should not delay others.
    pub fn is_large(&self) -> bool {
        self.memory.is_some()
    }
}

impl From<Vec<Message>> for Piece {
    /// Messages that need no memory of their own.
    fn from(messages: Vec<Message>) -> Piece {
        Piece::new(messages, None)
    }
}

impl Iterator for Piece {
    type Item = Message;

    fn next(&mut self) -> Option<Message> {
        self.messages.next()
    }
}

/// A message, whose memory is taken as long as this is held.
#[derive(Debug)]
pub struct Held {
    message: Message,
    memory: Option<Reserved>,
}

impl Deref for Held {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

impl From<Held> for Piece {
    fn from(held: Held) -> Piece {
        Piece::new(vec![held.message], held.memory)
    }
}

/// Memory of those that ask with a key, and of all.
#[derive(Debug)]
struct Reserved {
    _of_key: Option<Reservation>,
    _of_all: Reservation,
}

/// A client that requested something, and whether it has got an answer.
struct Asker {
    budget: MemoryBudget,
    is_answered: bool,
}

/// Reads lists, within bounds that clones share.
#[derive(Clone)]
pub(super) struct Lists {
    disk: Disk,
    reading: Arc<Semaphore>,
    wide: MemoryBudget,
    large: MemoryBudget,
    of_keys: Arc<Mutex<HashMap<String, MemoryBudget>>>,
}

impl Lists {
    pub(super) fn new(disk: Disk) -> Lists {
        Lists {
            disk,
            reading: Arc::new(Semaphore::new(READING_MAX)),
            wide: MemoryBudget::new(WIDE_MAX * WIDE_BYTES),
            large: MemoryBudget::new(LARGE_BYTES_MAX),
            of_keys: Arc::default(),
        }
    }

    /// The holder of the key of this name.
    fn asker(&self, key: &str) -> Asker {
        let mut budgets = self.of_keys.lock().expect("no holder of this lock panics");
        if budgets.len() > IDLE_KEYS_MAX {
            budgets.retain(|_, budget| budget.is_shared());
        }
        let budget = budgets.entry(key.to_owned());
        let budget = budget
            .or_insert_with(|| MemoryBudget::new(KEY_BYTES_MAX))
            .clone();
        Asker {
            budget,
            is_answered: false,
        }
    }

    /// Begins to read what matches. It reads at most one piece ahead of the client.
    pub(super) fn start(&self, query: Query, key: &str) -> Pieces {
        let (sender, pieces) = mpsc::channel(1);
        let asker = self.asker(key);
        tokio::spawn(self.clone().run(query, asker, sender));
        pieces
    }

    async fn run(
        self,
        mut query: Query,
        mut asker: Asker,
        sender: mpsc::Sender<Result<Piece, StoreError>>,
    ) {
        while let Ok(place) = sender.reserve().await {
            let read = tokio::select! {
                biased;
                () = sender.closed() => return,
                read = self.next(&query, &asker) => read,
            };
            match read {
                Ok((piece, rest)) => {
                    place.send(Ok(piece));
                    asker.is_answered = true;
                    match rest {
                        Rest::Before(mark) => query.before = Some(mark),
                        Rest::Nothing | Rest::Large(_) => return,
                    }
                }
                Err(error) => return place.send(Err(error)),
            }
        }
    }

    /// The message with this code, once there is memory for it.
    ///
    /// # Errors
    /// When there is no memory for it soon, or the store cannot be read.
    pub(super) async fn find(
        &self,
        code: MessageCode,
        key: &str,
    ) -> Result<Option<Held>, StoreError> {
        let find = move |store: &dyn Storage, bytes_max| store.find(code, bytes_max);
        let (mut found, memory, _) = self
            .within(&self.asker(key), None, SMALL_BYTES, find)
            .await?;
        Ok(found.pop().map(|message| Held { message, memory }))
    }

    /// Reads the newest of what matches, once there is memory for it.
    async fn next(&self, query: &Query, asker: &Asker) -> Result<(Piece, Rest), StoreError> {
        let wide = self.wide.try_reserve(WIDE_BYTES);
        let bytes_max = match wide {
            Some(_) => WIDE_BYTES,
            None => SMALL_BYTES,
        };
        let query = query.clone();
        let list = move |store: &dyn Storage, bytes_max| store.list(&query, bytes_max);
        let wide = wide.map(|memory| Reserved {
            _of_key: None,
            _of_all: memory,
        });
        let (messages, memory, rest) = self.within(asker, wide, bytes_max, list).await?;
        Ok((Piece::new(messages, memory), rest))
    }

    /// Memory for a large message.
    async fn reserve(&self, asker: &Asker, bytes: usize) -> Result<Reserved, StoreError> {
        let reserved = async {
            Reserved {
                _of_key: Some(asker.budget.reserve(bytes).await),
                _of_all: self.large.reserve(bytes).await,
            }
        };
        if asker.is_answered {
            return Ok(reserved.await);
        }
        let reserved = tokio::time::timeout(MEMORY_WAIT, reserved).await;
        reserved.map_err(|_| StoreError::Busy)
    }

    /// Reads up to `bytes_max` into `memory`, or one message that is larger into memory of its own.
    async fn within(
        &self,
        asker: &Asker,
        mut memory: Option<Reserved>,
        mut bytes_max: usize,
        read: impl Fn(&dyn Storage, usize) -> Result<Listed, StoreError> + Clone + Send + 'static,
    ) -> Result<(Vec<Message>, Option<Reserved>, Rest), StoreError> {
        loop {
            let (read, reading) = (read.clone(), self.reading.clone().acquire_owned().await);
            let read = move |store: &dyn Storage| {
                // The client may leave before the thread is done.
                let _reading = reading;
                read(store, bytes_max)
            };
            let Listed { messages, rest } = self.disk.run(read).await?;
            match rest {
                Rest::Large(bytes) => {
                    drop(memory);
                    memory = Some(self.reserve(asker, bytes).await?);
                    bytes_max = bytes;
                }
                Rest::Nothing | Rest::Before(_) => return Ok((messages, memory, rest)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;
    use tokio::time::Instant;

    use super::super::Blocking;
    use super::*;
    use crate::clock::Clock;
    use crate::message::{Draft, Topic, UnixSeconds};
    use crate::store::{MemoryStore, Store};

    const LARGE: usize = SMALL_BYTES + 1;
    /// Several pieces.
    const MANY: usize = 2000;

    fn topic(name: &str) -> Topic {
        name.parse().unwrap()
    }

    /// Lists with one thread, and memory for one large message, of which topic `large` has two.
    fn lists() -> Lists {
        let store = MemoryStore::new(Clock::manual(UnixSeconds(1000)), Box::new(|_| {}));
        for (name, bytes) in [("small", 1), ("large", LARGE), ("large", LARGE)] {
            let draft = Draft::new(topic(name), "x".repeat(bytes).into());
            drop(store.append(vec![draft], None));
        }
        let many = (0..MANY).map(|_| Draft::new(topic("many"), "x".into()));
        drop(store.append(many.collect(), None));
        Lists {
            disk: Disk::new(Arc::new(store), Blocking::Threads),
            reading: Arc::new(Semaphore::new(1)),
            wide: MemoryBudget::new(1),
            large: MemoryBudget::new(LARGE),
            of_keys: Arc::default(),
        }
    }

    fn start(lists: &Lists, name: &str) -> Pieces {
        start_as(lists, name, "key")
    }

    fn start_as(lists: &Lists, name: &str, key: &str) -> Pieces {
        let query = Query {
            topic: Some(topic(name)),
            ..Query::default()
        };
        lists.start(query, key)
    }

    async fn next(pieces: &mut Pieces) -> Option<Piece> {
        pieces.recv().await.map(Result::unwrap)
    }

    #[tokio::test]
    async fn large_messages_wait_for_memory_and_small_ones_do_not() {
        let lists = lists();
        let mut first = start(&lists, "large");
        let held = next(&mut first).await.unwrap();
        assert!(held.is_large());
        let mut second = start(&lists, "large");
        let small = next(&mut start(&lists, "small")).await.unwrap();
        assert!(!small.is_large());
        assert!(lists.large.reserve(1).now_or_never().is_none());
        assert!(next(&mut second).now_or_never().is_none());
        // A client that has left waits for nothing.
        drop(first);
        assert!(next(&mut second).now_or_never().is_none());
        drop(held);
        for _ in 0..2 {
            assert_eq!(next(&mut second).await.unwrap().count(), 1);
        }
        assert!(next(&mut second).await.is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn a_question_does_not_wait_for_memory_for_long() {
        let lists = lists();
        let taken = lists.large.reserve(1).await;
        let begin = Instant::now();
        let refused = start(&lists, "large").recv().await.unwrap();
        assert!(matches!(refused, Err(StoreError::Busy)));
        let waited = begin.elapsed();
        assert!(
            waited >= MEMORY_WAIT && waited < 2 * MEMORY_WAIT,
            "{waited:?}"
        );
        drop(taken);
        assert!(next(&mut start(&lists, "large")).await.is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_leaves_memory_to_others() {
        let mut lists = lists();
        lists.large = MemoryBudget::new(4 * LARGE);
        let of_key = lists.asker("one").budget.reserve(usize::MAX).await;
        let refused = start_as(&lists, "large", "one").recv().await.unwrap();
        assert!(matches!(refused, Err(StoreError::Busy)));
        assert!(next(&mut start_as(&lists, "large", "two")).await.is_some());
        drop(of_key);
        assert!(next(&mut start_as(&lists, "large", "one")).await.is_some());
    }

    #[tokio::test]
    async fn lists_that_nobody_reads_keep_no_thread() {
        let lists = lists();
        let unread: Vec<_> = (0..9).map(|_| start(&lists, "many")).collect();
        let (mut pieces, mut count) = (start(&lists, "many"), 0);
        while let Some(piece) = next(&mut pieces).await {
            count += piece.count();
        }
        assert_eq!(count, MANY);
        drop(unread);
    }
}
