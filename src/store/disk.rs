//! The engine with a disk: puts log, index, mirror and snapshot together.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::hash::{BuildHasher, RandomState};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::error::{IoContext, StoreError};
use super::keeper::{Keeper, MirrorThread, SnapshotThread};
use super::log::SEGMENT_BYTES_TARGET;
use super::read::Reader;
use super::record::{self, Accept, Change, Frame};
use super::recovery::{self, Layout, Opened, Origin, Recovered, with_suffix};
use super::snapshot::parent;
use super::writer::{Poison, Request, Trouble, Writer, accept, frame_ranges};
use super::{
    Appended, Committed, Counts, Day, Imported, Query, Scan, Scanned, Store, TopicCounts, Usage,
    not_present,
};
use crate::clock::Clock;
use crate::import::{self, ImportedMessage};
use crate::message::{
    Draft, Message, MessageCode, Sequence, Status, StatusKind, Topic, UnixSeconds,
};
use crate::sequences::SequenceSet;

/// How to open a [`DiskStore`].
#[derive(Clone, Debug)]
pub struct Options {
    /// The snapshot file; the store itself is in a folder of this name with `.db` behind.
    pub snapshot: PathBuf,
    /// Time between two snapshots.
    pub snapshot_every: Duration,
    /// Whether to begin with nothing, and remove what there is.
    pub clear: bool,
    /// Where the time comes from.
    pub clock: Clock,
    /// The log begins a new file when the newest has this many bytes, at most a GiB.
    pub segment_bytes: u64,
}

impl Options {
    /// A store with its snapshot at `snapshot`, written every hour.
    pub fn new(snapshot: impl Into<PathBuf>) -> Options {
        Options {
            snapshot: snapshot.into(),
            snapshot_every: Duration::from_secs(3600),
            clear: false,
            clock: Clock::system(),
            segment_bytes: SEGMENT_BYTES_TARGET,
        }
    }
}

/// Messages on disk: an answer means synced.
pub struct DiskStore {
    requests: UnboundedSender<Request>,
    reader: Reader,
    keeper: Arc<Keeper>,
    threads: Mutex<Option<Threads>>,
    trouble: Trouble,
    layout: Layout,
    /// Held open: its lock is what keeps other processes out.
    _lock: File,
}

struct Threads {
    writer: JoinHandle<Result<(), StoreError>>,
    mirror: JoinHandle<Result<(), StoreError>>,
    snapshot: JoinHandle<Result<(), StoreError>>,
}

impl DiskStore {
    /// Opens the store, recovering what a crash left; a data file of the original at the
    /// snapshot's place is taken over, and kept beside as `<name>.original`. Blocks.
    ///
    /// # Errors
    /// When another process has it open, its format is newer, or the disk refuses.
    pub fn open(
        options: &Options,
        committed: Committed,
    ) -> Result<(DiskStore, Recovered), StoreError> {
        let (mut opened, lock, layout) = open_locked(options)?;
        if opened.original {
            take_over(&mut opened, &layout)?;
        }
        if opened.recovered.origin != Origin::Log {
            // From now on an empty mirror means that one was lost.
            mirror_all(&mut opened)?;
        }
        let recovered = opened.recovered.clone();
        let poison: Poison = Arc::new(OnceLock::new());
        let keeper = Arc::new(Keeper::default());
        let reader = Reader {
            segments: opened.log.segments().clone(),
            index: Arc::new(Mutex::new(opened.index)),
            mirror: Arc::new(opened.mirror),
        };
        let trouble = Trouble::default();
        let (requests, receiver) = unbounded_channel();
        keeper.notify(false, opened.log.end());
        let writer = Writer {
            log: opened.log,
            index: reader.index.clone(),
            keeper: keeper.clone(),
            poison: poison.clone(),
            clock: options.clock.clone(),
            committed,
            unique: random_upper_half(),
            carried: vec![],
            refused: None,
            last_created: UnixSeconds::MIN,
            refused_messages: 0,
            trouble: trouble.clone(),
        };
        let mirror = MirrorThread {
            keeper: keeper.clone(),
            reader: reader.clone(),
            poison,
        };
        let snapshot = SnapshotThread {
            keeper: keeper.clone(),
            segments: reader.segments.clone(),
            snapshot: opened.snapshot,
            every: options.snapshot_every,
        };
        let threads = Threads {
            writer: spawn("dpmq-writer", move || writer.run(receiver))?,
            mirror: spawn("dpmq-mirror", move || mirror.run())?,
            snapshot: spawn("dpmq-snapshot", move || snapshot.run())?,
        };
        let store = DiskStore {
            requests,
            reader,
            keeper,
            threads: Mutex::new(Some(threads)),
            trouble,
            layout,
            _lock: lock,
        };
        Ok((store, recovered))
    }

    /// Takes messages of an original over into the store that is not running: codes, times
    /// and statuses are kept, messages that are there already are passed over. `progress` is
    /// told how many are done. Blocks; all is synced when it returns.
    ///
    /// # Errors
    /// As [`DiskStore::open`].
    pub fn import(
        options: &Options,
        messages: Vec<ImportedMessage>,
        progress: &mut dyn FnMut(u64),
    ) -> Result<Imported, StoreError> {
        let (mut opened, _lock, _layout) = open_locked(options)?;
        let imported = add(&mut opened, messages, progress)?;
        mirror_all(&mut opened)?;
        if !opened.original {
            opened.snapshot.update(opened.log.segments())?;
        }
        Ok(imported)
    }
}

/// Writes all of the index to the mirror, and the mirror to the disk.
fn mirror_all(opened: &mut Opened) -> Result<(), StoreError> {
    opened.index.mark_all_dirty();
    opened.mirror.apply(&opened.index.take_changes())?;
    opened.index.mirrored(None);
    opened.mirror.flush()
}

fn open_locked(options: &Options) -> Result<(Opened, File, Layout), StoreError> {
    let layout = Layout::new(&options.snapshot);
    let folder = parent(&layout.snapshot);
    fs::create_dir_all(folder).doing("create", folder)?;
    let lock = lock_file(&layout)?;
    if options.clear {
        recovery::clear(&layout)?;
    }
    fs::create_dir_all(&layout.dir).doing("create", &layout.dir)?;
    let opened = recovery::open(&layout, options.segment_bytes)?;
    Ok((opened, lock, layout))
}

/// The lock is beside the folder, so that clearing the folder does not take it away.
fn lock_file(layout: &Layout) -> Result<File, StoreError> {
    let path = with_suffix(&layout.snapshot, ".lock");
    let file = File::options()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .doing("create", &path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(fs::TryLockError::WouldBlock) => Err(StoreError::Locked { path }),
        Err(fs::TryLockError::Error(error)) => Err(error).doing("lock", &path),
    }
}

fn spawn(
    name: &str,
    work: impl FnOnce() -> Result<(), StoreError> + Send + 'static,
) -> Result<JoinHandle<Result<(), StoreError>>, StoreError> {
    std::thread::Builder::new()
        .name(name.into())
        .spawn(work)
        .doing("start a thread for", Path::new(name))
}

fn random_upper_half() -> u128 {
    let state = RandomState::new();
    u128::from(state.hash_one(std::process::id())) << 64
}

/// Imports the original's file at the snapshot's place, and puts it aside. A crash before the
/// file has its new name makes the next start do it again, which changes nothing.
fn take_over(opened: &mut Opened, layout: &Layout) -> Result<(), StoreError> {
    let path = &layout.snapshot;
    let import = import::read(path).map_err(|error| StoreError::NotOurs {
        path: path.clone(),
        what: error.to_string(),
    })?;
    for refused in &import.refused {
        tracing::warn!(code = %refused.code, reason = %refused.reason, "a message is not taken over");
    }
    let imported = add(opened, import.messages, &mut |_| {})?;
    opened.index.mark_all_dirty();
    let kept = free_name(&with_suffix(path, ".original"));
    fs::rename(path, &kept).doing("rename", path)?;
    super::log::sync_dir(parent(path))?;
    let damage = import
        .damage
        .map(|damage| format!("{}: {damage}", kept.display()));
    opened.recovered.damage.extend(damage);
    opened.recovered.imported = Some((imported, kept));
    opened.recovered.counts = opened.index.counts();
    Ok(())
}

/// `wanted`, or with a number behind if there is such a file.
pub(crate) fn free_name(wanted: &Path) -> PathBuf {
    let numbered = (2..).map(|n: u32| with_suffix(wanted, &format!(".{n}")));
    std::iter::once(wanted.to_owned())
        .chain(numbered)
        .find(|path| !path.exists())
        .expect("some number is free")
}

fn add(
    opened: &mut Opened,
    messages: Vec<ImportedMessage>,
    progress: &mut dyn FnMut(u64),
) -> Result<Imported, StoreError> {
    let created = || messages.iter().map(|message| message.created);
    let (Some(from), Some(to)) = (created().min(), created().max()) else {
        return Ok(Imported::default());
    };
    let present: HashSet<MessageCode> = codes_between(opened, from, to)?.into_iter().collect();
    let (fresh, present) = not_present(messages, &present);
    let first = opened.index.next_sequence();
    let messages: Vec<Message> = fresh
        .into_iter()
        .zip(first.0..)
        .map(|(message, sequence)| Message {
            sequence: Sequence(sequence),
            code: message.code,
            topic: message.topic,
            data: message.data,
            created: message.created,
            status: message.status,
        })
        .collect();
    let mut buffer = vec![];
    for range in frame_ranges(&messages) {
        let done = range.end as u64 + present;
        append_with_status(opened, &messages[range], &mut buffer)?;
        progress(done);
    }
    opened.log.sync()?;
    Ok(Imported {
        added: messages.len() as u64,
        present,
    })
}

/// Writes messages and their statuses in one frame, so that a crash keeps both or neither.
fn append_with_status(
    opened: &mut Opened,
    messages: &[Message],
    buffer: &mut Vec<u8>,
) -> Result<(), StoreError> {
    let accepts: Vec<Accept<'_>> = messages.iter().map(accept).collect();
    let mut changes: BTreeMap<(bool, UnixSeconds), (Change, SequenceSet)> = BTreeMap::new();
    for message in messages {
        let (key, change) = match message.status {
            Status::Accepted => continue,
            Status::NotConsumed => ((false, UnixSeconds::MIN), Change::NotConsumed),
            Status::Consumed { at } => ((true, at), Change::Consumed { at }),
        };
        let entry = changes
            .entry(key)
            .or_insert_with(|| (change, SequenceSet::new()));
        entry.1.insert(message.sequence);
    }
    let changes: Vec<_> = changes.into_values().collect();
    let frame = Frame {
        first: messages[0].sequence,
        accepts: &accepts,
        changes: &changes,
        ..Frame::default()
    };
    buffer.clear();
    record::encode(buffer, opened.log.seed(), &frame);
    let position = opened.log.end();
    opened.log.append(buffer)?;
    let last = messages[messages.len() - 1].sequence;
    opened.log.publish(last.0);
    let located = opened.log.segments().meta_at(position)?;
    opened.index.apply(position, located.next, &located.meta);
    if opened.log.is_full() {
        let base = opened.index.base();
        opened.log.roll(&base)?;
        opened.index.advance(opened.log.end());
    }
    Ok(())
}

fn codes_between(
    opened: &mut Opened,
    from: UnixSeconds,
    to: UnixSeconds,
) -> Result<Vec<MessageCode>, StoreError> {
    super::read::codes_between(opened.log.segments(), &opened.index, from, to)
}

impl Store for DiskStore {
    fn append(&self, drafts: Vec<Draft>, permit: Option<OwnedSemaphorePermit>) -> Appended {
        let (done, receiver) = oneshot::channel();
        // A closed store drops the request, and with it `done`, which tells the receiver.
        let _ = self.requests.send(Request::Append {
            drafts,
            permit,
            done,
        });
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

    fn expire(&self, floor: UnixSeconds) -> Result<u64, StoreError> {
        if self.requests.is_closed() {
            return Err(StoreError::Closed);
        }
        let mut deleted = 0;
        // Until the floor is up, messages may come that are older: once more finds them.
        loop {
            let also = self.reader.expired_beside_newer(floor)?;
            let older = {
                let index = self.reader.lock();
                if also.is_empty() && !index.has_older(floor) {
                    return Ok(deleted);
                }
                index.counts_older(floor) + also.len()
            };
            let (done, receiver) = oneshot::channel();
            let _ = self.requests.send(Request::Expire { floor, also, done });
            receiver
                .blocking_recv()
                .unwrap_or(Err(StoreError::Closed))?;
            deleted += older;
        }
    }

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

    fn topic(&self, topic: &Topic) -> Counts {
        self.reader.lock().topics().counts(topic)
    }

    fn topic_count(&self) -> usize {
        self.reader.lock().topics().len()
    }

    fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError> {
        self.reader.oldest_waiting()
    }

    fn oldest_waiting_of(&self, topics: &[Topic]) -> Result<Vec<Option<UnixSeconds>>, StoreError> {
        self.reader.oldest_waiting_of(topics)
    }

    fn accepted_between(&self, first: Sequence, last: Sequence) -> u64 {
        let index = self.reader.lock();
        index.count_between(StatusKind::Accepted, first, last)
    }

    fn retain_live(&self, messages: &mut Vec<Message>) {
        let index = self.reader.lock();
        messages.retain(|message| index.is_live(message.sequence));
    }

    fn find(&self, code: MessageCode) -> Result<Option<Message>, StoreError> {
        self.reader.message_with(code)
    }

    fn purge(&self, topic: &Topic, kinds: &[StatusKind]) -> Result<u64, StoreError> {
        let to = self.reader.lock().next_sequence();
        let (mut from, mut purged) = (Some(Sequence::default()), 0);
        while let Some(first) = from {
            let (sequences, next) = self.reader.of_topic(topic, kinds, first, to);
            from = next;
            if !sequences.is_empty() {
                purged += sequences.len();
                self.change(Change::Deleted, sequences)
                    .blocking_recv()
                    .unwrap_or(Err(StoreError::Closed))?;
            }
        }
        Ok(purged)
    }

    fn trouble(&self) -> Option<String> {
        let trouble = self.trouble.lock().expect("no holder of this lock panics");
        trouble.as_ref().map(StoreError::cause)
    }

    fn usage(&self) -> Option<Usage> {
        let snapshot = fs::metadata(&self.layout.snapshot);
        Some(Usage {
            path: self.layout.dir.clone(),
            log_bytes: self.reader.segments.bytes(),
            mirror_bytes: self.reader.mirror.bytes(),
            snapshot_bytes: snapshot.map_or(0, |file| file.len()),
        })
    }

    fn next_sequence(&self) -> Sequence {
        self.reader.lock().next_sequence()
    }

    fn floor(&self) -> UnixSeconds {
        self.reader.lock().floor()
    }

    fn scan(&self, scan: &Scan) -> Result<Scanned, StoreError> {
        self.reader.scan(scan)
    }

    fn list(
        &self,
        query: &Query,
        each: &mut dyn FnMut(Vec<Message>) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        self.reader.list(query, each)
    }

    fn close(&self) -> Result<(), StoreError> {
        // Whoever closes too waits until it is done.
        let mut running = self.threads.lock().expect("no holder of this lock panics");
        let Some(threads) = running.take() else {
            return Ok(());
        };
        let _ = self.requests.send(Request::Close);
        let joined = |thread: JoinHandle<Result<(), StoreError>>| {
            thread.join().unwrap_or(Err(StoreError::Closed))
        };
        let written = joined(threads.writer);
        self.keeper.close();
        let mirrored = joined(threads.mirror);
        let snapshot = joined(threads.snapshot);
        written.and(mirrored).and(snapshot)
    }
}

impl Drop for DiskStore {
    fn drop(&mut self) {
        if let Err(error) = self.close() {
            tracing::error!(%error, "the store did not end well");
        }
    }
}
