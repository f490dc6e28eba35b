//! Queries to a store, and their results: messages in a status, in order, and lists.

use std::collections::HashSet;

use crate::message::{Message, Sequence, StatusKind, Topic, UnixSeconds};

/// The position of a message in a list, which is sorted by time of creation and then sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// When the message was created.
    pub created: UnixSeconds,
    /// Its sequence.
    pub sequence: Sequence,
}

impl Message {
    /// Its position in a list.
    pub fn mark(&self) -> Mark {
        Mark {
            created: self.created,
            sequence: self.sequence,
        }
    }
}

/// Which messages a list has.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Created at this time or later.
    pub from: Option<UnixSeconds>,
    /// Created at this time or earlier.
    pub to: Option<UnixSeconds>,
    /// In this status; `None`: in any.
    pub status: Option<StatusKind>,
    /// Of this topic; `None`: of any.
    pub topic: Option<Topic>,
    /// Older than this one: where a list that was read in part continues.
    pub before: Option<Mark>,
}

/// Which messages to read back for the queue.
#[derive(Clone, Debug)]
pub struct Scan {
    /// In this status.
    pub kind: StatusKind,
    /// Of these topics; `None`: of any.
    pub topics: Option<HashSet<Topic>>,
    /// From this sequence on.
    pub from: Sequence,
    /// Up to and including this sequence.
    pub to: Sequence,
    /// At most this many messages.
    pub messages_max: usize,
    /// No more messages once their data reaches this size.
    pub bytes_max: usize,
}

/// The result of a [`Scan`].
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// The messages, in ascending order of sequence.
    pub messages: Vec<Message>,
    /// Where to continue; after [`Scan::to`] when there is nothing more.
    pub next: Sequence,
}

/// The result of [`Reads::list`](crate::store::Reads::list).
#[derive(Clone, Debug)]
pub struct Listed {
    /// The messages, newest first.
    pub messages: Vec<Message>,
    /// What follows them.
    pub rest: Rest,
}

/// What follows the messages of a [`Listed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// There may be more, older than this.
    Before(Mark),
    /// A message with this many bytes of data, more than were requested. No other was read.
    Large(usize),
}

/// The most messages that one [`Reads::list`](crate::store::Reads::list) reads.
pub(crate) const LISTED_MAX: usize = 1024;

/// What follows `messages` in a list whose next message has `bytes` of data and is not among them.
pub(crate) fn rest_after(messages: &[Message], bytes: usize) -> Rest {
    match messages.last() {
        Some(last) => Rest::Before(last.mark()),
        None => Rest::Large(bytes),
    }
}
