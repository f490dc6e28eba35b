//! Reads the segments in a snapshot's file in place, without unpacking them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::fs::files::StoredFile;
use crate::store::log::segment::{segment_head, segment_path};
use crate::store::snapshot::parts::Part;

/// Where the bytes of segments are in a file. It gets each [`Part`] in the order of the file.
#[derive(Default)]
pub(crate) struct Contents(BTreeMap<u32, Vec<Piece>>);

/// Consecutive bytes of a segment.
#[derive(Clone, Copy)]
struct Piece {
    /// Where they begin in the segment.
    offset: u64,
    len: u64,
    /// Where they begin in the file.
    at: u64,
}

impl Contents {
    /// Adds a part.
    pub(crate) fn add(&mut self, part: &Part) {
        let Some((segment, offset)) = part.place.filter(|_| !part.bytes.is_empty()) else {
            return;
        };
        self.0.entry(segment).or_default().push(Piece {
            offset: offset.into(),
            len: part.bytes.len() as u64,
            at: part.bytes_from(),
        });
    }

    /// Where in the file the byte at `offset` of a segment is. If the file lacks it: where the next
    /// byte is, or the end of the last one.
    pub(crate) fn at(&self, segment: u32, offset: u64) -> u64 {
        let pieces = self.0.get(&segment).map_or(&[][..], Vec::as_slice);
        let after = pieces.partition_point(|piece| piece.offset + piece.len < offset.max(1));
        let piece = pieces.get(after).or(pieces.last());
        piece.map_or(0, |piece| {
            piece.at + offset.saturating_sub(piece.offset).min(piece.len)
        })
    }

    /// Each segment for reading: its number, a name for it, and its bytes. Bytes that the file
    /// lacks read as zeros. The head of a segment reads as it should be.
    pub(crate) fn segments(
        &self,
        file: Box<dyn StoredFile>,
        path: &Path,
        seed: u32,
    ) -> Vec<(u32, PathBuf, Box<dyn StoredFile>)> {
        let file: Arc<dyn StoredFile> = file.into();
        let segments = self.0.iter();
        segments
            .map(|(&number, pieces)| {
                let mut pieces = pieces.clone();
                pieces.sort_by_key(|piece| piece.offset);
                let ends = pieces.iter().map(|piece| piece.offset + piece.len);
                let segment: Box<dyn StoredFile> = Box::new(Within {
                    file: file.clone(),
                    head: segment_head(seed, number).to_vec(),
                    len: ends.max().unwrap_or_default(),
                    pieces,
                });
                (number, segment_path(path, number), segment)
            })
            .collect()
    }
}

/// A segment in a file.
struct Within {
    file: Arc<dyn StoredFile>,
    head: Vec<u8>,
    len: u64,
    /// The pieces by their offset in the segment.
    pieces: Vec<Piece>,
}

impl StoredFile for Within {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let rest = usize::try_from(self.len.saturating_sub(offset)).unwrap_or(usize::MAX);
        let wanted = bytes.len().min(rest);
        let bytes = &mut bytes[..wanted];
        let head = usize::try_from(offset)
            .ok()
            .and_then(|at| self.head.get(at..));
        if let Some(head) = head.filter(|head| !head.is_empty()) {
            let read = head.len().min(wanted);
            bytes[..read].copy_from_slice(&head[..read]);
            return Ok(read);
        }
        let read = |rest: u64| usize::try_from(rest).unwrap_or(usize::MAX).min(wanted);
        let after = self.pieces.partition_point(|piece| piece.offset <= offset);
        let piece = after.checked_sub(1).map(|at| self.pieces[at]);
        if let Some(piece) = piece.filter(|piece| offset < piece.offset + piece.len) {
            let read = read(piece.offset + piece.len - offset);
            let at = piece.at + (offset - piece.offset);
            return self.file.read_at(&mut bytes[..read], at);
        }
        let next = self.pieces.get(after).map_or(self.len, |next| next.offset);
        let read = read(next - offset);
        bytes[..read].fill(0);
        Ok(read)
    }

    fn write_at(&self, _: &[u8], _: u64) -> io::Result<usize> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.len)
    }

    fn set_len(&self, _: u64) -> io::Result<()> {
        Err(ErrorKind::ReadOnlyFilesystem.into())
    }

    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
}
