//! The segments in a snapshot's file, read where they are, without unpacking them.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::fs::files::StoredFile;
use crate::store::log::segment::{segment_head, segment_path};
use crate::store::snapshot::parts::Part;

/// Where the bytes of segments are in a file; it is told each [`Part`] in the order of the file.
#[derive(Default)]
pub(crate) struct Contents(BTreeMap<u32, Vec<Piece>>);

/// Bytes of a segment that lie together.
#[derive(Clone, Copy)]
struct Piece {
    /// Where they begin in the segment.
    offset: u64,
    len: u64,
    /// Where they begin in the file.
    at: u64,
}

impl Contents {
    /// Takes note of a part.
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

    /// Where in the file the byte at `offset` of a segment is, or the one behind it if it is
    /// not there; the segment's end is behind its last byte.
    pub(crate) fn at(&self, segment: u32, offset: u64) -> u64 {
        let pieces = self.0.get(&segment).map_or(&[][..], Vec::as_slice);
        let behind = pieces.partition_point(|piece| piece.offset + piece.len < offset.max(1));
        let piece = pieces.get(behind).or(pieces.last());
        piece.map_or(0, |piece| {
            piece.at + offset.saturating_sub(piece.offset).min(piece.len)
        })
    }

    /// Each segment, to be read: its number, a name for it, and its bytes. What the file lacks
    /// of a segment reads as zeros; its head is the one that it should have.
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
    /// By their offset.
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
        let behind = self.pieces.partition_point(|piece| piece.offset <= offset);
        let piece = behind.checked_sub(1).map(|at| self.pieces[at]);
        if let Some(piece) = piece.filter(|piece| offset < piece.offset + piece.len) {
            let read = read(piece.offset + piece.len - offset);
            let at = piece.at + (offset - piece.offset);
            return self.file.read_at(&mut bytes[..read], at);
        }
        let next = self.pieces.get(behind).map_or(self.len, |next| next.offset);
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
