//! The backup file: one file that holds the whole log, and is whole at every instant.
//!
//! ```text
//! head    16  "DPMQSNAP", format u32, seed of the log's checksums u32
//! chunk   20  "CHNK", segment u32, offset u32, length u32, CRC-32 u32 of this and the bytes
//!             bytes of that segment from that offset on
//! chunk   …   until the end of the file
//! ```
//!
//! [`Backup`] makes the same bytes from the log of a running store, and [`Received`] takes them in.
//! They end with a chunk without bytes, which shows that nothing is cut off.
//!
//! Chunks are appended in the order of the log and synced one by one. So a copy taken while the
//! file is being written is always a state that the store really had. A restore writes the chunks
//! back into segments, and recovers as after a crash. When more of the file is dead than alive, a
//! new one is written and renamed over the old one.
//!
//! It imports `log` and `fs`. Its owner passes in what mends the log before a copy.

pub(super) mod backup;
pub(super) mod catalog;
pub(super) mod chunk;
mod chunks;
pub(super) mod contents;
pub(super) mod parts;
pub(super) mod receive;
pub(super) mod unpack;

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, StoredFile, parent};
use crate::store::fs::layout::{free_name, with_suffix};
use crate::store::log::damage::Findings;
use crate::store::log::local::Log;
use crate::store::log::position::Position;
use crate::store::log::segment::Segment;
use crate::store::log::segments::Segments;
use crate::store::snapshot::catalog::Catalog;
use crate::store::snapshot::chunk::{
    CHUNK_BYTES_MAX, CHUNK_HEAD_BYTES, ChunkHead, HEAD_BYTES, file_head, read_head,
};
use crate::store::snapshot::chunks::{ChunkRead, Chunks};

/// Checks and heals a segment before it is copied. Returns whether some of it stays lost.
pub(crate) type Mend = Box<dyn FnMut(&Segment, &Findings) -> Result<bool, StoreError>>;
/// Makes the [`Mend`] of a log, which heals it from the snapshot at the path.
pub(crate) type Mender = fn(&Arc<dyn Files>, &Path, &Arc<Segments>) -> Mend;

/// Dead bytes that are tolerated, as a part of a segment, in addition to as many as are alive.
/// Beyond that a new file is written.
const SLACK_PARTS: u64 = 8;

/// The seed of the snapshot at `path`, if there is one.
pub(crate) fn seed(files: &dyn Files, path: &Path) -> Option<u32> {
    let file = files.open(path, OpenHow::Read).ok()?;
    read_head(&*file, path).ok()
}

/// Refuses a snapshot of a newer format at `path`. If a chunk of this format follows, it is the
/// number that is damaged.
pub(crate) fn refuse_newer(files: &dyn Files, path: &Path) -> Result<(), StoreError> {
    let file = match files.open(path, OpenHow::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error).doing("open", path),
    };
    match read_head(&*file, path) {
        Err(error @ StoreError::FormatTooNew { .. }) => {
            match Chunks::new(file, path)?.at(HEAD_BYTES)? {
                ChunkRead::Whole(..) => Ok(()),
                ChunkRead::Cut | ChunkRead::Damaged(_) => Err(error),
            }
        }
        Err(error @ StoreError::Io { .. }) => Err(error),
        Ok(_) | Err(_) => Ok(()),
    }
}

/// Removes an unfinished new file.
pub(crate) fn remove_unfinished(files: &dyn Files, path: &Path) -> Result<(), StoreError> {
    let aside = aside(path);
    match files.remove_file(&aside) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error).doing("remove", &aside),
        _ => Ok(()),
    }
}

/// The snapshot file of a running store.
pub(crate) struct Snapshot {
    files: Arc<dyn Files>,
    path: PathBuf,
    seed: u32,
    /// `None` while no file of this store exists.
    open: Option<OpenFile>,
    /// The file must not be replaced: it is somebody's backup.
    kept: bool,
    /// Where the file is damaged. The next update writes a new one.
    damage: Option<u64>,
    /// The chunks up to here have been checked.
    checked: u64,
    /// Dead bytes that are tolerated before a new file is written.
    slack: u64,
    findings: Arc<Findings>,
    mender: Mender,
}

/// What exists at the snapshot's path.
enum Existing {
    Nothing,
    Whole(OpenFile),
    /// Where the damage begins, and up to which position of the log the file has something.
    Damaged(u64, Position),
    /// A file of another store, or one that cannot be read.
    Foreign,
}

struct OpenFile {
    file: Box<dyn StoredFile>,
    /// The length of the whole chunks.
    end: u64,
    /// The file has everything in the log before this position.
    covered: Position,
    /// The number of bytes of each segment that are in the file.
    segments: BTreeMap<u32, u64>,
}

impl Snapshot {
    /// The snapshot at `path` of `log`. If the file belongs to another store, or has more than the
    /// log, the first update renames it and begins a new one. Before a new file is written,
    /// `mender` checks the log. Damage that it meets goes to `findings`.
    pub(crate) fn open(
        files: &Arc<dyn Files>,
        path: &Path,
        log: &Log,
        findings: &Arc<Findings>,
        mender: Mender,
    ) -> Result<Snapshot, StoreError> {
        let (seed, log_end) = (log.seed(), log.end());
        refuse_newer(&**files, path)?;
        let found = match files.open(path, OpenHow::Write) {
            Ok(file) if file.is_empty().doing("look at", path)? => Existing::Nothing,
            Ok(file) => read_chunks(file, path, seed)?,
            Err(error) if error.kind() == ErrorKind::NotFound => Existing::Nothing,
            Err(error) => return Err(error).doing("open", path),
        };
        let mut snapshot = Snapshot {
            files: files.clone(),
            path: path.to_owned(),
            seed,
            open: None,
            kept: false,
            damage: None,
            checked: HEAD_BYTES,
            slack: log.segment_bytes() / SLACK_PARTS,
            findings: findings.clone(),
            mender,
        };
        match found {
            Existing::Nothing => {}
            // It has what the log has lost, so it is somebody's backup.
            Existing::Whole(open) if open.covered > log_end => snapshot.kept = true,
            Existing::Whole(open) => snapshot.open = Some(open),
            Existing::Damaged(at, covered) => {
                snapshot.damage = Some(at);
                snapshot.kept = covered > log_end;
            }
            Existing::Foreign => snapshot.kept = true,
        }
        Ok(snapshot)
    }

    /// Where the file is damaged, as far as is known. `None` once a new one is written.
    pub(crate) fn damage(&self) -> Option<u64> {
        self.damage
    }

    /// The path of the file.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Keeps the present file under another name, since it may have what the log has lost. The next
    /// update writes a new one.
    pub(crate) fn keep(&mut self) {
        self.kept |= self.open.take().is_some() || self.damage.is_some();
    }

    /// Checks the next chunk that was there at the start. Returns its number of bytes, 0 at the
    /// end. If it is damaged, the next update writes a new file.
    pub(crate) fn check_next(&mut self) -> Result<u64, StoreError> {
        let Some(open) = self.open.as_ref().filter(|open| self.checked < open.end) else {
            return Ok(0);
        };
        let chunk = catalog::whole_chunk(&*open.file, &self.path, self.checked, open.end)?;
        let Some(bytes) = chunk else {
            self.damage = Some(self.checked);
            self.open = None;
            return Ok(0);
        };
        self.checked += bytes;
        Ok(bytes)
    }

    #[cfg(test)]
    fn covered(&self) -> Option<Position> {
        self.open.as_ref().map(|open| open.covered)
    }

    /// Brings the file up to the present end of the log, and syncs it.
    pub(crate) fn update(&mut self, log: &Arc<Segments>) -> Result<(), StoreError> {
        let segments = log.from(0);
        let Some(first) = segments.first().map(|segment| segment.number) else {
            return Ok(());
        };
        // If the log has purged what the file lacks, appending the rest would leave a hole in the
        // history of a copy taken meanwhile.
        let Some(open) = self
            .open
            .as_mut()
            .filter(|open| first <= open.covered.segment)
        else {
            return self.rewrite(log, &segments);
        };
        if let Err(error) = open.append(&segments, &self.path) {
            // Half a chunk at the end would hide the chunks after it.
            open.file.set_len(open.end).doing("cut", &self.path)?;
            return Err(error);
        }
        let dead: u64 = open.segments.range(..first).map(|(_, bytes)| bytes).sum();
        let live: u64 = segments.iter().map(|segment| segment.end()).sum();
        if dead > live + self.slack
            && let Err(error) = self.rewrite(log, &segments)
        {
            tracing::warn!(%error, dead, "the snapshot is complete, but could not be made smaller");
        }
        Ok(())
    }

    /// Writes the log to a new file, which replaces the old one. The old file has nothing then that
    /// the log lacks.
    fn rewrite(
        &mut self,
        log: &Arc<Segments>,
        segments: &[Arc<Segment>],
    ) -> Result<(), StoreError> {
        let aside = aside(&self.path);
        let files = self.files.clone();
        let file = files.open(&aside, OpenHow::Replace);
        let file = file.doing("create", &aside)?;
        file.write_all_at(&file_head(self.seed), 0)
            .doing("write to", &aside)?;
        let mut open = OpenFile {
            file,
            end: HEAD_BYTES,
            covered: Position::default(),
            segments: BTreeMap::new(),
        };
        let copied = self.copy(log, segments, &mut open, &aside);
        let written = copied.and_then(|()| self.replace(&aside));
        if let Err(error) = written {
            // Best effort: the next start removes it too.
            let _ = files.remove_file(&aside);
            return Err(error);
        }
        self.damage = None;
        self.checked = open.end;
        self.open = Some(open);
        Ok(())
    }

    /// Copies the log, and checks the frames of each segment first: the old file may have the only
    /// good copy of one.
    fn copy(
        &mut self,
        log: &Arc<Segments>,
        segments: &[Arc<Segment>],
        open: &mut OpenFile,
        path: &Path,
    ) -> Result<(), StoreError> {
        let mut mend = (self.mender)(&self.files, &self.path, log);
        for segment in segments {
            let is_lost = mend(segment, &self.findings)?;
            self.kept |= is_lost;
            open.append(std::slice::from_ref(segment), path)?;
        }
        open.file.sync().doing("sync", path)
    }

    /// Puts the new file in the place of the old one, which is renamed if it is to be kept.
    fn replace(&mut self, new: &Path) -> Result<(), StoreError> {
        let files = &self.files;
        if self.kept && files.exists(&self.path).doing("look at", &self.path)? {
            let kept = free_name(&**files, &with_suffix(&self.path, ".other"))?;
            tracing::warn!(kept = %kept.display(), "the file at the snapshot's path does not belong to this log, and was renamed");
            let renamed = files.rename(&self.path, &kept);
            renamed.doing("rename", &self.path)?;
        }
        self.kept = false;
        // The old file has lost its name: nothing may be appended to it, whatever fails from here
        // on.
        self.open = None;
        files.rename(new, &self.path).doing("rename", new)?;
        let folder = parent(&self.path);
        files.sync_dir(folder).doing("sync", folder)
    }
}

impl OpenFile {
    /// Appends what the log has and the file lacks.
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
                let bytes = segment.read(offset, rest.min(CHUNK_BYTES_MAX))?;
                let start = u32::try_from(offset).expect("a segment is far below 4 GiB");
                let head = ChunkHead::encode(segment.number, start, &bytes);
                self.file
                    .write_all_at(&head, self.end)
                    .doing("write to", path)?;
                let after = self.end + CHUNK_HEAD_BYTES as u64;
                self.file
                    .write_all_at(&bytes, after)
                    .doing("write to", path)?;
                self.file.sync().doing("sync", path)?;
                let len = bytes.len() as u64;
                self.end = after + len;
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

/// Finds out what a file covers from the heads of its chunks. An incomplete last chunk is removed.
/// A file of another store, or a damaged one, is left as it is.
fn read_chunks(file: Box<dyn StoredFile>, path: &Path, seed: u32) -> Result<Existing, StoreError> {
    match read_head(&*file, path) {
        Ok(its_seed) if its_seed == seed => {}
        Err(error @ StoreError::Io { .. }) => return Err(error),
        _ => return Ok(Existing::Foreign),
    }
    let catalog = Catalog::read(file, path)?;
    if let Some(at) = catalog.damaged {
        return Ok(Existing::Damaged(at, catalog.covered()));
    }
    let open = OpenFile {
        end: catalog.end,
        covered: catalog.covered(),
        segments: catalog.bytes_of_segments(),
        file: catalog.chunks.file,
    };
    if open.end < catalog.chunks.len {
        open.file.set_len(open.end).doing("cut", path)?;
        open.file.sync().doing("sync", path)?;
    }
    Ok(Existing::Whole(open))
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::fs::files::OsFiles;
    use crate::store::fs::lock::Fence;
    use crate::store::log::frame::Checkpoint;
    use crate::store::log::segment::segment_path;
    use crate::store::repair::heal::mender;
    use crate::store::snapshot::chunk::MAGIC;
    use crate::store::snapshot::unpack::unpack;

    fn os() -> Arc<dyn Files> {
        Arc::new(OsFiles)
    }

    fn log_with(dir: &Path, texts: &[&str]) -> Log {
        let (segments, _) = Segments::open(&os(), dir, &[]).unwrap();
        let mut log =
            Log::open(segments, Fence::new(&os()), &Checkpoint::default(), 1 << 20).unwrap();
        for text in texts {
            log.append(text.as_bytes()).unwrap();
            log.publish(1);
        }
        log
    }

    fn open(path: &Path, log: &Log) -> Result<Snapshot, StoreError> {
        Snapshot::open(&os(), path, log, &Arc::default(), mender)
    }

    fn unpacked(path: &Path, to: &Path) -> Vec<u8> {
        unpack(&OsFiles, path, to, &mut |_, _| {}).unwrap();
        fs::read(segment_path(to, 1)).unwrap()
    }

    #[test]
    fn every_update_appends_what_is_new() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mut log = log_with(&dir.path().join("log"), &["one"]);
        let mut snapshot = open(&path, &log).unwrap();
        snapshot.update(log.segments()).unwrap();
        let before = fs::read(&path).unwrap();
        log.append(b"two").unwrap();
        log.publish(2);
        snapshot.update(log.segments()).unwrap();
        assert!(fs::read(&path).unwrap().starts_with(&before));
        log.drop_preallocated().unwrap();
        let original = fs::read(segment_path(&dir.path().join("log"), 1)).unwrap();
        assert_eq!(unpacked(&path, &dir.path().join("out")), original);
        // Opened again, it continues where it was.
        drop(snapshot);
        let snapshot = open(&path, &log).unwrap();
        assert_eq!(snapshot.covered(), Some(log.end()));
    }

    #[test]
    fn a_file_with_more_than_the_log_is_kept_and_another_written() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mut log = log_with(&dir.path().join("log"), &["one"]);
        let one = log.end();
        let mut snapshot = open(&path, &log).unwrap();
        log.append(b"two").unwrap();
        log.publish(2);
        snapshot.update(log.segments()).unwrap();
        let more = fs::read(&path).unwrap();
        // The log has lost it, and the recovery could not heal it.
        log.truncate(one).unwrap();
        let mut snapshot = open(&path, &log).unwrap();
        assert!(snapshot.covered().is_none());
        log.append(b"another").unwrap();
        log.publish(2);
        snapshot.update(log.segments()).unwrap();
        assert_eq!(fs::read(dir.path().join("data.other")).unwrap(), more);
        log.drop_preallocated().unwrap();
        let original = fs::read(segment_path(&dir.path().join("log"), 1)).unwrap();
        assert_eq!(unpacked(&path, &dir.path().join("out")), original);
    }

    #[test]
    fn a_chunk_that_is_not_whole_is_cut_and_written_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        let mut log = log_with(&dir.path().join("log"), &["one"]);
        open(&path, &log).unwrap().update(log.segments()).unwrap();
        let whole = fs::read(&path).unwrap();
        log.append(b"two").unwrap();
        log.publish(2);
        open(&path, &log).unwrap().update(log.segments()).unwrap();
        let both = fs::read(&path).unwrap();
        for len in whole.len() + 1..both.len() {
            fs::write(&path, &both[..len]).unwrap();
            let mut snapshot = open(&path, &log).unwrap();
            assert_eq!(fs::read(&path).unwrap(), whole);
            snapshot.update(log.segments()).unwrap();
            assert_eq!(fs::read(&path).unwrap(), both);
        }
        let mut flipped = both.clone();
        *flipped.last_mut().unwrap() ^= 1;
        fs::write(&path, &flipped).unwrap();
        open(&path, &log).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole);
    }

    #[test]
    fn a_newer_format_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("data");
        fs::write(&path, [&MAGIC[..], &9_u32.to_le_bytes(), &[0; 4]].concat()).unwrap();
        let error = unpack(&OsFiles, &path, &dir.path().join("out"), &mut |_, _| {}).unwrap_err();
        assert!(error.to_string().contains("format 9"), "{error}");
        let log = log_with(&dir.path().join("log"), &[]);
        assert!(open(&path, &log).is_err());
    }
}
