//! The way of stored messages into the broker. It is there before the broker: the store needs it
//! to open, and the broker needs an open store.

use std::sync::Arc;

use tokio::time::Instant;

use crate::broker::observe::activity::Activity;
use crate::broker::queue::{Items, Queue};
use crate::store::Committed;

/// The queue of a broker that is not running yet, and what counts the messages that go into it.
#[derive(Debug)]
pub struct Inbox {
    pub(in crate::broker) queue: Arc<Queue>,
    pub(in crate::broker) items: Items,
    pub(in crate::broker) activity: Arc<Activity>,
}

impl Inbox {
    /// An empty queue of at most `capacity` messages, which keeps at most about `memory_bytes` of
    /// them in memory.
    pub fn new(capacity: usize, memory_bytes: usize) -> Inbox {
        let (queue, items) = Queue::new(capacity, memory_bytes);
        Inbox {
            queue,
            items,
            activity: Arc::default(),
        }
    }

    /// What the store calls with messages just stored: they are counted, and queued in that order.
    pub fn committed(&self) -> Committed {
        let (queue, activity) = (self.queue.clone(), self.activity.clone());
        Box::new(move |messages| {
            let now = Instant::now();
            activity.committed(&messages, now);
            queue.push_fresh(messages, now);
        })
    }
}
