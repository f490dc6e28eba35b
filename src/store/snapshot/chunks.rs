//! Reads the chunks of a snapshot one by one.

use std::path::{Path, PathBuf};

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::StoredFile;
use crate::store::snapshot::chunk::{CHUNK_HEAD_BYTES, CHUNK_MAGIC, ChunkHead};

/// Reads the chunks of a file.
pub(super) struct Chunks {
    pub(super) file: Box<dyn StoredFile>,
    path: PathBuf,
    pub(super) len: u64,
}

/// What was read where a chunk should be.
pub(super) enum ChunkRead {
    Whole(ChunkHead, Vec<u8>),
    /// The file ends before the chunk does.
    Cut,
    /// Not a whole chunk. Has its head, if that looks like one.
    Damaged(Option<ChunkHead>),
}

impl Chunks {
    pub(super) fn new(file: Box<dyn StoredFile>, path: &Path) -> Result<Chunks, StoreError> {
        let len = file.len().doing("look at", path)?;
        let path = path.to_owned();
        Ok(Chunks { file, path, len })
    }

    pub(super) fn read(&self, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, from)
            .doing("read", &self.path)?;
        Ok(bytes)
    }

    pub(super) fn at(&self, at: u64) -> Result<ChunkRead, StoreError> {
        let data = at + CHUNK_HEAD_BYTES as u64;
        if data > self.len {
            return Ok(ChunkRead::Cut);
        }
        let Some(head) = self.head_at(at)? else {
            return Ok(ChunkRead::Damaged(None));
        };
        let end = data + u64::from(head.len);
        if end > self.len {
            return Ok(ChunkRead::Cut);
        }
        let bytes = self.read(data, end)?;
        Ok(if head.is_of(&bytes) {
            ChunkRead::Whole(head, bytes)
        } else {
            ChunkRead::Damaged(Some(head))
        })
    }

    /// What looks like a chunk's head. The bytes of the chunk are not read.
    pub(super) fn head_at(&self, at: u64) -> Result<Option<ChunkHead>, StoreError> {
        if at + CHUNK_HEAD_BYTES as u64 > self.len {
            return Ok(None);
        }
        let mut head = [0; CHUNK_HEAD_BYTES];
        self.file
            .read_exact_at(&mut head, at)
            .doing("read", &self.path)?;
        Ok(ChunkHead::parse(&head))
    }

    /// The next offset from `from` on where a whole chunk begins.
    pub(super) fn next_whole(&self, from: u64) -> Result<Option<u64>, StoreError> {
        const WINDOW: u64 = 1 << 20;
        let mut at = from;
        while at < self.len {
            let window = self.read(at, self.len.min(at + WINDOW))?;
            let mut magics = window.windows(4).enumerate();
            let found = magics.find(|(_, bytes)| *bytes == CHUNK_MAGIC);
            let Some((found, _)) = found else {
                // A magic may lie across the border of two windows.
                at += (window.len() as u64).saturating_sub(3).max(1);
                continue;
            };
            at += found as u64;
            if let ChunkRead::Whole(..) = self.at(at)? {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }
}
