//! The segments of the log, for reading: files of frames, and walks over them.
//!
//! A segment is a file `log/<number>.seg`: 16 bytes of head (magic, seed of the checksums,
//! number), then frames ([`super::record`]), the first of which has the [`Base`]. Any thread
//! reads what is complete ([`Segments`]); the writing end is [`super::log`].

mod seed;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::store::error::{IoContext, StoreError};
use crate::store::formats;
use crate::store::fs::files::{Files, OpenHow, StoredFile};
use crate::store::record::{self, Base, Frame, FrameError, HEAD_BYTES, Head, Meta};
use crate::store::walk::{Damage, Walk};

pub(super) const SEGMENT_MAGIC: [u8; 8] = *b"DPMQSEG\x01";
/// The bytes before the first frame of a segment.
pub(crate) const SEGMENT_HEAD_BYTES: u64 = HEAD_LEN as u64;
const HEAD_LEN: usize = 16;
/// Two segments that begin with so many equal bytes are the same one twice: no two have the
/// same number and base.
const SAME_BYTES: usize = 64;
/// One read brings in the head and the meta of nearly every frame.
pub(super) const READ_AHEAD: usize = 8 << 10;

/// The place of a byte in the log. Positions are in the order in which bytes were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
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
    /// What it begins with is of another segment.
    misplaced: AtomicBool,
    /// Why a sync of it failed, if one did.
    failed: Mutex<Option<StoreError>>,
}

impl Segment {
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Relaxed)
    }

    /// Whether what it begins with was found to be of another segment.
    pub(super) fn is_misplaced(&self) -> bool {
        self.misplaced.load(Ordering::Relaxed)
    }

    /// Puts the right bytes where they were lost or damaged, and syncs them; readers see what
    /// is behind the end that there was.
    pub(super) fn heal(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
        self.file
            .write_all_at(bytes, offset)
            .doing("write to", &self.path)?;
        self.sync()?;
        let end = offset + bytes.len() as u64;
        self.end.fetch_max(end, Ordering::AcqRel);
        if offset == 0 {
            self.misplaced.store(false, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Asks the disk to keep everything in the file. Any thread may, and the system tells an
    /// error of the disk to one of them only, whichever wrote what is lost: after a sync has
    /// failed, every other one fails too.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let mut failed = self.failed.lock().expect("no holder of this lock panics");
        if let Some(error) = &*failed {
            return Err(error.clone());
        }
        let synced = self.file.sync().doing("sync", &self.path);
        *failed = synced.as_ref().err().cloned();
        synced
    }

    /// Gives back the space of a file whose name is gone, in steps: a system that tells the disk
    /// of it takes its time, and syncs of the log wait meanwhile.
    fn give_back(&self) {
        const STEP_BYTES: u64 = 4 << 20;
        let mut len = self.file.len().unwrap_or(0);
        while len > STEP_BYTES && self.file.set_len(len - STEP_BYTES).is_ok() {
            len -= STEP_BYTES;
        }
    }

    fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            offset,
            what,
        }
    }

    /// See [`Segments::written_between`].
    fn written_between(&self, from: u64, to: u64) -> Result<u64, StoreError> {
        let mut end = to;
        while end > from {
            let begin = from.max(end.saturating_sub(READ_AHEAD as u64));
            let len = usize::try_from(end - begin).unwrap_or(READ_AHEAD);
            let bytes = self.read(begin, len)?;
            if let Some(last) = bytes.iter().rposition(|byte| *byte != 0) {
                return Ok(begin + last as u64 + 1 - from);
            }
            end = begin;
        }
        Ok(0)
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

/// All segments, for reading.
pub(crate) struct Segments {
    files: Arc<dyn Files>,
    dir: PathBuf,
    pub(crate) seed: u32,
    map: RwLock<BTreeMap<u32, Arc<Segment>>>,
}

impl Segments {
    /// Opens what is in `dir`; also returns the segments whose first bytes are not what they
    /// should be. Nothing is read but the heads and the first frames. `seeds` are what others
    /// tell of the seed, for the case that a head is damaged.
    pub(super) fn open(
        files: &Arc<dyn Files>,
        dir: &Path,
        seeds: &[u32],
    ) -> Result<(Arc<Segments>, Vec<Arc<Segment>>), StoreError> {
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
        let opened = numbers.into_iter().map(|number| {
            let path = segment_path(dir, number);
            let file = files.open(&path, OpenHow::Write).doing("open", &path)?;
            Ok((number, path, file))
        });
        let opened = opened.collect::<Result<_, StoreError>>()?;
        Segments::of(files, dir, opened, seeds)
    }

    /// The segments of these numbers, names and bytes, which are in `dir` or are only read.
    pub(crate) fn of(
        files: &Arc<dyn Files>,
        dir: &Path,
        opened: Vec<(u32, PathBuf, Box<dyn StoredFile>)>,
        seeds: &[u32],
    ) -> Result<(Arc<Segments>, Vec<Arc<Segment>>), StoreError> {
        let mut heads = vec![];
        for (number, path, file) in opened {
            let (segment, seed) = read_segment(number, path, file)?;
            heads.push((Arc::new(segment), seed));
        }
        let seed = seed::of(&heads, seeds)?;
        let damaged = heads.iter().filter(|(_, its)| *its != Some(seed));
        let damaged: Vec<_> = damaged.map(|(segment, _)| segment.clone()).collect();
        for segment in &damaged {
            let begin = segment.read(0, SAME_BYTES)?;
            for (other, _) in &heads {
                let same = segment_number(&begin) == Some(other.number)
                    && other.number != segment.number
                    && other.read(0, SAME_BYTES)? == begin;
                segment.misplaced.fetch_or(same, Ordering::Relaxed);
            }
        }
        let map = heads.into_iter().map(|(s, _)| (s.number, s)).collect();
        let segments = Segments {
            files: files.clone(),
            dir: dir.to_owned(),
            seed,
            map: RwLock::new(map),
        };
        Ok((Arc::new(segments), damaged))
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

    pub(super) fn at_or_behind(&self, number: u32) -> Option<Arc<Segment>> {
        let map = self.lock_read();
        map.range(number..)
            .next()
            .map(|(_, segment)| segment.clone())
    }

    fn lock_read(&self) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.map.read().expect("no holder of this lock panics")
    }

    /// Whether a segment begins with the right head.
    pub(super) fn has_head(&self, segment: &Segment) -> Result<bool, StoreError> {
        let head = segment_head(self.seed, segment.number);
        Ok(segment.read(0, HEAD_LEN)? == head)
    }

    /// Makes an empty file for a segment that is missing, to be healed.
    pub(super) fn make(&self, number: u32) -> Result<Arc<Segment>, StoreError> {
        let path = segment_path(&self.dir, number);
        let file = self.files.open(&path, OpenHow::Create);
        let file = file.doing("create", &path)?;
        self.files.sync_dir(&self.dir).doing("sync", &self.dir)?;
        let (segment, _) = read_segment(number, path, file)?;
        let segment = Arc::new(segment);
        self.insert(segment.clone());
        Ok(segment)
    }

    /// The file of a segment, whether it is there or not.
    pub(super) fn path_of(&self, number: u32) -> PathBuf {
        segment_path(&self.dir, number)
    }

    fn insert(&self, segment: Arc<Segment>) {
        self.map
            .write()
            .expect("no holder of this lock panics")
            .insert(segment.number, segment);
    }

    /// Whether damage is no more than room for what was to come, at the end of the log.
    pub(super) fn is_room(&self, damage: &Damage) -> Result<bool, StoreError> {
        let newest = self.lock_read().values().next_back().cloned();
        let ends = newest
            .is_some_and(|newest| newest.number == damage.segment && newest.end() == damage.to);
        Ok(ends && self.written_between(damage.segment, damage.from, damage.to)? == 0)
    }

    /// How many bytes of a segment, from `from` to `to`, there are before the zeros that end
    /// them: room for what was to come is no part of what was written.
    pub(super) fn written_between(
        &self,
        segment: u32,
        from: u64,
        to: u64,
    ) -> Result<u64, StoreError> {
        let segment = self.get(segment);
        let segment = segment.expect("a walk has been in it");
        segment.written_between(from, to)
    }

    /// The bytes of all segments.
    pub(crate) fn bytes(&self) -> u64 {
        let map = self.lock_read();
        let ends = map.values();
        ends.map(|segment| segment.end.load(Ordering::Relaxed))
            .sum()
    }

    /// The bytes from `position` to the end of the log.
    pub(crate) fn bytes_from(&self, position: Position) -> u64 {
        let map = self.lock_read();
        let after = map.range(position.segment..).map(|(number, segment)| {
            let before = match *number == position.segment {
                true => position.offset.into(),
                false => 0,
            };
            segment.end().saturating_sub(before)
        });
        after.sum()
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

    /// Removes a segment and its file, for good when this returns.
    pub(super) fn drop_segment(&self, segment: &Segment) -> Result<(), StoreError> {
        let path = &segment.path;
        self.files.remove_file(path).doing("remove", path)?;
        self.files.sync_dir(&self.dir).doing("sync", &self.dir)?;
        let mut map = self.map.write().expect("no holder of this lock panics");
        map.remove(&segment.number);
        Ok(())
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
            // Whoever still reads it keeps the file until then.
            if Arc::strong_count(segment) == 1 {
                segment.give_back();
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
        let located = self.try_meta_in(segment, offset)?;
        located.map_err(|error| segment.corrupt(offset, describe(error)))
    }

    /// The frame at `offset`, all but its data, or why there is none.
    pub(super) fn try_meta_in(
        &self,
        segment: &Arc<Segment>,
        offset: u64,
    ) -> Result<Result<Located, FrameError>, StoreError> {
        let mut bytes = segment.read(offset, READ_AHEAD)?;
        let head = match Head::parse(&bytes) {
            Ok(head) => head,
            Err(error) => {
                return match record::newer_version(self.seed, &bytes) {
                    Some(version) => Err(formats::newer_frame(&segment.path, version)),
                    None => Ok(Err(error)),
                };
            }
        };
        let need = HEAD_BYTES + head.meta_len;
        if offset + head.frame_len() as u64 > segment.end() {
            return Ok(Err(FrameError::Cut));
        }
        if need > bytes.len() {
            bytes = segment.read(offset, need)?;
        }
        let meta = match head.meta(self.seed, &bytes) {
            Ok(meta) => meta,
            Err(error) => return Ok(Err(error)),
        };
        Ok(Ok(Located {
            segment: segment.clone(),
            position: Position::at(segment.number, offset),
            next: Position::at(segment.number, offset + head.frame_len() as u64),
            head,
            meta,
        }))
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
        Walk::new(self, position, check_data)
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
        FrameError::Place => "the frame belongs to another place",
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

/// A segment of these bytes; also tells the seed in its head, if that can be read.
fn read_segment(
    number: u32,
    path: PathBuf,
    file: Box<dyn StoredFile>,
) -> Result<(Segment, Option<u32>), StoreError> {
    // What is behind this can only be room.
    let end = file.len().doing("look at", &path)?.min(u32::MAX.into());
    let mut head = [0; HEAD_LEN];
    let whole = usize::try_from(end).unwrap_or(usize::MAX).min(HEAD_LEN);
    file.read_exact_at(&mut head[..whole], 0)
        .doing("read", &path)?;
    let inside = segment_number(&head);
    let seed = u32::from_le_bytes([head[8], head[9], head[10], head[11]]);
    let segment = Segment {
        number,
        path,
        file,
        end: AtomicU64::new(end),
        last_sequence: AtomicU64::new(0),
        misplaced: AtomicBool::new(false),
        failed: Mutex::default(),
    };
    Ok((segment, (inside == Some(number)).then_some(seed)))
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
        misplaced: AtomicBool::new(false),
        failed: Mutex::default(),
    });
    segments.insert(segment.clone());
    Ok(segment)
}

impl Segment {
    /// What the recovery found to be the last sequence.
    pub(crate) fn set_last_sequence(&self, last_sequence: u64) {
        self.last_sequence.store(last_sequence, Ordering::Relaxed);
    }
}

#[cfg(test)]
pub(crate) mod fuzz;
