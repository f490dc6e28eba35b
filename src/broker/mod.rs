//! The broker: takes messages from producers, stores them, and pushes them to consumers.
//!
//! [`Broker`] is the handle that the edges call. Its tasks are the dispatch, the feeder of the
//! queue, the sweep and the history. Nothing here knows JSON, HTTP or WebSocket.

mod blocking;
mod check;
mod clients;
mod error;
#[cfg(test)]
pub(crate) mod fixture;
mod inbox;
mod lists;
mod observe;
mod operate;
mod publish;
mod push;
mod queue;
mod sessions;
mod settings;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use blocking::Disk;
use clients::{Numbers, Producers};
use lists::Lists;
use tokio::sync::watch::{Receiver, Sender, channel};
use tokio::sync::{Semaphore, mpsc};
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::broker::check::expiry::Expiry;
use crate::broker::check::sweep::{PushAgain, Sweep};
use crate::broker::observe::activity::Activity;
use crate::broker::observe::history::History;
use crate::broker::push::consumers::Consumers;
use crate::broker::push::delivery::Outcomes;
use crate::broker::push::dispatch::Dispatch;
use crate::broker::queue::Queue;
use crate::clock::Clock;
use crate::message::UnixSeconds;
use crate::store::{Backup, Counts, Day, Query, Storage, StoreError};

pub use blocking::{Blocking, Turns};
pub use clients::{Client, ClientInfo, CloseReason, CloseSignal, ProducerSession, Role};
pub use error::{PublishError, PushAgainError};
pub use inbox::Inbox;
pub use lists::{Held, Piece, Pieces};
pub use observe::concerns::{Concern, Concerned, Concerns, UNREAD_SECONDS};
pub use observe::counters::{RefusedFor, Totals};
pub use observe::history::{Backlog, Point, Rates, Series, Step};
pub use observe::tallies::{TOLD_TOPICS_MAX, ToldTopic, ToldTopics, WantedTopics};
pub use observe::topic_state::TopicState;
pub use observe::watch::{Watch, Watched};
pub use observe::whereabouts::{Waiting, Whereabouts};
pub use publish::Receipt;
pub use push::consumers::{Missed, Subscription};
pub use push::delivery::Ticket;
pub use push::encoding::Encoding;
pub use push::outbox::{Outbox, OutboxLimits};
pub use push::pace::Pace;
pub use push::trace::{Push, Recipient};
pub use settings::Settings;

/// The most messages that [`Broker::publish`] takes at once.
pub const PUBLISH_MESSAGES_MAX: usize = 256;
/// The data of all producers together that is on its way to the disk.
const INGEST_BYTES_MAX: usize = 64 << 20;
/// The bytes that one permit of it stands for.
const INGEST_UNIT_BYTES: usize = 1024;
/// The most operators that wait for a message to be pushed again.
const PUSH_AGAIN_MAX: usize = 64;

/// The handle to the broker. Clones are cheap, and are the same broker.
#[derive(Clone)]
pub struct Broker(Arc<Inner>);

struct Inner {
    store: Arc<dyn Storage>,
    disk: Disk,
    lists: Lists,
    queue: Arc<Queue>,
    consumers: Arc<Consumers>,
    producers: Arc<Producers>,
    activity: Arc<Activity>,
    history: Arc<History>,
    clock: Clock,
    settings: Sender<Settings>,
    next_check: Receiver<Instant>,
    ingest: Arc<Semaphore>,
    push_again: mpsc::Sender<PushAgain>,
    stopping: AtomicBool,
}

/// The broker's tasks; dropping it ends them.
pub struct Tasks(JoinSet<()>);

impl Tasks {
    /// Waits until one of them has ended, and returns why. None ends unless something is wrong.
    /// Safe to cancel.
    pub async fn ended(&mut self) -> String {
        match self.0.join_next().await {
            Some(Err(error)) => error.to_string(),
            Some(Ok(())) | None => "a task of the broker has returned".into(),
        }
    }
}

impl Broker {
    /// Starts a broker over an open store, which hands what it commits to `inbox`. Messages that
    /// the store had before are pushed first.
    pub fn start(store: Arc<dyn Storage>, inbox: Inbox, settings: Settings) -> (Broker, Tasks) {
        let Inbox {
            queue,
            items,
            activity,
        } = inbox;
        let disk = Disk::new(store.clone(), settings.blocking.clone());
        let (clock, check_every) = (settings.clock.clone(), settings.check_every);
        let outcomes = Outcomes {
            store: store.clone(),
            clock: clock.clone(),
            activity: activity.clone(),
        };
        let numbers = Arc::<Numbers>::default();
        let producers = Producers::new(numbers.clone());
        let (settings, tuned) = channel(settings);
        let consumers = Consumers::new(tuned.clone(), outcomes, numbers);
        let history = History::new(activity.clone(), store.clone(), clock.clone());
        queue.recover(store.counts().accepted, store.next_sequence());
        let dispatch = Dispatch::new(
            queue.clone(),
            consumers.clone(),
            disk.clone(),
            tuned.clone(),
        );
        let (push_again, wanted) = mpsc::channel(PUSH_AGAIN_MAX);
        let next_check = Instant::now() + check_every;
        let (next, next_check) = channel(next_check);
        let sweep = Sweep {
            queue: queue.clone(),
            consumers: consumers.clone(),
            store: store.clone(),
            disk: disk.clone(),
            expiry: Expiry::new(clock.now(), store.newest()),
            clock: clock.clone(),
            activity: activity.clone(),
            settings: tuned,
            next,
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(dispatch.run(items));
        tasks.spawn(queue.clone().feed(store.clone(), disk.clone()));
        tasks.spawn(sweep.run(wanted));
        tasks.spawn(history.clone().run());
        let broker = Broker(Arc::new(Inner {
            store,
            lists: Lists::new(disk.clone()),
            disk,
            queue,
            consumers,
            producers,
            activity,
            history,
            clock,
            settings,
            next_check,
            ingest: Arc::new(Semaphore::new(INGEST_BYTES_MAX / INGEST_UNIT_BYTES)),
            push_again,
            stopping: AtomicBool::new(false),
        }));
        (broker, Tasks(tasks))
    }

    /// Uses these settings from now on, except `clock` and `blocking`. Connected consumers keep the
    /// bounds of their outboxes.
    pub fn change(&self, settings: Settings) {
        self.0.settings.send_modify(|now| {
            *now = Settings {
                clock: now.clock.clone(),
                blocking: now.blocking.clone(),
                ..settings
            };
        });
    }

    /// Keeps at most about this much data of queued messages in memory from now on. What is in
    /// memory leaves in its turn.
    pub fn keep_in_memory(&self, bytes: usize) {
        self.0.queue.keep_in_memory(bytes);
    }

    /// Adds a consumer. It gets what is pushed to its topic from now on.
    pub fn join(&self, client: ClientInfo) -> Subscription {
        self.0.consumers.join(client)
    }

    /// The connected consumers, in the order in which they joined.
    pub fn consumers(&self) -> Vec<Arc<ClientInfo>> {
        self.0.consumers.list()
    }

    /// The number of messages in each status.
    pub fn counts(&self) -> Counts {
        self.0.store.counts()
    }

    /// The number of messages accepted on each day.
    pub fn growth(&self) -> Vec<(Day, u64)> {
        self.0.store.growth()
    }

    /// Streams the messages that match, newest first, to the holder of a key.
    pub fn list(&self, query: Query, key: &str) -> Pieces {
        self.0.lists.start(query, key)
    }

    /// A copy of what is stored now; `None` if the store has no disk.
    pub fn backup(&self) -> Option<Backup> {
        self.0.store.backup()
    }

    /// Records that a complete backup was sent now, for [`Broker::last_backup`].
    ///
    /// # Errors
    /// When the disk refuses.
    pub async fn note_backup(&self) -> Result<(), StoreError> {
        let now = self.0.clock.now();
        self.0.disk.run(move |store| store.note_backup(now)).await
    }

    /// When a complete backup was last sent; `None`: never.
    pub fn last_backup(&self) -> Option<UnixSeconds> {
        self.0.store.last_backup()
    }

    /// The broker's clock.
    pub fn clock(&self) -> &Clock {
        &self.0.clock
    }

    /// When the next check is.
    pub fn next_check(&self) -> Instant {
        *self.0.next_check.borrow()
    }

    /// Accepts no more messages. Producers that wait for a slot are refused.
    pub fn stop(&self) {
        self.0.stopping.store(true, Ordering::Relaxed);
        self.0.queue.close();
        self.0.ingest.close();
    }
}

#[cfg(test)]
mod tests {
    use super::fixture::{FakeStore, message, settings, start};

    #[tokio::test]
    async fn a_task_that_panics_is_told() {
        let store = FakeStore {
            breaks: true,
            ..FakeStore::default()
        };
        let mut running = start(store, settings());
        running.commit(vec![message("t", 1)]);
        let why = running.tasks.ended().await;
        assert!(why.contains("the store breaks"), "{why}");
    }
}
