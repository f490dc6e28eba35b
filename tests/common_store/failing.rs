//! A disk that works up to its n-th operation, and then no more: as if a crash came there.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use dpmq::store::{Files, Held, OpenHow, OsFiles, StoredFile};

/// See the module. Clones are the same disk.
#[derive(Clone, Debug)]
pub(crate) struct Failing(Arc<AtomicU64>);

impl Failing {
    /// `operations` succeed.
    pub(crate) fn after(operations: u64) -> Failing {
        Failing(Arc::new(AtomicU64::new(operations)))
    }

    /// Whether it has failed.
    pub(crate) fn has_failed(&self) -> bool {
        self.0.load(Ordering::Relaxed) == 0
    }

    fn step<T>(&self, work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
        let left = |left: u64| left.checked_sub(1);
        match self
            .0
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, left)
        {
            Ok(2..) => work(),
            _ => {
                self.0.store(0, Ordering::Relaxed);
                Err(io::Error::other("the disk is gone"))
            }
        }
    }
}

struct File {
    disk: Failing,
    file: Box<dyn StoredFile>,
}

impl Files for Failing {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn StoredFile>> {
        let file = self.step(|| OsFiles.open(path, how))?;
        let disk = self.clone();
        Ok(Box::new(File { disk, file }))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        self.step(|| OsFiles.list(dir))
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        self.step(|| OsFiles.exists(path))
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(|| OsFiles.create_dir(dir))
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        self.step(|| OsFiles.remove_file(path))
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(|| OsFiles.remove_dir(dir))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.step(|| OsFiles.rename(from, to))
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.step(|| OsFiles.sync_dir(dir))
    }

    fn lock(&self, path: &Path) -> io::Result<Held> {
        self.step(|| OsFiles.lock(path))
    }
}

impl StoredFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        self.disk.step(|| self.file.read_at(bytes, offset))
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        self.disk.step(|| self.file.write_at(bytes, offset))
    }

    fn len(&self) -> io::Result<u64> {
        self.disk.step(|| self.file.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.disk.step(|| self.file.set_len(len))
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.step(|| self.file.sync())
    }
}
