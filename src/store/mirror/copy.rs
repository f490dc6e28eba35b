//! A copy of a mirror for a check: sled writes to what it opens, and a check must not write.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use tempfile::TempDir;

use crate::store::error::{IoContext, StoreError};
use crate::store::mirror::Mirror;
use crate::store::mirror::guard::guarded;

/// A mirror in a folder of its own, which is removed with it.
pub(crate) struct MirrorCopy {
    // Fields are dropped in this order: the mirror closes before its folder is removed.
    mirror: Mirror,
    _dir: TempDir,
}

impl MirrorCopy {
    /// Copies the mirror in `dir`, which nobody may have open, to the folder for temporary files,
    /// and opens the copy.
    pub(crate) fn of(dir: &Path) -> Result<MirrorCopy, StoreError> {
        let own = own_folder()?;
        copy_folder(dir, own.path())?;
        Ok(MirrorCopy {
            mirror: Mirror::open(own.path())?,
            _dir: own,
        })
    }

    /// The copy.
    pub(crate) fn mirror(&self) -> &Mirror {
        &self.mirror
    }

    /// Whether a crash interrupted a change of the mirror: the log completes it.
    pub(crate) fn is_partial(&self) -> Result<bool, StoreError> {
        let trees = self.mirror().trees()?;
        guarded(|| Ok(trees.meta_u64("partial")? != 0))
    }
}

/// Creates a temporary folder that only this user may read.
fn own_folder() -> Result<TempDir, StoreError> {
    tempfile::Builder::new()
        .prefix("dpmq-verify-")
        .permissions(Permissions::from_mode(0o700))
        .tempdir()
        .doing("create a folder in", &std::env::temp_dir())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_folder_of_a_copy_is_private_and_is_removed_with_it() {
        let mirror = tempfile::tempdir().unwrap();
        drop(Mirror::open(mirror.path()).unwrap());
        let copy = MirrorCopy::of(mirror.path()).unwrap();
        let dir = copy._dir.path().to_owned();
        let mode = fs::metadata(&dir).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        drop(copy);
        assert!(!dir.exists());
    }
}
