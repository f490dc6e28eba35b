//! Knows where in a snapshot the bytes of the log are.

use std::collections::BTreeMap;
use std::path::Path;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, StoredFile};
use crate::store::log::position::Position;
use crate::store::snapshot::chunk::{CHUNK_HEAD_BYTES, ChunkHead, HEAD_BYTES, read_head};
use crate::store::snapshot::chunks::{ChunkRead, Chunks};

/// Where in a snapshot the bytes of the log are. A chunk is checked when it is read.
pub(crate) struct Catalog {
    pub(super) chunks: Chunks,
    /// By segment and offset in it: the number of bytes, and where the chunk is.
    places: BTreeMap<(u32, u32), (u32, u64)>,
    /// The end of the last chunk.
    pub(super) end: u64,
    /// Where the file is damaged, if chunks follow the damage.
    pub(super) damaged: Option<u64>,
}

impl Catalog {
    /// The catalog of the snapshot at `path`, if there is a snapshot with the log's seed.
    pub(crate) fn open(
        files: &dyn Files,
        path: &Path,
        seed: u32,
    ) -> Result<Option<Catalog>, StoreError> {
        let file = match files.open(path, OpenHow::Read) {
            Ok(file) => file,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error).doing("open", path),
        };
        match read_head(&*file, path) {
            Ok(its_seed) if its_seed == seed => Catalog::read(file, path).map(Some),
            Err(error @ StoreError::Io { .. }) => Err(error),
            _ => Ok(None),
        }
    }

    /// Goes from chunk to chunk. A head counts if it continues the chunk before. Otherwise, and at
    /// the end, the chunk's checksum decides.
    pub(super) fn read(file: Box<dyn StoredFile>, path: &Path) -> Result<Catalog, StoreError> {
        let mut catalog = Catalog {
            chunks: Chunks::new(file, path)?,
            places: BTreeMap::new(),
            end: HEAD_BYTES,
            damaged: None,
        };
        let mut before: Option<(u64, Position)> = None;
        let len = catalog.chunks.len;
        while catalog.end < len {
            let at = catalog.end;
            if let Some(head) = catalog.believable(at, before.map(|(_, end)| end))? {
                let end = head.end();
                // A chunk without bytes only marks the end of a copy.
                if head.len > 0 {
                    let place = (head.segment, head.offset);
                    catalog.places.insert(place, (head.len, at));
                }
                catalog.end = at + CHUNK_HEAD_BYTES as u64 + u64::from(head.len);
                before = Some((at, end));
                continue;
            }
            // The length that led here may be wrong itself.
            let mut search = at + 1;
            if let Some((before, _)) = before
                && !matches!(catalog.chunks.at(before)?, ChunkRead::Whole(..))
            {
                catalog.places.retain(|_, (_, place)| *place != before);
                catalog.end = before;
                search = before + 1;
            }
            match catalog.chunks.next_whole(search)? {
                Some(next) => {
                    catalog.damaged.get_or_insert(catalog.end);
                    catalog.end = next;
                    before = None;
                }
                None => break,
            }
        }
        Ok(catalog)
    }

    fn believable(
        &self,
        at: u64,
        expected: Option<Position>,
    ) -> Result<Option<ChunkHead>, StoreError> {
        let Some(head) = self.chunks.head_at(at)? else {
            return Ok(None);
        };
        let end = at + CHUNK_HEAD_BYTES as u64 + u64::from(head.len);
        let fits = expected.is_some_and(|expected| {
            let next = (expected.segment.saturating_add(1), 0);
            [(expected.segment, expected.offset), next].contains(&(head.segment, head.offset))
        });
        if fits && end < self.chunks.len {
            return Ok(Some(head));
        }
        match self.chunks.at(at)? {
            ChunkRead::Whole(head, _) => Ok(Some(head)),
            _ => Ok(None),
        }
    }

    /// Whether the file is damaged, with chunks after the damage.
    pub(crate) fn is_damaged(&self) -> bool {
        self.damaged.is_some()
    }

    /// The end of the log that the snapshot has.
    pub(crate) fn covered(&self) -> Position {
        let last = self.places.last_key_value();
        last.map_or(Position::default(), |(&(segment, offset), &(len, _))| {
            Position {
                segment,
                offset: offset.saturating_add(len),
            }
        })
    }

    /// The segments in the snapshot, each with the offset up to which it is there.
    pub(crate) fn segments(&self) -> BTreeMap<u32, u64> {
        let places = self.places.iter();
        places
            .map(|(&(segment, offset), &(len, _))| (segment, u64::from(offset) + u64::from(len)))
            .collect()
    }

    /// The number of bytes of each segment that are in the file.
    pub(super) fn bytes_of_segments(&self) -> BTreeMap<u32, u64> {
        let mut bytes = BTreeMap::new();
        for (&(segment, _), &(len, _)) in &self.places {
            *bytes.entry(segment).or_default() += u64::from(len);
        }
        bytes
    }

    /// Where the chunk ends that has the byte `at` of a segment. If there is none, where the next
    /// one begins.
    pub(crate) fn chunk_end(&self, segment: u32, at: u64) -> Option<u64> {
        let places = self.places.range((segment, 0)..=(segment, u32::MAX));
        places
            .flat_map(|(&(_, offset), &(len, _))| {
                [u64::from(offset), u64::from(offset) + u64::from(len)]
            })
            .find(|border| *border > at)
    }

    /// The bytes of a segment from `from` to `to`. `None` unless all of them are in whole chunks.
    pub(crate) fn bytes(
        &self,
        segment: u32,
        from: u64,
        to: u64,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        let bytes = self.bytes_from(segment, from, to)?;
        Ok((bytes.len() as u64 >= to.saturating_sub(from)).then_some(bytes))
    }

    /// As many of those bytes as whole chunks have without a hole.
    pub(crate) fn bytes_from(
        &self,
        segment: u32,
        from: u64,
        to: u64,
    ) -> Result<Vec<u8>, StoreError> {
        let mut bytes = vec![];
        let mut reached = from;
        while reached < to {
            let key = (segment, u32::try_from(reached).unwrap_or(u32::MAX));
            let place = self.places.range((segment, 0)..=key).next_back();
            let Some((&(_, offset), &(len, at))) = place else {
                break;
            };
            let end = u64::from(offset) + u64::from(len);
            if end <= reached {
                break;
            }
            match self.chunks.at(at)? {
                ChunkRead::Whole(head, chunk)
                    if (head.segment, head.offset) == (segment, offset) =>
                {
                    let cut = |at: u64| {
                        usize::try_from(at - u64::from(offset)).expect("a chunk fits in memory")
                    };
                    bytes.extend_from_slice(&chunk[cut(reached)..cut(end.min(to))]);
                }
                _ => break,
            }
            reached = end.min(to);
        }
        Ok(bytes)
    }
}

/// The length of the chunk at `at` with its head, if it is whole and ends before `end`.
pub(super) fn whole_chunk(
    file: &dyn StoredFile,
    path: &Path,
    at: u64,
    end: u64,
) -> Result<Option<u64>, StoreError> {
    let mut head = [0; CHUNK_HEAD_BYTES];
    let data = at + CHUNK_HEAD_BYTES as u64;
    if data > end {
        return Ok(None);
    }
    file.read_exact_at(&mut head, at).doing("read", path)?;
    let Some(head) = ChunkHead::parse(&head).filter(|head| data + u64::from(head.len) <= end)
    else {
        return Ok(None);
    };
    let mut bytes = vec![0; head.len as usize];
    file.read_exact_at(&mut bytes, data).doing("read", path)?;
    let len = CHUNK_HEAD_BYTES as u64 + u64::from(head.len);
    Ok(head.is_of(&bytes).then_some(len))
}
