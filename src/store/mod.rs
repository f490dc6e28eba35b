//! Stores messages: the traits that the broker uses, and their two engines.
//!
//! [`Store`] is what changes messages, [`Reads`] what finds them, [`Stats`] what is shown of the
//! store. [`Storage`] is the three of them together.
//!
//! [`DiskStore`] has a log that is synced before the producer gets its answer, and sled trees that
//! mirror it. [`MemoryStore`] keeps nothing over a restart. Only this module names sled and
//! MessagePack. The docs of calls that read or wait say that they block: they belong on a thread
//! that may.

mod change;
mod commit;
mod committed;
mod counts;
mod disk;
mod error;
mod fs;
mod growth;
mod health;
mod index;
mod log;
mod measures;
mod memory;
mod mirror;
mod offline;
mod options;
mod query;
mod reader;
mod recovery;
mod repair;
mod snapshot;
mod threads;

use std::time::Duration;

use tokio::sync::oneshot;

use crate::message::{Draft, Message, MessageCode, Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::SequenceSet;

pub use change::Change;
#[doc(hidden)]
pub use commit::order::{Durability, Order, OrderEntry, OrderOf, Proposal, Wake};
pub use committed::{Appended, Committed, Hold};
pub use counts::{Counts, TopicCounts};
pub use disk::DiskStore;
pub use error::StoreError;
pub use fs::files::{Files, Held, OpenHow, OsFiles, StoredFile};
pub use growth::Day;
pub use health::Health;
#[doc(hidden)]
pub use log::bench;
pub use measures::{Measures, Usage};
pub use memory::MemoryStore;
pub use offline::examine::{Dates, Examined, Present, dates, examine, last_backup, places};
pub use offline::restore::{Restored, restore};
pub use offline::verify::report::{Fault, Finding, Place, Report, Totals};
pub use offline::verify::steps::Checked;
pub use offline::verify::{verify_file, verify_store};
pub use options::Options;
pub use query::{Listed, Mark, Query, Rest, Scan, Scanned};
pub use recovery::recovered::{Imported, Origin, Recovered};
pub use snapshot::{backup::Backup, receive::Received};
#[doc(hidden)]
pub use threads::drive::Work;

/// All of a store: what is behind each `Arc` of one.
pub trait Storage: Store + Reads + Stats {}

impl<T: Store + Reads + Stats> Storage for T {}

/// Keeps messages and their outcomes.
///
/// Appended messages get their sequence, time and code in the order of the calls. Once a call has
/// returned, or its receiver has resolved, every later read sees the result.
pub trait Store: Send + Sync + 'static {
    /// Stores messages. The receiver resolves once they are safe: synced, if the store has a disk.
    /// `hold` is told that they are stored, or dropped.
    fn append(&self, drafts: Vec<Draft>, hold: Option<Box<dyn Hold>>) -> Appended;

    /// Records outcomes of messages. Messages that are gone, or may not change so, are skipped.
    /// Deletions are synced. Other changes are not synced at once: a power cut may lose the last of
    /// them. The receiver, which may be dropped, resolves when reads see the change.
    fn change(
        &self,
        change: Change,
        sequences: SequenceSet,
    ) -> oneshot::Receiver<Result<(), StoreError>>;

    /// Deletes every message created before `cutoff`. Returns the number deleted in each status.
    /// Blocks.
    ///
    /// # Errors
    /// When the log cannot be read or written. Then nothing is deleted.
    fn expire(&self, cutoff: UnixSeconds) -> Result<Counts, StoreError>;

    /// Deletes the messages dated ahead of the clock, as [`Stats::ahead`] counts them, that were
    /// stored before `end`. Returns the number deleted in each status. Blocks.
    ///
    /// # Errors
    /// As [`Store::expire`].
    fn expire_ahead(&self, _now: UnixSeconds, _end: Sequence) -> Result<Counts, StoreError> {
        Ok(Counts::default())
    }

    /// Deletes the messages of a topic that are in one of `kinds` and were stored before the call.
    /// Returns their number. The deletion is durable when it returns. Blocks.
    ///
    /// # Errors
    /// When the log cannot be written. Some of them may be gone then.
    fn purge(&self, topic: &Topic, kinds: &[StatusKind]) -> Result<u64, StoreError>;

    /// Records that a complete backup was sent at this time. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    fn note_backup(&self, _at: UnixSeconds) -> Result<(), StoreError> {
        Ok(())
    }

    /// Writes an empty record if the last write was refused. So the store notices that the disk
    /// works again although no client sends anything. Does not wait.
    fn probe(&self) {}

    /// Changes the interval between snapshots, if the store has any.
    fn write_snapshot_every(&self, _: Duration) {}

    /// Closes the store: finishes and syncs everything requested before, brings the snapshot up to
    /// date, and refuses later calls. Blocks.
    ///
    /// # Errors
    /// When something could not be written.
    fn close(&self) -> Result<(), StoreError>;
}

/// Finds messages.
pub trait Reads: Send + Sync + 'static {
    /// Reads messages in a status, oldest first. Blocks.
    ///
    /// # Errors
    /// When the disk cannot be read. Damaged messages are reported and skipped.
    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError>;

    /// Reads the messages that match, newest first by time of creation and then by sequence. Their
    /// number is limited, and their data to `bytes_max` in all. Blocks.
    ///
    /// # Errors
    /// As [`Reads::scan`].
    fn list(&self, query: &Query, bytes_max: usize) -> Result<Listed, StoreError>;

    /// The message with this code, if it exists: a list of at most one. Blocks.
    ///
    /// # Errors
    /// As [`Reads::scan`].
    fn find(&self, code: MessageCode, bytes_max: usize) -> Result<Listed, StoreError>;

    /// When the oldest message that is not consumed was created. Blocks.
    ///
    /// # Errors
    /// As [`Reads::scan`].
    fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError>;

    /// When the oldest message that is not consumed was created, for each of `topics` in their
    /// order. Blocks.
    ///
    /// # Errors
    /// As [`Reads::scan`].
    fn oldest_waiting_of(&self, topics: &[Topic]) -> Result<Vec<Option<UnixSeconds>>, StoreError>;

    /// The indices of those of `topics` with an unconsumed message created before `before`,
    /// ascending. The disk is read for few of the topics, however many there are. Blocks.
    ///
    /// # Errors
    /// As [`Reads::scan`].
    fn waiting_before(
        &self,
        topics: &[Topic],
        before: UnixSeconds,
    ) -> Result<Vec<usize>, StoreError> {
        let oldest = self.oldest_waiting_of(topics)?;
        let places = (0..).zip(oldest);
        let is_before = |at: Option<UnixSeconds>| at.is_some_and(|at| at < before);
        Ok(places
            .filter(|(_, at)| is_before(*at))
            .map(|(place, _)| place)
            .collect())
    }

    /// The number of accepted messages with a sequence from `first` to `last`.
    fn accepted_between(&self, first: Sequence, last: Sequence) -> u64;

    /// Removes those messages that are gone from the list.
    fn retain_live(&self, messages: &mut Vec<Message>);

    /// The sequence of the next message.
    fn next_sequence(&self) -> Sequence;

    /// Messages created before this time are deleted.
    fn cutoff(&self) -> UnixSeconds;

    /// When the newest message was created, as far as the store knows without reading the log.
    fn newest(&self) -> Option<UnixSeconds> {
        None
    }

    /// A copy of what is stored now, with everything answered so far; `None` if the store has no
    /// disk.
    fn backup(&self) -> Option<Backup>;
}

/// Tells what there is: numbers that are kept, and how the store is.
pub trait Stats: Send + Sync + 'static {
    /// The number of messages in each status.
    fn counts(&self) -> Counts;

    /// The number of messages accepted on each of the last 400 days that had any, including deleted
    /// ones.
    fn growth(&self) -> Vec<(Day, u64)>;

    /// The number of messages accepted in each quarter of an hour of the last 31 days that had any,
    /// by its beginning, including deleted ones.
    fn growth_by_quarter(&self) -> Vec<(UnixSeconds, u64)>;

    /// The number of messages of each topic that has any, in no order.
    fn topics(&self) -> Vec<TopicCounts>;

    /// Passes each topic that has messages to `each`, with their number by status. [`DiskStore`]
    /// does so without a copy of all topics.
    fn each_topic(&self, each: &mut dyn FnMut(&Topic, Counts)) {
        for TopicCounts { topic, counts } in self.topics() {
            each(&topic, counts);
        }
    }

    /// The number of messages of a topic.
    fn topic(&self, topic: &Topic) -> Counts;

    /// The number of topics that have messages.
    fn topic_count(&self) -> usize;

    /// The number of messages dated ahead of the clock, if the time is `now`. Those ahead by more
    /// than two days always count, those ahead by at most one day never. They were stored under a
    /// wrong clock, or imported so.
    fn ahead(&self, _now: UnixSeconds) -> u64 {
        0
    }

    /// What cannot be written at the moment.
    fn health(&self) -> Health;

    /// The damage found in the store, each as a sentence. Everything else is served.
    fn damage(&self) -> Vec<String> {
        vec![]
    }

    /// Whether requests are still served: false once the writer has ended, for any reason.
    fn is_alive(&self) -> bool {
        true
    }

    /// The store's measurements; `None` if it does not sync.
    fn measures(&self) -> Option<Measures> {
        None
    }

    /// The disk space that the store uses; `None` if it has no disk. Blocks.
    fn usage(&self) -> Option<Usage>;

    /// When a complete backup was last sent; `None`: never.
    fn last_backup(&self) -> Option<UnixSeconds> {
        None
    }
}
