//! The backup file: one file that holds the whole log, and is whole at every instant.
//!
//! ```text
//! head    16  "DPMQSNAP", format u32, seed of the log's checksums u32
//! chunk   20  "CHNK", segment u32, offset u32, length u32, CRC-32 u32 of this and the bytes
//!             bytes of that segment from that offset on
//! chunk   …   until the end of the file
//! ```
//!
//! Chunks are appended in the order of the log and synced one by one, so whatever a copy
//! catches of a file that is being written is a state the store really had. Restoring is
//! writing the chunks back to where they came from, and recovering as after a crash. When more
//! of the file is dead than alive it is written anew beside and renamed over the old one.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::disk::free_name;
use super::error::{IoContext, StoreError};
use super::files::{Files, OpenHow, StoredFile, parent};
use super::recovery::with_suffix;
use super::segments::{Position, Segment, Segments, segment_head, segment_number, segment_path};

/// What the file begins with.
pub(crate) const MAGIC: [u8; 8] = *b"DPMQSNAP";
const FORMAT: u32 = 1;
const HEAD_BYTES: u64 = HEAD_LEN as u64;
const HEAD_LEN: usize = 16;
const CHUNK_MAGIC: [u8; 4] = *b"CHNK";
const CHUNK_HEAD_BYTES: usize = 20;
/// Small enough that the log's syncs do not wait long behind one.
const CHUNK_BYTES: usize = 4 << 20;
/// Dead bytes that are put up with before the file is written anew.
const SLACK_BYTES: u64 = 16 << 20;

/// The snapshot file of a running store.
pub(crate) struct Snapshot {
    files: Arc<dyn Files>,
    path: PathBuf,
    seed: u32,
    /// Absent while there is no file of this store.
    open: Option<Open>,
    /// There is a file, but of another store: somebody's backup.
    foreign: bool,
}

struct Open {
    file: Box<dyn StoredFile>,
    /// The bytes of whole chunks.
    end: u64,
    /// Everything in the log before this is in the file.
    covered: Position,
    /// The bytes of each segment that are in the file.
    segments: BTreeMap<u32, u64>,
}

struct ChunkHead {
    segment: u32,
    offset: u32,
    len: u32,
    crc: u32,
}

impl ChunkHead {
    fn parse(bytes: &[u8; CHUNK_HEAD_BYTES]) -> Option<ChunkHead> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        (bytes[..4] == CHUNK_MAGIC).then(|| ChunkHead {
            segment: word(4),
            offset: word(8),
            len: word(12),
            crc: word(16),
        })
    }

    fn encode(segment: u32, offset: u32, bytes: &[u8]) -> [u8; CHUNK_HEAD_BYTES] {
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

    fn is_of(&self, bytes: &[u8]) -> bool {
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

impl Snapshot {
    /// The snapshot at `path` of the log with checksums of `seed` that ends at `log_end`. A
    /// file of another store is left alone until the first update, which puts it aside.
    pub(crate) fn open(
        files: &Arc<dyn Files>,
        path: &Path,
        seed: u32,
        log_end: Position,
    ) -> Result<Snapshot, StoreError> {
        match files.remove_file(&aside(path)) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(error).doing("remove", &aside(path));
            }
            _ => {}
        }
        let (open, foreign) = match files.open(path, OpenHow::Write) {
            Ok(file) => {
                let len = file.len().doing("look at", path)?;
                let open = read_chunks(file, path, seed)?;
                let foreign = open.is_none() && len > 0;
                (open, foreign)
            }
            Err(error) if error.kind() == ErrorKind::NotFound => (None, false),
            Err(error) => return Err(error).doing("open", path),
        };
        Ok(Snapshot {
            files: files.clone(),
            path: path.to_owned(),
            seed,
            foreign,
            // What a power cut took from the log will be written otherwise.
            open: open.filter(|open| open.covered <= log_end),
        })
    }

    #[cfg(test)]
    fn covered(&self) -> Option<Position> {
        self.open.as_ref().map(|open| open.covered)
    }

    /// Brings the file up to what is in the log now; what is in it then is synced.
    pub(crate) fn update(&mut self, log: &Segments) -> Result<(), StoreError> {
        let segments = log.from(0);
        let Some(first) = segments.first().map(|segment| segment.number) else {
            return Ok(());
        };
        if let Some(open) = &mut self.open {
            let dead: u64 = open.segments.range(..first).map(|(_, bytes)| bytes).sum();
            let live: u64 = segments.iter().map(|segment| segment.end()).sum();
            // Where the log has given back what the file lacks, a copy taken while the rest is
            // appended would have a hole in its history.
            if dead <= live + SLACK_BYTES && first <= open.covered.segment {
                let result = open.append(&segments, &self.path);
                if result.is_err() {
                    // Half a chunk at the end would hide those written after it.
                    open.file.set_len(open.end).doing("cut", &self.path)?;
                }
                return result;
            }
        }
        self.write_anew(&segments)
    }

    fn write_anew(&mut self, segments: &[Arc<Segment>]) -> Result<(), StoreError> {
        let aside = aside(&self.path);
        let files = self.files.clone();
        let file = files.open(&aside, OpenHow::Replace);
        let file = file.doing("create", &aside)?;
        let mut head = MAGIC.to_vec();
        head.extend_from_slice(&FORMAT.to_le_bytes());
        head.extend_from_slice(&self.seed.to_le_bytes());
        file.write_all_at(&head, 0).doing("write to", &aside)?;
        let mut open = Open {
            file,
            end: HEAD_BYTES,
            covered: Position::default(),
            segments: BTreeMap::new(),
        };
        let written = open.append(segments, &aside).and_then(|()| {
            open.file.sync().doing("sync", &aside)?;
            if std::mem::take(&mut self.foreign)
                && files.exists(&self.path).doing("look at", &self.path)?
            {
                let kept = free_name(&*files, &with_suffix(&self.path, ".other"))?;
                tracing::warn!(kept = %kept.display(), "the snapshot was of another store");
                files
                    .rename(&self.path, &kept)
                    .doing("rename", &self.path)?;
            }
            files.rename(&aside, &self.path).doing("rename", &aside)?;
            let folder = parent(&self.path);
            files.sync_dir(folder).doing("sync", folder)
        });
        if let Err(error) = written {
            // Best effort: the next start removes it too.
            let _ = files.remove_file(&aside);
            return Err(error);
        }
        self.open = Some(open);
        Ok(())
    }
}

impl Open {
    /// Appends what the log has and the file does not.
    fn append(&mut self, segments: &[Arc<Segment>], path: &Path) -> Result<(), StoreError> {
        for segment in segments {
            let mut offset = match segment.number.cmp(&self.covered.segment) {
                std::cmp::Ordering::Less => continue,
                std::cmp::Ordering::Equal => u64::from(self.covered.offset),
                std::cmp::Ordering::Greater => 0,
            };
            let end = segment.end();
            while offset < end {
                let rest = usize::try_from(end - offset).unwrap_or(usize::MAX);
                let bytes = segment.read(offset, rest.min(CHUNK_BYTES))?;
                let start = u32::try_from(offset).expect("a segment is far below 4 GiB");
                let head = ChunkHead::encode(segment.number, start, &bytes);
                self.file
                    .write_all_at(&head, self.end)
                    .doing("write to", path)?;
                let behind = self.end + CHUNK_HEAD_BYTES as u64;
                self.file
                    .write_all_at(&bytes, behind)
                    .doing("write to", path)?;
                self.file.sync().doing("sync", path)?;
                let len = bytes.len() as u64;
                self.end = behind + len;
                offset += len;
                *self.segments.entry(segment.number).or_default() += len;
                self.covered = Position {
                    segment: segment.number,
                    offset: u32::try_from(offset).expect("a segment is far below 4 GiB"),
                };
            }
        }
        Ok(())
    }
}

fn aside(path: &Path) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".tmp");
    PathBuf::from(name)
}

fn read_head(file: &dyn StoredFile, path: &Path) -> Result<u32, StoreError> {
    let not_ours = |what: &str| StoreError::NotOurs {
        path: path.to_owned(),
        what: what.into(),
    };
    let mut head = [0; HEAD_LEN];
    match file.read_exact_at(&mut head, 0) {
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => {
            return Err(not_ours("it is too short to be a snapshot"));
        }
        read => read.doing("read", path)?,
    }
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

/// Finds out what a file covers by its chunks' heads; a last chunk that is not whole is cut.
fn read_chunks(
    file: Box<dyn StoredFile>,
    path: &Path,
    seed: u32,
) -> Result<Option<Open>, StoreError> {
    match read_head(&*file, path) {
        Ok(its_seed) if its_seed == seed => {}
        Ok(_) => return Ok(None),
        Err(error @ (StoreError::Io { .. } | StoreError::FormatTooNew { .. })) => {
            return Err(error);
        }
        Err(_) => return Ok(None),
    }
    let len = file.len().doing("look at", path)?;
    let mut open = Open {
        file,
        end: HEAD_BYTES,
        covered: Position::default(),
        segments: BTreeMap::new(),
    };
    loop {
        let mut head = [0; CHUNK_HEAD_BYTES];
        let data_at = open.end + CHUNK_HEAD_BYTES as u64;
        if data_at > len || open.file.read_exact_at(&mut head, open.end).is_err() {
            break;
        }
        let Some(head) = ChunkHead::parse(&head) else {
            break;
        };
        let end = data_at + u64::from(head.len);
        if end > len {
            break;
        }
        if end == len {
            let mut bytes = vec![0; head.len as usize];
            open.file
                .read_exact_at(&mut bytes, data_at)
                .doing("read", path)?;
            if !head.is_of(&bytes) {
                break;
            }
        }
        open.end = end;
        open.covered = Position {
            segment: head.segment,
            offset: head.offset.saturating_add(head.len),
        };
        *open.segments.entry(head.segment).or_default() += u64::from(head.len);
    }
    if open.end < len {
        open.file.set_len(open.end).doing("cut", path)?;
    }
    Ok(Some(open))
}

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
    let len = file.len().doing("look at", path)?;
    let seed = read_head(&*file, path)?;
    files.create_dirs(dir).doing("create", dir)?;
    let chunks = Chunks { file, path, len };
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

/// Reads the chunks of a file.
struct Chunks<'a> {
    file: Box<dyn StoredFile>,
    path: &'a Path,
    len: u64,
}

/// What is where a chunk should be.
enum Met {
    Whole(ChunkHead, Vec<u8>),
    /// The file ends before the chunk does.
    Cut,
    /// Its head, if that looks like one.
    Damaged(Option<ChunkHead>),
}

impl Chunks<'_> {
    fn read(&self, from: u64, to: u64) -> Result<Vec<u8>, StoreError> {
        let len = usize::try_from(to.saturating_sub(from)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; len];
        self.file
            .read_exact_at(&mut bytes, from)
            .doing("read", self.path)?;
        Ok(bytes)
    }

    fn at(&self, at: u64) -> Result<Met, StoreError> {
        let data = at + CHUNK_HEAD_BYTES as u64;
        if data > self.len {
            return Ok(Met::Cut);
        }
        let mut head = [0; CHUNK_HEAD_BYTES];
        self.file
            .read_exact_at(&mut head, at)
            .doing("read", self.path)?;
        let Some(head) = ChunkHead::parse(&head) else {
            return Ok(Met::Damaged(None));
        };
        let end = data + u64::from(head.len);
        if end > self.len {
            return Ok(Met::Cut);
        }
        let bytes = self.read(data, end)?;
        Ok(if head.is_of(&bytes) {
            Met::Whole(head, bytes)
        } else {
            Met::Damaged(Some(head))
        })
    }

    /// The next offset at or behind `from` where a whole chunk begins.
    fn next_whole(&self, from: u64) -> Result<Option<u64>, StoreError> {
        const WINDOW: u64 = 1 << 20;
        let mut at = from;
        while at < self.len {
            let window = self.read(at, self.len.min(at + WINDOW))?;
            let mut magics = window.windows(4).enumerate();
            let found = magics.find(|(_, bytes)| *bytes == CHUNK_MAGIC);
            let Some((found, _)) = found else {
                // A magic may lie across the border of two windows.
                at += (window.len() as u64).saturating_sub(3).max(1);
                continue;
            };
            at += found as u64;
            if let Met::Whole(..) = self.at(at)? {
                return Ok(Some(at));
            }
            at += 1;
        }
        Ok(None)
    }
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

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::files::OsFiles;
    use crate::store::log::Log;
    use crate::store::record::Base;

    fn os() -> Arc<dyn Files> {
        Arc::new(OsFiles)
    }

    fn log_with(dir: &Path, texts: &[&str]) -> Log {
        let mut log = Log::open(&os(), dir, &Base::default(), 1 << 20).unwrap();
        for text in texts {
            log.append(text.as_bytes()).unwrap();
            log.publish(1);
        }
        log
    }

    fn unpacked(path: &Path, to: &Path) -> Vec<u8> {
        unpack(&OsFiles, path, to).unwrap();
        fs::read(segment_path(to, 1)).unwrap()
    }

    #[test]
    fn every_update_appends_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mut log = log_with(&dir.path().join("log"), &["one"]);
        let mut snapshot = Snapshot::open(&os(), &path, log.seed(), log.end()).unwrap();
        snapshot.update(log.segments()).unwrap();
        let before = fs::read(&path).unwrap();
        log.append(b"two").unwrap();
        log.publish(2);
        snapshot.update(log.segments()).unwrap();
        assert!(fs::read(&path).unwrap().starts_with(&before));
        let original = fs::read(segment_path(&dir.path().join("log"), 1)).unwrap();
        assert_eq!(unpacked(&path, &dir.path().join("out")), original);
        // Opened again it goes on where it was.
        drop(snapshot);
        let snapshot = Snapshot::open(&os(), &path, log.seed(), log.end()).unwrap();
        assert_eq!(snapshot.covered(), Some(log.end()));
        // What the log has lost meanwhile is not relied on.
        let end = Position {
            segment: 1,
            offset: log.end().offset - 1,
        };
        let snapshot = Snapshot::open(&os(), &path, log.seed(), end).unwrap();
        assert_eq!(snapshot.covered(), None);
    }

    #[test]
    fn a_chunk_that_is_not_whole_is_cut_and_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mut log = log_with(&dir.path().join("log"), &["one"]);
        Snapshot::open(&os(), &path, log.seed(), log.end())
            .unwrap()
            .update(log.segments())
            .unwrap();
        let whole = fs::read(&path).unwrap();
        log.append(b"two").unwrap();
        log.publish(2);
        Snapshot::open(&os(), &path, log.seed(), log.end())
            .unwrap()
            .update(log.segments())
            .unwrap();
        let both = fs::read(&path).unwrap();
        for len in whole.len() + 1..both.len() {
            fs::write(&path, &both[..len]).unwrap();
            let mut snapshot = Snapshot::open(&os(), &path, log.seed(), log.end()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
            snapshot.update(log.segments()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), both);
        }
        let mut flipped = both.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, &flipped).unwrap();
        Snapshot::open(&os(), &path, log.seed(), log.end()).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        fs::write(&path, [&MAGIC[..], &9_u32.to_le_bytes(), &[0; 4]].concat()).unwrap();
        let error = unpack(&OsFiles, &path, &dir.path().join("out")).unwrap_err();
        assert!(error.to_string().contains("format 9"), "{error}");
        assert!(Snapshot::open(&os(), &path, 1, Position::default()).is_err());
    }
}
