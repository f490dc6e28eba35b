//! When a complete backup was last sent: a line in a file in the store's folder, which tells how
//! old the newest backup is.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Mutex;

use crate::message::UnixSeconds;
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow};

const NAME: &str = "last-backup";
const ASIDE: &str = "last-backup.tmp";

/// When a complete backup was last sent. One thread at a time writes it.
pub(crate) struct LastBackup(Mutex<Option<UnixSeconds>>);

impl LastBackup {
    /// Reads it for the store in `dir`. If the file cannot be read, the store still opens.
    pub(crate) fn of(files: &dyn Files, dir: &Path) -> LastBackup {
        LastBackup(Mutex::new(last(files, dir).unwrap_or_default()))
    }

    /// The time of the last backup; `None`: never.
    pub(crate) fn get(&self) -> Option<UnixSeconds> {
        *self.0.lock().expect("no holder of this lock panics")
    }

    /// Sets the time to `at`, durably. Blocks.
    pub(crate) fn note(
        &self,
        files: &dyn Files,
        dir: &Path,
        at: UnixSeconds,
    ) -> Result<(), StoreError> {
        let mut last = self.0.lock().expect("no holder of this lock panics");
        let aside = dir.join(ASIDE);
        let file = files.open(&aside, OpenHow::Replace);
        let file = file.doing("create", &aside)?;
        let line = format!("{}\n", at.0);
        file.write_all_at(line.as_bytes(), 0)
            .doing("write to", &aside)?;
        file.sync().doing("sync", &aside)?;
        let path = dir.join(NAME);
        files.rename(&aside, &path).doing("rename", &aside)?;
        files.sync_dir(dir).doing("sync", dir)?;
        *last = Some(at);
        Ok(())
    }
}

/// The time in the file in `dir`; `None` if there is no file or no time in it.
pub(crate) fn last(files: &dyn Files, dir: &Path) -> Result<Option<UnixSeconds>, StoreError> {
    let path = dir.join(NAME);
    match files.read(&path) {
        Ok(bytes) => Ok(std::str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim_end().parse().ok())
            .map(UnixSeconds)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error).doing("read", &path),
    }
}
