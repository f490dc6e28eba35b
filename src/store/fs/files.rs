//! All I/O of the log, the snapshot and the format's number goes through one narrow interface, so
//! that tests can simulate a disk.
//!
//! [`OsFiles`] is the real disk. The tests have an implementation that keeps synced bytes apart
//! from written ones, cuts the power, or fails. The mirror's I/O is sled's own.

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
    /// For reading. The file must exist.
    Read,
    /// For reading and writing. The file must exist.
    Write,
    /// For reading and writing. Created empty if it does not exist.
    Create,
    /// For reading and writing. Created empty, or emptied.
    Replace,
}

/// Something that lasts until it is dropped, such as a lock.
pub type Held = Box<dyn Any + Send + Sync>;

/// Files and folders.
pub trait Files: Debug + Send + Sync {
    /// Opens a file.
    ///
    /// # Errors
    /// `NotFound` if it does not exist and is not to be created.
    fn open(&self, path: &Path, how: OpenHow) -> io::Result<Box<dyn StoredFile>>;

    /// The names in a folder, in no order.
    ///
    /// # Errors
    /// `NotFound` if the folder does not exist.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Whether a file or a folder exists.
    ///
    /// # Errors
    /// When the file system does not say.
    fn exists(&self, path: &Path) -> io::Result<bool>;

    /// The target of a link that leads to nothing.
    ///
    /// # Errors
    /// When the file system does not say.
    fn dangling(&self, _: &Path) -> io::Result<Option<PathBuf>> {
        Ok(None)
    }

    /// Creates a folder in an existing one.
    ///
    /// # Errors
    /// `AlreadyExists` if something has that name.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    /// `NotFound` if it does not exist.
    fn remove_file(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder with everything in it, if it exists.
    ///
    /// # Errors
    /// When something in it cannot be removed. The rest may be gone.
    fn remove_dir(&self, dir: &Path) -> io::Result<()>;

    /// Renames a file or a folder. A file at the new name is replaced at once; nothing else may be
    /// there.
    ///
    /// # Errors
    /// When the file system refuses. Then nothing has changed.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Makes the names in a folder durable. The contents of its files have their own sync.
    ///
    /// # Errors
    /// When the disk refuses. Then nobody knows which names are durable.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;

    /// Locks a file against other processes until the result is dropped. Creates the file if
    /// needed.
    ///
    /// # Errors
    /// `WouldBlock` while another process has the lock.
    fn lock(&self, path: &Path) -> io::Result<Held>;

    /// Creates a folder and its parents, and makes their names durable.
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

    /// The whole content of a file.
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
    /// Reads some bytes from `offset` on. Returns 0 only at the end.
    ///
    /// # Errors
    /// When the disk refuses.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes some of `bytes` at `offset`, and returns how many.
    ///
    /// # Errors
    /// When the disk refuses or is full.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<usize>;

    /// The length in bytes.
    ///
    /// # Errors
    /// When the disk refuses.
    fn len(&self) -> io::Result<u64>;

    /// Whether the file has no bytes.
    ///
    /// # Errors
    /// As [`StoredFile::len`].
    fn is_empty(&self) -> io::Result<bool> {
        Ok(self.len()? == 0)
    }

    /// Truncates the file, or extends it with zeros.
    ///
    /// # Errors
    /// When the disk refuses.
    fn set_len(&self, len: u64) -> io::Result<()>;

    /// Makes the content and the length durable. The name needs a sync of the folder.
    ///
    /// # Errors
    /// When the disk refuses. Then nobody knows which writes since the last sync are durable, and a
    /// later successful sync does not tell.
    fn sync(&self) -> io::Result<()>;

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// `UnexpectedEof` if the file ends before.
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
    /// As [`StoredFile::write_at`]. Some of the bytes may be written.
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

/// The folder of a file.
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
            // On a read-only disk, an existing file can still be locked, as a check does.
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
