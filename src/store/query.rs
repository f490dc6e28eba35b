//! What is asked of a store, and what it reads: messages in a status, in order, and lists.

use std::collections::HashSet;

use crate::message::{Message, Sequence, StatusKind, Topic, UnixSeconds};

/// The place of a message in a list, which goes by time of creation and then sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark {
    /// When the message was created.
    pub created: UnixSeconds,
    /// Its sequence.
    pub sequence: Sequence,
}

impl Message {
    /// Its place in a list.
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
    /// Older than this one: where a list that was read in part goes on.
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
    /// Up to and with this sequence.
    pub to: Sequence,
    /// At most this many messages.
    pub messages_max: usize,
    /// No more messages once they have this much data together.
    pub bytes_max: usize,
}

/// What a [`Scan`] read.
#[derive(Clone, Debug, Default)]
pub struct Scanned {
    /// The messages, in ascending order of sequence.
    pub messages: Vec<Message>,
    /// Where to go on; behind [`Scan::to`] when there is nothing more.
    pub next: Sequence,
}

/// What [`Store::list`](crate::store::Store::list) read.
#[derive(Clone, Debug)]
pub struct Listed {
    /// The messages, newest first.
    pub messages: Vec<Message>,
    /// What is behind them.
    pub rest: Rest,
}

/// What is behind the messages of a [`Listed`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Nothing.
    Nothing,
    /// There may be more, older than this.
    Before(Mark),
    /// A message with so many bytes of data, more than were asked for: no other was read.
    Large(usize),
}

/// The most messages that [`Store::list`](crate::store::Store::list) reads.
pub(crate) const LISTED_MAX: usize = 1024;

/// What is behind `messages` of a list, whose next one has `bytes` and is not among them.
pub(crate) fn rest_after(messages: &[Message], bytes: usize) -> Rest {
    match messages.last() {
        Some(last) => Rest::Before(last.mark()),
        None => Rest::Large(bytes),
    }
}
