//! What can go wrong with the store.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the store could not do what it was asked for.
///
/// It is `Clone` because one failed write is the answer to every message of its group.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused. What was being written is not stored; later writes may succeed.
    #[error("{doing} {}: {error}", path.display())]
    Io {
        /// What was being done, as "write to".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// There is no room for what was asked for; there may be soon.
    #[error("the server is busy with large messages, try again later")]
    Busy,
    /// A sync failed, so nobody knows what is on the disk: nothing more is accepted until a
    /// restart has read it back.
    #[error("nothing more is stored since a sync failed: {0}")]
    Poisoned(Arc<str>),
    /// Stored bytes are not what was written.
    #[error("damaged: {} at byte {offset}: {what}", path.display())]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Where in the file.
        offset: u64,
        /// What is wrong there.
        what: &'static str,
    },
    /// The store was written by a newer version.
    #[error("{} has format {found}; this version reads up to {known}", path.display())]
    FormatTooNew {
        /// The file that says so.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that is understood.
        known: u32,
    },
    /// A file is not what its name says.
    #[error("{}: {what}", path.display())]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// What was to be written is there already.
    #[error("{} is there already, and nothing is overwritten", path.display())]
    Occupied {
        /// The file or folder.
        path: PathBuf,
    },
    /// A restore was begun and not ended.
    #[error("a restore was cut off, and {} is what is left of it: run dpmq restore again, or remove that folder to begin with nothing", path.display())]
    RestoreCutOff {
        /// The folder that it was made in.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error("another process has the store open ({} is locked): stop that broker first, or name another file in mq.persistentFile", path.display())]
    Locked {
        /// The file that it has locked.
        path: PathBuf,
    },
    /// sled cannot be opened on a disk that is full; the log is not affected.
    #[error("no space is left to open {}: make room on its disk; nothing is lost", path.display())]
    NoSpace {
        /// The folder of the mirror.
        path: PathBuf,
    },
    /// sled cannot be opened by a clock before 1970; nothing is wrong with what is stored.
    #[error("the clock is before 1970: set it, and start again")]
    ClockBefore1970,
    /// sled refused; the log is not affected.
    #[error("the mirror failed: {0}")]
    Mirror(Arc<str>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the disk is full, or what this user may have of it.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            StoreError::Io { error, .. } => is_full(error.kind()),
            StoreError::NoSpace { .. } => true,
            _ => false,
        }
    }

    /// Whether it is not what is stored that is wrong, but the machine that opens it.
    pub(crate) fn is_of_machine(&self) -> bool {
        matches!(
            self,
            StoreError::NoSpace { .. } | StoreError::ClockBefore1970 | StoreError::Locked { .. }
        )
    }

    /// What is damaged and where, without saying so again.
    pub(crate) fn text(&self) -> String {
        match self {
            StoreError::Corrupt { path, offset, what } => {
                format!("{} at byte {offset}: {what}", path.display())
            }
            other => other.to_string(),
        }
    }

    /// What went wrong, without where: for clients, who are not to know the server's files.
    pub fn cause(&self) -> String {
        match self {
            StoreError::Io { error, .. } => error.to_string(),
            StoreError::Poisoned(_) => "nothing more is stored since a sync failed".into(),
            StoreError::Corrupt { what, .. } => format!("stored data is damaged: {what}"),
            StoreError::FormatTooNew { .. } | StoreError::NotOurs { .. } => {
                "a stored file is not as expected".into()
            }
            StoreError::Occupied { .. } => "a file is there already".into(),
            StoreError::RestoreCutOff { .. } => "a restore was cut off".into(),
            StoreError::Locked { .. } => "another process has the store open".into(),
            StoreError::NoSpace { .. } => "no space is left for the mirror".into(),
            StoreError::ClockBefore1970 => "the clock is before 1970".into(),
            StoreError::Mirror(_) => "the mirror failed".into(),
            StoreError::Busy => self.to_string(),
            StoreError::Closed => "the store is closed".into(),
        }
    }
}

/// Whether an error of this kind says that there is no room.
pub(crate) fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Adds to an I/O error what was being done, and where.
pub(crate) trait IoContext<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T> IoContext<T> for io::Result<T> {
    fn doing(self, doing: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|error| StoreError::Io {
            doing,
            path: path.to_owned(),
            error: Arc::new(error),
        })
    }
}
