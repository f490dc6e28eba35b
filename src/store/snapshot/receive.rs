//! Receives a copy of a running store, and checks it while writing it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, StoredFile, parent};
use crate::store::fs::layout::{free_name, with_suffix};
use crate::store::snapshot::chunk::{CHUNK_HEAD_BYTES, ChunkHead, HEAD_BYTES, HEAD_LEN, seed_of};

/// Bytes between syncs, so that the final sync is short.
const SYNC_BYTES: u64 = 8 << 20;

/// A file that is written under a temporary name, and renamed when it is whole. If dropped before,
/// it is removed.
pub struct Received {
    files: Arc<dyn Files>,
    path: PathBuf,
    aside: PathBuf,
    file: Box<dyn StoredFile>,
    /// Bytes received that are not a whole chunk yet.
    pending: Vec<u8>,
    written: u64,
    synced: u64,
    /// The position of the last byte received, and the number of bytes received of its segment.
    reached: Option<(u32, u32)>,
    /// The chunk that marks the end has been received.
    ended: bool,
    placed: bool,
}

impl Received {
    /// Creates the file for `path`, where nothing may exist yet.
    ///
    /// # Errors
    /// [`StoreError::Occupied`] if something is there.
    pub fn begin(files: Arc<dyn Files>, path: &Path) -> Result<Received, StoreError> {
        refuse_occupied(&*files, path)?;
        let aside = free_name(&*files, &with_suffix(path, ".part"))?;
        let file = files.open(&aside, OpenHow::Create);
        Ok(Received {
            file: file.doing("create", &aside)?,
            files,
            path: path.to_owned(),
            aside,
            pending: vec![],
            written: 0,
            synced: 0,
            reached: None,
            ended: false,
            placed: false,
        })
    }

    /// The temporary path, until the copy is whole.
    pub fn aside(&self) -> &Path {
        &self.aside
    }

    /// Writes the next bytes. Blocks.
    ///
    /// # Errors
    /// When they are not those of a copy, or cannot be written.
    pub fn write(&mut self, bytes: &[u8]) -> Result<(), StoreError> {
        self.pending.extend_from_slice(bytes);
        let mut taken = 0;
        while let Some(len) = self.next_len(taken)? {
            taken += len;
        }
        let whole = self.pending.drain(..taken).collect::<Vec<u8>>();
        let written = self.file.write_all_at(&whole, self.written);
        written.doing("write to", &self.aside)?;
        self.written += whole.len() as u64;
        if self.written - self.synced >= SYNC_BYTES {
            self.file.sync().doing("sync", &self.aside)?;
            self.synced = self.written;
        }
        Ok(())
    }

    /// Syncs the copy, which must be complete. Blocks.
    ///
    /// # Errors
    /// When the end is missing.
    pub fn end(&mut self) -> Result<(), StoreError> {
        if !self.ended || !self.pending.is_empty() {
            return Err(self.wrong(0, "the copy ends before its end"));
        }
        self.file.sync().doing("sync", &self.aside)
    }

    /// Gives the file its name, durably. Blocks.
    ///
    /// # Errors
    /// [`StoreError::Occupied`] if something has taken that name meanwhile.
    pub fn place(mut self) -> Result<(), StoreError> {
        refuse_occupied(&*self.files, &self.path)?;
        let renamed = self.files.rename(&self.aside, &self.path);
        renamed.doing("rename", &self.aside)?;
        self.placed = true;
        let folder = parent(&self.path);
        self.files.sync_dir(folder).doing("sync", folder)
    }

    /// The length of the head or chunk that begins at `at` in the pending bytes, if it is all
    /// there. Checks it.
    fn next_len(&mut self, at: usize) -> Result<Option<usize>, StoreError> {
        let bytes = &self.pending[at..];
        if self.written + (at as u64) < HEAD_BYTES {
            let Some(head) = bytes.first_chunk::<HEAD_LEN>() else {
                return Ok(None);
            };
            seed_of(head, &self.path)?;
            return Ok(Some(HEAD_LEN));
        }
        let Some(head) = bytes.first_chunk::<CHUNK_HEAD_BYTES>() else {
            return Ok(None);
        };
        if self.ended {
            return Err(self.wrong(at, "bytes follow the end of the copy"));
        }
        let head = ChunkHead::parse(head).ok_or_else(|| self.wrong(at, "no chunk begins here"))?;
        let end = CHUNK_HEAD_BYTES + head.len as usize;
        let Some(data) = bytes.get(CHUNK_HEAD_BYTES..end) else {
            return Ok(None);
        };
        if !head.is_of(data) {
            return Err(self.wrong(at, "the checksum of the chunk is wrong"));
        }
        let follows = match self.reached {
            None => head.offset == 0,
            Some((segment, offset)) => {
                (head.segment, head.offset) == (segment, offset)
                    || (head.segment > segment && head.offset == 0 && head.len > 0)
            }
        };
        if !follows {
            return Err(self.wrong(at, "the chunk does not follow the one before"));
        }
        self.ended = head.len == 0;
        self.reached = Some((head.segment, head.offset.saturating_add(head.len)));
        Ok(Some(end))
    }

    fn wrong(&self, at: usize, what: &'static str) -> StoreError {
        StoreError::Corrupt {
            path: self.aside.clone(),
            offset: self.written + at as u64,
            what,
        }
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if !self.placed {
            // Best effort: the name of what stays says that it is unfinished.
            let _ = self.files.remove_file(&self.aside);
        }
    }
}

fn refuse_occupied(files: &dyn Files, path: &Path) -> Result<(), StoreError> {
    match files.exists(path).doing("look at", path)? {
        true => Err(StoreError::Occupied {
            path: path.to_owned(),
        }),
        false => Ok(()),
    }
}
