//! A copy of a running store: the bytes of its log up to one moment, in the form of the
//! snapshot's file.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::log::segment::Segment;
use crate::store::log::segments::Segments;
use crate::store::snapshot::chunk::{CHUNK_HEAD_BYTES, ChunkHead, HEAD_BYTES, file_head};

/// Read and sent at once: small, so that the log's own reads and syncs come in between.
const PIECE_BYTES: usize = 256 << 10;

/// See the module. It keeps the files of its segments open: they can be read to their ends even
/// when the log has given them back.
pub struct Backup {
    log: Arc<Segments>,
    /// What is left of each segment: from where, up to where.
    rest: VecDeque<(Arc<Segment>, u64, u64)>,
    /// The place behind the last byte of the log that is in it.
    end: (u32, u64),
    next: Next,
    bytes: u64,
}

enum Next {
    Head,
    /// The last of them has no bytes.
    Chunks,
    Nothing,
}

impl Backup {
    /// A copy of what can be read of `log` now. Whatever was answered before was published
    /// before, and so it is in it.
    pub(crate) fn of(log: &Arc<Segments>) -> Backup {
        // The segments first and their ends second: only the newest of them grows meanwhile,
        // so it is the log up to one place, whatever is begun behind.
        let segments = log.from(0);
        let rest: VecDeque<_> = segments
            .into_iter()
            .map(|segment| {
                let end = segment.end();
                (segment, 0, end)
            })
            // One that damage has left without a byte: a chunk without bytes means the end.
            .filter(|(.., end)| *end > 0)
            .collect();
        let chunks: u64 = rest
            .iter()
            .map(|(.., end)| end.div_ceil(PIECE_BYTES as u64))
            .sum();
        let log_bytes: u64 = rest.iter().map(|(.., end)| end).sum();
        let end = rest
            .back()
            .map_or((0, 0), |(segment, _, end)| (segment.number, *end));
        Backup {
            log: log.clone(),
            rest,
            end,
            next: Next::Head,
            bytes: HEAD_BYTES + log_bytes + (chunks + 1) * CHUNK_HEAD_BYTES as u64,
        }
    }

    /// How many bytes it has in all.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many bytes the log has now: it tells whether something is being stored.
    pub fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// The bytes that come next; `None` at the end. Blocks.
    ///
    /// # Errors
    /// When the log cannot be read.
    pub fn read(&mut self) -> Result<Option<Vec<u8>>, StoreError> {
        match self.next {
            Next::Head => {
                self.next = Next::Chunks;
                Ok(Some(file_head(self.log.seed).to_vec()))
            }
            Next::Chunks => self.chunk().map(Some),
            Next::Nothing => Ok(None),
        }
    }

    fn chunk(&mut self) -> Result<Vec<u8>, StoreError> {
        let Some((segment, from, end)) = self.rest.front_mut() else {
            self.next = Next::Nothing;
            let (segment, end) = self.end;
            return Ok(ChunkHead::encode(segment, offset(end), &[]).to_vec());
        };
        let left = usize::try_from(*end - *from).unwrap_or(usize::MAX);
        let bytes = segment.read(*from, left.min(PIECE_BYTES))?;
        let mut chunk = ChunkHead::encode(segment.number, offset(*from), &bytes).to_vec();
        chunk.extend_from_slice(&bytes);
        *from += bytes.len() as u64;
        if from == end {
            self.rest.pop_front();
        }
        Ok(chunk)
    }
}

fn offset(in_segment: u64) -> u32 {
    u32::try_from(in_segment).expect("a segment is far below 4 GiB")
}
