//! Reads the data file of the original server, so that its messages can come over.
//!
//! Called when a server starts on such a file, and by `dpmq import`. It only reads: what becomes
//! of the messages, and of the file, is the caller's business.
//!
//! The file is a Go gob stream with one value, a byte slice, which holds a JSON map from code to
//! message. For the smallest one, `05 0a 00 02 7b 7d`:
//!
//! ```text
//! 05      length of what follows, a gob unsigned integer
//! 0a      type id 5, "byte slice", a gob signed integer
//! 00      the value is no struct
//! 02      length of the slice, a gob unsigned integer
//! 7b 7d   {}
//! ```
//!
//! A gob unsigned integer below 128 is one byte; a larger one is its length, negated, as one
//! byte (`fe` is 2), and then that many bytes, big-endian.
//!
//! The original rewrites its file in place, so a crash leaves it cut off, empty, or with a tail
//! of zeros. Every entry before such a place is read, and [`Import::damage`] names the place.

use std::collections::HashSet;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use bytestring::ByteString;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::error::Category;

use crate::message::{MessageCode, Status, Topic, UnixSeconds};
use crate::regular;

/// The gob type id of a byte slice, 5, as a gob signed integer.
const BYTE_SLICE: u8 = 0x0a;
/// Follows the type id of a value that is no struct.
const NO_STRUCT: u8 = 0x00;
/// The most of a refused code, and of what is wrong with its entry, that is repeated.
const REFUSED_CODE_CHARS_MAX: usize = 64;
const REFUSED_REASON_CHARS_MAX: usize = 256;
/// Refused entries that are told one by one: a file may be made of nothing else.
const REFUSED_TOLD_MAX: usize = 100;
/// From as many bytes [`is_go_data`] tells whether the rest is worth reading.
const HEAD_BYTES: u64 = 32;

/// What a data file of the original held.
#[derive(Debug, Default)]
pub struct Import {
    /// The messages that can be taken over, by time of creation, then by code.
    pub messages: Vec<ImportedMessage>,
    /// The first entries that cannot be, in the order of the file.
    pub refused: Vec<Refused>,
    /// How many cannot be, in all.
    pub refused_entries: usize,
    /// Where and how the file is damaged: a sentence for the log; `None` when it is whole.
    pub damage: Option<String>,
}

impl Import {
    /// Says in the log which entries are not taken over, and how many more there are.
    pub(crate) fn tell_refused(&self) {
        for Refused { code, reason } in &self.refused {
            tracing::warn!(code, reason, "a message is not taken over");
        }
        let more = self.refused_entries - self.refused.len();
        if more > 0 {
            tracing::warn!(more, "further messages are not taken over");
        }
    }
}

/// A message of the original.
#[derive(Clone, Debug, PartialEq)]
pub struct ImportedMessage {
    /// Its public name; it stays the same.
    pub code: MessageCode,
    /// Its topic.
    pub topic: Topic,
    /// What the producer sent.
    pub data: ByteString,
    /// When the original accepted it.
    pub created: UnixSeconds,
    /// Where it was in its life.
    pub status: Status,
}

/// An entry of the map that is no message here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// The entry's key, shortened.
    pub code: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Why a file could not be read at all.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The file could not be opened or read.
    #[error("cannot read {}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is something else.
    #[error("not a data file of the original DPMQ: {reason} at byte {at}")]
    Foreign {
        /// The first byte that does not fit, counted from 0.
        at: usize,
        /// What does not fit.
        reason: String,
    },
}

/// Whether a file that begins with `first_bytes` may be a data file of the original.
///
/// 32 bytes are enough. The empty file and one that ends within the header count, as they are
/// what a crash of the original leaves.
pub fn is_go_data(first_bytes: &[u8]) -> bool {
    match header(first_bytes) {
        Ok(Header::Whole { json_at, .. }) => {
            let json = &first_bytes[json_at..];
            json.is_empty() || json.starts_with(b"{") || b"null".starts_with(json)
        }
        Ok(Header::Cut) => true,
        Err(_) => false,
    }
}

/// Reads the data file of the original at `path`.
///
/// Needs memory for the file and for its messages. Of entries with the same code the first one
/// counts, the others are refused.
///
/// # Errors
///
/// The file cannot be read, or is something else. A damaged file is no error: what is whole in
/// it is returned, see [`Import::damage`].
pub fn read(path: &Path) -> Result<Import, ImportError> {
    let file = read_file(path).map_err(|source| ImportError::Io {
        path: path.to_owned(),
        source,
    })?;
    parse(&file)
}

/// All of the file; of one that begins as something else no more than is needed to say so.
fn read_file(path: &Path) -> io::Result<Vec<u8>> {
    let (mut file, mut bytes) = (regular::open(path)?, vec![]);
    file.by_ref().take(HEAD_BYTES).read_to_end(&mut bytes)?;
    if is_go_data(&bytes) {
        file.read_to_end(&mut bytes)?;
    }
    Ok(bytes)
}

/// Reads the bytes of such a file: see [`read`].
pub(crate) fn parse(file: &[u8]) -> Result<Import, ImportError> {
    if file.is_empty() {
        return Ok(Import {
            damage: Some("the file is empty, so it holds no messages".to_owned()),
            ..Import::default()
        });
    }
    match header(file)? {
        Header::Cut => Ok(Import {
            damage: Some(format!(
                "the file ends at byte {}, within its header, so it holds no messages",
                file.len()
            )),
            ..Import::default()
        }),
        Header::Whole { json_at, json_end } => {
            let mut entries = Entries::new(file, json_at, json_end)?;
            entries.read_all();
            Ok(entries.finish())
        }
    }
}

enum Header {
    /// The JSON begins at `json_at` and was to end at `json_end`, which may lie behind the
    /// end of the file.
    Whole { json_at: usize, json_end: usize },
    /// The bytes end within the header.
    Cut,
}

fn header(file: &[u8]) -> Result<Header, ImportError> {
    let Some((message_bytes, type_at)) = gob_unsigned(file, 0)? else {
        return Ok(Header::Cut);
    };
    for (at, wanted, reason) in [
        (type_at, BYTE_SLICE, "the gob value is no byte slice"),
        (type_at + 1, NO_STRUCT, "the gob value has no plain value"),
    ] {
        match file.get(at) {
            None => return Ok(Header::Cut),
            Some(byte) if *byte == wanted => {}
            Some(_) => return Err(foreign(at, reason)),
        }
    }
    let slice_at = type_at + 2;
    let Some((slice_bytes, json_at)) = gob_unsigned(file, slice_at)? else {
        return Ok(Header::Cut);
    };
    let json_end = json_at.checked_add(slice_bytes);
    if json_end.is_none() || json_end != type_at.checked_add(message_bytes) {
        return Err(foreign(slice_at, "the gob lengths contradict each other"));
    }
    Ok(Header::Whole {
        json_at,
        json_end: json_end.unwrap_or(usize::MAX),
    })
}

/// The gob unsigned integer at `at` and the place behind it; `None` when the bytes end in it.
fn gob_unsigned(file: &[u8], at: usize) -> Result<Option<(usize, usize)>, ImportError> {
    let Some(&first) = file.get(at) else {
        return Ok(None);
    };
    if first < 0x80 {
        return Ok(Some((usize::from(first), at + 1)));
    }
    let length = usize::from(first.wrapping_neg());
    if length > size_of::<u64>() {
        return Err(foreign(at, "there is no gob integer"));
    }
    let Some(bytes) = file.get(at + 1..at + 1 + length) else {
        return Ok(None);
    };
    let value = bytes.iter().fold(0, |sum, b| sum << 8 | u64::from(*b));
    match usize::try_from(value) {
        Ok(value) => Ok(Some((value, at + 1 + length))),
        Err(_) => Err(foreign(at, "the gob length is too large")),
    }
}

fn foreign(at: usize, reason: impl Into<String>) -> ImportError {
    ImportError::Foreign {
        at,
        reason: reason.into(),
    }
}

/// An entry's value. A field that is missing has its zero value, as in Go.
#[derive(Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Entry {
    message_code: String,
    message_data: String,
    topic: String,
    create_time: i64,
    consumed_time: i64,
    status: i64,
}

/// The walk over the JSON map, entry by entry, so that what was read stays when the next
/// entry turns out to be damaged.
struct Entries<'a> {
    /// From the start of the file to the end of the JSON, or of the file if that is earlier.
    bytes: &'a [u8],
    /// The next byte to read.
    at: usize,
    /// Where the JSON was to end.
    json_end: usize,
    /// The length of the whole file.
    file_bytes: usize,
    seen: HashSet<MessageCode>,
    import: Import,
}

/// Stops the walk: the place, and what is wrong there.
struct Damage(usize, String);

impl<'a> Entries<'a> {
    fn new(file: &'a [u8], json_at: usize, json_end: usize) -> Result<Entries<'a>, ImportError> {
        let bytes = &file[..json_end.min(file.len())];
        let entries = Entries {
            bytes,
            at: json_at,
            json_end,
            file_bytes: file.len(),
            seen: HashSet::new(),
            import: Import::default(),
        };
        let json = &bytes[json_at..];
        let is_map = json.is_empty() || json.starts_with(b"{");
        let is_null = json == b"null";
        if !(is_map || is_null) {
            return Err(foreign(json_at, "there is no JSON map"));
        }
        if json.is_empty() && json_end <= file.len() {
            return Err(foreign(json_at, "the byte slice is empty"));
        }
        Ok(entries)
    }

    fn read_all(&mut self) {
        let damage = match self.walk() {
            Ok(()) => match self.file_bytes.checked_sub(self.json_end) {
                None | Some(0) => None,
                Some(more) => Some(format!(
                    "{more} bytes follow the messages from byte {}; they were not read",
                    self.json_end
                )),
            },
            Err(Damage(at, reason)) => Some(format!(
                "the file is damaged at byte {at}: {reason}; what is before it was read"
            )),
        };
        self.import.damage = damage;
    }

    fn walk(&mut self) -> Result<(), Damage> {
        if self.bytes[self.at..] == *b"null" {
            self.at = self.json_end;
            return Ok(());
        }
        self.expect(b"{")?;
        if self.peek()? == b'}' {
            self.at += 1;
            return self.end();
        }
        loop {
            let key_at = self.at;
            let key: String = self
                .value("a code")?
                .map_err(|error| Damage(key_at, format!("no code: {error}")))?;
            self.expect(b":")?;
            let entry: Result<Entry, String> = self.value("a message")?;
            match entry.and_then(|entry| imported(&key, entry)) {
                Ok(message) if self.seen.insert(message.code) => {
                    self.import.messages.push(message);
                }
                Ok(_) => self.refuse(&key, "the code is in the file before".to_owned()),
                Err(reason) => self.refuse(&key, reason),
            }
            if self.expect(b",}")? == b'}' {
                return self.end();
            }
        }
    }

    /// Reads the next JSON value. One that is JSON but not a `T` is skipped, and its error
    /// is the inner one.
    fn value<T: Deserialize<'a>>(&mut self, what: &str) -> Result<Result<T, String>, Damage> {
        self.peek()?;
        let json = &self.bytes[self.at..];
        let mut values = serde_json::Deserializer::from_slice(json).into_iter::<T>();
        let error = match values.next() {
            Some(Ok(value)) => {
                self.at += values.byte_offset();
                return Ok(Ok(value));
            }
            Some(Err(error)) => error,
            None => return Err(self.cut()),
        };
        if error.classify() == Category::Data {
            let mut values = serde_json::Deserializer::from_slice(json).into_iter::<IgnoredAny>();
            if let Some(Ok(IgnoredAny)) = values.next() {
                self.at += values.byte_offset();
                return Ok(Err(without_position(&error)));
            }
        }
        if error.is_eof() {
            return Err(self.cut());
        }
        let at = self.at + offset(json, error.line(), error.column());
        let reason = format!("no JSON of {what}: {}", without_position(&error));
        Err(Damage(at, reason))
    }

    /// Skips white space, and takes the next byte, which has to be one of `wanted`.
    fn expect(&mut self, wanted: &[u8]) -> Result<u8, Damage> {
        let byte = self.peek()?;
        if !wanted.contains(&byte) {
            let wanted: Vec<String> = wanted.iter().map(|b| char::from(*b).to_string()).collect();
            return Err(Damage(
                self.at,
                format!("{} is missing", wanted.join(" or ")),
            ));
        }
        self.at += 1;
        Ok(byte)
    }

    /// Skips white space, and shows the next byte.
    fn peek(&mut self) -> Result<u8, Damage> {
        let rest = &self.bytes[self.at..];
        let space = rest.iter().take_while(|b| b" \t\r\n".contains(b)).count();
        self.at += space;
        self.bytes.get(self.at).copied().ok_or_else(|| self.cut())
    }

    fn end(&mut self) -> Result<(), Damage> {
        match self.peek() {
            Err(_) if self.bytes.len() == self.json_end => Ok(()),
            Err(cut) => Err(cut),
            Ok(_) => Err(Damage(self.at, "bytes follow the map".to_owned())),
        }
    }

    fn cut(&self) -> Damage {
        let reason = if self.bytes.len() < self.json_end {
            format!(
                "it is cut off there, and was to have {} bytes",
                self.json_end
            )
        } else {
            "the JSON ends before its map does".to_owned()
        };
        Damage(self.bytes.len(), reason)
    }

    fn refuse(&mut self, code: &str, reason: String) {
        self.import.refused_entries += 1;
        if self.import.refused.len() < REFUSED_TOLD_MAX {
            let first = |text: &str, chars| text.chars().take(chars).collect();
            self.import.refused.push(Refused {
                code: first(code, REFUSED_CODE_CHARS_MAX),
                reason: first(&reason, REFUSED_REASON_CHARS_MAX),
            });
        }
    }

    fn finish(mut self) -> Import {
        self.import
            .messages
            .sort_by_key(|message| (message.created, message.code));
        self.import
    }
}

fn imported(key: &str, entry: Entry) -> Result<ImportedMessage, String> {
    let code: MessageCode = key.parse().map_err(|error| format!("{error}"))?;
    if !entry.message_code.is_empty() && entry.message_code.parse() != Ok(code) {
        return Err("the entry's key and its MessageCode differ".to_owned());
    }
    let topic: Topic = entry.topic.parse().map_err(|error| format!("{error}"))?;
    let created = seconds("CreateTime", entry.create_time)?;
    let consumed = seconds("ConsumedTime", entry.consumed_time)?;
    let status = match entry.status {
        -1 => Status::Accepted,
        0 => Status::NotConsumed,
        1 => Status::Consumed { at: consumed },
        other => return Err(format!("the status {other} is none of -1, 0, 1")),
    };
    Ok(ImportedMessage {
        code,
        topic,
        data: entry.message_data.into(),
        created,
        status,
    })
}

fn seconds(field: &str, value: i64) -> Result<UnixSeconds, String> {
    u32::try_from(value)
        .map(UnixSeconds)
        .map_err(|_| format!("the {field} {value} is not between 0 and {}", u32::MAX))
}

/// The text of `error` without its line and column, which count from the entry.
fn without_position(error: &serde_json::Error) -> String {
    let text = error.to_string();
    match text.rfind(" at line ") {
        Some(end) => text[..end].to_owned(),
        None => text,
    }
}

/// How many bytes of `json` are before `line` and `column`, both counted from 1.
fn offset(json: &[u8], line: usize, column: usize) -> usize {
    let before: usize = json
        .split_inclusive(|b| *b == b'\n')
        .take(line.saturating_sub(1))
        .map(<[u8]>::len)
        .sum();
    (before + column.saturating_sub(1)).min(json.len())
}

#[cfg(test)]
mod fuzz;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use std::fs;

    use super::*;

    const CODE: &str = "58b8a3e133dbdb269fa40fe827cae9c36b0334fc";

    pub(super) fn fixture(name: &str) -> std::path::PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("tests/fixtures/import")
            .join(name)
    }

    /// A data file with these bytes in its byte slice.
    pub(super) fn data_file(json: &[u8]) -> Vec<u8> {
        let gob_unsigned = |n: usize| {
            let bytes = n.to_be_bytes();
            let zeros = bytes.iter().take_while(|b| **b == 0).count();
            match n {
                0..0x80 => vec![u8::try_from(n).unwrap()],
                _ => {
                    let length = u8::try_from(bytes.len() - zeros).unwrap();
                    [&[length.wrapping_neg()], &bytes[zeros..]].concat()
                }
            }
        };
        let value = [&[0x0a, 0x00], &*gob_unsigned(json.len()), json].concat();
        [gob_unsigned(value.len()), value].concat()
    }

    fn one(entry: Value) -> Import {
        parse(&data_file(json!({ CODE: entry }).to_string().as_bytes())).unwrap()
    }

    fn as_listed(message: &ImportedMessage) -> Value {
        let (status, consumed) = match message.status {
            Status::Accepted => (-1, 0),
            Status::NotConsumed => (0, 0),
            Status::Consumed { at } => (1, at.0),
        };
        json!({
            "MessageCode": message.code.to_string(),
            "MessageData": &*message.data,
            "Topic": message.topic.as_str(),
            "CreateTime": message.created.0,
            "ConsumedTime": consumed,
            "Status": status,
        })
    }

    #[test]
    fn a_file_is_read_as_the_original_lists_it() {
        let import = read(&fixture("go-data-small")).unwrap();
        assert_eq!((import.damage, import.refused), (None, vec![]));
        let listed = fs::read(fixture("go-data-small.json")).unwrap();
        let listed: Value = serde_json::from_slice(&listed).unwrap();
        let mut listed = listed["data"].as_array().unwrap().clone();
        listed.sort_by_key(|m| {
            let code = m["MessageCode"].as_str().unwrap().to_owned();
            (m["CreateTime"].as_u64(), code)
        });
        let messages: Vec<Value> = import.messages.iter().map(as_listed).collect();
        assert_eq!(messages, listed);
        assert_eq!(messages.len(), 6);
    }

    #[test]
    fn messages_come_by_time_then_code() {
        let import = read(&fixture("go-data-206")).unwrap();
        assert_eq!((import.damage, import.refused), (None, vec![]));
        assert_eq!(import.messages.len(), 206);
        let order = |m: &ImportedMessage| (m.created, m.code);
        assert!(import.messages.is_sorted_by_key(order));
        assert_ne!(import.messages[0].created, import.messages[205].created);
        let bulk = |m: &&ImportedMessage| m.topic.as_str().starts_with("bulk");
        assert_eq!(import.messages.iter().filter(bulk).count(), 200);
    }

    #[test]
    fn a_file_without_messages_is_whole() {
        for file in [
            fs::read(fixture("go-data-empty")).unwrap(),
            data_file(b"null"),
        ] {
            assert!(is_go_data(&file));
            let import = parse(&file).unwrap();
            assert_eq!(import.damage, None);
            assert!(import.messages.is_empty() && import.refused.is_empty());
        }
    }

    #[test]
    fn a_cut_file_gives_every_whole_entry_before_the_cut() {
        let import = read(&fixture("go-data-truncated")).unwrap();
        let whole = read(&fixture("go-data-206")).unwrap().messages;
        let text = fs::read(fixture("go-data-truncated")).unwrap();
        let entries = text.windows(2).filter(|two| two == b"},").count();
        assert_eq!(import.messages.len(), entries);
        assert!(import.messages.iter().all(|m| whole.contains(m)));
        let damage = import.damage.unwrap();
        assert!(damage.contains("byte 1500"), "{damage}");
        assert!(damage.contains("cut off"), "{damage}");
    }

    #[test]
    fn a_cut_at_any_byte_loses_only_what_is_behind_it() {
        let whole = fs::read(fixture("go-data-small")).unwrap();
        let all = parse(&whole).unwrap().messages;
        let mut last = 0;
        for end in 0..whole.len() {
            let import = parse(&whole[..end]).unwrap();
            assert!(is_go_data(&whole[..end.min(32)]), "{end}");
            assert!(import.damage.is_some(), "{end}");
            assert!(import.messages.len() >= last, "{end}");
            assert!(import.messages.iter().all(|m| all.contains(m)), "{end}");
            last = import.messages.len();
        }
        assert_eq!(last, all.len());
    }

    #[test]
    fn an_empty_file_says_so() {
        let import = parse(b"").unwrap();
        assert!(import.messages.is_empty());
        assert!(import.damage.unwrap().contains("is empty"));
    }

    #[test]
    fn a_tail_of_zeros_loses_only_what_it_covers() {
        let mut file = fs::read(fixture("go-data-small")).unwrap();
        file[3000..].fill(0);
        let import = parse(&file).unwrap();
        assert!(!import.messages.is_empty());
        let damage = import.damage.unwrap();
        assert!(damage.contains("byte 3000"), "{damage}");
    }

    #[test]
    fn bytes_behind_the_messages_are_reported() {
        let mut file = fs::read(fixture("go-data-small")).unwrap();
        let end = file.len();
        file.extend_from_slice(b"more");
        let import = parse(&file).unwrap();
        assert_eq!(import.messages.len(), 6);
        let damage = import.damage.unwrap();
        assert!(damage.starts_with("4 bytes"), "{damage}");
        assert!(damage.contains(&format!("byte {end}")), "{damage}");
    }

    #[test]
    fn another_file_is_refused_by_what_is_wrong_and_where() {
        let cases: [(&[u8], usize, &str); 7] = [
            (b"DPMQSNAP\x01\x00\x00\x00", 1, "no byte slice"),
            (b"{\"a\":1}", 1, "no byte slice"),
            (b"\x05\x0a\x01\x02{}", 2, "plain value"),
            (b"\x07\x0a\x00\x02{}", 3, "contradict"),
            (b"\x80\x0a\x00\x02{}", 0, "no gob integer"),
            (b"\x05\x0a\x00\x02[]", 4, "no JSON map"),
            (b"\x03\x0a\x00\x00", 4, "is empty"),
        ];
        for (file, wrong_at, wrong) in cases {
            let Err(ImportError::Foreign { at, reason }) = parse(file) else {
                panic!("{file:?} was read");
            };
            assert_eq!(at, wrong_at, "{file:?}");
            assert!(reason.contains(wrong), "{file:?}: {reason}");
        }
        assert!(!is_go_data(b"DPMQSNAP\x01\x00\x00\x00"));
        assert!(!is_go_data(b"{\"a\":1}"));
    }

    #[test]
    fn a_file_that_is_not_there_is_named() {
        let error = read(Path::new("/nowhere/data")).unwrap_err();
        assert!(error.to_string().contains("/nowhere/data"), "{error}");
    }

    #[test]
    fn every_status_comes_over() {
        for (number, consumed, status) in [
            (-1, 0, Status::Accepted),
            (0, 0, Status::NotConsumed),
            (1, 7, Status::Consumed { at: UnixSeconds(7) }),
        ] {
            let entry = json!({"Topic": "t", "ConsumedTime": consumed, "Status": number});
            assert_eq!(one(entry).messages[0].status, status);
        }
    }

    #[test]
    fn an_entry_that_is_no_message_is_refused_and_the_rest_comes_over() {
        let good = json!({"MessageCode": CODE, "Topic": "t", "CreateTime": 5, "Status": 0});
        let cases = [
            ("Topic", json!(""), "empty"),
            ("Topic", json!("a|b"), "'|'"),
            ("Topic", json!(7), "invalid type"),
            ("Status", json!(2), "status 2"),
            ("CreateTime", json!(-5), "CreateTime -5"),
            ("CreateTime", json!(1_i64 << 32), "CreateTime 4294967296"),
            ("CreateTime", json!("x"), "invalid type"),
            ("ConsumedTime", json!(-1), "ConsumedTime -1"),
            ("MessageCode", json!("00"), "differ"),
        ];
        for (field, value, wrong) in cases {
            let mut bad = good.clone();
            bad[field] = value;
            let other = "0".repeat(40);
            let mut file = json!({ &other: bad, CODE: good });
            if field != "MessageCode" {
                file[&other]["MessageCode"] = json!(other);
            }
            let import = parse(&data_file(file.to_string().as_bytes())).unwrap();
            assert_eq!(import.damage, None, "{file}");
            assert_eq!(import.messages.len(), 1, "{file}");
            assert_eq!(import.messages[0].code.to_string(), CODE);
            assert_eq!(import.refused.len(), 1, "{file}");
            assert_eq!(import.refused[0].code, other);
            let reason = &import.refused[0].reason;
            assert!(reason.contains(wrong), "{reason}");
        }
    }

    #[test]
    fn a_key_that_is_no_code_is_refused_and_shortened() {
        let file = json!({ "x".repeat(1000): {"Topic": "t"}, CODE: {"Topic": "t"} });
        let import = parse(&data_file(file.to_string().as_bytes())).unwrap();
        assert_eq!(import.messages.len(), 1);
        assert_eq!(import.refused[0].code, "x".repeat(REFUSED_CODE_CHARS_MAX));
        assert!(import.refused[0].reason.contains("40 hex digits"));
    }

    #[test]
    fn of_very_many_entries_that_are_refused_the_first_are_told_and_the_rest_counted() {
        let long = "9".repeat(1000);
        let bad = (0..1000).map(|n| format!(r#""{n}":{{"Status":"{long}"}},"#));
        let json = format!(r#"{{{}"{CODE}":{{"Topic":"t"}}}}"#, bad.collect::<String>());
        let import = parse(&data_file(json.as_bytes())).unwrap();
        assert_eq!((import.messages.len(), import.refused_entries), (1, 1000));
        assert_eq!(import.refused.len(), REFUSED_TOLD_MAX);
        let reason = &import.refused[0].reason;
        assert_eq!(reason.chars().count(), REFUSED_REASON_CHARS_MAX);
    }

    #[test]
    fn of_a_code_that_comes_twice_the_first_counts() {
        let json = format!(
            r#"{{"{CODE}":{{"MessageData":"first","Topic":"t"}},
                "{CODE}":{{"MessageData":"second","Topic":"t"}}}}"#
        );
        let import = parse(&data_file(json.as_bytes())).unwrap();
        assert_eq!(import.messages.len(), 1);
        assert_eq!(&*import.messages[0].data, "first");
        assert_eq!(import.refused.len(), 1);
        assert_eq!(import.damage, None);
    }

    proptest! {
        #[test]
        fn random_bytes_never_panic(bytes: Vec<u8>) {
            let _ = parse(&bytes);
            let _ = is_go_data(&bytes);
        }

        #[test]
        fn random_contents_never_panic(json: Vec<u8>, brace: bool) {
            let start: &[u8] = if brace { b"{\"" } else { b"" };
            let _ = parse(&data_file(&[start, &json].concat()));
        }
    }
}
