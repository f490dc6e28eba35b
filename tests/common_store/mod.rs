//! What the tests of the store share: opening, asking and waiting in one line each, and a plain
//! model that tells what the answers must be.

#![allow(dead_code, unused_imports, reason = "each test file uses a part")]

mod failing;
pub(crate) mod ordered;

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use chrono::{DateTime, Local};
use dpmq::clock::Clock;
use dpmq::message::{
    Draft, Message, MessageCode, Sequence, Status, StatusKind, Topic, UnixSeconds,
};
use dpmq::sequences::SequenceSet;
use dpmq::store::{
    Change, Committed, Counts, Day, DiskStore, Options, Query, Reads, Recovered, Rest, Scan, Stats,
    Storage, Store, StoreError,
};

pub(crate) use failing::Failing;

/// A time in the middle of a day, wherever the test runs.
pub(crate) const NOON: UnixSeconds = UnixSeconds(1_789_992_000);

/// What the committed hook was called with.
pub(crate) type Seen = Arc<Mutex<Vec<Message>>>;

pub(crate) fn recorder() -> (Seen, Committed) {
    let seen = Seen::default();
    let into = seen.clone();
    let hook = move |messages: Vec<Message>| into.lock().unwrap().extend(messages);
    (seen, Box::new(hook))
}

pub(crate) fn nobody() -> Committed {
    Box::new(|_| {})
}

/// Options of a store in `dir` whose segments are small and whose snapshot waits for the close.
pub(crate) fn options(dir: &Path, clock: &Clock) -> Options {
    Options {
        snapshot_every: Duration::from_secs(3600),
        clock: clock.clone(),
        segment_bytes: 32 << 10,
        reserve_bytes: 8 << 10,
        ..Options::new(dir.join("data"))
    }
}

pub(crate) fn open(options: &Options) -> (DiskStore, Recovered) {
    unlocked(|| DiskStore::open(options, nobody())).unwrap()
}

/// What `open` returns once the locks of a store that was closed here are free: a program that
/// another test is just starting holds copies of them until it runs.
pub(crate) fn unlocked<T>(
    mut open: impl FnMut() -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    const STARTING_MAX: Duration = Duration::from_secs(10);
    let begin = Instant::now();
    loop {
        match open() {
            Err(StoreError::Locked { .. }) if begin.elapsed() < STARTING_MAX => {
                std::thread::yield_now();
            }
            opened => return opened,
        }
    }
}

pub(crate) fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

pub(crate) fn draft(topic: &Topic, data: &str) -> Draft {
    Draft::new(topic.clone(), data.into())
}

/// Appends messages to one topic and waits for their codes.
pub(crate) fn append(store: &dyn Storage, name: &str, texts: &[&str]) -> Vec<MessageCode> {
    let topic = topic(name);
    let drafts = texts.iter().map(|text| draft(&topic, text)).collect();
    store.append(drafts, None).blocking_recv().unwrap().unwrap()
}

/// Appends `count` messages whose data is their number.
pub(crate) fn append_many(store: &dyn Storage, name: &str, count: usize) -> Vec<MessageCode> {
    let texts: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    append(
        store,
        name,
        &texts.iter().map(String::as_str).collect::<Vec<_>>(),
    )
}

pub(crate) fn set(sequences: impl IntoIterator<Item = u64>) -> SequenceSet {
    sequences.into_iter().map(Sequence).collect()
}

pub(crate) fn change(
    store: &dyn Storage,
    change: Change,
    sequences: impl IntoIterator<Item = u64>,
) {
    store
        .change(change, set(sequences))
        .blocking_recv()
        .unwrap()
        .unwrap();
}

/// Everything that matches, read piece by piece as the broker reads it.
pub(crate) fn list(store: &dyn Storage, query: &Query) -> Vec<Message> {
    let mut all = vec![];
    list_into(&mut all, store, query).unwrap();
    all
}

/// Adds what matches to `all`, as far as it can be read.
pub(crate) fn list_into(
    all: &mut Vec<Message>,
    store: &dyn Storage,
    query: &Query,
) -> Result<(), StoreError> {
    const BYTES: usize = 64 << 10;
    let (mut query, mut bytes_max) = (query.clone(), BYTES);
    loop {
        let listed = store.list(&query, bytes_max)?;
        let bytes: usize = listed.messages.iter().map(|m| m.data.len()).sum();
        assert!(bytes <= bytes_max, "{bytes} bytes, more than {bytes_max}");
        all.extend(listed.messages);
        match listed.rest {
            Rest::Nothing => return Ok(()),
            Rest::Before(mark) => {
                assert_eq!(all.last().map(Message::mark), Some(mark));
                (query.before, bytes_max) = (Some(mark), BYTES);
            }
            Rest::Large(bytes) => {
                assert!(bytes > bytes_max, "{bytes} bytes are not too many");
                bytes_max = bytes;
            }
        }
    }
}

pub(crate) fn list_all(store: &dyn Storage) -> Vec<Message> {
    list(store, &Query::default())
}

pub(crate) fn scan_of(kind: StatusKind) -> Scan {
    Scan {
        kind,
        topics: None,
        from: Sequence(0),
        to: Sequence(u64::MAX),
        messages_max: usize::MAX,
        bytes_max: usize::MAX,
    }
}

/// Scans to the end, going on where each step says.
pub(crate) fn scan(store: &dyn Storage, scan: &Scan) -> Vec<Message> {
    let (mut scan, mut all) = (scan.clone(), vec![]);
    while scan.from <= scan.to {
        let scanned = store.scan(&scan).unwrap();
        assert!(scanned.next > scan.from || !scanned.messages.is_empty() || scan.from == scan.to);
        all.extend(scanned.messages);
        if scan.to.0 == u64::MAX && scanned.next == scan.to {
            break;
        }
        scan.from = scanned.next;
    }
    all
}

pub(crate) fn copy_dir(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_dir(&entry.path(), &target);
        } else if let Err(error) = fs::copy(entry.path(), target) {
            // A file may go while the store runs.
            assert_eq!(error.kind(), std::io::ErrorKind::NotFound, "{error}");
        }
    }
}

/// Copies what a crash now would leave of the store in `from`: the mirror first, since it may
/// lag the log and must not be ahead of it.
pub(crate) fn crash_copy(from: &Path, to: &Path) {
    fs::create_dir_all(to.join("data.db")).unwrap();
    let db = from.join("data.db");
    if db.join("sled").exists() {
        copy_dir(&db.join("sled"), &to.join("data.db/sled"));
    }
    copy_dir(&db.join("log"), &to.join("data.db/log"));
    fs::copy(db.join("format"), to.join("data.db/format")).unwrap();
    if from.join("data").exists() {
        fs::copy(from.join("data"), to.join("data")).unwrap();
    }
}

/// The segments of the store in `dir`, oldest first.
pub(crate) fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut all: Vec<PathBuf> = fs::read_dir(dir.join("data.db/log"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    all.sort();
    all
}

pub(crate) fn bytes_of(path: &Path) -> u64 {
    if path.is_dir() {
        fs::read_dir(path)
            .unwrap()
            .map(|entry| bytes_of(&entry.unwrap().path()))
            .sum()
    } else {
        fs::metadata(path).map_or(0, |meta| meta.len())
    }
}

/// The head and the whole frames of a segment of the log; behind them is room for the next.
pub(crate) fn written(mut segment: Vec<u8>) -> Vec<u8> {
    let word = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let mut end = 16;
    while segment.len() >= end + 20 && segment[end..].starts_with(b"DMQ") {
        end += 20 + word(end + 4) + word(end + 8);
    }
    segment.truncate(end);
    segment
}

/// Adds messages of several topics, times and statuses to a store, in several segments; some of
/// them are gone, and so is the oldest segment.
pub(crate) fn fill(store: &dyn Storage, clock: &Clock) {
    let time = |second: u32| UnixSeconds(NOON.0 + second);
    for second in 0..20 {
        clock.set(time(second));
        append_many(store, &format!("t{}", second % 3), 150);
    }
    change(store, Change::NotConsumed, (1..2900).step_by(2));
    for second in 30..40 {
        let at = time(second);
        let first = u64::from(second) * 70;
        let consumed = (first..first + 60).step_by(3);
        change(store, Change::Consumed { at }, consumed);
    }
    change(store, Change::Requeued, 2000..2500);
    change(store, Change::Deleted, [5, 77, 1500]);
    store.expire(time(9)).unwrap();
}

/// Every file below `dir` with its bytes and the time of its last change.
pub(crate) fn files_of(dir: &Path) -> BTreeMap<PathBuf, (Vec<u8>, SystemTime)> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let changed = fs::metadata(&path).unwrap().modified().unwrap();
        if path.is_dir() {
            files.extend(files_of(&path));
            files.insert(path, (vec![], changed));
        } else {
            files.insert(path.clone(), (fs::read(&path).unwrap(), changed));
        }
    }
    files
}

/// A folder in memory where there is one: what is on its disk is simulated, or does not matter.
pub(crate) fn memory_dir() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() {
        tempfile::tempdir_in(memory).unwrap()
    } else {
        tempfile::tempdir().unwrap()
    }
}

/// Everything that can be asked of a store, to compare two.
#[derive(Debug, PartialEq)]
pub(crate) struct Content {
    pub(crate) messages: Vec<Message>,
    pub(crate) counts: Counts,
    pub(crate) growth: Vec<(Day, u64)>,
    pub(crate) quarters: Vec<(UnixSeconds, u64)>,
    pub(crate) topics: BTreeMap<Topic, Counts>,
    pub(crate) next: Sequence,
    pub(crate) cutoff: UnixSeconds,
}

pub(crate) fn content(store: &dyn Storage) -> Content {
    Content {
        messages: list_all(store),
        counts: store.counts(),
        growth: store.growth(),
        quarters: store.growth_by_quarter(),
        topics: store
            .topics()
            .into_iter()
            .map(|row| (row.topic, row.counts))
            .collect(),
        next: store.next_sequence(),
        cutoff: store.cutoff(),
    }
}

/// A small generator of numbers that one seed repeats.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Random {
        Random(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ 0x1234_5678_9abc_def0)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// A number from `low` up to and with `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub(crate) fn of<'a, T>(&mut self, all: &'a [T]) -> &'a T {
        let at = self.between(0, all.len() as u64 - 1);
        &all[usize::try_from(at).unwrap()]
    }
}

/// What a store must answer, kept as plainly as can be.
#[derive(Default)]
pub(crate) struct Model {
    /// By sequence; deleted ones are taken out.
    pub(crate) messages: BTreeMap<u64, Message>,
    pub(crate) growth: BTreeMap<Day, u64>,
    /// By the time divided by 900.
    pub(crate) quarters: BTreeMap<u32, u64>,
    pub(crate) next: u64,
    pub(crate) cutoff: UnixSeconds,
    pub(crate) codes: HashSet<MessageCode>,
}

impl Model {
    pub(crate) fn new() -> Model {
        Model {
            next: 1,
            ..Model::default()
        }
    }

    pub(crate) fn accept(&mut self, message: Message) {
        assert_eq!(message.sequence.0, self.next, "sequences have no gap");
        assert!(self.codes.insert(message.code), "a code came twice");
        self.next += 1;
        *self.growth.entry(day_of(message.created)).or_default() += 1;
        *self.quarters.entry(message.created.0 / 900).or_default() += 1;
        self.messages.insert(message.sequence.0, message);
    }

    pub(crate) fn change(&mut self, change: Change, sequences: &SequenceSet) {
        for sequence in sequences.iter() {
            let to = match change {
                Change::Requeued => Status::Accepted,
                Change::NotConsumed => Status::NotConsumed,
                Change::Consumed { at } => Status::Consumed { at },
                Change::Deleted => {
                    self.messages.remove(&sequence.0);
                    continue;
                }
            };
            if let Some(message) = self.messages.get_mut(&sequence.0)
                && message.status.kind().may_become(to.kind())
            {
                message.status = to;
            }
        }
    }

    /// What expires, by the status that it had.
    pub(crate) fn expire(&mut self, cutoff: UnixSeconds) -> Counts {
        let before = self.counts();
        self.messages.retain(|_, message| message.created >= cutoff);
        let after = self.counts();
        let deleted = Counts {
            accepted: before.accepted - after.accepted,
            not_consumed: before.not_consumed - after.not_consumed,
            consumed: before.consumed - after.consumed,
        };
        if deleted.all() > 0 {
            self.cutoff = self.cutoff.max(cutoff);
        }
        deleted
    }

    pub(crate) fn purge(&mut self, topic: &Topic, kinds: &[StatusKind]) -> u64 {
        let before = self.messages.len();
        self.messages.retain(|_, message| {
            message.topic != *topic || !kinds.contains(&message.status.kind())
        });
        (before - self.messages.len()) as u64
    }

    pub(crate) fn list(&self, query: &Query) -> Vec<Message> {
        let mut found: Vec<Message> = self
            .messages
            .values()
            .filter(|message| {
                query.from.is_none_or(|from| message.created >= from)
                    && query.to.is_none_or(|to| message.created <= to)
                    && query
                        .status
                        .is_none_or(|kind| message.status.kind() == kind)
                    && query.topic.as_ref().is_none_or(|t| *t == message.topic)
                    && query.before.is_none_or(|mark| message.mark() < mark)
            })
            .cloned()
            .collect();
        found.sort_by_key(|m| std::cmp::Reverse((m.created, m.sequence)));
        found
    }

    pub(crate) fn scan(&self, scan: &Scan) -> Vec<Message> {
        self.messages
            .range(scan.from.0..=scan.to.0)
            .map(|(_, message)| message)
            .filter(|message| {
                message.status.kind() == scan.kind
                    && scan
                        .topics
                        .as_ref()
                        .is_none_or(|t| t.contains(&message.topic))
            })
            .cloned()
            .collect()
    }

    pub(crate) fn counts(&self) -> Counts {
        let count = |kind| {
            let of_kind = |m: &&Message| m.status.kind() == kind;
            self.messages.values().filter(of_kind).count() as u64
        };
        Counts {
            accepted: count(StatusKind::Accepted),
            not_consumed: count(StatusKind::NotConsumed),
            consumed: count(StatusKind::Consumed),
        }
    }

    /// Compares everything that is quick to ask for.
    pub(crate) fn check(&self, store: &dyn Storage) {
        assert_eq!(store.counts(), self.counts());
        assert_eq!(store.next_sequence(), Sequence(self.next));
        assert_eq!(store.cutoff(), self.cutoff);
        let growth: Vec<_> = self.growth.iter().map(|(day, n)| (*day, *n)).collect();
        assert_eq!(store.growth(), growth);
        let quarters = self.quarters.iter();
        let quarters: Vec<_> = quarters
            .map(|(quarter, n)| (UnixSeconds(quarter * 900), *n))
            .collect();
        assert_eq!(store.growth_by_quarter(), quarters);
        self.check_topics(store);
        same(&list_all(store), &self.list(&Query::default()));
    }
}

impl Model {
    fn check_topics(&self, store: &dyn Storage) {
        let mut counts: BTreeMap<Topic, Counts> = BTreeMap::new();
        let mut oldest: BTreeMap<&Topic, UnixSeconds> = BTreeMap::new();
        for message in self.messages.values() {
            let counts = counts.entry(message.topic.clone()).or_default();
            match message.status {
                Status::Accepted => counts.accepted += 1,
                Status::NotConsumed => counts.not_consumed += 1,
                Status::Consumed { .. } => counts.consumed += 1,
            }
            if message.status.kind() != StatusKind::Consumed {
                oldest.entry(&message.topic).or_insert(message.created);
            }
        }
        let told = store.topics().into_iter();
        let told: BTreeMap<Topic, Counts> = told.map(|row| (row.topic, row.counts)).collect();
        assert_eq!(told, counts);
        assert_eq!(store.topic_count(), counts.len());
        let mut topics: Vec<Topic> = counts.keys().cloned().collect();
        topics.push(topic("nobody sends here"));
        for topic in &topics {
            let expected = counts.get(topic).copied().unwrap_or_default();
            assert_eq!(store.topic(topic), expected);
        }
        let told = store.oldest_waiting_of(&topics).unwrap();
        let expected = topics.iter().map(|topic| oldest.get(topic).copied());
        assert_eq!(told, expected.collect::<Vec<_>>());
        let mut waiting = self.messages.values();
        let first = waiting.find(|message| message.status.kind() != StatusKind::Consumed);
        assert_eq!(
            store.oldest_waiting().unwrap(),
            first.map(|message| message.created)
        );
    }
}

/// Compares messages, and shows only the first that differ.
pub(crate) fn same(found: &[Message], expected: &[Message]) {
    let short = |m: Option<&Message>| {
        m.map(|m| {
            (
                m.sequence,
                m.code,
                m.topic.clone(),
                m.created,
                m.status,
                m.data.len(),
            )
        })
    };
    if found != expected {
        let at = found
            .iter()
            .zip(expected)
            .take_while(|(a, b)| a == b)
            .count();
        panic!(
            "{} messages where {} should be; at {at}: {:?}, not {:?}",
            found.len(),
            expected.len(),
            short(found.get(at)),
            short(expected.get(at)),
        );
    }
}

pub(crate) fn day_of(time: UnixSeconds) -> Day {
    let date = DateTime::from_timestamp(i64::from(time.0), 0)
        .unwrap()
        .with_timezone(&Local)
        .date_naive();
    Day(date.to_epoch_days())
}
