//! Opens regular files only, without blocking.
//!
//! Opening a pipe would block until another process writes to it. Everything that opens a file
//! named by a setting or an argument does so here.

use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;
use rustix::io::Errno;

/// Opens the regular file at `path` as `how` says.
///
/// # Errors
/// It cannot be opened, or is a pipe, a folder, a device.
pub(crate) fn open_as(how: &mut OpenOptions, path: &Path) -> io::Result<File> {
    let file = without_waiting(how).open(path)?;
    let kind = file.metadata()?.file_type();
    if kind.is_dir() {
        return Err(Errno::ISDIR.into());
    }
    match kind.is_file() {
        true => Ok(file),
        false => Err(io::Error::new(
            ErrorKind::InvalidInput,
            "it is no regular file",
        )),
    }
}

/// Opens the regular file at `path` for reading.
pub(crate) fn open(path: &Path) -> io::Result<File> {
    open_as(File::options().read(true), path)
}

/// The bytes of the regular file at `path`.
pub(crate) fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = vec![];
    open(path)?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// The same options, but opening a pipe does not block.
pub(crate) fn without_waiting(how: &mut OpenOptions) -> &mut OpenOptions {
    how.custom_flags(OFlags::NONBLOCK.bits().cast_signed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::fs::{CWD, Mode, mkfifoat};

    #[test]
    fn only_files_are_opened_and_nothing_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let [pipe, file] = ["pipe", "file"].map(|name| dir.path().join(name));
        mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
        std::fs::write(&file, "text").unwrap();
        assert_eq!(read(&file).unwrap(), b"text");
        let link = dir.path().join("link");
        std::os::unix::fs::symlink(&file, &link).unwrap();
        assert_eq!(read(&link).unwrap(), b"text");
        for (other, kind) in [
            (&*pipe, ErrorKind::InvalidInput),
            (dir.path(), ErrorKind::IsADirectory),
            (Path::new("/dev/zero"), ErrorKind::InvalidInput),
            (&dir.path().join("none"), ErrorKind::NotFound),
        ] {
            assert_eq!(read(other).unwrap_err().kind(), kind, "{}", other.display());
        }
        let written = open_as(File::options().write(true), &pipe).unwrap_err();
        assert_eq!(written.raw_os_error(), Some(Errno::NXIO.raw_os_error()));
    }
}
