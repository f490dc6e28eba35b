//! What operators do: look a message up, delete it, push it again, purge a topic; and what they
//! are shown of the store.

use tokio::sync::oneshot;

use super::error::PushAgainError;
use super::{Broker, Held, Inner};
use crate::broker::check::sweep::PushAgain;
use crate::message::{Message, MessageCode, StatusKind, Topic, UnixSeconds};
use crate::store::{Change, Health, Measures, Storage, StoreError, Usage};

impl Broker {
    /// The message with this code. If it is large, it waits until there is memory for it.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn find(&self, code: MessageCode, key: &str) -> Result<Option<Held>, StoreError> {
        self.0.lists.find(code, key).await
    }

    /// Deletes a message; `false` if it was deleted before. When this returns the deletion is
    /// durable, but a consumer that the message is being written to may still get it. A deletion
    /// that has begun is finished, even if its caller no longer waits.
    ///
    /// # Errors
    /// When the log cannot be written.
    pub async fn delete(&self, message: &Message) -> Result<bool, StoreError> {
        let Inner { store, .. } = &*self.0;
        let mut there = vec![message.clone()];
        store.retain_live(&mut there);
        if there.is_empty() {
            return Ok(false);
        }
        let sequences = [message.sequence].into_iter().collect();
        let changed = store.change(Change::Deleted, sequences);
        let broker = self.clone();
        let deleted = tokio::spawn(async move {
            changed.await.unwrap_or(Err(StoreError::Closed))?;
            broker.0.deleted(1);
            Ok(true)
        });
        deleted.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Deletes the messages of a topic that are in one of `kinds`, as [`Broker::delete`] does.
    /// Returns their number.
    ///
    /// # Errors
    /// When the log cannot be written. Some of them may be deleted then.
    pub async fn purge(&self, topic: Topic, kinds: &[StatusKind]) -> Result<u64, StoreError> {
        let (broker, kinds) = (self.clone(), kinds.to_vec());
        let purge = move |store: &dyn Storage| {
            let purged = store.purge(&topic, &kinds);
            broker.0.deleted(*purged.as_ref().unwrap_or(&0));
            purged
        };
        self.0.disk.run(purge).await
    }

    /// Puts a message that was not consumed back into the queue.
    ///
    /// # Errors
    /// When it is in the queue already, is consumed, is deleted, or the queue cannot take it.
    pub async fn push_again(&self, message: &Message) -> Result<(), PushAgainError> {
        let (done, pushed) = oneshot::channel();
        let wanted = PushAgain {
            code: message.code,
            done,
        };
        let sent = self.0.push_again.send(wanted).await;
        sent.map_err(|_| StoreError::Closed)?;
        pushed.await.unwrap_or(Err(StoreError::Closed.into()))
    }

    /// When the oldest waiting message of each topic was created, in the order of `topics`.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn oldest_waiting_of(
        &self,
        topics: Vec<Topic>,
    ) -> Result<Vec<Option<UnixSeconds>>, StoreError> {
        self.0
            .disk
            .run(move |store| store.oldest_waiting_of(&topics))
            .await
    }

    /// When the oldest waiting message was created.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError> {
        self.0.disk.run(|store| store.oldest_waiting()).await
    }

    /// The number of topics that have messages.
    pub fn topic_count(&self) -> usize {
        self.0.store.topic_count()
    }

    /// The number of messages accepted in each quarter of an hour of the last 31 days that had any,
    /// by its beginning.
    pub fn growth_by_quarter(&self) -> Vec<(UnixSeconds, u64)> {
        self.0.store.growth_by_quarter()
    }

    /// What cannot be written at the moment.
    pub fn health(&self) -> Health {
        self.0.store.health()
    }

    /// Whether the store still serves requests.
    pub fn is_alive(&self) -> bool {
        self.0.store.is_alive()
    }

    /// The store's measurements; `None` if it does not sync.
    pub fn measures(&self) -> Option<Measures> {
        self.0.store.measures()
    }

    /// The number of messages dated ahead of the clock, as [`crate::store::Stats::ahead`] counts
    /// them.
    pub fn ahead(&self) -> u64 {
        self.0.store.ahead(self.clock().now())
    }

    /// The damage found in the store, each as a sentence.
    pub fn damage(&self) -> Vec<String> {
        self.0.store.damage()
    }

    /// The disk space that the store uses; `None` if it has no disk.
    pub async fn usage(&self) -> Option<Usage> {
        let usage = self.0.disk.run(|store| Ok(store.usage())).await;
        usage.ok().flatten()
    }
}

impl Inner {
    /// Counts deleted messages, frees their slots in the queue, and waits until none of them can be
    /// pushed any more.
    fn deleted(&self, messages: u64) {
        self.activity.counters.deleted.add(messages);
        self.queue.messages_deleted();
        self.consumers.settle();
    }
}
