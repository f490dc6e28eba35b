//! A copy of a running store: the bytes of its log up to one moment, in the form of the snapshot's
//! file.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::log::segment::Segment;
use crate::store::log::segments::Segments;
use crate::store::snapshot::chunk::{CHUNK_HEAD_BYTES, ChunkHead, HEAD_BYTES, file_head};

/// Bytes read and sent at once. The amount is small, so that reads and syncs of the log come in
/// between.
const PIECE_BYTES: usize = 256 << 10;

/// A copy of a running store. It keeps the files of its segments open, so it can read them to their
/// ends even after the log has purged them.
pub struct Backup {
    log: Arc<Segments>,
    /// What is left of each segment: from which offset, up to which.
    rest: VecDeque<(Arc<Segment>, u64, u64)>,
    /// The end of the log that the copy has.
    end: (u32, u64),
    next: Next,
    bytes: u64,
}

enum Next {
    Head,
    /// The last chunk has no bytes.
    Chunks,
    Nothing,
}

impl Backup {
    /// A copy of what `log` has published. Everything that was answered before is published, and so
    /// it is in the copy.
    pub(crate) fn of(log: &Arc<Segments>) -> Backup {
        // First the segments, then their ends: only the newest segment grows meanwhile. So the copy
        // is the log up to one position, even if a new segment begins.
        let segments = log.from(0);
        let rest: VecDeque<_> = segments
            .into_iter()
            .map(|segment| {
                let end = segment.end();
                (segment, 0, end)
            })
            // Damage can leave a segment without a byte, and a chunk without bytes means the end.
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

    /// The size of the whole copy in bytes.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The current size of the log in bytes. A caller sees by it whether messages are being stored.
    pub fn log_bytes(&self) -> u64 {
        self.log.bytes()
    }

    /// The next bytes; `None` at the end. Blocks.
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
