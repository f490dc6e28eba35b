//! All I/O of the log, the snapshot and the format's number: one narrow interface, so that what
//! a disk may do to it can be tested without one.
//!
//! [`OsFiles`] is the real disk. Another implementation may keep what was synced apart from what
//! was only written, cut the power, or fail; the tests have one. The mirror is sled's own, which
//! does its I/O itself.

use std::any::Any;
use std::fmt::Debug;
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::regular;

/// How a file is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenHow {
    /// For reading; it must be there.
    Read,
    /// For reading and writing; it must be there.
    Write,
    /// For reading and writing; an empty one is made where there is none.
    Create,
    /// For reading and writing; what was in it is gone.
    Replace,
}

/// Something held while it is kept, as a lock.
pub type Held = Box<dyn Any + Send + Sync>;

/// Files and folders.
pub trait Files: Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` where there is none and none is to be made.
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn StoredFile>>;

    /// The names of what is in a folder, in no order.
    ///
    /// # Errors
    /// `NotFound` where there is no such folder.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether there is a file or a folder.
    ///
    /// # Errors
    /// When that cannot be told.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// Where a link leads that leads to nothing.
    ///
    /// # Errors
    /// When that cannot be told.
    fn dangling(&self, _: &Path) -> io::Result<Option<PathBuf>> {
        Ok(None)
    }

    /// Makes a folder in one that is there.
    ///
    /// # Errors
    /// `AlreadyExists` where there is something of that name.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` where there is none.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with everything in it, if it is there.
    ///
    /// # Errors
    /// When something in it cannot be removed; the rest may be gone.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Gives a file or a folder another name, at which nothing but a file may be; that is
    /// replaced at once.
    ///
    /// # Errors
    /// When the file system refuses; then nothing has changed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes durable which names are in a folder; what is in the files has a sync of its own.
    ///
    /// # Errors
    /// When the disk refuses; then nobody knows which names are durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Keeps other processes from locking the same file, which is made, until the answer is
    /// dropped.
    ///
    /// # Errors
    /// `WouldBlock` while another process has it.
    fn lock(&self, path: &Path) -> io::Result<Held>;

    /// Makes a folder and those that it is in; their names are durable.
    ///
    /// # Errors
    /// As [`Files::create_dir`] and [`Files::sync_dir`].
    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        if self.exists(dir)? {
            return Ok(());
        }
        let parent = parent(dir);
        self.create_dirs(parent)?;
        match self.create_dir(dir) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.sync_dir(parent)
    }

    /// Everything in a file.
    ///
    /// # Errors
    /// As [`Files::open`] and [`StoredFile::read_at`].
    fn read(&self, path: &Path) -> io::Result<Vec<u8>> {
        let file = self.open(path, OpenHow::Read)?;
        let len = usize::try_from(file.len()?).map_err(io::Error::other)?;
        let mut bytes = vec![0; len];
        file.read_exact_at(&mut bytes, 0)?;
        Ok(bytes)
    }
}

/// An open file. Several threads may use it at once.
pub trait StoredFile: Send + Sync {
    /// Reads some bytes from `offset` on; 0 at the end only.
    ///
    /// # Errors
    /// When the disk refuses.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset`, and says how many.
    ///
    /// # Errors
    /// When the disk refuses or is full.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// How many bytes it has.
    ///
    /// # Errors
    /// When the disk refuses.
    fn len(&self) -> io::Result<u64>;

    /// Whether it has no bytes.
    ///
    /// # Errors
    /// As [`StoredFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Cuts it off, or fills it up with zeros.
    ///
    /// # Errors
    /// When the disk refuses.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes durable what is in it, and its length; its name is the folder's to sync.
    ///
    /// # Errors
    /// When the disk refuses; then nobody knows what of the writes since the last sync is
    /// durable, and another sync that succeeds does not tell.
    fn sync(&self) -> io::Result<()>;

    /// Fills `bytes` with what is at `offset`.
    ///
    /// # Errors
    /// `UnexpectedEof` when the file ends before.
    fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.read_at(bytes, offset) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(read) => {
                    bytes = &mut bytes[read..];
                    offset += read as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Writes all of `bytes` at `offset`.
    ///
    /// # Errors
    /// As [`StoredFile::write_at`]; some of them may be written.
    fn write_all_at(&self, mut bytes: &[u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            match self.write_at(bytes, offset) {
                Ok(0) => return Err(ErrorKind::WriteZero.into()),
                Ok(written) => {
                    bytes = &bytes[written..];
                    offset += written as u64;
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// The folder that a file is in.
pub(crate) fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// The disk of the operating system.
#[derive(Clone, Copy, Debug)]
pub struct OsFiles;

impl Files for OsFiles {
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn StoredFile>> {
        let mut options = File::options();
        options
            .read(true)
            .write(how != OpenHow::Read)
            .create(matches!(how, OpenHow::Create | OpenHow::Replace))
            .truncate(how == OpenHow::Replace);
        Ok(Box::new(regular::open_as(&mut options, path)?))
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        fs::read_dir(dir)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect()
    }

    fn exists(&self, path: &Path) -> io::Result<bool> {
        fs::exists(path)
    }

    fn dangling(&self, path: &Path) -> io::Result<Option<PathBuf>> {
        match fs::symlink_metadata(path) {
            Ok(found) if found.is_symlink() && !fs::exists(path)? => fs::read_link(path).map(Some),
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(None),
        }
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir(dir)
    }

    fn remove_file(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_dir(&self, dir: &Path) -> io::Result<()> {
        match fs::remove_dir_all(dir) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
            _ => Ok(()),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }

    fn lock(&self, path: &Path) -> io::Result<Held> {
        let made = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let file = match made {
            // One that is there can be locked all the same, as a check does.
            Err(error) if error.kind() == ErrorKind::ReadOnlyFilesystem => {
                File::open(path).map_err(|_| error)?
            }
            made => made?,
        };
        file.try_lock()?;
        Ok(Box::new(file))
    }
}

impl StoredFile for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        FileExt::read_at(self, bytes, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize> {
        FileExt::write_at(self, bytes, offset)
    }

    fn len(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        File::set_len(self, len)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_data()
    }
}
