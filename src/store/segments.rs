//! The segments of the log, for reading: files of frames, and walks over them.
//!
//! A segment is a file `log/<number>.seg`: 16 bytes of head (magic, seed of the checksums,
//! number), then frames ([`super::record`]), the first of which has the [`Base`]. Any thread
//! reads what is complete ([`Segments`]); the writing end is [`super::log`].

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, RwLock};

use super::error::{IoContext, StoreError};
use super::files::{Files, OpenHow, StoredFile};
use super::record::{self, Base, Frame, FrameError, HEAD_BYTES, Head, Meta};
use crate::message::Sequence;

const SEGMENT_MAGIC: [u8; 8] = *b"DPMQSEG\x01";
/// The bytes before the first frame of a segment.
pub(crate) const SEGMENT_HEAD_BYTES: u64 = HEAD_LEN as u64;
const HEAD_LEN: usize = 16;
/// One read brings in the head and the meta of nearly every frame.
const READ_AHEAD: usize = 8 << 10;
/// Damage is searched for the next good frame in steps of this many bytes.
const SEARCH_BYTES: usize = 1 << 20;

/// The place of a byte in the log. Positions are in the order in which bytes were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Position {
    pub(super) fn at(segment: u32, offset: u64) -> Position {
        Position {
            segment,
            offset: u32::try_from(offset).expect("a segment and a message are far below 4 GiB"),
        }
    }

    /// This position as one number of the same order.
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.offset)
    }

    pub(crate) fn from_u64(number: u64) -> Position {
        Position {
            segment: u32::try_from(number >> 32).unwrap_or_default(),
            offset: u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default(),
        }
    }
}

/// One file of the log.
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) path: PathBuf,
    pub(super) file: Box<dyn StoredFile>,
    /// The bytes of head and whole frames; what lies behind is not to be read.
    pub(super) end: AtomicU64,
    /// Every message in this segment and before has at most this sequence.
    pub(super) last_sequence: AtomicU64,
}

impl Segment {
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Relaxed)
    }

    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file.sync().doing("sync", &self.path)
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            offset,
            what,
        }
    }

    /// Reads up to `len` bytes from `offset` on, fewer only at the segment's end.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let rest = usize::try_from(self.end().saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        self.file
            .read_exact_at(&mut bytes, offset)
            .doing("read", &self.path)?;
        Ok(bytes)
    }
}

/// A frame's meta and where it is.
pub(crate) struct Located {
    /// Keeps the file open: the frame can be read even when the segment is given back.
    pub(crate) segment: Arc<Segment>,
    pub(crate) position: Position,
    /// Where the frame behind it begins.
    pub(crate) next: Position,
    pub(crate) head: Head,
    pub(crate) meta: Meta,
}

/// Bytes of the log that are no frame.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) path: PathBuf,
    pub(crate) from: u64,
    /// Where the next good frame begins, or where the segment ends.
    pub(crate) to: u64,
    pub(crate) what: FrameError,
    /// The sequence behind its messages, where a frame still tells that.
    pub(crate) next: Option<Sequence>,
}

/// All segments, for reading.
pub(crate) struct Segments {
    files: Arc<dyn Files>,
    dir: PathBuf,
    pub(crate) seed: u32,
    map: RwLock<BTreeMap<u32, Arc<Segment>>>,
}

impl Segments {
    /// Opens what is in `dir`; also returns the segments whose first bytes are not what they
    /// should be. Nothing is read but the heads.
    pub(super) fn open(
        files: &Arc<dyn Files>,
        dir: &Path,
    ) -> Result<(Arc<Segments>, Vec<PathBuf>), StoreError> {
        files.create_dirs(dir).doing("create", dir)?;
        let mut numbers = segment_numbers(&**files, dir)?;
        // A crash while a segment was begun leaves one without a whole head.
        if let Some(&last) = numbers.last() {
            let path = segment_path(dir, last);
            let file = files.open(&path, OpenHow::Read);
            let len = file.and_then(|file| file.len()).doing("look at", &path)?;
            if len <= SEGMENT_HEAD_BYTES {
                files.remove_file(&path).doing("remove", &path)?;
                numbers.pop();
            }
        }
        let mut map = BTreeMap::new();
        let mut seeds = vec![];
        for number in numbers {
            let (segment, its_seed) = open_segment(&**files, dir, number)?;
            seeds.push((segment.path.clone(), its_seed));
            map.insert(number, Arc::new(segment));
        }
        let seed = common_seed(&seeds)?;
        let damaged_heads = seeds
            .into_iter()
            .filter(|(_, its_seed)| its_seed.as_ref().ok() != Some(&seed))
            .map(|(path, _)| path)
            .collect();
        let segments = Segments {
            files: files.clone(),
            dir: dir.to_owned(),
            seed,
            map: RwLock::new(map),
        };
        Ok((Arc::new(segments), damaged_heads))
    }

    pub(crate) fn get(&self, number: u32) -> Option<Arc<Segment>> {
        self.lock_read().get(&number).cloned()
    }

    /// The segments from `number` on, oldest first.
    pub(crate) fn from(&self, number: u32) -> Vec<Arc<Segment>> {
        self.lock_read()
            .range(number..)
            .map(|(_, s)| s.clone())
            .collect()
    }

    /// The number of the oldest segment.
    pub(crate) fn oldest(&self) -> Option<u32> {
        self.lock_read().keys().next().copied()
    }

    fn at_or_behind(&self, number: u32) -> Option<Arc<Segment>> {
        let map = self.lock_read();
        map.range(number..)
            .next()
            .map(|(_, segment)| segment.clone())
    }

    fn lock_read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.map.read().expect("no holder of this lock panics")
    }

    fn insert(&self, segment: Arc<Segment>) {
        self.map
            .write()
            .expect("no holder of this lock panics")
            .insert(segment.number, segment);
    }

    /// The bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let map = self.lock_read();
        let ends = map.values();
        ends.map(|segment| segment.end.load(Ordering::Relaxed))
            .sum()
    }

    /// Whether [`Segments::take_dead`] would take a segment.
    pub(crate) fn has_dead(&self, first_live: u64) -> bool {
        let map = self.lock_read();
        let first = map.values().next();
        map.len() > 1 && first.is_some_and(|segment| segment.last_sequence() < first_live)
    }

    /// Takes away the oldest segments while all their messages are before `first_live`; the
    /// newest stays. The files are the caller's to unlink.
    pub(crate) fn take_dead(&self, first_live: u64) -> Vec<Arc<Segment>> {
        let mut map = self.map.write().expect("no holder of this lock panics");
        let mut dead = vec![];
        while map.len() > 1
            && let Some(first) = map.first_entry()
            && first.get().last_sequence() < first_live
        {
            dead.push(first.remove());
        }
        dead
    }

    /// Removes the files of segments that [`Segments::take_dead`] gave.
    pub(crate) fn unlink(&self, dead: &[Arc<Segment>]) -> Result<(), StoreError> {
        for segment in dead {
            match self.files.remove_file(&segment.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).doing("remove", &segment.path);
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Reads the frame at `position`, all but its data.
    pub(crate) fn meta_at(&self, position: Position) -> Result<Located, StoreError> {
        let segment = self.get(position.segment).ok_or_else(|| {
            let path = segment_path(&self.dir, position.segment);
            let error = std::io::ErrorKind::NotFound.into();
            StoreError::Io {
                doing: "read",
                path,
                error: Arc::new(error),
            }
        })?;
        self.meta_in(&segment, position.offset.into())
    }

    fn meta_in(&self, segment: &Arc<Segment>, offset: u64) -> Result<Located, StoreError> {
        let corrupt = |error| segment.corrupt(offset, describe(error));
        let mut bytes = segment.read(offset, READ_AHEAD)?;
        let head = Head::parse(&bytes).map_err(corrupt)?;
        let need = HEAD_BYTES + head.meta_len;
        if offset + head.frame_len() as u64 > segment.end() {
            return Err(corrupt(FrameError::Cut));
        }
        if need > bytes.len() {
            bytes = segment.read(offset, need)?;
        }
        let meta = head.meta(self.seed, &bytes).map_err(corrupt)?;
        Ok(Located {
            segment: segment.clone(),
            position: Position::at(segment.number, offset),
            next: Position::at(segment.number, offset + head.frame_len() as u64),
            head,
            meta,
        })
    }

    /// Reads and checks the data of a frame that begins at `offset`.
    pub(crate) fn data_of(
        &self,
        segment: &Segment,
        offset: u32,
        head: &Head,
    ) -> Result<Vec<u8>, StoreError> {
        let offset = u64::from(offset) + (HEAD_BYTES + head.meta_len) as u64;
        let data = segment.read(offset, head.data_len)?;
        head.check_data(self.seed, &data)
            .map_err(|error| segment.corrupt(offset, describe(error)))?;
        Ok(data)
    }

    /// Walks over the frames from `position` on; `check_data` reads their data too.
    pub(crate) fn walk(&self, position: Position, check_data: bool) -> Walk<'_> {
        Walk {
            segments: self,
            position,
            check_data,
        }
    }

    /// The first place behind `from` in a segment where a good frame begins.
    fn next_good(&self, segment: &Arc<Segment>, from: u32) -> Result<Option<u64>, StoreError> {
        let mut offset = u64::from(from) + 1;
        while offset < segment.end() {
            let bytes = segment.read(offset, SEARCH_BYTES)?;
            let Some(found) = record::find_magic(&bytes) else {
                // A magic may lie across the border of two steps.
                offset += (bytes.len() as u64).saturating_sub(3).max(1);
                continue;
            };
            let candidate = offset + found as u64;
            match self.meta_in(segment, candidate) {
                Ok(_) => return Ok(Some(candidate)),
                Err(StoreError::Corrupt { .. }) => offset = candidate + 1,
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    }
}

fn describe(error: FrameError) -> &'static str {
    match error {
        FrameError::Cut => "the frame is cut off",
        FrameError::Magic => "no frame begins here",
        FrameError::Length => "the frame's lengths are impossible",
        FrameError::Head => "the checksum of the frame's head is wrong",
        FrameError::Data => "the checksum of the frame's data is wrong",
        FrameError::Content => "the frame's content cannot be read",
    }
}

/// What [`Segments::walk`] meets.
pub(crate) enum Step {
    Frame(Located),
    /// Stepped over.
    Damage(Damage),
}

/// An iteration over frames in the order of writing.
pub(crate) struct Walk<'a> {
    segments: &'a Segments,
    position: Position,
    check_data: bool,
}

impl Walk<'_> {
    /// The next frame or damage; `None` at the end of the log.
    pub(crate) fn next(&mut self) -> Result<Option<Step>, StoreError> {
        loop {
            let Some(segment) = self.segments.at_or_behind(self.position.segment) else {
                return Ok(None);
            };
            if segment.number != self.position.segment {
                self.position = Position::at(segment.number, SEGMENT_HEAD_BYTES);
            }
            self.position.offset = self
                .position
                .offset
                .max(Position::at(0, SEGMENT_HEAD_BYTES).offset);
            if u64::from(self.position.offset) >= segment.end() {
                let Some(next) = segment.number.checked_add(1) else {
                    return Ok(None);
                };
                if self.segments.at_or_behind(next).is_none() {
                    return Ok(None);
                }
                self.position = Position::at(next, SEGMENT_HEAD_BYTES);
                continue;
            }
            return self.step(&segment).map(Some);
        }
    }

    fn step(&mut self, segment: &Arc<Segment>) -> Result<Step, StoreError> {
        let at = self.position.offset;
        let meta = self.segments.meta_in(segment, at.into());
        // A frame whose data alone is damaged still tells where it ends.
        let behind = meta.as_ref().map(|located| located.next.offset).ok();
        let last = meta
            .as_ref()
            .ok()
            .and_then(|located| located.meta.entries.last());
        let sequence = last.map(|entry| entry.sequence.next());
        let read = meta.and_then(|located| {
            if self.check_data {
                self.segments.data_of(segment, at, &located.head)?;
            }
            Ok(located)
        });
        match read {
            Ok(located) => {
                self.position = located.next;
                Ok(Step::Frame(located))
            }
            Err(StoreError::Corrupt { .. }) => {
                let (next, what) = match behind {
                    Some(behind) => (Some(behind.into()), FrameError::Data),
                    None => (self.segments.next_good(segment, at)?, FrameError::Head),
                };
                let to = next.unwrap_or(segment.end());
                self.position = Position::at(segment.number, to);
                Ok(Step::Damage(Damage {
                    path: segment.path.clone(),
                    from: at.into(),
                    to,
                    what,
                    next: sequence,
                }))
            }
            Err(error) => Err(error),
        }
    }
}

/// The numbers of the segments in `dir`, ascending.
pub(crate) fn segment_numbers(files: &dyn Files, dir: &Path) -> Result<Vec<u32>, StoreError> {
    // A restore that was cut off leaves none.
    let names = match files.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => vec![],
        names => names.doing("list", dir)?,
    };
    let numbers = names.iter().filter_map(|name| name.strip_suffix(".seg"));
    let mut numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The file of a segment.
pub(crate) fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// The seed that a segment's head tells, or what is wrong with the head.
type Seed = Result<u32, &'static str>;

/// The seed of most segments; a new one where there is none.
fn common_seed(seeds: &[(PathBuf, Seed)]) -> Result<u32, StoreError> {
    let mut votes: BTreeMap<u32, usize> = BTreeMap::new();
    for seed in seeds.iter().filter_map(|(_, seed)| seed.as_ref().ok()) {
        *votes.entry(*seed).or_default() += 1;
    }
    let most = votes.values().max().copied().unwrap_or_default();
    let mut winners = votes.into_iter().filter(|(_, votes)| *votes == most);
    let refuse = |(path, seed): &(PathBuf, Seed)| StoreError::NotOurs {
        path: path.clone(),
        what: match seed {
            Ok(_) => "its checksums are of another store than those of its neighbours".into(),
            Err(wrong) => (*wrong).into(),
        },
    };
    match (winners.next(), winners.next(), seeds.first()) {
        (_, _, None) => Ok(new_seed()),
        (Some((seed, _)), None, _) => Ok(seed),
        (_, _, Some(first)) => Err(refuse(first)),
    }
}

fn open_segment(files: &dyn Files, dir: &Path, number: u32) -> Result<(Segment, Seed), StoreError> {
    let path = segment_path(dir, number);
    let file = files.open(&path, OpenHow::Write).doing("open", &path)?;
    let end = file.len().doing("look at", &path)?;
    if end > u64::from(u32::MAX) {
        let what = "it is over 4 GiB".into();
        return Err(StoreError::NotOurs { path, what });
    }
    let mut head = [0; HEAD_LEN];
    let whole = usize::try_from(end).unwrap_or(usize::MAX).min(HEAD_LEN);
    file.read_exact_at(&mut head[..whole], 0)
        .doing("read", &path)?;
    let seed = match segment_number(&head) {
        None => Err("it does not begin as a log segment does"),
        Some(inside) if inside != number => Err("it has the number of another segment inside"),
        Some(_) => Ok(u32::from_le_bytes([head[8], head[9], head[10], head[11]])),
    };
    let segment = Segment {
        number,
        path,
        file,
        end: AtomicU64::new(end),
        last_sequence: AtomicU64::new(0),
    };
    Ok((segment, seed))
}

/// What the file of a segment begins with.
pub(crate) fn segment_head(seed: u32, number: u32) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(&SEGMENT_MAGIC);
    head[8..12].copy_from_slice(&seed.to_le_bytes());
    head[12..].copy_from_slice(&number.to_le_bytes());
    head
}

/// The number of the segment whose file begins with `bytes`, if they are such.
pub(crate) fn segment_number(bytes: &[u8]) -> Option<u32> {
    let head = bytes.get(..HEAD_LEN)?;
    let number = head[12..].try_into().ok()?;
    (head[..8] == SEGMENT_MAGIC).then(|| u32::from_le_bytes(number))
}

pub(super) fn encode_base(out: &mut Vec<u8>, seed: u32, base: &Base) {
    let frame = Frame {
        base: Some(base.clone()),
        ..Frame::default()
    };
    record::encode(out, seed, &frame);
}

pub(super) fn create_segment(
    segments: &Segments,
    number: u32,
    base: &Base,
) -> Result<Arc<Segment>, StoreError> {
    let path = segment_path(&segments.dir, number);
    let mut bytes = segment_head(segments.seed, number).to_vec();
    encode_base(&mut bytes, segments.seed, base);
    let (files, aside) = (&segments.files, path.with_extension("new"));
    let create = || -> std::io::Result<Box<dyn StoredFile>> {
        let file = files.open(&aside, OpenHow::Replace)?;
        file.write_all_at(&bytes, 0)?;
        file.sync()?;
        // Whatever has the name of a segment is whole, also after a power cut.
        files.rename(&aside, &path)?;
        files.sync_dir(&segments.dir)?;
        Ok(file)
    };
    let file = create().inspect_err(|_| {
        // Best effort: the next one replaces it anyway.
        let _ = files.remove_file(&aside);
        let _ = files.remove_file(&path);
    });
    let segment = Arc::new(Segment {
        number,
        file: file.doing("create", &path)?,
        path,
        end: AtomicU64::new(bytes.len() as u64),
        last_sequence: AtomicU64::new(base.next.saturating_sub(1)),
    });
    segments.insert(segment.clone());
    Ok(segment)
}

fn new_seed() -> u32 {
    let random = RandomState::new().hash_one(std::process::id());
    u32::try_from(random >> 32).unwrap_or_default()
}

impl Segment {
    /// What the recovery found to be the last sequence.
    pub(crate) fn set_last_sequence(&self, last_sequence: u64) {
        self.last_sequence.store(last_sequence, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod fuzz;
