//! One file of the log: its head, its bytes, its name, and the result of its last sync.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, StoredFile};

pub(in crate::store) const SEGMENT_MAGIC: [u8; 8] = *b"DPMQSEG\x01";

/// The bytes before the first frame of a segment.
pub(crate) const SEGMENT_HEAD_BYTES: u64 = HEAD_LEN as u64;

pub(super) const HEAD_LEN: usize = 16;

/// One read of this size brings in the head and the meta of nearly every frame.
pub(in crate::store) const READ_AHEAD: usize = 8 << 10;

/// One file of the log.
pub(crate) struct Segment {
    pub(crate) number: u32,
    pub(crate) path: PathBuf,
    pub(in crate::store) file: Box<dyn StoredFile>,
    /// The length of the head and the whole frames. Bytes after it must not be read.
    pub(in crate::store) end: AtomicU64,
    /// No message in this segment or before it has a higher sequence.
    pub(in crate::store) last_sequence: AtomicU64,
    /// Whether its first bytes belong to another segment.
    pub(super) misplaced: AtomicBool,
    /// The error of a failed sync.
    pub(super) failed: Mutex<Option<StoreError>>,
}

impl Segment {
    pub(crate) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    pub(crate) fn last_sequence(&self) -> u64 {
        self.last_sequence.load(Ordering::Relaxed)
    }

    /// Sets the last sequence, which the recovery has found.
    pub(crate) fn set_last_sequence(&self, last_sequence: u64) {
        self.last_sequence.store(last_sequence, Ordering::Relaxed);
    }

    /// Whether its first bytes belong to another segment.
    pub(in crate::store) fn is_misplaced(&self) -> bool {
        self.misplaced.load(Ordering::Relaxed)
    }

    /// Writes the right bytes where they were lost or damaged, and syncs them. Readers then see
    /// what they add after the end.
    pub(in crate::store) fn heal(&self, offset: u64, bytes: &[u8]) -> Result<(), StoreError> {
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

    /// Syncs the file; any thread may. The system reports a disk error to only one of the callers,
    /// whether it wrote the lost bytes or not. So once a sync has failed, every later one fails.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        let mut failed = self.failed.lock().expect("no holder of this lock panics");
        if let Some(error) = &*failed {
            return Err(error.clone());
        }
        let synced = self.file.sync().doing("sync", &self.path);
        *failed = synced.as_ref().err().cloned();
        synced
    }

    /// Frees the blocks of a removed file in steps. Some systems discard the blocks on the disk at
    /// once, and syncs of the log wait meanwhile.
    pub(super) fn release_blocks(&self) {
        const STEP_BYTES: u64 = 4 << 20;
        let mut len = self.file.len().unwrap_or(0);
        while len > STEP_BYTES && self.file.set_len(len - STEP_BYTES).is_ok() {
            len -= STEP_BYTES;
        }
    }

    pub(super) fn corrupt(&self, offset: u64, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            offset,
            what,
        }
    }

    /// The part of `Segments::written_between` in this segment.
    pub(super) fn written_between(&self, from: u64, to: u64) -> Result<u64, StoreError> {
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

    /// Reads up to `len` bytes from `offset` on. Fewer only at the segment's end.
    pub(crate) fn read(&self, offset: u64, len: usize) -> Result<Vec<u8>, StoreError> {
        let rest = usize::try_from(self.end().saturating_sub(offset)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len.min(rest)];
        self.file
            .read_exact_at(&mut bytes, offset)
            .doing("read", &self.path)?;
        Ok(bytes)
    }
}

/// The numbers of the segments in `dir`, ascending.
pub(crate) fn segment_numbers(files: &dyn Files, dir: &Path) -> Result<Vec<u32>, StoreError> {
    // An interrupted restore leaves no folder of this name.
    let names = match files.list(dir) {
        Err(error) if error.kind() == ErrorKind::NotFound => vec![],
        names => names.doing("list", dir)?,
    };
    let numbers = names.iter().filter_map(|name| name.strip_suffix(".seg"));
    let mut numbers: Vec<u32> = numbers.filter_map(|number| number.parse().ok()).collect();
    numbers.sort_unstable();
    Ok(numbers)
}

/// The path of a segment's file.
pub(crate) fn segment_path(dir: &Path, number: u32) -> PathBuf {
    dir.join(format!("{number:010}.seg"))
}

/// Opens a segment from its file. Also returns the seed in its head, if that can be read.
pub(super) fn read_segment(
    number: u32,
    path: PathBuf,
    file: Box<dyn StoredFile>,
) -> Result<(Segment, Option<u32>), StoreError> {
    // Beyond this there can only be preallocated zeros.
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

/// The head of a segment's file.
pub(crate) fn segment_head(seed: u32, number: u32) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(&SEGMENT_MAGIC);
    head[8..12].copy_from_slice(&seed.to_le_bytes());
    head[12..].copy_from_slice(&number.to_le_bytes());
    head
}

/// The number of the segment whose head `bytes` begin with, if they begin with one.
pub(crate) fn segment_number(bytes: &[u8]) -> Option<u32> {
    let head = bytes.get(..HEAD_LEN)?;
    let number = head[12..].try_into().ok()?;
    (head[..8] == SEGMENT_MAGIC).then(|| u32::from_le_bytes(number))
}
