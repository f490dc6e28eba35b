//! Locks a store for one process, in three places: a lock file beside the store, the only one that
//! earlier versions know; one in its folder, whatever path leads there; and the segment being
//! written, which stays locked when both files have been removed.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::store::error::{IoContext, StoreError, is_full};
use crate::store::fs::files::{Files, Held};
use crate::store::fs::layout::{Layout, with_suffix};

/// The locks of a store, held until dropped.
pub(crate) struct Lock {
    _beside: Held,
    inside: Option<Held>,
}

impl Lock {
    /// Locks the store against other processes, whether its folder exists or not.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another process has it.
    pub(crate) fn take(files: &dyn Files, layout: &Layout) -> Result<Lock, StoreError> {
        let mut lock = Lock {
            _beside: hold(files, &beside(layout))?,
            inside: None,
        };
        if files.exists(&layout.dir).doing("look at", &layout.dir)? {
            lock.enter(files, layout)?;
        }
        Ok(lock)
    }

    /// The same for an offline check: it creates nothing where no server has been.
    pub(crate) fn take_if_there(
        files: &dyn Files,
        layout: &Layout,
    ) -> Result<[Option<Held>; 2], StoreError> {
        let if_there = |path: &Path| match files.exists(path).doing("look at", path)? {
            true => hold(files, path).map(Some),
            false => Ok(None),
        };
        Ok([if_there(&beside(layout))?, if_there(&inside(layout))?])
    }

    /// Locks the folder of the store, which must exist.
    pub(crate) fn enter(&mut self, files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
        if self.inside.is_some() {
            return Ok(());
        }
        self.inside = match hold(files, &inside(layout)) {
            // A full disk does not keep a store closed, and its log is locked all the same.
            Err(StoreError::Io { error, .. }) if is_full(error.kind()) => None,
            held => Some(held?),
        };
        Ok(())
    }

    /// The folder is about to be removed, and its lock with it.
    pub(crate) fn leave(&mut self) {
        self.inside = None;
    }
}

/// Locks the segment that a process writes.
pub(crate) struct Fence {
    files: Arc<dyn Files>,
    held: Option<(PathBuf, Held)>,
}

impl Fence {
    /// A fence without a segment yet.
    pub(crate) fn new(files: &Arc<dyn Files>) -> Fence {
        Fence {
            files: files.clone(),
            held: None,
        }
    }

    /// Locks the segment at `path`, which exists, and then unlocks the one before.
    ///
    /// # Errors
    /// [`StoreError::Locked`] while another process writes it.
    pub(crate) fn stand_at(&mut self, path: &Path) -> Result<(), StoreError> {
        if self.held.as_ref().is_none_or(|(held, _)| held != path) {
            self.held = Some((path.to_owned(), hold(&*self.files, path)?));
        }
        Ok(())
    }
}

fn hold(files: &dyn Files, path: &Path) -> Result<Held, StoreError> {
    match files.lock(path) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => Err(StoreError::Locked {
            path: path.to_owned(),
        }),
        held => held.doing("lock", path),
    }
}

/// It is not in the folder, so that clearing the folder does not take it away.
fn beside(layout: &Layout) -> PathBuf {
    with_suffix(&layout.snapshot, ".lock")
}

fn inside(layout: &Layout) -> PathBuf {
    layout.dir.join("lock")
}
