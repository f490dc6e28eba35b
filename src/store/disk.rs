//! The engine with a disk: connects log, index, mirror and snapshot.

use std::cell::Cell;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::oneshot;

use crate::import::ImportedMessage;
use crate::message::{Draft, Message, MessageCode, Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::commit::order::Wake;
use crate::store::commit::poison::Poison;
use crate::store::commit::propose::Proposer;
use crate::store::commit::request::Request;
use crate::store::commit::watermarks::Watermarks;
use crate::store::commit::writer::{Writer, WriterParts};
use crate::store::committed::{Appended, Committed, Hold};
use crate::store::counts::{Counts, TopicCounts};
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, parent};
use crate::store::fs::last_backup::LastBackup;
use crate::store::fs::layout::{self, Layout};
use crate::store::fs::lock::Lock;
use crate::store::fs::reserve::Reserve;
use crate::store::growth::Day;
use crate::store::health::{Health, Trouble};
use crate::store::log::local::Log;
use crate::store::measures::{Measures, Syncs, Usage};
use crate::store::options::Options;
use crate::store::query::{Listed, Query, Scan, Scanned};
use crate::store::reader::Reader;
use crate::store::recovery::import_legacy::{add, import_legacy};
use crate::store::recovery::opened::{Opened, mirror_all};
use crate::store::recovery::recovered::{Imported, Origin, Recovered};
use crate::store::repair::scrub::Scrub;
use crate::store::snapshot::Snapshot;
use crate::store::snapshot::backup::Backup;
use crate::store::threads::drive::{Drive, Engine, Work};
use crate::store::threads::mirroring::MirrorThread;
use crate::store::threads::snapshotting::SnapshotThread;
use crate::store::{Reads, Stats, Store, recovery};

/// Messages on disk: it answers after the sync.
pub struct DiskStore {
    requests: UnboundedSender<Request>,
    reader: Reader,
    watermarks: Arc<Watermarks>,
    drive: Mutex<Drive>,
    trouble: Trouble,
    syncs: Arc<Syncs>,
    files: Arc<dyn Files>,
    layout: Layout,
    last_backup: LastBackup,
    /// Keeps other processes out.
    _lock: Lock,
}

impl DiskStore {
    /// Opens the store, and recovers what a crash has left. A data file of the original at the
    /// snapshot's path is imported, and kept as `<name>.original`. Blocks.
    ///
    /// # Errors
    /// When another process has it open, its format is newer, or the disk refuses.
    pub fn open(
        options: &Options,
        committed: Committed,
    ) -> Result<(DiskStore, Recovered), StoreError> {
        let (store, engine, recovered) = DiskStore::assemble(options, committed)?;
        *store.drive() = Drive::Threads(engine.start()?);
        Ok((store, recovered))
    }

    /// Opens the store without threads, for simulations: it does nothing until [`DiskStore::work`]
    /// is called. Calls that wait for the writer do the writer's work themselves.
    ///
    /// # Errors
    /// As [`DiskStore::open`].
    #[doc(hidden)]
    pub fn open_by_hand(
        options: &Options,
        committed: Committed,
    ) -> Result<(DiskStore, Recovered), StoreError> {
        let (store, engine, recovered) = DiskStore::assemble(options, committed)?;
        *store.drive() = Drive::ByHand(Arc::new(engine.by_hand()));
        Ok((store, recovered))
    }

    /// Does one step of a store opened by hand, also during a step of another part. Returns the
    /// number of requests served.
    ///
    /// # Errors
    /// When mirror or snapshot could not be written. The writer sends its errors to its callers.
    #[doc(hidden)]
    pub fn work(&self, work: Work) -> Result<usize, StoreError> {
        let parts = self.drive().by_hand().ok_or(StoreError::Closed)?;
        parts.work(work)
    }

    /// Ends a store opened by hand as a crash would: nothing more is written.
    #[doc(hidden)]
    pub fn abandon(&self) {
        *self.drive() = Drive::Ended;
    }

    /// A digest of the state: stores that have applied the same entries have the same.
    #[doc(hidden)]
    pub fn state_digest(&self) -> [u8; 20] {
        self.reader.lock().digest()
    }

    /// Builds everything except the threads.
    fn assemble(
        options: &Options,
        committed: Committed,
    ) -> Result<(DiskStore, Engine, Recovered), StoreError> {
        let Locked {
            mut opened,
            reserve,
            layout,
            lock,
        } = open_locked(options)?;
        if opened.original {
            import_legacy(&*options.files, &mut opened, &layout)?;
        }
        if opened.recovered.origin != Origin::Log {
            // From now on, an empty mirror means that one was lost.
            mirror_all(&mut opened)?;
        }
        // If this fails, the reserve is filled before the next message.
        let _ = reserve.fill();
        let watermarks = Arc::new(Watermarks::new(opened.log.end(), options.snapshot_every));
        watermarks.written(false, opened.log.end());
        let shared = Shared {
            watermarks,
            reader: Reader {
                segments: opened.log.segments().clone(),
                index: Arc::new(Mutex::new(opened.index)),
                mirror: Arc::new(opened.mirror),
                findings: opened.findings,
            },
            reserve: Arc::new(reserve),
            poison: Arc::new(OnceLock::new()),
            trouble: Trouble::default(),
            syncs: Arc::default(),
        };
        let (requests, receiver) = unbounded_channel();
        let engine = Engine {
            requests: receiver,
            writer: shared.writer(options, opened.log, committed, requests.clone()),
            mirror: shared.mirror_thread(),
            snapshot: shared.snapshot_thread(opened.snapshot, opened.scrub),
        };
        let store = DiskStore {
            requests,
            reader: shared.reader,
            watermarks: shared.watermarks,
            drive: Mutex::new(Drive::Ended),
            trouble: shared.trouble,
            syncs: shared.syncs,
            files: options.files.clone(),
            last_backup: LastBackup::of(&*options.files, &layout.dir),
            layout,
            _lock: lock,
        };
        Ok((store, engine, opened.recovered))
    }

    /// How the parts that do the work are driven.
    fn drive(&self) -> MutexGuard<'_, Drive> {
        self.drive.lock().expect("no holder of this lock panics")
    }

    /// Waits until the writer has answered.
    fn wait<T>(
        &self,
        mut answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        if self.drive().by_hand().is_some() {
            // No other thread runs the writer, so this call does it.
            while self.work(Work::Write(usize::MAX))? > 0 {}
            return answer.try_recv().unwrap_or(Err(StoreError::Closed));
        }
        answer.blocking_recv().unwrap_or(Err(StoreError::Closed))
    }

    /// Imports messages of an original into the store, which must not be running. Codes, times and
    /// statuses are kept. Messages that it has already are skipped. `progress` gets the number done
    /// so far. Blocks. Everything is synced when it returns.
    ///
    /// # Errors
    /// As [`DiskStore::open`].
    pub fn import(
        options: &Options,
        messages: Vec<ImportedMessage>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Imported, StoreError> {
        let locked = open_locked(options)?;
        let (mut opened, _lock) = (locked.opened, locked.lock);
        let imported = add(&mut opened, messages, progress)?;
        mirror_all(&mut opened)?;
        if !opened.original {
            opened.snapshot.update(opened.log.segments())?;
        }
        Ok(imported)
    }
}

/// What the store and its threads share.
struct Shared {
    watermarks: Arc<Watermarks>,
    reader: Reader,
    reserve: Arc<Reserve>,
    poison: Poison,
    trouble: Trouble,
    syncs: Arc<Syncs>,
}

impl Shared {
    /// The order wakes the writer through `requests`.
    fn writer(
        &self,
        options: &Options,
        log: Log,
        committed: Committed,
        requests: UnboundedSender<Request>,
    ) -> Writer {
        let wake = Wake(Arc::new(move || drop(requests.send(Request::Ordered))));
        Writer::new(WriterParts {
            log,
            index: self.reader.index.clone(),
            watermarks: self.watermarks.clone(),
            reserve: self.reserve.clone(),
            poison: self.poison.clone(),
            committed,
            trouble: self.trouble.clone(),
            syncs: self.syncs.clone(),
            proposer: Proposer::new(options.clock.clone()),
            order: options.order.begin(&options.clock, wake),
        })
    }

    fn mirror_thread(&self) -> MirrorThread {
        MirrorThread {
            watermarks: self.watermarks.clone(),
            reader: self.reader.clone(),
            reserve: self.reserve.clone(),
            poison: self.poison.clone(),
            trouble: self.trouble.clone(),
            broken: Cell::new(false),
        }
    }

    fn snapshot_thread(&self, snapshot: Snapshot, scrub: Option<Scrub>) -> SnapshotThread {
        SnapshotThread {
            watermarks: self.watermarks.clone(),
            segments: self.reader.segments.clone(),
            reserve: self.reserve.clone(),
            snapshot,
            scrub,
            index: self.reader.index.clone(),
            trouble: self.trouble.clone(),
        }
    }
}

/// A store that has been read back, locked against other processes.
struct Locked {
    opened: Opened,
    reserve: Reserve,
    layout: Layout,
    lock: Lock,
}

/// Locks the store, and reads it back.
fn open_locked(options: &Options) -> Result<Locked, StoreError> {
    let files = &options.files;
    let layout = Layout::new(&options.snapshot);
    recovery::refuse_dangling(&**files, &layout)?;
    let folder = parent(&layout.snapshot);
    files.create_dirs(folder).doing("create", folder)?;
    let mut lock = Lock::take(&**files, &layout)?;
    if options.clear {
        recovery::clear(&**files, &layout)?;
        lock.leave();
        layout::clear_unfinished(&**files, &layout)?;
    }
    layout::refuse_unfinished(&**files, &layout)?;
    files
        .create_dirs(&layout.dir)
        .doing("create", &layout.dir)?;
    lock.enter(&**files, &layout)?;
    let reserve = Reserve::new(files, &layout.dir, options.reserve_bytes);
    let opened = recovery::open(files, &layout, options.segment_bytes, &reserve)?;
    Ok(Locked {
        opened,
        reserve,
        layout,
        lock,
    })
}

impl Store for DiskStore {
    fn append(&self, drafts: Vec<Draft>, hold: Option<Box<dyn Hold>>) -> Appended {
        let (done, receiver) = oneshot::channel();
        // A closed store drops the request, and with it `done`, which tells the receiver.
        let _ = self.requests.send(Request::Append { drafts, hold, done });
        receiver
    }

    fn change(
        &self,
        change: Change,
        sequences: SequenceSet,
    ) -> oneshot::Receiver<Result<(), StoreError>> {
        let (done, receiver) = oneshot::channel();
        let _ = self.requests.send(Request::Change {
            change,
            sequences,
            done,
        });
        receiver
    }

    fn expire(&self, cutoff: UnixSeconds) -> Result<Counts, StoreError> {
        if self.requests.is_closed() {
            return Err(StoreError::Closed);
        }
        let mut deleted = Counts::default();
        // Older messages may arrive before the cutoff has risen: the second round finds them.
        // Afterwards a message is older only if the clock was set back.
        for _ in 0..2 {
            let also = self.reader.expired_beside_newer(cutoff)?;
            let older = {
                let index = self.reader.lock();
                if also.is_empty() && !index.has_older(cutoff) {
                    return Ok(deleted);
                }
                let mut older = index.counts_older(cutoff);
                older += index.counts_of(&also);
                older
            };
            let (done, receiver) = oneshot::channel();
            let _ = self.requests.send(Request::Expire { cutoff, also, done });
            self.wait(receiver)?;
            deleted += older;
        }
        Ok(deleted)
    }

    fn expire_ahead(&self, now: UnixSeconds, end: Sequence) -> Result<Counts, StoreError> {
        let (aged, counts) = {
            let index = self.reader.lock();
            let aged = index.created_after(Day::last_not_ahead(now), end);
            let counts = index.counts_of(&aged);
            (aged, counts)
        };
        if !aged.is_empty() {
            self.wait(self.change(Change::Deleted, aged))?;
        }
        Ok(counts)
    }

    fn purge(&self, topic: &Topic, kinds: &[StatusKind]) -> Result<u64, StoreError> {
        let to = self.reader.lock().next_sequence();
        let (mut from, mut purged) = (Some(Sequence::default()), 0);
        while let Some(first) = from {
            let (sequences, next) = self.reader.of_topic(topic, kinds, first, to);
            from = next;
            if !sequences.is_empty() {
                purged += sequences.len();
                self.wait(self.change(Change::Deleted, sequences))?;
            }
        }
        Ok(purged)
    }

    fn note_backup(&self, at: UnixSeconds) -> Result<(), StoreError> {
        self.last_backup.note(&*self.files, &self.layout.dir, at)
    }

    fn probe(&self) {
        if self.trouble.health().refusing.is_some() {
            let _ = self.requests.send(Request::Probe);
        }
    }

    fn write_snapshot_every(&self, time: Duration) {
        self.watermarks.write_snapshot_every(time);
    }

    fn close(&self) -> Result<(), StoreError> {
        // Another caller of `close` waits here until it is done.
        let mut drive = self.drive();
        let _ = self.requests.send(Request::Close);
        drive.close(&self.watermarks)
    }
}

impl Reads for DiskStore {
    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError> {
        self.reader.scan(scan)
    }

    fn list(&self, query: &Query, bytes_max: usize) -> Result<Listed, StoreError> {
        self.reader.list(query, bytes_max)
    }

    fn find(&self, code: MessageCode, bytes_max: usize) -> Result<Listed, StoreError> {
        self.reader.message_with(code, bytes_max)
    }

    fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError> {
        self.reader.oldest_waiting()
    }

    fn oldest_waiting_of(&self, topics: &[Topic]) -> Result<Vec<Option<UnixSeconds>>, StoreError> {
        self.reader.oldest_waiting_of(topics)
    }

    fn waiting_before(
        &self,
        topics: &[Topic],
        before: UnixSeconds,
    ) -> Result<Vec<usize>, StoreError> {
        self.reader.waiting_before(topics, before)
    }

    fn accepted_between(&self, first: Sequence, last: Sequence) -> u64 {
        let index = self.reader.lock();
        index.count_between(StatusKind::Accepted, first, last)
    }

    fn retain_live(&self, messages: &mut Vec<Message>) {
        let index = self.reader.lock();
        messages.retain(|message| index.is_live(message.sequence));
    }

    fn next_sequence(&self) -> Sequence {
        self.reader.lock().next_sequence()
    }

    fn cutoff(&self) -> UnixSeconds {
        self.reader.lock().cutoff()
    }

    fn newest(&self) -> Option<UnixSeconds> {
        self.reader.lock().newest()
    }

    fn backup(&self) -> Option<Backup> {
        Some(Backup::of(&self.reader.segments))
    }
}

impl Stats for DiskStore {
    fn counts(&self) -> Counts {
        self.reader.lock().counts()
    }

    fn growth(&self) -> Vec<(Day, u64)> {
        self.reader.lock().growth()
    }

    fn growth_by_quarter(&self) -> Vec<(UnixSeconds, u64)> {
        self.reader.lock().quarters()
    }

    fn topics(&self) -> Vec<TopicCounts> {
        let index = self.reader.lock();
        let topics = index.topics().iter();
        topics
            .map(|(topic, counts)| TopicCounts {
                topic: topic.clone(),
                counts,
            })
            .collect()
    }

    fn each_topic(&self, each: &mut dyn FnMut(&Topic, Counts)) {
        let mut from = 0;
        while let Some(next) = self.reader.lock().topics().some_from(from, each) {
            from = next;
        }
    }

    fn topic(&self, topic: &Topic) -> Counts {
        self.reader.lock().topics().counts(topic)
    }

    fn topic_count(&self) -> usize {
        self.reader.lock().topics().len()
    }

    fn ahead(&self, now: UnixSeconds) -> u64 {
        self.reader.lock().count_after(Day::last_not_ahead(now))
    }

    fn health(&self) -> Health {
        self.trouble.health()
    }

    fn damage(&self) -> Vec<String> {
        self.reader.findings.texts()
    }

    fn is_alive(&self) -> bool {
        !self.requests.is_closed()
    }

    fn measures(&self) -> Option<Measures> {
        let lag = self.watermarks.lag();
        Some(Measures {
            group_messages: self.syncs.group_messages.spread(),
            sync_seconds: self.syncs.seconds.spread(),
            mirror_lag_bytes: self.reader.segments.bytes_from(lag.mirrored),
            mirror_lag: lag.mirror,
            snapshot_age: lag.snapshot,
        })
    }

    fn usage(&self) -> Option<Usage> {
        let snapshot = self.files.open(&self.layout.snapshot, OpenHow::Read);
        Some(Usage {
            path: self.layout.dir.clone(),
            log_bytes: self.reader.segments.bytes(),
            mirror_bytes: self.reader.mirror.bytes(),
            snapshot_bytes: snapshot.and_then(|file| file.len()).unwrap_or_default(),
        })
    }

    fn last_backup(&self) -> Option<UnixSeconds> {
        self.last_backup.get()
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store was not closed cleanly");
        }
    }
}
