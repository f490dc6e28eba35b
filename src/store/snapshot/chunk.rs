//! The layout of the file: its head, and the heads of its chunks.

use std::io::ErrorKind;
use std::path::Path;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::StoredFile;
use crate::store::log::position::Position;

/// The first bytes of the file.
pub(crate) const MAGIC: [u8; 8] = *b"DPMQSNAP";
pub(super) const FORMAT: u32 = 1;
pub(super) const HEAD_BYTES: u64 = HEAD_LEN as u64;
pub(super) const HEAD_LEN: usize = 16;
pub(super) const CHUNK_MAGIC: [u8; 4] = *b"CHNK";
pub(super) const CHUNK_HEAD_BYTES: usize = 20;

/// Bytes in one chunk: few enough that the log's syncs do not wait long for one.
pub(super) const CHUNK_BYTES_MAX: usize = 4 << 20;

/// The head of a chunk. A chunk without bytes marks the end: a copy of a running store ends so, and
/// the file of a running store never does.
pub(super) struct ChunkHead {
    pub(super) segment: u32,
    pub(super) offset: u32,
    pub(super) len: u32,
    pub(super) crc: u32,
}

impl ChunkHead {
    /// Parses a head; `None` if it cannot be one. A length beyond the limit would be read in vain,
    /// again and again where the file is damaged and messages look like heads.
    pub(super) fn parse(bytes: &[u8; CHUNK_HEAD_BYTES]) -> Option<ChunkHead> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let head = ChunkHead {
            segment: word(4),
            offset: word(8),
            len: word(12),
            crc: word(16),
        };
        (bytes[..4] == CHUNK_MAGIC && head.len as usize <= CHUNK_BYTES_MAX).then_some(head)
    }

    pub(super) fn encode(segment: u32, offset: u32, bytes: &[u8]) -> [u8; CHUNK_HEAD_BYTES] {
        let len = u32::try_from(bytes.len()).expect("a chunk is far below 4 GiB");
        let mut head = [0; CHUNK_HEAD_BYTES];
        head[..4].copy_from_slice(&CHUNK_MAGIC);
        head[4..8].copy_from_slice(&segment.to_le_bytes());
        head[8..12].copy_from_slice(&offset.to_le_bytes());
        head[12..16].copy_from_slice(&len.to_le_bytes());
        let crc = checksum(&head[..16], bytes);
        head[16..].copy_from_slice(&crc.to_le_bytes());
        head
    }

    /// Where in the log the chunk's bytes end.
    pub(super) fn end(&self) -> Position {
        Position {
            segment: self.segment,
            offset: self.offset.saturating_add(self.len),
        }
    }

    pub(super) fn is_of(&self, bytes: &[u8]) -> bool {
        let head = ChunkHead::encode(self.segment, self.offset, bytes);
        head[16..] == self.crc.to_le_bytes()
    }
}

fn checksum(head: &[u8], bytes: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(bytes);
    hasher.finalize()
}

/// The head of a file with this seed.
pub(super) fn file_head(seed: u32) -> [u8; HEAD_LEN] {
    let mut head = [0; HEAD_LEN];
    head[..8].copy_from_slice(&MAGIC);
    head[8..12].copy_from_slice(&FORMAT.to_le_bytes());
    head[12..].copy_from_slice(&seed.to_le_bytes());
    head
}

/// The seed in the file's head.
pub(super) fn read_head(file: &dyn StoredFile, path: &Path) -> Result<u32, StoreError> {
    let mut head = [0; HEAD_LEN];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(StoreError::NotOurs {
                path: path.to_owned(),
                what: "it is too short to be a snapshot".into(),
            });
        }
        read => read.doing("read", path)?,
    }
    seed_of(&head, path)
}

/// The seed in `head`, the beginning of a file.
pub(super) fn seed_of(head: &[u8; HEAD_LEN], path: &Path) -> Result<u32, StoreError> {
    let not_ours = |what: &str| StoreError::NotOurs {
        path: path.to_owned(),
        what: what.into(),
    };
    if head[..8] != MAGIC {
        return Err(not_ours("it does not begin as a snapshot does"));
    }
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    match word(8) {
        FORMAT => Ok(word(12)),
        found if found > FORMAT => Err(StoreError::FormatTooNew {
            path: path.to_owned(),
            found,
            known: FORMAT,
        }),
        _ => Err(not_ours("its format is not known")),
    }
}
