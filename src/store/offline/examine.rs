//! Examines a store at a cost that does not depend on the number of messages: what it has, and what
//! would keep a server from starting. Nothing is written, and no frame is read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::message::UnixSeconds;
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow};
use crate::store::fs::last_backup;
use crate::store::fs::layout::{self, Layout, with_suffix};
use crate::store::fs::lock::Lock;
use crate::store::growth::Day;
use crate::store::mirror::copy::MirrorCopy;
use crate::store::offline::verify;
use crate::store::offline::verify::report::Report;
use crate::store::recovery::identify::{SnapshotFile, identify};
use crate::store::recovery::{formats, refuse_dangling};

/// What the next start of a server finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Present {
    /// Nothing: it creates a new store.
    Nothing,
    /// A store.
    Store,
    /// Only a snapshot, from which it builds a store.
    Snapshot,
    /// A data file of the original, which a start imports.
    Original,
}

/// The result of [`examine`].
#[derive(Debug)]
pub struct Examined {
    /// What the store consists of.
    pub present: Present,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes of the file at the snapshot's path.
    pub snapshot_bytes: u64,
    /// Damage to the first bytes of the log's files, and notes. The totals are zero.
    pub report: Report,
}

/// The files and folders of a store at `path`, those that exist.
///
/// # Errors
/// When the file system does not say.
pub fn places(files: &dyn Files, path: &Path) -> Result<Vec<PathBuf>, StoreError> {
    let Layout { snapshot, dir, .. } = Layout::new(path);
    let mut there = vec![];
    for path in [with_suffix(&snapshot, ".lock"), snapshot, dir] {
        if files.exists(&path).doing("look at", &path)? {
            there.push(path);
        }
    }
    Ok(there)
}

/// Examines the store whose snapshot is, or would be, at `path`. Blocks.
///
/// # Errors
/// What would keep a server from starting: another one has the store open, a restore was
/// interrupted, its format is newer, something else is in its place, or it cannot be read.
pub fn examine(files: &Arc<dyn Files>, path: &Path) -> Result<Examined, StoreError> {
    let layout = Layout::new(path);
    refuse_dangling(&**files, &layout)?;
    let _lock = Lock::take_if_there(&**files, &layout)?;
    layout::refuse_unfinished(&**files, &layout)?;
    let has_store = files.exists(&layout.dir).doing("look at", &layout.dir)?;
    let mut report = Report::default();
    let mut log_bytes = 0;
    if has_store {
        formats::refuse_newer(&**files, &layout)?;
        (_, log_bytes) = verify::open_log(files, &layout, &mut report)?;
    }
    let present = match identify(&**files, path) {
        // Next to a log it was a snapshot once, and a start keeps it under another name.
        Err(StoreError::NotOurs { .. }) if log_bytes > 0 => Present::Store,
        Err(error) => return Err(error),
        Ok(_) if log_bytes > 0 => Present::Store,
        Ok(SnapshotFile::Snapshot) => Present::Snapshot,
        Ok(SnapshotFile::Original) => Present::Original,
        Ok(SnapshotFile::Nothing) => Present::Nothing,
    };
    Ok(Examined {
        present,
        log_bytes,
        snapshot_bytes: len(&**files, path)?,
        report,
    })
}

/// How a store was dated by a clock that was ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Dates {
    /// Everything created before this time has expired.
    pub cutoff: UnixSeconds,
    /// Messages dated ahead of the clock: see [`Stats::ahead`](crate::store::Stats::ahead).
    pub ahead: u64,
}

/// How the store whose snapshot is at `path` is dated according to its mirror, if the time is
/// `now`. Blocks. The mirror is copied to the folder for temporary files.
///
/// # Errors
/// When another process has it open, or there is no mirror that can be read.
pub fn dates(files: &Arc<dyn Files>, path: &Path, now: UnixSeconds) -> Result<Dates, StoreError> {
    let layout = Layout::new(path);
    let _lock = Lock::take_if_there(&**files, &layout)?;
    let index = MirrorCopy::of(&layout.sled)?.mirror().load()?;
    Ok(Dates {
        cutoff: index.cutoff(),
        ahead: index.count_after(Day::last_not_ahead(now)),
    })
}

/// When a complete backup of the store whose snapshot is at `path` was last sent; `None`: never, as
/// far as its servers know. Also works while a server runs. Blocks.
///
/// # Errors
/// When the file cannot be read.
pub fn last_backup(files: &dyn Files, path: &Path) -> Result<Option<UnixSeconds>, StoreError> {
    last_backup::last(files, &Layout::new(path).dir)
}

/// The length of a file; 0 if it does not exist.
fn len(files: &dyn Files, path: &Path) -> Result<u64, StoreError> {
    match files.exists(path).doing("look at", path)? {
        true => {
            let file = files.open(path, OpenHow::Read).doing("open", path)?;
            file.len().doing("look at", path)
        }
        false => Ok(0),
    }
}
