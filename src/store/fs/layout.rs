//! The paths of a store's files.

use std::path::{Path, PathBuf};

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::Files;

/// The paths of a store's files.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// `persistentFile`.
    pub(crate) snapshot: PathBuf,
    /// `<persistentFile>.db`.
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) sled: PathBuf,
}

impl Layout {
    pub(crate) fn new(snapshot: &Path) -> Layout {
        let dir = with_suffix(snapshot, ".db");
        Layout {
            snapshot: snapshot.to_owned(),
            log: Layout::log_in(&dir),
            sled: dir.join("sled"),
            dir,
        }
    }

    /// The path of the log in the folder of a store.
    pub(crate) fn log_in(dir: &Path) -> PathBuf {
        dir.join("log")
    }
}

/// `path` with `suffix` at the end of its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// `wanted`, or with a number appended if that name is taken.
pub(crate) fn free_name(files: &dyn Files, wanted: &Path) -> Result<PathBuf, StoreError> {
    let (mut path, mut number) = (wanted.to_owned(), 1);
    while files.exists(&path).doing("look at", &path)? {
        number += 1;
        path = with_suffix(wanted, &format!(".{number}"));
    }
    Ok(path)
}

/// The path at which a restore builds a store.
pub(crate) fn unfinished(layout: &Layout) -> PathBuf {
    with_suffix(&layout.dir, ".restoring")
}

/// Refuses to start an empty store where a restore was interrupted.
pub(crate) fn refuse_unfinished(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    let path = unfinished(layout);
    let begun = files.exists(&path).doing("look at", &path)?;
    match begun && !files.exists(&layout.dir).doing("look at", &layout.dir)? {
        true => Err(StoreError::RestoreCutOff { path }),
        false => Ok(()),
    }
}

/// Removes what an interrupted restore has left.
pub(crate) fn clear_unfinished(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    let path = unfinished(layout);
    files.remove_dir(&path).doing("remove", &path)
}
