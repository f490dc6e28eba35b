//! The dispatch: takes messages from the queue in batches, at the pace of the settings, and hands
//! them to the consumers of their topics. It never waits for a consumer.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::broker::blocking::Disk;
use crate::broker::push::catch_up::CatchUp;
use crate::broker::push::consumers::topic::PushKind;
use crate::broker::push::consumers::{Consumers, Pushed};
use crate::broker::push::delivery::is_large;
use crate::broker::push::pace::Pace;
use crate::broker::queue::items::{Item, Refill};
use crate::broker::queue::{Items, Queue};
use crate::broker::settings::Settings;
use crate::message::{Message, Topic};

/// Messages handed over at once: enough to share the cost of a hand-over, but so few that the first
/// does not wait long for the last.
const PUSH_MESSAGES_MAX: usize = 256;
/// The same, in bytes of data. A large message goes alone.
const PUSH_BYTES_MAX: usize = 1 << 20;

/// Counts a batch, and pauses after it. After a quiet time as long as the pause, a whole batch
/// leaves at once.
struct Batch {
    settings: watch::Receiver<Settings>,
    left: usize,
    begun: Instant,
}

impl Batch {
    fn new(settings: watch::Receiver<Settings>) -> Batch {
        let left = settings.borrow().pace.batch_messages;
        Batch {
            settings,
            left,
            begun: Instant::now(),
        }
    }

    /// Waits until messages may leave. Returns how many: at least 1, at most `wanted`.
    async fn allow(&mut self, wanted: usize) -> usize {
        loop {
            let pace = self.settings.borrow_and_update().pace;
            if pace.pause.is_zero() {
                return wanted;
            }
            if self.left == 0 {
                tokio::select! {
                    () = tokio::time::sleep(pace.pause) => self.renew(pace),
                    // The pace has changed, so a long pause is cut short.
                    Ok(()) = self.settings.changed() => continue,
                }
            } else if self.begun.elapsed() >= pace.pause {
                self.renew(pace);
            }
            return wanted.min(self.left);
        }
    }

    fn renew(&mut self, pace: Pace) {
        self.left = pace.batch_messages;
        self.begun = Instant::now();
    }

    fn left_the_queue(&mut self, messages: usize) {
        self.left -= messages.min(self.left);
    }
}

/// Takes batches from the queue, and hands them to consumers.
pub(in crate::broker) struct Dispatch {
    queue: Arc<Queue>,
    consumers: Arc<Consumers>,
    disk: Disk,
    settings: watch::Receiver<Settings>,
    /// The tasks that read back topics that are behind.
    readers: JoinSet<()>,
}

impl Dispatch {
    pub(in crate::broker) fn new(
        queue: Arc<Queue>,
        consumers: Arc<Consumers>,
        disk: Disk,
        settings: watch::Receiver<Settings>,
    ) -> Dispatch {
        Dispatch {
            queue,
            consumers,
            disk,
            settings,
            readers: JoinSet::new(),
        }
    }

    /// Pushes what comes, without end.
    pub(in crate::broker) async fn run(mut self, mut items: Items) {
        let mut batch = Batch::new(self.settings.clone());
        loop {
            let item = tokio::select! {
                biased;
                Some(done) = self.readers.join_next() => {
                    done.expect("a topic is read back until it is not behind");
                    continue;
                }
                Some(item) = items.0.recv() => item,
                else => return,
            };
            let size = item.size();
            match item {
                Item::Fresh(messages, stored) => {
                    self.push_all(&mut batch, messages, PushKind::Fresh(stored))
                        .await;
                }
                Item::Requeued(messages) => {
                    self.push_all(&mut batch, messages, PushKind::Requeued)
                        .await;
                }
                Item::Behind(refill) => self.push_refill(&mut batch, refill).await,
            }
            self.queue.taken(size);
        }
    }

    async fn push_all(&mut self, batch: &mut Batch, messages: Vec<Message>, kind: PushKind) {
        let mut rest = messages.into_iter().peekable();
        while rest.peek().is_some() {
            let chunk = self.next_chunk(batch, &mut rest).await;
            let taken = chunk.len();
            let last = chunk.last().map(|message| message.sequence);
            for (topic, messages) in by_topic(chunk) {
                let pushed = self.consumers.push(&topic, messages, kind).await;
                if let Pushed::BehindNow(episode) = pushed {
                    self.catch_up(topic, episode);
                }
            }
            // Messages that are pushed again have no slots.
            if let (PushKind::Fresh(_), Some(last)) = (kind, last) {
                self.queue.handed_over(taken, last);
            }
        }
    }

    /// The messages that may leave now.
    async fn next_chunk(
        &self,
        batch: &mut Batch,
        rest: &mut std::iter::Peekable<std::vec::IntoIter<Message>>,
    ) -> Vec<Message> {
        let allowed = batch.allow(rest.len().min(PUSH_MESSAGES_MAX)).await;
        let (mut chunk, mut bytes) = (Vec::with_capacity(allowed), 0);
        while chunk.len() < allowed {
            let next = rest.next_if(|message| {
                let joins = !is_large(message) && bytes + message.data.len() <= PUSH_BYTES_MAX;
                chunk.is_empty() || joins
            });
            let Some(message) = next else { break };
            bytes += message.data.len();
            let is_alone = is_large(&message);
            chunk.push(message);
            if is_alone {
                break;
            }
        }
        batch.left_the_queue(chunk.len());
        chunk
    }

    async fn push_refill(&self, batch: &mut Batch, refill: Refill) {
        let Refill {
            topic,
            messages,
            next,
            done,
        } = refill;
        let mut rest = messages.into_iter().peekable();
        let mut reached = next;
        while rest.peek().is_some() {
            let chunk = self.next_chunk(batch, &mut rest).await;
            let first = chunk.first().map_or(next, |message| message.sequence);
            if self.consumers.push(&topic, chunk, PushKind::ReadBack).await == Pushed::Behind {
                reached = first;
                break;
            }
        }
        self.consumers.advance(&topic, reached);
        // When the server stops, the task that reads back is gone.
        let _ = done.send(());
    }

    /// Starts to read back a topic that has fallen behind.
    fn catch_up(&mut self, topic: Topic, episode: u64) {
        let catch_up = CatchUp {
            queue: self.queue.clone(),
            consumers: self.consumers.clone(),
            disk: self.disk.clone(),
            topic,
            episode,
        };
        self.readers.spawn(catch_up.run());
    }
}

/// The messages of each topic, in their order.
fn by_topic(messages: Vec<Message>) -> Vec<(Topic, Vec<Message>)> {
    let mut groups: Vec<(Topic, Vec<Message>)> = vec![];
    let mut places: HashMap<Topic, usize> = HashMap::new();
    for message in messages {
        match groups.last_mut() {
            Some((topic, group)) if *topic == message.topic => group.push(message),
            _ => match places.get(&message.topic) {
                Some(&place) => groups[place].1.push(message),
                None => {
                    places.insert(message.topic.clone(), groups.len());
                    groups.push((message.topic.clone(), vec![message]));
                }
            },
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::broker::fixture;

    fn settings(batch_messages: usize, pause: Duration) -> Settings {
        Settings {
            pace: Pace {
                batch_messages,
                pause,
            },
            ..fixture::settings()
        }
    }

    fn batch(batch_messages: usize, pause: Duration) -> (watch::Sender<Settings>, Batch) {
        let (sender, receiver) = watch::channel(settings(batch_messages, pause));
        (sender, Batch::new(receiver))
    }

    #[tokio::test(start_paused = true)]
    async fn another_pace_counts_at_once() {
        let (sender, mut batch) = batch(1, Duration::from_secs(3600));
        let start = Instant::now();
        assert_eq!(batch.allow(256).await, 1);
        batch.left_the_queue(1);
        let change = async {
            tokio::time::sleep(Duration::from_secs(2)).await;
            sender.send_replace(settings(10, Duration::from_secs(1)));
        };
        let (allowed, ()) = tokio::join!(batch.allow(256), change);
        assert_eq!((allowed, start.elapsed().as_secs()), (10, 3));
        batch.left_the_queue(10);
        let change = async {
            tokio::task::yield_now().await;
            sender.send_replace(settings(10, Duration::ZERO));
        };
        let (allowed, ()) = tokio::join!(batch.allow(256), change);
        assert_eq!((allowed, start.elapsed().as_secs()), (256, 3));
    }

    #[tokio::test(start_paused = true)]
    async fn a_pause_comes_after_each_full_batch() {
        let (_settings, mut batch) = batch(100, Duration::from_secs(1));
        let start = Instant::now();
        let mut left = vec![];
        for _ in 0..5 {
            let allowed = batch.allow(60).await;
            batch.left_the_queue(allowed);
            left.push((start.elapsed().as_secs(), allowed));
        }
        assert_eq!(left, [(0, 60), (0, 40), (1, 60), (1, 40), (2, 60)]);
        // After a quiet time a whole batch leaves at once.
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(batch.allow(256).await, 100);
        assert_eq!(start.elapsed().as_secs(), 5);
    }

    #[test]
    fn a_pace_holds_back_what_is_more_than_a_batch() {
        let pace = |batch_messages, pause| Pace {
            batch_messages,
            pause,
        };
        let set = pace(100, Duration::from_millis(500));
        assert_eq!(set.per_second(), Some(200.0));
        assert_eq!(set.holds_back(100), None);
        assert_eq!(set.holds_back(101), Some(Duration::from_millis(505)));
        let slow = pace(1, Duration::from_secs(1_000_000_000));
        assert_eq!(slow.holds_back(usize::MAX), Some(Duration::MAX));
        assert_eq!(pace(100, Duration::ZERO).per_second(), None);
        assert_eq!(pace(100, Duration::ZERO).holds_back(101), None);
    }

    #[tokio::test(start_paused = true)]
    async fn without_a_pause_nothing_waits() {
        let (_settings, mut batch) = batch(1, Duration::ZERO);
        let start = Instant::now();
        for _ in 0..10 {
            assert_eq!(batch.allow(256).await, 256);
            batch.left_the_queue(256);
        }
        assert_eq!(start.elapsed(), Duration::ZERO);
    }
}
