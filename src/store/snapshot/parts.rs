//! Walks over the chunks of a snapshot's file in order, and over damage between them.

use std::path::Path;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, StoredFile};
use crate::store::log::segment::segment_number;
use crate::store::snapshot::chunk::{CHUNK_HEAD_BYTES, ChunkHead, HEAD_BYTES, read_head};
use crate::store::snapshot::chunks::{ChunkRead, Chunks};

/// A walk over the chunks of a file.
pub(crate) struct Parts {
    chunks: Chunks,
    /// The seed of the log's checksums.
    pub(crate) seed: u32,
    at: u64,
    /// Where the next chunk's bytes go, unless it begins a segment.
    expected: Option<(u32, u32)>,
    torn: u64,
    ended: bool,
}

/// A chunk, or the damage where one should be.
pub(crate) struct Part {
    /// Where it begins in the file.
    pub(crate) from: u64,
    /// Where it ends there.
    pub(crate) to: u64,
    /// The segment and the offset to which its bytes belong, if that is clear.
    pub(crate) place: Option<(u32, u32)>,
    /// Whether its checksum is right.
    pub(crate) whole: bool,
    pub(crate) bytes: Vec<u8>,
}

impl Part {
    /// Where its bytes begin in the file.
    pub(crate) fn bytes_from(&self) -> u64 {
        self.from + CHUNK_HEAD_BYTES as u64
    }
}

impl Parts {
    /// Opens the snapshot at `path`.
    pub(crate) fn open(files: &dyn Files, path: &Path) -> Result<Parts, StoreError> {
        let file = files.open(path, OpenHow::Read).doing("open", path)?;
        Ok(Parts {
            seed: read_head(&*file, path)?,
            chunks: Chunks::new(file, path)?,
            at: HEAD_BYTES,
            expected: None,
            torn: 0,
            ended: false,
        })
    }

    /// The bytes of the file.
    pub(crate) fn len(&self) -> u64 {
        self.chunks.len
    }

    /// The length of an incomplete last chunk, as in the copy of a file that was being written.
    pub(crate) fn torn(&self) -> u64 {
        self.torn
    }

    /// Whether the last chunk marks the end of the file.
    pub(crate) fn ended(&self) -> bool {
        self.ended
    }

    /// The file, for reads at any offset.
    pub(crate) fn into_file(self) -> Box<dyn StoredFile> {
        self.chunks.file
    }

    /// The next part; `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Part>, StoreError> {
        let (from, len) = (self.at, self.chunks.len);
        if from >= len {
            return Ok(None);
        }
        let part = match self.chunks.at(from)? {
            ChunkRead::Whole(chunk, bytes) => Part {
                from,
                to: from + (CHUNK_HEAD_BYTES + bytes.len()) as u64,
                place: Some((chunk.segment, chunk.offset)),
                whole: true,
                bytes,
            },
            read => {
                let next = self.chunks.next_whole(from + 1)?;
                if next.is_none() && matches!(read, ChunkRead::Cut) {
                    (self.torn, self.ended) = (len - from, false);
                    self.at = len;
                    return Ok(None);
                }
                let to = next.unwrap_or(len);
                let bytes = self.chunks.read(from + CHUNK_HEAD_BYTES as u64, to)?;
                let head = match read {
                    ChunkRead::Damaged(head) => head,
                    ChunkRead::Whole(..) | ChunkRead::Cut => None,
                };
                Part {
                    from,
                    to,
                    place: place_of(head, &bytes, self.expected),
                    whole: false,
                    bytes,
                }
            }
        };
        self.at = part.to;
        self.ended = part.whole && part.bytes.is_empty();
        if let Some((segment, offset)) = part.place {
            let len = u32::try_from(part.bytes.len()).unwrap_or(u32::MAX);
            self.expected = Some((segment, offset.saturating_add(len)));
        }
        Ok(Some(part))
    }
}

/// Where the bytes of a damaged chunk belong: where its checksum fits. If it fits nowhere: where
/// its head says, at the beginning of the segment whose head they have, or after the chunk before.
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
