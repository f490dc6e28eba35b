//! Reserves disk space that messages may not use: a file of random bytes. On a full disk it is
//! shrunk, so that what frees space can be written: deletions, expiry, and the segment that lets
//! dead ones be purged.
//!
//! Until the reserve is whole again, everything that can wait is refused: messages, mirror and
//! snapshot. So the reserve takes space that becomes free before they do.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard};

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow, StoredFile};

/// Enough to open a mirror, and for the deletions of a million scattered messages.
pub(crate) const RESERVE_BYTES: u64 = 4 << 20;

/// Bytes that no file system compresses: compressed ones would reserve less.
static FILLING: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.take(8 << 10).flatten().collect()
});

/// How much of the reserve a write may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Urgency {
    /// Outcomes of messages: half of it.
    Outcome,
    /// Deletions, and the mirror at a start: three quarters.
    Deletion,
    /// Expiry and what follows from it, which free space: all of it.
    Expiry,
}

impl Urgency {
    /// What such a write leaves of `bytes`.
    fn leaves(self, bytes: u64) -> u64 {
        match self {
            Urgency::Outcome => bytes / 2,
            Urgency::Deletion => bytes / 4,
            Urgency::Expiry => 0,
        }
    }
}

/// Disk space that messages may not use.
pub(crate) struct Reserve {
    files: Arc<dyn Files>,
    path: PathBuf,
    bytes: u64,
    whole: AtomicBool,
    file: Mutex<Option<Box<dyn StoredFile>>>,
}

impl Reserve {
    /// A reserve of this many bytes for the store in `dir`. Nothing is written yet.
    pub(crate) fn new(files: &Arc<dyn Files>, dir: &Path, bytes: u64) -> Reserve {
        Reserve {
            files: files.clone(),
            path: dir.join("reserve"),
            bytes,
            whole: AtomicBool::new(false),
            file: Mutex::new(None),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Box<dyn StoredFile>>> {
        self.file.lock().expect("no holder of this lock panics")
    }

    /// Whether the reserve is whole.
    pub(crate) fn is_whole(&self) -> bool {
        self.whole.load(Ordering::Relaxed)
    }

    /// Makes the reserve whole, before something is written that can wait.
    ///
    /// # Errors
    /// When the disk is full. Any other error is ignored.
    pub(crate) fn fill(&self) -> Result<(), StoreError> {
        if self.is_whole() {
            return Ok(());
        }
        let mut held = self.lock();
        match self.fill_held(&mut held) {
            Err(error) if error.is_full() => Err(error),
            filled => {
                self.whole.store(filled.is_ok(), Ordering::Relaxed);
                Ok(())
            }
        }
    }

    fn fill_held(&self, held: &mut Option<Box<dyn StoredFile>>) -> Result<(), StoreError> {
        let file = match held {
            Some(file) => file,
            None => {
                let file = self.files.open(&self.path, OpenHow::Create);
                held.insert(file.doing("create", &self.path)?)
            }
        };
        let mut len = file.len().doing("look at", &self.path)?;
        while len < self.bytes {
            let rest = usize::try_from(self.bytes - len).unwrap_or(usize::MAX);
            let filling = &FILLING[..rest.min(FILLING.len())];
            let written = match file.write_at(filling, len) {
                Ok(0) => Err(ErrorKind::StorageFull.into()),
                Err(error) if error.kind() == ErrorKind::Interrupted => Ok(0),
                written => written,
            };
            len += written.doing("write to", &self.path)? as u64;
        }
        Ok(())
    }

    /// Calls `write`. If the disk is full, shrinks the reserve as far as `urgency` allows and calls
    /// `write` once more. Nobody refills the reserve meanwhile.
    pub(crate) fn spend<T>(
        &self,
        urgency: Urgency,
        mut write: impl FnMut() -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        match write() {
            Err(error) if error.is_full() => {
                let mut held = self.lock();
                match self.cut(&mut held, urgency.leaves(self.bytes)) {
                    true => write(),
                    false => Err(error),
                }
            }
            done => done,
        }
    }

    /// Shrinks the file to `len` bytes. Returns whether it had more.
    fn cut(&self, held: &mut Option<Box<dyn StoredFile>>, len: u64) -> bool {
        if held.is_none() {
            *held = self.files.open(&self.path, OpenHow::Write).ok();
        }
        let Some(file) = held else { return false };
        let has_more = file.len().is_ok_and(|has| has > len);
        let cut = has_more && file.set_len(len).is_ok();
        if cut {
            self.whole.store(false, Ordering::Relaxed);
        }
        cut
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::fs::files::OsFiles;

    fn full() -> StoreError {
        let error: std::io::Result<()> = Err(ErrorKind::StorageFull.into());
        error.doing("write to", Path::new("log")).unwrap_err()
    }

    #[test]
    fn each_gets_what_is_left_for_it_and_all_is_taken_back() {
        let dir = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(OsFiles);
        let reserve = Reserve::new(&files, dir.path(), 1 << 20);
        let len = || fs::metadata(dir.path().join("reserve")).map_or(0, |it| it.len());
        assert_eq!((len(), reserve.is_whole()), (0, false));
        reserve.fill().unwrap();
        assert_eq!((len(), reserve.is_whole()), (1 << 20, true));
        for (urgency, left) in [
            (Urgency::Outcome, 1 << 19),
            (Urgency::Deletion, 1 << 18),
            (Urgency::Expiry, 0),
        ] {
            let mut seen = vec![];
            let written = reserve.spend(urgency, || {
                seen.push(len());
                match seen.len() {
                    1 => Err(full()),
                    _ => Ok(()),
                }
            });
            assert!(written.is_ok());
            assert_eq!((seen.len(), seen[1]), (2, left), "{urgency:?}");
            // The disk has no space for more of it.
            assert!(reserve.spend(urgency, || Err::<(), _>(full())).is_err());
            assert_eq!((len(), reserve.is_whole()), (left, false), "{urgency:?}");
        }
        reserve.fill().unwrap();
        assert_eq!((len(), reserve.is_whole()), (1 << 20, true));
    }

    #[test]
    fn what_another_process_left_is_there_for_a_start() {
        let dir = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(OsFiles);
        Reserve::new(&files, dir.path(), 4096).fill().unwrap();
        let reserve = Reserve::new(&files, dir.path(), 4096);
        let mut tries = 0;
        let opened = reserve.spend(Urgency::Deletion, || {
            tries += 1;
            if tries == 1 { Err(full()) } else { Ok(()) }
        });
        assert!(opened.is_ok());
        assert_eq!(
            fs::metadata(dir.path().join("reserve")).unwrap().len(),
            1024
        );
    }
}
