//! The slots of the queue, one for each message that may be in it.
//!
//! A producer waits for slots before its messages go to the store. They are values: wherever they
//! are dropped, they are free again. So nothing has to remember to give them back when the store
//! refuses messages, closes or crashes.

use std::sync::Arc;

use tokio::sync::Semaphore;

/// Some slots of a queue. They are free again when this is dropped.
#[derive(Debug)]
pub(in crate::broker) struct Slots {
    free: Arc<Semaphore>,
    count: usize,
}

impl Slots {
    /// No slots, of the queue whose free slots `free` counts.
    pub(super) fn none(free: &Arc<Semaphore>) -> Slots {
        Slots {
            free: free.clone(),
            count: 0,
        }
    }

    /// Waits for `count` slots; `None` once the queue is closed. Safe to cancel.
    pub(super) async fn wait(free: &Arc<Semaphore>, count: usize) -> Option<Slots> {
        let permit = free.acquire_many(u32::try_from(count).ok()?).await.ok()?;
        // From here on the slots are those of the value.
        permit.forget();
        Some(Slots {
            free: free.clone(),
            count,
        })
    }

    /// Takes `count` slots, or all that are free if there are fewer.
    pub(super) fn take_free(free: &Arc<Semaphore>, count: usize) -> Slots {
        Slots {
            free: free.clone(),
            count: free.forget_permits(count),
        }
    }

    /// The number of slots.
    pub(in crate::broker) fn count(&self) -> usize {
        self.count
    }

    /// Adds others of the same queue.
    pub(super) fn add(&mut self, mut more: Slots) {
        self.count += std::mem::take(&mut more.count);
    }

    /// Splits off all but `count` slots; `None` if there are not more.
    pub(super) fn beyond(&mut self, count: usize) -> Option<Slots> {
        let beyond = self.count.checked_sub(count).filter(|more| *more > 0)?;
        self.count = count;
        Some(Slots {
            free: self.free.clone(),
            count: beyond,
        })
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        if self.count > 0 {
            self.free.add_permits(self.count);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt;

    use super::*;

    #[test]
    fn slots_are_free_again_wherever_they_are_dropped() {
        let free = Arc::new(Semaphore::new(10));
        let mut kept = Slots::none(&free);
        let taken = |count| Slots::wait(&free, count).now_or_never().flatten();
        kept.add(taken(7).unwrap());
        assert!(taken(4).is_none());
        assert_eq!(free.available_permits(), 3);
        kept.add(taken(2).unwrap());
        let beyond = kept.beyond(4).unwrap();
        assert_eq!((kept.count(), beyond.count()), (4, 5));
        assert_eq!(free.available_permits(), 1);
        drop(beyond);
        assert!(kept.beyond(4).is_none());
        assert_eq!(Slots::take_free(&free, 100).count(), 6);
        drop(kept);
        assert_eq!(free.available_permits(), 10);
    }

    #[tokio::test]
    async fn a_closed_queue_has_no_slots_and_takes_them_back() {
        let free = Arc::new(Semaphore::new(2));
        let taken = Slots::wait(&free, 2).await.unwrap();
        let waiting = tokio::spawn({
            let free = free.clone();
            async move { Slots::wait(&free, 1).await.is_none() }
        });
        tokio::task::yield_now().await;
        free.close();
        assert!(waiting.await.unwrap());
        drop(taken);
        assert_eq!(free.available_permits(), 2);
    }
}
