//! Where messages are kept: the one trait the broker speaks to, and its two engines.
//!
//! [`DiskStore`] is a log that is synced before anybody is answered, and sled trees that mirror
//! it; [`MemoryStore`] keeps nothing over a restart. Only this module names sled and
//! MessagePack. Calls that read or wait say so: they block on the disk, and belong on a thread
//! that may.

mod bitmap;
mod block;
mod day;
mod disk;
mod error;
mod index;
mod keeper;
mod log;
mod memory;
mod migrate;
mod mirror;
mod read;
mod record;
mod recovery;
mod segments;
mod snapshot;
mod times;
mod topic_set;
mod writer;

use std::collections::HashSet;
use std::ops::ControlFlow;

use tokio::sync::{OwnedSemaphorePermit, oneshot};

pub use day::Day;
pub use disk::{DiskStore, Options};
pub use error::StoreError;
pub use memory::MemoryStore;
pub use record::Change;
pub use recovery::{Origin, Recovered};

use crate::import::ImportedMessage;
use crate::message::{Draft, Message, MessageCode, Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::SequenceSet;

/// How many messages are in each status.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Stored and on their way to be pushed.
    pub accepted: u64,
    /// Pushed, and nobody was written to.
    pub not_consumed: u64,
    /// Pushed, and somebody was written to.
    pub consumed: u64,
}

impl Counts {
    /// All messages there are.
    pub fn all(&self) -> u64 {
        self.accepted + self.not_consumed + self.consumed
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

/// Is called with messages just stored, in the order in which they were, before their
/// producers are answered. It must be quick: everything waits for it.
pub type Committed = Box<dyn FnMut(Vec<Message>) + Send>;

/// The codes of messages just stored, or why none of them was.
pub type Appended = oneshot::Receiver<Result<Vec<MessageCode>, StoreError>>;

/// Keeps messages and what becomes of them.
///
/// What is appended gets its sequence, time and code in the order of the calls. A call that
/// has returned, or whose receiver has resolved, is seen by every later read.
pub trait Store: Send + Sync + 'static {
    /// Stores messages. The receiver resolves once they are as safe as the store makes them:
    /// synced to disk, for one that has a disk. `permit` is given back then.
    fn append(&self, drafts: Vec<Draft>, permit: Option<OwnedSemaphorePermit>) -> Appended;

    /// Records what became of messages; those that are gone, or may not change so, are passed
    /// over. It is not synced at once: after a power cut, the last changes may have to be made
    /// again. The receiver, which may be dropped, resolves when reads see the change.
    fn change(
        &self,
        change: Change,
        sequences: SequenceSet,
    ) -> oneshot::Receiver<Result<(), StoreError>>;

    /// Deletes every message created before `floor`, and says how many. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read or written; then nothing is deleted.
    fn expire(&self, floor: UnixSeconds) -> Result<u64, StoreError>;

    /// How many messages there are.
    fn counts(&self) -> Counts;

    /// How many messages were accepted on each day of the last 400 that had any, deleted ones
    /// included.
    fn growth(&self) -> Vec<(Day, u64)>;

    /// The sequence that the next message gets.
    fn next_sequence(&self) -> Sequence;

    /// Messages created before this time are deleted.
    fn floor(&self) -> UnixSeconds;

    /// Reads messages in a status, oldest first. Blocks.
    ///
    /// # Errors
    /// When the disk cannot be read; damaged messages are reported and passed over.
    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError>;

    /// Hands over what matches in chunks, newest first by time of creation and then by
    /// sequence, until `each` breaks. Blocks.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn list(
        &self,
        query: &Query,
        each: &mut dyn FnMut(Vec<Message>) -> ControlFlow<()>,
    ) -> Result<(), StoreError>;

    /// Ends the store: everything asked for before is done and synced, the snapshot is brought
    /// up to date, and later calls are refused. Blocks.
    ///
    /// # Errors
    /// When something could not be written.
    fn close(&self) -> Result<(), StoreError>;
}

/// What came of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Imported {
    /// Messages taken over.
    pub added: u64,
    /// Messages that the store had already, by their code.
    pub present: u64,
}

/// The messages of an import that are not in `present`, and how many were.
fn not_present(
    messages: Vec<ImportedMessage>,
    present: &HashSet<MessageCode>,
) -> (Vec<ImportedMessage>, u64) {
    let all = messages.len();
    let fresh: Vec<_> = messages
        .into_iter()
        .filter(|message| !present.contains(&message.code))
        .collect();
    let present = all - fresh.len();
    (fresh, present as u64)
}
