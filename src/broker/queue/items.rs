//! What goes through the queue to the dispatch, and what it takes of the memory.

use tokio::sync::oneshot;
use tokio::time::Instant;

use crate::message::{Message, Sequence, Topic};

/// Bytes of memory that a message takes beside its data.
pub(super) const MESSAGE_OVERHEAD_BYTES: usize = 160;

/// What the dispatch takes from the queue.
#[derive(Debug)]
pub(in crate::broker) enum Item {
    /// Messages that are pushed for the first time, in the order in which they were stored, and
    /// when they were stored together, unless they come from the disk.
    Fresh(Vec<Message>, Option<Instant>),
    /// Messages that were not consumed, and are pushed again.
    Requeued(Vec<Message>),
    /// Messages of a topic that is behind.
    Behind(Refill),
}

/// What was read back for a topic that is behind.
#[derive(Debug)]
pub(in crate::broker) struct Refill {
    pub(in crate::broker) topic: Topic,
    pub(in crate::broker) messages: Vec<Message>,
    /// All messages of the topic before this one are in `messages`.
    pub(in crate::broker) next: Sequence,
    pub(in crate::broker) done: oneshot::Sender<()>,
}

/// What the channel has of one kind.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Load {
    pub(super) messages: usize,
    pub(super) bytes: usize,
}

impl Load {
    pub(super) fn add(&mut self, more: Load) {
        self.messages += more.messages;
        self.bytes += more.bytes;
    }

    pub(super) fn remove(&mut self, gone: Load) {
        self.messages -= gone.messages;
        self.bytes -= gone.bytes;
    }

    /// Whether it is at most `bytes_max` with these bytes. Anything fits where nothing is.
    pub(super) fn fits(&self, bytes: usize, bytes_max: usize) -> bool {
        self.bytes == 0 || self.bytes + bytes <= bytes_max
    }
}

pub(super) fn bytes_of(messages: &[Message]) -> usize {
    let data: usize = messages.iter().map(|message| message.data.len()).sum();
    data + messages.len() * MESSAGE_OVERHEAD_BYTES
}

/// Why messages are in the channel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Fresh,
    Requeued,
    Behind,
}

/// What an item takes of the channel's memory.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Size {
    pub(super) kind: Kind,
    pub(super) load: Load,
}

impl Item {
    pub(in crate::broker) fn size(&self) -> Size {
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
