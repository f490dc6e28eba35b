//! Reads the number of the stored format, and runs the steps of `migrations/` that lead to the
//! newest one.

use std::io::{self, ErrorKind};
use std::path::Path;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow};

#[path = "../../../migrations/0001_first_format.rs"]
mod first_format;

/// One step: works on the files in the folder of a store.
type Migration = fn(&dyn Files, &Path) -> io::Result<()>;

/// The steps in order: the first leads to format 1.
const STEPS: [Migration; 1] = [first_format::run];

/// Brings the folder of a store to the newest format. A new folder has format 0.
pub(crate) fn migrate(files: &dyn Files, dir: &Path) -> Result<(), StoreError> {
    let path = dir.join("format");
    let found = check(files, dir)?;
    for (number, migration) in (1..).zip(STEPS).skip(found as usize) {
        migration(files, dir).doing("migrate", dir)?;
        write(files, dir, &path, number)?;
    }
    Ok(())
}

/// The format of the folder of a store.
///
/// # Errors
/// When this version cannot read that format.
pub(crate) fn check(files: &dyn Files, dir: &Path) -> Result<u32, StoreError> {
    let path = dir.join("format");
    let known = u32::try_from(STEPS.len()).expect("there are few steps");
    match read(files, &path)? {
        found if found > known => Err(StoreError::FormatTooNew { path, found, known }),
        found => Ok(found),
    }
}

fn read(files: &dyn Files, path: &Path) -> Result<u32, StoreError> {
    let text = match files.read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(0),
        Err(error) => return Err(error).doing("read", path),
    };
    let number = text.trim().strip_prefix("dpmq store ");
    number
        .and_then(|number| number.parse().ok())
        .ok_or_else(|| StoreError::NotOurs {
            path: path.to_owned(),
            what: format!("it should say \"dpmq store 1\", not {:?}", start_of(&text)),
        })
}

/// As much of a damaged text as fits into a line.
fn start_of(text: &str) -> &str {
    const BYTES_MAX: usize = 60;
    &text[..text.floor_char_boundary(BYTES_MAX)]
}

fn write(files: &dyn Files, dir: &Path, path: &Path, number: u32) -> Result<(), StoreError> {
    let aside = dir.join("format.tmp");
    let file = files.open(&aside, OpenHow::Replace);
    let file = file.doing("create", &aside)?;
    let text = format!("dpmq store {number}\n");
    file.write_all_at(text.as_bytes(), 0)
        .doing("write to", &aside)?;
    file.sync().doing("sync", &aside)?;
    files.rename(&aside, path).doing("rename", &aside)?;
    files.sync_dir(dir).doing("sync", dir)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::store::fs::files::OsFiles;

    #[test]
    fn a_new_folder_gets_the_newest_format() {
        let dir = tempfile::tempdir().unwrap();
        migrate(&OsFiles, dir.path()).unwrap();
        let format = dir.path().join("format");
        assert_eq!(read(&OsFiles, &format).unwrap(), 1);
        migrate(&OsFiles, dir.path()).unwrap();
        assert!(dir.path().join("log").is_dir());
    }

    #[test]
    fn a_newer_format_is_refused_and_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("format");
        fs::write(&path, "dpmq store 7\n").unwrap();
        let error = migrate(&OsFiles, dir.path()).unwrap_err();
        assert!(
            matches!(
                error,
                StoreError::FormatTooNew {
                    found: 7,
                    known: 1,
                    ..
                }
            ),
            "{error}"
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn an_unreadable_number_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let long = "\u{1b}[2J é".repeat(1000);
        for text in ["seven", &long] {
            fs::write(dir.path().join("format"), text).unwrap();
            let error = migrate(&OsFiles, dir.path()).unwrap_err();
            assert!(matches!(error, StoreError::NotOurs { .. }));
            let said = error.to_string();
            let said = said.strip_prefix(&*dir.path().to_string_lossy()).unwrap();
            assert!(said.len() < 200 && !said.contains('\u{1b}'), "{said}");
        }
    }
}
