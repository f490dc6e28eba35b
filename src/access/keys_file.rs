//! The file of keys: read whole, and replaced whole.

use std::fs::{self, File, Metadata};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use crate::access::listed_key::{self, KeysError, ListedKey, malformed};
use crate::regular;

/// The largest file that is read.
const BYTES_MAX: u64 = 1 << 20;
/// The permissions of a new file for its owner.
const MODE: u32 = 0o600;
/// The permissions for the folder's group, if it may read the folder.
const GROUP_MODE: u32 = 0o040;

/// The file of keys at a path. All its functions block.
#[derive(Clone, Debug)]
pub struct KeysFile(PathBuf);

impl KeysFile {
    /// The file at `path`, which need not exist.
    pub fn at(path: impl Into<PathBuf>) -> KeysFile {
        KeysFile(path.into())
    }

    /// Its path.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Its bytes; `None` if it does not exist.
    pub(super) fn bytes(&self) -> Result<Option<Vec<u8>>, KeysError> {
        let unreadable = |reason| KeysError::Unreadable {
            file: self.0.display().to_string(),
            reason,
        };
        let file = match regular::open(&self.0) {
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
        listed_key::parse(&self.0, bytes)
    }

    /// The keys that it lists; none if it does not exist.
    ///
    /// # Errors
    /// It cannot be read, or is invalid.
    pub fn keys(&self) -> Result<Vec<ListedKey>, KeysError> {
        self.parse(&self.bytes()?.unwrap_or_default())
    }

    /// Adds a key, on a line at the end. Waits for other processes that change the file.
    ///
    /// # Errors
    /// The file is invalid, would be so with this key, or cannot be written; it is unchanged.
    pub fn add(&self, key: &ListedKey) -> Result<(), KeysError> {
        let change = self.change()?;
        let mut text = self.text()?;
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text += &key.line();
        text.push('\n');
        self.parse(text.as_bytes())?;
        change.replace(&text).map_err(self.unwritten())
    }

    /// Removes the line of a key. Waits for other processes that change the file.
    ///
    /// # Errors
    /// No line has this key alone, or the file cannot be written; it is unchanged.
    pub fn remove(&self, name: &str) -> Result<(), KeysError> {
        let change = self.change()?;
        let mut text = self.text()?;
        let Some(line) = listed_key::line_of(&text, name) else {
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
        change.replace(&text).map_err(self.unwritten())
    }

    fn text(&self) -> Result<String, KeysError> {
        let bytes = self.bytes()?.unwrap_or_default();
        self.parse(&bytes)?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn change(&self) -> Result<Change, KeysError> {
        Change::begin(&self.0).map_err(self.unwritten())
    }

    fn unwritten(&self) -> impl Fn(io::Error) -> KeysError {
        |reason| KeysError::Unwritten {
            file: self.0.display().to_string(),
            reason,
        }
    }
}

/// A change of a file, from before it is read until it is replaced. One is under way at a time.
struct Change {
    /// The file itself; the target, if the given path is a link.
    path: PathBuf,
    /// Its folder, which is locked: each change replaces the file.
    dir: File,
}

impl Change {
    /// Waits until no other process changes a file of this folder.
    fn begin(path: &Path) -> io::Result<Change> {
        let path = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
        let dir = dir.unwrap_or(Path::new("."));
        fs::create_dir_all(dir)?;
        let dir = File::open(dir)?;
        dir.lock()?;
        Ok(Change { path, dir })
    }

    /// Writes beside it and renames, so that a server never reads a part.
    fn replace(self, text: &str) -> io::Result<()> {
        let mut beside = self.path.clone().into_os_string();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = Path::new(&beside);
        let written = self.write(beside, text);
        if written.is_err() {
            let _ = fs::remove_file(beside);
        }
        written
    }

    fn write(&self, beside: &Path, text: &str) -> io::Result<()> {
        let mut options = File::options();
        options.write(true).create(true).truncate(true).mode(MODE);
        let mut file = regular::open_as(&mut options, beside)?;
        // The server, which may run as another user than who adds the key, has to read it.
        match fs::metadata(&self.path) {
            Ok(before) => {
                give(&file, &before)?;
                file.set_permissions(before.permissions())?;
            }
            Err(_) => {
                let folder = self.dir.metadata()?;
                if give(&file, &folder).is_ok() {
                    let mode = MODE | folder.mode() & GROUP_MODE;
                    file.set_permissions(fs::Permissions::from_mode(mode))?;
                }
            }
        }
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(beside, &self.path)?;
        self.dir.sync_all()
    }
}

/// Gives `file` the owner and group of another file.
fn give(file: &File, like: &Metadata) -> io::Result<()> {
    let is = file.metadata()?;
    match (is.uid(), is.gid()) == (like.uid(), like.gid()) {
        true => Ok(()),
        false => fchown(file, Some(like.uid()), Some(like.gid())),
    }
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
    fn whoever_may_look_into_the_folder_as_its_owner_or_group_may_read_the_file() {
        for (folder_mode, mode) in [(0o750, 0o640), (0o700, 0o600), (0o775, 0o640)] {
            let dir = tempfile::tempdir().unwrap();
            let permissions = fs::Permissions::from_mode(folder_mode);
            fs::set_permissions(dir.path(), permissions).unwrap();
            // Only root may give files away.
            let _ = std::os::unix::fs::chown(dir.path(), Some(65532), Some(65533));
            let path = dir.path().join("keys.yaml");
            let owner = |path: &Path| {
                let is = fs::metadata(path).unwrap();
                (is.uid(), is.gid(), is.mode() & 0o777)
            };
            KeysFile::at(&path).add(&key("a")).unwrap();
            let (uid, gid, _) = owner(dir.path());
            assert_eq!(owner(&path), (uid, gid, mode));
            // It stays whose it is.
            let _ = std::os::unix::fs::chown(&path, Some(65531), Some(65533));
            let before = owner(&path);
            KeysFile::at(&path).add(&key("b")).unwrap();
            assert_eq!(owner(&path), before);
        }
    }

    #[test]
    fn changes_at_the_same_time_are_all_made() {
        let dir = tempfile::tempdir().unwrap();
        let file = KeysFile::at(dir.path().join("config/keys.yaml"));
        let numbers = 0..12;
        for n in numbers.clone() {
            file.add(&key(&format!("old-{n}"))).unwrap();
        }
        std::thread::scope(|scope| {
            for n in numbers.clone() {
                let file = &file;
                scope.spawn(move || file.add(&key(&format!("new-{n}"))).unwrap());
                scope.spawn(move || file.remove(&format!("old-{n}")).unwrap());
            }
        });
        let mut there = names(&file);
        there.sort();
        let mut added: Vec<_> = numbers.map(|n| format!("new-{n}")).collect();
        added.sort();
        assert_eq!(there, added);
        let files = fs::read_dir(dir.path().join("config")).unwrap().count();
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
