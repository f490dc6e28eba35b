//! Tells what the file at the snapshot's path is.

use std::io::ErrorKind;
use std::path::Path;

use crate::import;
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow};
use crate::store::snapshot;

/// What the file at the snapshot's path is.
pub(crate) enum SnapshotFile {
    /// There is no file, or an empty one.
    Nothing,
    /// A snapshot.
    Snapshot,
    /// A data file of the original.
    Original,
}

/// Reads the beginning of the file at `path`, and tells what it is.
///
/// # Errors
/// When it cannot be read, or is neither a snapshot nor a data file of the original.
pub(crate) fn identify(files: &dyn Files, path: &Path) -> Result<SnapshotFile, StoreError> {
    let file = match files.open(path, OpenHow::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(SnapshotFile::Nothing),
        Err(error) => return Err(error).doing("open", path),
    };
    let len = file.len().doing("look at", path)?;
    let mut head = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(64)];
    file.read_exact_at(&mut head, 0).doing("read", path)?;
    if head.is_empty() {
        return Ok(SnapshotFile::Nothing);
    }
    if head.starts_with(&snapshot::chunk::MAGIC) {
        return Ok(SnapshotFile::Snapshot);
    }
    if import::is_go_data(&head) {
        return Ok(SnapshotFile::Original);
    }
    Err(StoreError::NotOurs {
        path: path.to_owned(),
        what: "it is neither a snapshot nor a data file of the original; move it away, or name another file in mq.persistentFile".into(),
    })
}
