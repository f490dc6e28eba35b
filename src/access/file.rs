//! The file of keys: read whole, and replaced whole.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::listed::{self, KeysError, ListedKey, malformed};

/// The largest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// Only its owner may read a file that is made here.
const MODE: u32 = 0o600;

/// See the module. Everything about it blocks.
#[derive(Clone, Debug)]
pub struct KeysFile(PathBuf);

impl KeysFile {
    /// The file at `path`, which need not be there.
    pub fn at(path: impl Into<PathBuf>) -> KeysFile {
        KeysFile(path.into())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its bytes; `None` if it is not there.
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, KeysError> {
        let unreadable = |reason| KeysError::Unreadable {
            file: self.0.display().to_string(),
            reason,
        };
        let file = match File::open(&self.0) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unreadable(error)),
        };
        let mut bytes = vec![];
        let mut limited = file.take(BYTES_MAX + 1);
        limited.read_to_end(&mut bytes).map_err(unreadable)?;
        if bytes.len() as u64 > BYTES_MAX {
            return Err(malformed(
                &self.0,
                format!("it has more than {BYTES_MAX} bytes"),
            ));
        }
        Ok(Some(bytes))
    }

    /// The keys in these bytes.
    pub(super) fn parse(&self, bytes: &[u8]) -> Result<Vec<ListedKey>, KeysError> {
        listed::parse(&self.0, bytes)
    }

    /// The keys that it lists; none if it is not there.
    ///
    /// # Errors
    /// It cannot be read, or is not as it should be.
    pub fn keys(&self) -> Result<Vec<ListedKey>, KeysError> {
        self.parse(&self.bytes()?.unwrap_or_default())
    }

    /// Adds a key, on a line at the end.
    ///
    /// # Errors
    /// The file cannot be used, also with this key, or cannot be written; it is as it was.
    pub fn add(&self, key: &ListedKey) -> Result<(), KeysError> {
        let mut text = self.text()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &key.line();
        text.push('\n');
        self.parse(text.as_bytes())?;
        self.replace(&text)
    }

    /// Takes the line of a key out.
    ///
    /// # Errors
    /// There is no line with this key alone, or the file cannot be written; it is as it was.
    pub fn remove(&self, name: &str) -> Result<(), KeysError> {
        let mut text = self.text()?;
        let Some(line) = listed::line_of(&text, name) else {
            let is_there = self.keys()?.iter().any(|key| key.name == name);
            let problem = match is_there {
                true => "it is not on a line of its own: take it out by hand",
                false => "there is no such key",
            };
            return Err(KeysError::Key {
                file: self.0.display().to_string(),
                name: name.to_owned(),
                problem: problem.to_owned(),
            });
        };
        text.replace_range(line, "");
        self.parse(text.as_bytes())?;
        self.replace(&text)
    }

    fn text(&self) -> Result<String, KeysError> {
        let bytes = self.bytes()?.unwrap_or_default();
        self.parse(&bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Writes beside it and renames, so that a server never reads a part.
    fn replace(&self, text: &str) -> Result<(), KeysError> {
        write_aside(&self.0, text).map_err(|reason| KeysError::Unwritten {
            file: self.0.display().to_string(),
            reason,
        })
    }
}

fn write_aside(path: &Path, text: &str) -> io::Result<()> {
    // A link stays one: what it leads to is replaced.
    let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let mut beside = path.clone().into_os_string();
    beside.push(".new");
    let written = write(Path::new(&beside), &path, text);
    if written.is_err() {
        let _ = fs::remove_file(&beside);
    }
    written
}

fn write(beside: &Path, path: &Path, text: &str) -> io::Result<()> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(Path::new("."));
    fs::create_dir_all(dir)?;
    let mut options = File::options();
    options.write(true).create(true).truncate(true).mode(MODE);
    let mut file = options.open(beside)?;
    if let Ok(metadata) = fs::metadata(path) {
        let mode = metadata.permissions().mode();
        file.set_permissions(fs::Permissions::from_mode(mode))?;
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()?;
    fs::rename(beside, path)?;
    File::open(dir)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Token;

    fn key(name: &str) -> ListedKey {
        let digest = Token::random().unwrap().digest();
        ListedKey::new(name, &["consume".into()], vec!["*".into()], None, digest).unwrap()
    }

    fn names(file: &KeysFile) -> Vec<String> {
        let keys = file.keys().unwrap().into_iter();
        keys.map(|key| key.name).collect()
    }

    #[test]
    fn keys_are_added_and_taken_out_and_the_rest_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("config/keys.yaml");
        let file = KeysFile::at(&path);
        assert_eq!(names(&file), [""; 0]);
        file.add(&key("a")).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        fs::write(&path, format!("# first\n{}", text.trim_end())).unwrap();
        file.add(&key("b")).unwrap();
        assert!(file.add(&key("b")).is_err(), "it is there");
        assert_eq!(names(&file), ["a", "b"]);
        file.remove("a").unwrap();
        assert!(file.remove("a").is_err(), "it is gone");
        assert_eq!(names(&file), ["b"]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with("# first\n- {"), "{text}");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o640);
        let files = fs::read_dir(path.parent().unwrap()).unwrap().count();
        assert_eq!(files, 1, "nothing is left beside it");
    }

    #[test]
    fn a_key_on_several_lines_is_left_to_people() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("keys.yaml");
        let hash = key("a").digest;
        let text = format!("- name: a\n  rights: [publish]\n  topics: [\"*\"]\n  hash: {hash}\n");
        fs::write(&path, &text).unwrap();
        let error = KeysFile::at(&path).remove("a").unwrap_err().to_string();
        assert!(error.contains("by hand"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), text);
    }
}
