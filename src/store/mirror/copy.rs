//! A copy of a mirror for a check: sled writes to what it opens, and a check must not write.

use std::fs::{self, DirBuilder};
use std::hash::{BuildHasher, RandomState};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::store::error::{IoContext, StoreError};
use crate::store::mirror::guard::guarded;
use crate::store::mirror::{Mirror, remove};

/// A mirror in a folder of its own, which is removed with it.
pub(crate) struct MirrorCopy {
    mirror: Option<Mirror>,
    dir: PathBuf,
}

impl MirrorCopy {
    /// Copies the mirror in `dir`, which nobody may have open, to the folder for temporary files,
    /// and opens the copy.
    pub(crate) fn of(dir: &Path) -> Result<MirrorCopy, StoreError> {
        let mut copy = MirrorCopy {
            mirror: None,
            dir: own_folder()?,
        };
        copy_folder(dir, &copy.dir)?;
        copy.mirror = Some(Mirror::open(&copy.dir)?);
        Ok(copy)
    }

    /// The copy.
    pub(crate) fn mirror(&self) -> &Mirror {
        self.mirror
            .as_ref()
            .expect("it is open until it is dropped")
    }

    /// Whether a crash interrupted a change of the mirror: the log completes it.
    pub(crate) fn is_partial(&self) -> Result<bool, StoreError> {
        let trees = self.mirror().trees()?;
        guarded(|| Ok(trees.meta_u64("partial")? != 0))
    }
}

impl Drop for MirrorCopy {
    fn drop(&mut self) {
        self.mirror = None;
        // Best effort: the folder is a temporary one.
        let _ = remove(&self.dir);
    }
}

/// Creates a temporary folder that only this user may read.
fn own_folder() -> Result<PathBuf, StoreError> {
    loop {
        let random = RandomState::new().hash_one(std::process::id());
        let dir = std::env::temp_dir().join(format!("dpmq-verify-{random:016x}"));
        match DirBuilder::new().mode(0o700).create(&dir) {
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            made => return made.map(|()| dir.clone()).doing("create", &dir),
        }
    }
}

/// Copies the files of a folder to another that exists.
fn copy_folder(from: &Path, to: &Path) -> Result<(), StoreError> {
    for entry in fs::read_dir(from).doing("list", from)? {
        let entry = entry.doing("list", from)?;
        let (path, copy) = (entry.path(), to.join(entry.file_name()));
        match entry.file_type().doing("look at", &path)?.is_dir() {
            true => {
                fs::create_dir(&copy).doing("create", &copy)?;
                copy_folder(&path, &copy)?;
            }
            false => fs::copy(&path, &copy).map(drop).doing("copy", &path)?,
        }
    }
    Ok(())
}
