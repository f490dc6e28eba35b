//! Where messages are kept: the one trait the broker speaks to, and its two engines.
//!
//! [`DiskStore`] is a log that is synced before anybody is answered, and sled trees that mirror
//! it; [`MemoryStore`] keeps nothing over a restart. Only this module names sled and
//! MessagePack. Calls that read or wait say so: they block on the disk, and belong on a thread
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

use tokio::sync::{OwnedSemaphorePermit, oneshot};

use crate::message::{Draft, Message, MessageCode, Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::SequenceSet;

pub use change::Change;
pub use committed::{Appended, Committed};
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

/// Keeps messages and what becomes of them.
///
/// What is appended gets its sequence, time and code in the order of the calls. A call that
/// has returned, or whose receiver has resolved, is seen by every later read.
pub trait Store: Send + Sync + 'static {
    /// Stores messages. The receiver resolves once they are as safe as the store makes them:
    /// synced to disk, for one that has a disk. `permit` is given back then.
    fn append(&self, drafts: Vec<Draft>, permit: Option<OwnedSemaphorePermit>) -> Appended;

    /// Records what became of messages; those that are gone, or may not change so, are passed
    /// over. Deletions are synced; other changes are not at once: after a power cut, the last
    /// of them may have to be made again. The receiver, which may be dropped, resolves when
    /// reads see the change.
    fn change(
        &self,
        change: Change,
        sequences: SequenceSet,
    ) -> oneshot::Receiver<Result<(), StoreError>>;

    /// Deletes every message created before `cutoff`, and says how many were in each status.
    /// Blocks.
    ///
    /// # Errors
    /// When the log cannot be read or written; then nothing is deleted.
    fn expire(&self, cutoff: UnixSeconds) -> Result<Counts, StoreError>;

    /// When the newest message was created, as far as that is known without reading the log.
    fn newest(&self) -> Option<UnixSeconds> {
        None
    }

    /// How many messages are dated ahead of the clock, which says that it is `now`: by more than a
    /// day, and surely by more than two. They were stored under another clock, or came so.
    fn ahead(&self, _now: UnixSeconds) -> u64 {
        0
    }

    /// Deletes those of them that were stored before `end`, and says how many were in each
    /// status. Blocks.
    ///
    /// # Errors
    /// As [`Store::expire`].
    fn expire_ahead(&self, _now: UnixSeconds, _end: Sequence) -> Result<Counts, StoreError> {
        Ok(Counts::default())
    }

    /// How many messages there are.
    fn counts(&self) -> Counts;

    /// How many messages were accepted on each day of the last 400 that had any, deleted ones
    /// included.
    fn growth(&self) -> Vec<(Day, u64)>;

    /// How many messages were accepted in each quarter of an hour of the last 31 days that had
    /// any, by its begin; deleted ones included.
    fn growth_by_quarter(&self) -> Vec<(UnixSeconds, u64)>;

    /// How many messages there are of each topic that has any, in no order.
    fn topics(&self) -> Vec<TopicCounts>;

    /// The same, told one by one, without a copy of all where that can be.
    fn each_topic(&self, each: &mut dyn FnMut(&Topic, Counts)) {
        for TopicCounts { topic, counts } in self.topics() {
            each(&topic, counts);
        }
    }

    /// How many messages there are of a topic.
    fn topic(&self, topic: &Topic) -> Counts;

    /// How many topics have messages.
    fn topic_count(&self) -> usize;

    /// When the oldest message that is not consumed was created: of each of `topics`, in their
    /// order. Blocks.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn oldest_waiting_of(&self, topics: &[Topic]) -> Result<Vec<Option<UnixSeconds>>, StoreError>;

    /// The places of those of `topics` that have a message which is not consumed and was created
    /// before `before`, in their order. However many topics there are, the disk is asked about
    /// few of them. Blocks.
    ///
    /// # Errors
    /// As [`Store::scan`].
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

    /// When the oldest message that is not consumed was created. Blocks.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError>;

    /// How many accepted messages have a sequence from `first` to `last`.
    fn accepted_between(&self, first: Sequence, last: Sequence) -> u64;

    /// Takes out those messages that are gone.
    fn retain_live(&self, messages: &mut Vec<Message>);

    /// The message with this code, if it is there: a list of at most one. Blocks.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn find(&self, code: MessageCode, bytes_max: usize) -> Result<Listed, StoreError>;

    /// Deletes the messages of a topic that are in one of `kinds` and were stored before the
    /// call; says how many. They are gone for good when it returns. Blocks.
    ///
    /// # Errors
    /// When the log cannot be written; some of them may be gone then.
    fn purge(&self, topic: &Topic, kinds: &[StatusKind]) -> Result<u64, StoreError>;

    /// What cannot be written at the moment.
    fn health(&self) -> Health;

    /// What of the store was found to be damaged, each as a sentence. The rest is served.
    fn damage(&self) -> Vec<String> {
        vec![]
    }

    /// Whether what is asked for is still served: false once the writer has ended, whatever
    /// ended it.
    fn is_alive(&self) -> bool {
        true
    }

    /// Writes something that means nothing, if what was to be written last was refused: so a
    /// disk that takes messages again is noticed though nobody sends any. Does not wait.
    fn probe(&self) {}

    /// Writes a snapshot so often from now on, if there are any.
    fn write_snapshot_every(&self, _: Duration) {}

    /// What the store measures of itself; `None` if it does not sync.
    fn measures(&self) -> Option<Measures> {
        None
    }

    /// What the store takes of the disk; `None` if it has none. Blocks.
    fn usage(&self) -> Option<Usage>;

    /// A copy of what is stored now, everything answered so far included; `None` if it is not
    /// on a disk.
    fn backup(&self) -> Option<Backup>;

    /// A backup was sent whole at this time, which is kept. Blocks.
    ///
    /// # Errors
    /// When the disk refuses.
    fn note_backup(&self, _at: UnixSeconds) -> Result<(), StoreError> {
        Ok(())
    }

    /// When a backup was sent whole last; `None`: never.
    fn last_backup(&self) -> Option<UnixSeconds> {
        None
    }

    /// The sequence that the next message gets.
    fn next_sequence(&self) -> Sequence;

    /// Messages created before this time are deleted.
    fn cutoff(&self) -> UnixSeconds;

    /// Reads messages in a status, oldest first. Blocks.
    ///
    /// # Errors
    /// When the disk cannot be read; damaged messages are reported and passed over.
    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError>;

    /// Reads what matches, newest first by time of creation and then by sequence: a limited
    /// number of messages, with at most `bytes_max` of data together. Blocks.
    ///
    /// # Errors
    /// As [`Store::scan`].
    fn list(&self, query: &Query, bytes_max: usize) -> Result<Listed, StoreError>;

    /// Ends the store: everything asked for before is done and synced, the snapshot is brought
    /// up to date, and later calls are refused. Blocks.
    ///
    /// # Errors
    /// When something could not be written.
    fn close(&self) -> Result<(), StoreError>;
}
