//! From a snapshot back to the segments of a log.

use std::path::{Path, PathBuf};

use super::chunk::{CHUNK_HEAD_BYTES, ChunkHead, HEAD_BYTES, read_head};
use super::chunks::{Chunks, Met};
use crate::store::error::{IoContext, StoreError};
use crate::store::files::{Files, OpenHow, StoredFile};
use crate::store::segments::{segment_head, segment_number, segment_path};

/// What [`unpack`] met.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub(crate) bytes: u64,
    /// Where chunks were damaged, by offset in the file. Where it is clear where their bytes go
    /// they are written out all the same: the frames in them have checksums of their own.
    pub(crate) damaged: Vec<u64>,
    /// The bytes of a last chunk that is not whole, as in a copy of a file being written.
    pub(crate) torn: u64,
}

/// Writes the segments in the snapshot at `path` to the folder `dir`, and syncs them.
pub(crate) fn unpack(files: &dyn Files, path: &Path, dir: &Path) -> Result<Unpacked, StoreError> {
    let file = files.open(path, OpenHow::Read).doing("open", path)?;
    let seed = read_head(&*file, path)?;
    files.create_dirs(dir).doing("create", dir)?;
    let chunks = Chunks::new(file, path)?;
    let len = chunks.len;
    let mut output = Output {
        files,
        dir,
        seed,
        open: None,
        expected: None,
    };
    let mut unpacked = Unpacked::default();
    let mut at = HEAD_BYTES;
    while at < len {
        let (place, bytes) = match chunks.at(at)? {
            Met::Whole(chunk, bytes) => {
                at += CHUNK_HEAD_BYTES as u64 + u64::from(chunk.len);
                (Some((chunk.segment, chunk.offset)), bytes)
            }
            met => {
                let next = chunks.next_whole(at + 1)?;
                if next.is_none() && matches!(met, Met::Cut) {
                    unpacked.torn = len - at;
                    break;
                }
                unpacked.damaged.push(at);
                let behind = next.unwrap_or(len);
                let bytes = chunks.read(at + CHUNK_HEAD_BYTES as u64, behind)?;
                let head = match met {
                    Met::Damaged(head) => head,
                    Met::Whole(..) | Met::Cut => None,
                };
                at = behind;
                (place_of(head, &bytes, output.expected), bytes)
            }
        };
        if let Some((segment, offset)) = place {
            output.put(segment, offset, &bytes)?;
            unpacked.bytes += bytes.len() as u64;
        }
    }
    output.finish()?;
    files.sync_dir(dir).doing("sync", dir)?;
    Ok(unpacked)
}

/// Where the bytes of a damaged chunk go: where its checksum says that they belong; if none
/// fits, where its head says, or the segment that they begin, or behind the chunk before.
fn place_of(
    head: Option<ChunkHead>,
    bytes: &[u8],
    expected: Option<(u32, u32)>,
) -> Option<(u32, u32)> {
    let may_be = |place: &(u32, u32)| match expected {
        Some((segment, offset)) => *place == (segment, offset) || *place == (segment + 1, 0),
        None => place.1 == 0,
    };
    let told = head.as_ref().map(|head| (head.segment, head.offset));
    let begun = segment_number(bytes).map(|number| (number, 0));
    let next = expected.map(|(segment, _)| (segment + 1, 0));
    let candidates = || [told, begun, expected, next].into_iter().flatten();
    let by_checksum = candidates().find(|(segment, offset)| {
        let encoded = ChunkHead::encode(*segment, *offset, bytes);
        head.as_ref()
            .is_some_and(|head| encoded[16..] == head.crc.to_le_bytes())
    });
    by_checksum.or_else(|| candidates().find(may_be))
}

/// Writes segments.
struct Output<'a> {
    files: &'a dyn Files,
    dir: &'a Path,
    seed: u32,
    open: Option<(u32, PathBuf, Box<dyn StoredFile>)>,
    /// Where the next chunk's bytes go, unless it begins a segment.
    expected: Option<(u32, u32)>,
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
                // The log is not opened without its heads, and they may be damaged too.
                file.write_all_at(&segment_head(self.seed, segment), 0)
            })
            .doing("write to", &path)?;
        self.open = Some((segment, path, file));
        let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        self.expected = Some((segment, offset.saturating_add(len)));
        Ok(())
    }

    fn finish(&mut self) -> Result<(), StoreError> {
        match self.open.take() {
            Some((_, path, file)) => file.sync().doing("sync", &path),
            None => Ok(()),
        }
    }
}
