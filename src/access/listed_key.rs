//! The format of the file of keys: a YAML list, best with each entry on a line of its own.
//!
//! ```yaml
//! - {"name":"shop","rights":["publish"],"topics":["orders*"],"expires":"2027-01-31T00:00:00Z","hash":"sha256:…"}
//! ```

use std::io;
use std::ops::Range;
use std::path::Path;

use chrono::{DateTime, SecondsFormat};
use serde::{Deserialize, Serialize};

use crate::access::digest::Digest;
use crate::access::rights::{Right, Rights};
use crate::message::UnixSeconds;
use crate::patterns::Topics;

/// The name of the secret key of the configuration.
pub const SECRET_KEY: &str = "secretKey";
/// The most keys that a file may list: each is compared with every key that is presented.
pub const KEYS_MAX: usize = 1000;

const NAME_BYTES_MAX: usize = 64;

/// Why a file of keys cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeysError {
    /// It cannot be read.
    #[error("{file}: {reason}")]
    Unreadable {
        /// The file.
        file: String,
        /// What the system said.
        reason: io::Error,
    },
    /// It is not a list of keys.
    #[error("{file}: {reason}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, and where.
        reason: String,
    },
    /// It cannot be written.
    #[error("{file}: not written: {reason}")]
    Unwritten {
        /// The file.
        file: String,
        /// What the system said.
        reason: io::Error,
    },
    /// A key in it cannot be used.
    #[error("{file}: the key {name:?}: {problem}")]
    Key {
        /// The file.
        file: String,
        /// The name of the key.
        name: String,
        /// What is wrong with it.
        problem: String,
    },
}

/// The error for a file that was there and is gone.
pub(super) fn gone(file: &Path) -> KeysError {
    let reason = "it is gone; to revoke all keys, leave it empty";
    malformed(file, reason.to_owned())
}

pub(super) fn malformed(file: &Path, reason: String) -> KeysError {
    KeysError::Malformed {
        file: file.display().to_string(),
        reason,
    }
}

/// A key as a file lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedKey {
    /// Its name in logs and answers: letters, digits, `.`, `_` and `-`.
    pub name: String,
    /// The rights of the key.
    pub rights: Rights,
    /// The topics that the key is for.
    pub topics: Topics,
    /// The time at which the key expires.
    pub expires: Option<UnixSeconds>,
    /// The digest of the key itself.
    pub digest: Digest,
}

/// The same key as texts.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    rights: Vec<String>,
    topics: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires: Option<String>,
    hash: String,
}

impl ListedKey {
    /// A key of these texts.
    ///
    /// # Errors
    /// One of them is invalid; the text says which one, and why.
    pub fn new(
        name: &str,
        rights: &[String],
        topics: Vec<String>,
        expires: Option<&str>,
        digest: Digest,
    ) -> Result<ListedKey, String> {
        let can_be = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
        if name.is_empty() || name.len() > NAME_BYTES_MAX || !name.chars().all(can_be) {
            let text = "a name is 1 to 64 letters, digits, \".\", \"_\" and \"-\"";
            return Err(text.to_owned());
        }
        if name == SECRET_KEY {
            return Err("this is the name of mq.secretKey".to_owned());
        }
        let rights: Result<Vec<Right>, String> = rights.iter().map(|right| right.parse()).collect();
        let rights = Rights::of(&rights?);
        if rights.is_empty() {
            return Err("it has no rights".to_owned());
        }
        Ok(ListedKey {
            name: name.to_owned(),
            rights,
            topics: Topics::new(topics)?,
            expires: expires.map(time).transpose()?,
            digest,
        })
    }

    /// Its line in a file, without a line end.
    pub fn line(&self) -> String {
        let entry = Entry {
            name: self.name.clone(),
            rights: self
                .rights
                .names()
                .iter()
                .map(|&name| name.to_owned())
                .collect(),
            topics: self.topics.patterns().to_vec(),
            expires: self.expires_text(),
            hash: self.digest.to_string(),
        };
        let json = serde_json::to_string(&entry).expect("an entry is texts");
        format!("- {json}")
    }

    /// When it expires, as in `2027-01-31T00:00:00Z`.
    pub fn expires_text(&self) -> Option<String> {
        let at = DateTime::from_timestamp(i64::from(self.expires?.0), 0)?;
        Some(at.to_rfc3339_opts(SecondsFormat::Secs, true))
    }
}

/// A time, or a day, which is its beginning in UTC.
fn time(text: &str) -> Result<UnixSeconds, String> {
    let day = format!("{text}T00:00:00Z");
    let time = DateTime::parse_from_rfc3339(text).or_else(|_| DateTime::parse_from_rfc3339(&day));
    let seconds = time.ok().and_then(|at| u32::try_from(at.timestamp()).ok());
    seconds.map(UnixSeconds).ok_or_else(|| {
        format!("it expires at {text:?}, which is no time until 2106 as in 2027-01-31T00:00:00Z")
    })
}

/// The keys in the bytes of a file.
pub(super) fn parse(file: &Path, bytes: &[u8]) -> Result<Vec<ListedKey>, KeysError> {
    let text = std::str::from_utf8(bytes)
        .map_err(|error| malformed(file, format!("not UTF-8 text: {error}")))?;
    let entries = entries(text).map_err(|reason| malformed(file, reason))?;
    if entries.len() > KEYS_MAX {
        return Err(malformed(
            file,
            format!("it lists more than {KEYS_MAX} keys"),
        ));
    }
    let mut keys: Vec<ListedKey> = vec![];
    for entry in entries {
        let Entry {
            name,
            rights,
            topics,
            expires,
            hash,
        } = entry;
        let key = hash.parse().and_then(|digest| {
            let key = ListedKey::new(&name, &rights, topics, expires.as_deref(), digest)?;
            match keys
                .iter()
                .find(|other| other.name == name || other.digest == key.digest)
            {
                Some(other) if other.name == name => Err("another key has this name".to_owned()),
                Some(other) => Err(format!("it has the hash of {}", other.name)),
                None => Ok(key),
            }
        });
        keys.push(key.map_err(|problem| KeysError::Key {
            file: file.display().to_string(),
            name: name.chars().take(NAME_BYTES_MAX).collect(),
            problem,
        })?);
    }
    Ok(keys)
}

fn entries(text: &str) -> Result<Vec<Entry>, String> {
    let options = serde_saphyr::options! { with_snippet: false };
    let entries: Result<Option<Vec<Entry>>, _> = serde_saphyr::from_str_with_options(text, options);
    entries.map(Option::unwrap_or_default).map_err(|error| {
        let text = error.to_string();
        let line = text.lines().next().unwrap_or_default();
        format!("not a list of keys, each with name, rights, topics and hash: {line}")
    })
}

/// Where in the text of a file the line is that lists this key and no other.
pub(super) fn line_of(text: &str, name: &str) -> Option<Range<usize>> {
    let is_its = |line: &str| match entries(line) {
        Ok(entries) => matches!(&entries[..], [entry] if entry.name == name),
        Err(_) => false,
    };
    let mut start = 0;
    text.split_inclusive('\n').find_map(|line| {
        let place = start..start + line.len();
        start = place.end;
        is_its(line).then_some(place)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::Token;

    fn parsed(text: &str) -> Result<Vec<ListedKey>, String> {
        parse(Path::new("keys.yaml"), text.as_bytes()).map_err(|error| error.to_string())
    }

    fn key(name: &str) -> ListedKey {
        let rights = ["consume".to_owned(), "publish".to_owned()];
        let topics = vec!["a \"b\" # *".to_owned(), "短: *".to_owned()];
        let digest = Token::random().unwrap().digest();
        ListedKey::new(name, &rights, topics, Some("2027-01-31"), digest).unwrap()
    }

    #[test]
    fn a_line_is_read_as_it_was_written() {
        let (one, other) = (key("one"), key("other.2-_X"));
        let text = format!("# ours\n{}\n\n{}", one.line(), other.line());
        assert_eq!(parsed(&text), Ok(vec![one.clone(), other.clone()]));
        assert!(one.line().contains(r#""expires":"2027-01-31T00:00:00Z""#));
        let place = line_of(&text, "other.2-_X").unwrap();
        assert_eq!(text[place], other.line());
        assert_eq!(line_of(&text, "none"), None);
        assert_eq!(line_of(&format!("# {}", one.line()), "one"), None);
    }

    #[test]
    fn a_list_may_be_written_as_people_do() {
        let hash = key("k").digest;
        let text = format!(
            "- name: shop\n  rights: [publish, console-read]\n  topics:\n    - orders*\n  expires: 2027-01-31T01:00:00+01:00\n  hash: {hash}\n"
        );
        let keys = parsed(&text).unwrap();
        assert_eq!(keys[0].rights.names(), ["publish", "console-read"]);
        assert_eq!(keys[0].topics.patterns(), ["orders*"]);
        assert_eq!(
            keys[0].expires_text().as_deref(),
            Some("2027-01-31T00:00:00Z")
        );
        for empty in ["", "\n", "# nothing\n", "[]", "---\n"] {
            assert_eq!(parsed(empty), Ok(vec![]), "{empty:?}");
        }
    }

    #[test]
    fn what_is_wrong_is_told_with_the_name_of_the_key() {
        let line = key("shop").line();
        let hash = key("k").digest.to_string();
        let with = |from: &str, to: &str| line.replace(from, to);
        for (text, reason) in [
            (with("\"shop\"", "\"a b\""), "a name is"),
            (with("\"shop\"", "\"\""), "a name is"),
            (with("\"shop\"", "\"secretKey\""), "mq.secretKey"),
            (with("\"publish\"", "\"write\""), "\"write\" is no right"),
            (with("\"publish\",\"consume\"", ""), "it has no rights"),
            (with("2027-01-31T", "2027-02-31T"), "it expires at"),
            (with("2027-01", "2127-01"), "until 2106"),
            (with("sha256:", "sha1:"), "dpmq key new"),
            (format!("{line}\n{line}"), "another key has this name"),
            (
                format!("{line}\n{}", with("\"shop\"", "\"b\"")),
                "it has the hash of shop",
            ),
            (with("\"rights\"", "\"right\""), "not a list of keys"),
            (with("\"topics\"", "\"Topics\""), "not a list of keys"),
            (format!("keys:\n{line}"), "not a list of keys"),
            (hash, "not a list of keys"),
            ("- {".to_owned(), "not a list of keys"),
        ] {
            let error = parsed(&text).unwrap_err();
            assert!(error.starts_with("keys.yaml: "), "{error}");
            assert!(error.contains(reason), "{reason}: {error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
        let many: String = (0..=KEYS_MAX)
            .map(|n| key(&n.to_string()).line() + "\n")
            .collect();
        assert!(parsed(&many).unwrap_err().contains("more than 1000"));
    }
}
