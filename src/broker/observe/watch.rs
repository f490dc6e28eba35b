//! Watching a topic: shows messages as they are stored, and consumes none.
//!
//! The store's writer fills a bounded buffer for each watcher, and waits for no watcher.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::Notify;

use crate::message::{Message, Topic};

/// The most messages that wait for one watcher.
const WATCH_MESSAGES_MAX: usize = 256;
/// The same, in bytes of data. A larger message waits alone.
const WATCH_BYTES_MAX: usize = 4 << 20;

/// What a watcher sees.
#[derive(Clone, Debug, PartialEq)]
pub enum Watched {
    /// A message was stored.
    Message(Message),
    /// This number of messages was not shown, because the watcher was too slow.
    Missed(u64),
}

/// The messages of a topic as they are stored. Dropping it ends the watch.
#[derive(Debug)]
pub struct Watch {
    watcher: Arc<Watcher>,
    watchers: Arc<Watchers>,
}

impl Watch {
    /// Waits for what comes next. Safe to cancel.
    pub async fn next(&mut self) -> Watched {
        loop {
            let more = self.watcher.more.notified();
            if let Some(watched) = self.watcher.lock().pop() {
                return watched;
            }
            more.await;
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.watchers.leave(&self.watcher);
    }
}

/// All watchers.
#[derive(Debug, Default)]
pub(in crate::broker) struct Watchers {
    all: Mutex<Vec<Arc<Watcher>>>,
    /// The number of watchers. While it is 0, watching costs nothing.
    count: AtomicUsize,
}

impl Watchers {
    fn lock(&self) -> MutexGuard<'_, Vec<Arc<Watcher>>> {
        self.all.lock().expect("no holder of this lock panics")
    }

    pub(in crate::broker) fn join(self: &Arc<Watchers>, topic: Topic) -> Watch {
        let mut all = self.lock();
        let watcher = Arc::new(Watcher {
            topic,
            buffer: Mutex::default(),
            more: Notify::new(),
        });
        all.push(watcher.clone());
        self.count.store(all.len(), Ordering::Relaxed);
        Watch {
            watcher,
            watchers: self.clone(),
        }
    }

    fn leave(&self, watcher: &Arc<Watcher>) {
        let mut all = self.lock();
        all.retain(|other| !Arc::ptr_eq(other, watcher));
        self.count.store(all.len(), Ordering::Relaxed);
    }

    /// Shows messages just stored to the watchers of their topics.
    pub(in crate::broker) fn show(&self, messages: &[Message]) {
        if self.count.load(Ordering::Relaxed) == 0 {
            return;
        }
        for watcher in &*self.lock() {
            watcher.show(messages);
        }
    }
}

#[derive(Debug)]
struct Watcher {
    topic: Topic,
    buffer: Mutex<Buffer>,
    more: Notify,
}

impl Watcher {
    fn lock(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().expect("no holder of this lock panics")
    }

    fn show(&self, messages: &[Message]) {
        let mut of_topic = messages
            .iter()
            .filter(|message| message.topic == self.topic)
            .peekable();
        if of_topic.peek().is_none() {
            return;
        }
        let mut buffer = self.lock();
        of_topic.for_each(|message| buffer.push(message));
        drop(buffer);
        self.more.notify_one();
    }
}

/// The messages that wait for a watcher.
#[derive(Debug, Default)]
struct Buffer {
    /// At most one gap between two messages.
    items: VecDeque<Watched>,
    messages: usize,
    bytes: usize,
}

impl Buffer {
    fn push(&mut self, message: &Message) {
        let bytes = message.data.len();
        let fits = self.messages == 0
            || self.messages < WATCH_MESSAGES_MAX && self.bytes + bytes <= WATCH_BYTES_MAX;
        if fits {
            self.messages += 1;
            self.bytes += bytes;
            self.items.push_back(Watched::Message(message.clone()));
        } else if let Some(Watched::Missed(missed)) = self.items.back_mut() {
            *missed += 1;
        } else {
            self.items.push_back(Watched::Missed(1));
        }
    }

    fn pop(&mut self) -> Option<Watched> {
        let item = self.items.pop_front()?;
        if let Watched::Message(message) = &item {
            self.messages -= 1;
            self.bytes -= message.data.len();
        }
        Some(item)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{self, FakeStore, settings, start, topic};
    use futures_util::FutureExt;

    fn message(name: &str, sequence: u64, bytes: usize) -> Message {
        Message {
            data: "x".repeat(bytes).into(),
            ..fixture::message(name, sequence)
        }
    }

    fn messages(name: &str, sequences: std::ops::Range<u64>) -> Vec<Message> {
        sequences.map(|n| message(name, n, 1)).collect()
    }

    /// All that waits: sequences, and how many were missed as a negative number.
    fn waiting(watch: &mut Watch) -> Vec<i64> {
        let mut seen = vec![];
        while let Some(watched) = watch.next().now_or_never() {
            seen.push(match watched {
                Watched::Message(message) => i64::try_from(message.sequence.0).unwrap(),
                Watched::Missed(missed) => -i64::try_from(missed).unwrap(),
            });
        }
        seen
    }

    #[tokio::test]
    async fn a_watcher_is_woken_by_its_own_topic() {
        let watchers = Arc::new(Watchers::default());
        watchers.show(&messages("a", 0..1));
        let mut watch = watchers.join(topic("a"));
        let mut next = std::pin::pin!(watch.next());
        assert!(next.as_mut().now_or_never().is_none());
        watchers.show(&messages("b", 1..2));
        assert!(next.as_mut().now_or_never().is_none());
        watchers.show(&messages("a", 2..3));
        assert_eq!(next.await, Watched::Message(message("a", 2, 1)));
    }

    #[test]
    fn a_slow_watcher_is_told_how_many_it_missed_and_where() {
        let watchers = Arc::new(Watchers::default());
        let mut watch = watchers.join(topic("a"));
        watchers.show(&messages("a", 0..300));
        watchers.show(&messages("a", 300..301));
        assert!(watch.next().now_or_never().is_some());
        watchers.show(&messages("a", 301..303));
        let mut expected: Vec<i64> = (1..256).collect();
        expected.extend([-45, 301, -1]);
        assert_eq!(waiting(&mut watch), expected);
        watchers.show(&messages("a", 303..304));
        assert_eq!(waiting(&mut watch), [303]);
    }

    #[test]
    fn large_messages_are_missed_sooner() {
        let watchers = Arc::new(Watchers::default());
        let mut watch = watchers.join(topic("a"));
        watchers.show(&[message("a", 1, WATCH_BYTES_MAX + 1), message("a", 2, 1)]);
        assert_eq!(waiting(&mut watch), [1, -1]);
        let half = WATCH_BYTES_MAX / 2;
        watchers.show(&[1, 2, 3].map(|n| message("a", n, half)));
        assert_eq!(waiting(&mut watch), [1, 2, -1]);
    }

    #[test]
    fn a_watch_ends_when_it_is_dropped() {
        let watchers = Arc::new(Watchers::default());
        let mut all: Vec<_> = (0..3).map(|_| watchers.join(topic("a"))).collect();
        all.pop();
        assert_eq!(watchers.count.load(Ordering::Relaxed), 2);
        all.clear();
        assert_eq!(watchers.count.load(Ordering::Relaxed), 0);
        assert!(watchers.lock().is_empty());
    }

    #[tokio::test]
    async fn watching_is_seeing_what_is_stored() {
        let mut running = start(FakeStore::default(), settings());
        let mut watch = running.broker.watch(topic("a"));
        running.commit(messages("a", 1..3));
        assert_eq!(waiting(&mut watch), [1, 2]);
    }
}
