//! The reading end of the log: all its segments, open for any thread.
//!
//! A segment is a file `log/<number>.seg`. It has 16 bytes of head (magic, seed of the checksums,
//! number), then frames ([`crate::store::log::frame`]). The first frame has the [`Checkpoint`]. Any
//! thread reads what is complete ([`Segments`]). The writing end is [`crate::store::log::local`].

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use crate::message::Sequence;
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, StoredFile};
use crate::store::log::frame::{self, Checkpoint, Frame, FrameError, HEAD_BYTES, Head, Meta};
use crate::store::log::position::Position;
use crate::store::log::seed;
use crate::store::log::segment::{
    HEAD_LEN, READ_AHEAD, SEGMENT_HEAD_BYTES, Segment, read_segment, segment_head, segment_number,
    segment_numbers, segment_path,
};

/// Two files that begin with this many equal bytes are copies of one segment: no two segments have
/// the same number and checkpoint.
const SAME_BYTES: usize = 64;

/// The meta of a frame, and where the frame is.
pub(crate) struct Located {
    /// Keeps the file open: the frame can be read even after the segment is purged.
    pub(crate) segment: Arc<Segment>,
    pub(crate) position: Position,
    /// Where the next frame begins.
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
    /// Opens the segments in `dir`. Also returns those whose first bytes are not what they should
    /// be. Only the heads and the first frames are read. `seeds` are the seeds known elsewhere, in
    /// case a head is damaged.
    pub(in crate::store) fn open(
        files: &Arc<dyn Files>,
        dir: &Path,
        seeds: &[u32],
    ) -> Result<(Arc<Segments>, Vec<Arc<Segment>>), StoreError> {
        files.create_dirs(dir).doing("create", dir)?;
        let mut numbers = segment_numbers(&**files, dir)?;
        // A crash while a segment was created leaves a file without a whole head.
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

    /// Segments from numbers, names and open files, whether they are in `dir` or only read.
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

    pub(in crate::store) fn at_or_after(&self, number: u32) -> Option<Arc<Segment>> {
        let map = self.lock_read();
        map.range(number..)
            .next()
            .map(|(_, segment)| segment.clone())
    }

    pub(in crate::store) fn lock_read(
        &self,
    ) -> std::sync::RwLockReadGuard<'_, BTreeMap<u32, Arc<Segment>>> {
        self.map.read().expect("no holder of this lock panics")
    }

    /// Whether a segment begins with the right head.
    pub(in crate::store) fn has_head(&self, segment: &Segment) -> Result<bool, StoreError> {
        let head = segment_head(self.seed, segment.number);
        Ok(segment.read(0, HEAD_LEN)? == head)
    }

    /// Creates an empty file for a missing segment, to be healed.
    pub(in crate::store) fn make(&self, number: u32) -> Result<Arc<Segment>, StoreError> {
        let path = segment_path(&self.dir, number);
        let file = self.files.open(&path, OpenHow::Create);
        let file = file.doing("create", &path)?;
        self.files.sync_dir(&self.dir).doing("sync", &self.dir)?;
        let (segment, _) = read_segment(number, path, file)?;
        let segment = Arc::new(segment);
        self.insert(segment.clone());
        Ok(segment)
    }

    /// The path of a segment's file, whether it exists or not.
    pub(in crate::store) fn path_of(&self, number: u32) -> PathBuf {
        segment_path(&self.dir, number)
    }

    fn insert(&self, segment: Arc<Segment>) {
        self.map
            .write()
            .expect("no holder of this lock panics")
            .insert(segment.number, segment);
    }

    /// The number of bytes of a segment, from `from` to `to`, before the zeros at its end.
    /// Preallocated zeros do not count as written.
    pub(in crate::store) fn written_between(
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

    /// The first sequence after the oldest segments that end before `first_live`, if there are any.
    /// The newest segment is never one of them.
    pub(crate) fn end_of_dead(&self, first_live: Sequence) -> Option<Sequence> {
        let map = self.lock_read();
        let older = map.values().take(map.len().saturating_sub(1));
        let dead = older.map(|segment| segment.last_sequence());
        let last = dead.take_while(|last| *last < first_live.0).last();
        last.map(|last| Sequence(last + 1))
    }

    /// Removes a segment and its file. The removal is durable when this returns.
    pub(in crate::store) fn drop_segment(&self, segment: &Segment) -> Result<(), StoreError> {
        let path = &segment.path;
        self.files.remove_file(path).doing("remove", path)?;
        self.files.sync_dir(&self.dir).doing("sync", &self.dir)?;
        let mut map = self.map.write().expect("no holder of this lock panics");
        map.remove(&segment.number);
        Ok(())
    }

    /// Gives back the oldest segments that end before `first_kept`, but never the newest. After an
    /// error, the rest stays for the next call.
    pub(crate) fn purge(&self, first_kept: Sequence) -> Result<(), StoreError> {
        while let Some(segment) = self.oldest_before(first_kept) {
            match self.files.remove_file(&segment.path) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(error).doing("remove", &segment.path);
                }
                _ => {}
            }
            let mut map = self.map.write().expect("no holder of this lock panics");
            map.remove(&segment.number);
            drop(map);
            // A reader that still holds the segment keeps the blocks until it ends.
            if Arc::strong_count(&segment) == 1 {
                segment.release_blocks();
            }
        }
        Ok(())
    }

    fn oldest_before(&self, first_kept: Sequence) -> Option<Arc<Segment>> {
        let map = self.lock_read();
        let (_, oldest) = map.first_key_value().filter(|_| map.len() > 1)?;
        (oldest.last_sequence() < first_kept.0).then(|| oldest.clone())
    }

    /// Reads the frame at `position` without its data.
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
        located.map_err(|error| segment.corrupt(offset, error.what()))
    }

    /// The frame at `offset` without its data, or why there is none.
    pub(in crate::store) fn try_meta_in(
        &self,
        segment: &Arc<Segment>,
        offset: u64,
    ) -> Result<Result<Located, FrameError>, StoreError> {
        let mut bytes = segment.read(offset, READ_AHEAD)?;
        let head = match Head::parse(&bytes) {
            Ok(head) => head,
            Err(error) => {
                return match frame::newer_version(self.seed, &bytes) {
                    Some(version) => Err(frame::newer_frame(&segment.path, version)),
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

    /// Reads and checks the data of the frame that begins at `offset`.
    pub(crate) fn data_of(
        &self,
        segment: &Segment,
        offset: u32,
        head: &Head,
    ) -> Result<Vec<u8>, StoreError> {
        let offset = u64::from(offset) + (HEAD_BYTES + head.meta_len) as u64;
        let data = segment.read(offset, head.data_len)?;
        head.check_data(self.seed, &data)
            .map_err(|error| segment.corrupt(offset, error.what()))?;
        Ok(data)
    }
}

pub(in crate::store) fn encode_checkpoint(out: &mut Vec<u8>, seed: u32, checkpoint: &Checkpoint) {
    let frame = Frame {
        checkpoint: Some(checkpoint.clone()),
        ..Frame::default()
    };
    frame::encode(out, seed, &frame);
}

pub(in crate::store) fn create_segment(
    segments: &Segments,
    number: u32,
    checkpoint: &Checkpoint,
) -> Result<Arc<Segment>, StoreError> {
    let path = segment_path(&segments.dir, number);
    let mut bytes = segment_head(segments.seed, number).to_vec();
    encode_checkpoint(&mut bytes, segments.seed, checkpoint);
    let (files, aside) = (&segments.files, path.with_extension("new"));
    let create = || -> std::io::Result<Box<dyn StoredFile>> {
        let file = files.open(&aside, OpenHow::Replace)?;
        file.write_all_at(&bytes, 0)?;
        file.sync()?;
        // A file that has the name of a segment is whole, also after a power cut.
        files.rename(&aside, &path)?;
        files.sync_dir(&segments.dir)?;
        Ok(file)
    };
    let file = create().inspect_err(|_| {
        // Best effort: the next attempt replaces it anyway.
        let _ = files.remove_file(&aside);
        let _ = files.remove_file(&path);
    });
    let segment = Arc::new(Segment {
        number,
        file: file.doing("create", &path)?,
        path,
        end: AtomicU64::new(bytes.len() as u64),
        last_sequence: AtomicU64::new(checkpoint.next.saturating_sub(1)),
        misplaced: AtomicBool::new(false),
        failed: Mutex::default(),
    });
    segments.insert(segment.clone());
    Ok(segment)
}

#[cfg(test)]
pub(crate) mod fuzz;
