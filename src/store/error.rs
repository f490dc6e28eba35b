//! The errors of the store.

use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Why the store could not do what was requested.
///
/// It is `Clone` because one failed write is the answer to every message of its group.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The file system refused. What was being written is not stored. Later writes may succeed.
    #[error("{doing} {}: {error}", path.display())]
    Io {
        /// What was being done, such as "write to".
        doing: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        error: Arc<io::Error>,
    },
    /// Memory is short at the moment; a later try may succeed.
    #[error("the server is busy with large messages, try again later")]
    Busy,
    /// A sync failed, so nobody knows what is on the disk. Nothing more is accepted until a restart
    /// has read it back.
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
        /// The file with that format.
        path: PathBuf,
        /// The format found.
        found: u32,
        /// The newest format that this version reads.
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
    /// Something exists where the store would write.
    #[error("{} is there already, and is not overwritten", path.display())]
    Occupied {
        /// The file or folder.
        path: PathBuf,
    },
    /// A restore was interrupted.
    #[error("a restore was cut off and left {}: run dpmq restore again, or remove that folder to start with an empty store", path.display())]
    RestoreCutOff {
        /// The folder in which it was building the store.
        path: PathBuf,
    },
    /// Another process has the store open.
    #[error("another process has the store open ({} is locked): stop that broker first, or name another file in mq.persistentFile", path.display())]
    Locked {
        /// The locked file.
        path: PathBuf,
    },
    /// sled cannot be opened on a full disk. The log is not affected.
    #[error("no space is left to open {}: make room on its disk; nothing is lost", path.display())]
    NoSpace {
        /// The folder of the mirror.
        path: PathBuf,
    },
    /// sled cannot be opened by a clock before 1970. What is stored is not affected.
    #[error("the clock is before 1970: set it, and start again")]
    ClockBefore1970,
    /// sled refused. The log is not affected.
    #[error("the mirror failed: {0}")]
    Mirror(Arc<str>),
    /// The store is closed.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Whether the disk, or this user's quota, is full.
    pub(crate) fn is_full(&self) -> bool {
        match self {
            StoreError::Io { error, .. } => is_full(error.kind()),
            StoreError::NoSpace { .. } => true,
            _ => false,
        }
    }

    /// Whether the machine is at fault, and not what is stored.
    pub(crate) fn is_of_machine(&self) -> bool {
        matches!(
            self,
            StoreError::NoSpace { .. } | StoreError::ClockBefore1970 | StoreError::Locked { .. }
        )
    }

    /// The place and kind of the damage, without the word "damaged".
    pub(crate) fn text(&self) -> String {
        match self {
            StoreError::Corrupt { path, offset, what } => {
                format!("{} at byte {offset}: {what}", path.display())
            }
            other => other.to_string(),
        }
    }

    /// The cause without the place: clients must not learn the server's paths.
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

/// Whether an error of this kind means a full disk.
pub(crate) fn is_full(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Adds to an I/O error what was being done, and to which path.
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
