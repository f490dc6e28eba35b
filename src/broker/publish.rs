//! Publishing: lets messages in, hands them to the store, and tells what came of them.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

use crate::broker::error::PublishError;
use crate::broker::observe::activity::Activity;
use crate::broker::observe::counters::RefusedFor;
use crate::broker::queue::Queue;
use crate::broker::queue::slots::Slots;
use crate::broker::{Broker, INGEST_BYTES_MAX, INGEST_UNIT_BYTES, PUBLISH_MESSAGES_MAX};
use crate::message::{Draft, MessageCode};
use crate::store::{Appended, Hold, StoreError};

impl Broker {
    /// The most messages that a producer may publish at once.
    pub fn publish_messages_max(&self) -> usize {
        PUBLISH_MESSAGES_MAX.min(self.0.queue.capacity())
    }

    /// Waits for slots in the queue, and hands messages to the store in their order; at most
    /// [`Broker::publish_messages_max`] of them. Nothing is durable until the receipt says so.
    /// Safe to cancel: then none of them is published.
    ///
    /// # Errors
    /// [`PublishError::Stopping`] when the server stops.
    pub async fn publish(&self, drafts: Vec<Draft>) -> Result<Receipt, PublishError> {
        let since = Instant::now();
        let messages = drafts.len();
        let Some(admitted) = self.admit(&drafts).await else {
            let counters = &self.0.activity.counters;
            counters.refused(RefusedFor::Stopping, messages);
            return Err(PublishError::Stopping);
        };
        Ok(Receipt {
            appended: self.0.store.append(drafts, Some(Box::new(admitted))),
            messages,
            since,
            activity: self.0.activity.clone(),
        })
    }

    /// Waits until the messages may go to the store; `None` when the server stops.
    async fn admit(&self, drafts: &[Draft]) -> Option<Admitted> {
        let bytes: usize = drafts.iter().map(|draft| draft.data.len()).sum();
        let units = (bytes / INGEST_UNIT_BYTES + 1).min(INGEST_BYTES_MAX / INGEST_UNIT_BYTES);
        let units = u32::try_from(units).expect("the limit is far below 4 Gi");
        let ingest = self.0.ingest.clone().acquire_many_owned(units).await.ok()?;
        let slots = self.0.queue.slots(drafts.len()).await?;
        let is_stopping = self.0.stopping.load(Ordering::Relaxed);
        (!is_stopping).then(|| Admitted {
            slots: Some(slots),
            queue: self.0.queue.clone(),
            activity: self.0.activity.clone(),
            _ingest: ingest,
        })
    }
}

/// What messages on their way to the store hold: their slots in the queue, and a share of the
/// memory for what is not on disk yet. If the store refuses the messages, closes or crashes, it
/// drops this: then they are refused, and all of it is free again.
struct Admitted {
    /// `None` once the messages are stored: then the queue has them.
    slots: Option<Slots>,
    queue: Arc<Queue>,
    activity: Arc<Activity>,
    _ingest: OwnedSemaphorePermit,
}

impl Hold for Admitted {
    fn stored(mut self: Box<Admitted>) {
        if let Some(slots) = self.slots.take() {
            self.queue.keep(slots);
        }
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        if let Some(slots) = &self.slots {
            let counters = &self.activity.counters;
            counters.refused(RefusedFor::NotStored, slots.count());
        }
    }
}

/// What became of published messages.
pub struct Receipt {
    appended: Appended,
    messages: usize,
    /// When they were published.
    since: Instant,
    activity: Arc<Activity>,
}

impl Receipt {
    /// The number of messages that it is for.
    pub fn messages(&self) -> usize {
        self.messages
    }

    /// Waits until the messages are synced. Returns their codes in the order of publishing.
    ///
    /// # Errors
    /// When they could not be stored. Then none of them is.
    pub async fn codes(self) -> Result<Vec<MessageCode>, PublishError> {
        let stored = self.appended.await.unwrap_or(Err(StoreError::Closed));
        let codes = stored?;
        let counters = &self.activity.counters;
        counters
            .acknowledgement_seconds
            .add_time(self.since.elapsed(), self.messages as u64);
        Ok(codes)
    }
}

#[cfg(test)]
mod tests {
    use crate::broker::fixture::{FakeStore, settings, start, topic};
    use crate::broker::observe::counters::RefusedFor;
    use crate::message::Draft;
    use crate::store::Store;

    #[tokio::test]
    async fn refused_messages_are_counted_and_keep_no_slots_whether_or_not_the_answer_is_awaited() {
        let store = FakeStore::default();
        store.empty.close().unwrap();
        let running = start(store, settings());
        let publish = async |count: usize| {
            let drafts = (0..count).map(|_| Draft::new(topic("t"), "x".into()));
            running.broker.publish(drafts.collect()).await.unwrap()
        };
        publish(2).await.codes().await.unwrap_err();
        drop(publish(3).await);
        let refused = running.broker.totals().refused;
        assert!(refused.contains(&(RefusedFor::NotStored, 5)), "{refused:?}");
        assert_eq!(running.broker.backlog().queued, 0);
    }
}
