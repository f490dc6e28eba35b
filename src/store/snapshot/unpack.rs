//! Writes the segments of a log from a snapshot.

use std::path::{Path, PathBuf};

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, StoredFile};
use crate::store::log::segment::{segment_head, segment_path};
use crate::store::snapshot::parts::Parts;

/// The result of [`unpack`].
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) bytes: u64,
    /// Where chunks are damaged, by offset in the file. If it is clear where their bytes belong,
    /// they are written all the same: the frames in them have checksums of their own.
    pub(crate) damaged: Vec<u64>,
    /// The length of an incomplete last chunk, as in the copy of a file that was being written.
    pub(crate) torn: u64,
}

/// Writes the segments in the snapshot at `path` to the folder `dir`, and syncs them. `progress`
/// gets the bytes done and the bytes in all.
pub(crate) fn unpack(
    files: &dyn Files,
    path: &Path,
    dir: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Unpacked, StoreError> {
    let mut parts = Parts::open(files, path)?;
    files.create_dirs(dir).doing("create", dir)?;
    let mut output = Output {
        files,
        dir,
        seed: parts.seed,
        open: None,
    };
    let mut unpacked = Unpacked::default();
    while let Some(part) = parts.next()? {
        if !part.whole {
            unpacked.damaged.push(part.from);
        }
        progress(part.to, parts.len());
        if let Some((segment, offset)) = part.place {
            output.put(segment, offset, &part.bytes)?;
            unpacked.bytes += part.bytes.len() as u64;
        }
    }
    unpacked.torn = parts.torn();
    output.finish()?;
    files.sync_dir(dir).doing("sync", dir)?;
    Ok(unpacked)
}

/// Writes segments.
struct Output<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    seed: u32,
    open: Option<(u32, PathBuf, Box<dyn StoredFile>)>,
}

impl Output<'_> {
    fn put(&mut self, segment: u32, offset: u32, bytes: &[u8]) -> Result<(), StoreError> {
        let (path, file) = match self.open.take() {
            Some((number, path, file)) if number == segment => (path, file),
            before => {
                self.open = before;
                self.finish()?;
                let path = segment_path(self.dir, segment);
                let file = self.files.open(&path, OpenHow::Create);
                let file = file.doing("create", &path)?;
                (path, file)
            }
        };
        file.write_all_at(bytes, offset.into())
            .and_then(|()| {
                // The log cannot be opened without the segments' heads, and those may be damaged
                // too.
                file.write_all_at(&segment_head(self.seed, segment), 0)
            })
            .doing("write to", &path)?;
        self.open = Some((segment, path, file));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        match self.open.take() {
            Some((_, path, file)) => file.sync().doing("sync", &path),
            None => Ok(()),
        }
    }
}
