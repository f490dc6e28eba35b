//! The messages of a run: their bytes, and how they are read back from a pushed frame.
//!
//! ```text
//! run       producer  number         time (ns)         crc32 of the three    filler
//! 8 digits  4         12             16                8                     up to --size
//! ```
//!
//! All digits are lower-case hexadecimal. The filler is the same in every message of a run.

use bytes::BytesMut;
use memchr::memmem;
use serde::Deserialize;

/// The header of every message, which is also the smallest message.
pub(super) const HEADER_BYTES: usize = RUN_BYTES + 2 * FIELDS_BYTES;

const RUN_BYTES: usize = 8;
/// Producer, number, time and checksum before they are written as digits.
const FIELDS_BYTES: usize = 2 + 6 + 8 + 4;
const CHECKED_BYTES: usize = FIELDS_BYTES - 4;

/// What identifies a message of a run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Stamp {
    pub(super) producer: u16,
    /// Counts the messages of the producer, from 0.
    pub(super) number: u64,
    /// The time at which it was sent, or was due, in nanoseconds of the run's clock.
    pub(super) at_ns: u64,
}

/// A pushed message, as it was read.
#[derive(Debug, PartialEq)]
pub(super) enum Reading {
    /// A message of this run, unchanged.
    Ours(Stamp),
    /// A message of this run whose bytes were changed.
    Changed,
    /// A message of others.
    Foreign,
}

/// What all messages of a run have in common.
pub(super) struct Pattern {
    run: [u8; RUN_BYTES],
    filler: Vec<u8>,
}

impl Pattern {
    /// For messages of `message_bytes`, which are at least [`HEADER_BYTES`].
    pub(super) fn new(run: u32, message_bytes: usize) -> Pattern {
        Pattern {
            run: *const_hex::const_encode::<4, false>(&run.to_be_bytes()).as_byte_array(),
            filler: filler(message_bytes.saturating_sub(HEADER_BYTES)),
        }
    }

    /// The bytes of a message.
    pub(super) fn message_bytes(&self) -> usize {
        HEADER_BYTES + self.filler.len()
    }

    /// Appends a message, which is ASCII and the same in JSON and in a form.
    pub(super) fn write(&self, stamp: Stamp, out: &mut BytesMut) {
        let mut fields = [0; FIELDS_BYTES];
        fields[..2].copy_from_slice(&stamp.producer.to_be_bytes());
        fields[2..8].copy_from_slice(&stamp.number.to_be_bytes()[2..]);
        fields[8..CHECKED_BYTES].copy_from_slice(&stamp.at_ns.to_be_bytes());
        let sum = crc32fast::hash(&fields[..CHECKED_BYTES]);
        fields[CHECKED_BYTES..].copy_from_slice(&sum.to_be_bytes());
        out.extend_from_slice(&self.run);
        out.extend_from_slice(const_hex::const_encode::<FIELDS_BYTES, false>(&fields).as_bytes());
        out.extend_from_slice(&self.filler);
    }

    /// Reads the message in a pushed frame.
    pub(super) fn read_frame(&self, frame: &str) -> Reading {
        if let Some(data) = self.where_it_should_be(frame.as_bytes())
            && let Reading::Ours(stamp) = self.read(data)
        {
            return Reading::Ours(stamp);
        }
        #[derive(Deserialize)]
        struct Pushed {
            #[serde(rename = "MessageData")]
            data: String,
        }
        match serde_json::from_str::<Pushed>(frame) {
            Ok(pushed) => self.read(pushed.data.as_bytes()),
            Err(_) => Reading::Foreign,
        }
    }

    /// The data of a frame in the usual form of servers, found without parsing the frame.
    fn where_it_should_be<'f>(&self, frame: &'f [u8]) -> Option<&'f [u8]> {
        const FIELD: &[u8] = b"\"MessageData\":\"";
        let begin = memmem::find(frame, FIELD)? + FIELD.len();
        let (data, rest) = frame[begin..].split_at_checked(self.message_bytes())?;
        rest.starts_with(b"\"").then_some(data)
    }

    fn read(&self, data: &[u8]) -> Reading {
        let Some(rest) = data.strip_prefix(&self.run) else {
            return Reading::Foreign;
        };
        match self.stamp(rest) {
            Some(stamp) => Reading::Ours(stamp),
            None => Reading::Changed,
        }
    }

    /// The stamp, if it and the filler after it are intact.
    fn stamp(&self, rest: &[u8]) -> Option<Stamp> {
        let (digits, filler) = rest.split_at_checked(2 * FIELDS_BYTES)?;
        let mut fields = [0; FIELDS_BYTES];
        decode(digits, &mut fields)?;
        let (producer, rest) = fields.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk::<6>()?;
        let (at_ns, rest) = rest.split_first_chunk()?;
        let (sum, _) = rest.split_first_chunk()?;
        let mut wide = [0; 8];
        wide[2..].copy_from_slice(number);
        let whole = u32::from_be_bytes(*sum) == crc32fast::hash(&fields[..CHECKED_BYTES]);
        (whole && filler == self.filler).then_some(Stamp {
            producer: u16::from_be_bytes(*producer),
            number: u64::from_be_bytes(wide),
            at_ns: u64::from_be_bytes(*at_ns),
        })
    }
}

/// Letters and digits without a period that a compressor would find.
fn filler(bytes: usize) -> Vec<u8> {
    const ALPHABET: &[u8; 32] = b"abcdefghijklmnopqrstuvwxyz012345";
    let mut state: u32 = 1;
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let [high, ..] = state.to_be_bytes();
        ALPHABET[usize::from(high >> 3)]
    };
    std::iter::repeat_with(next).take(bytes).collect()
}

/// Lower-case digits only: other digits mean that the message was changed.
fn decode(digits: &[u8], bytes: &mut [u8]) -> Option<()> {
    let lower = !digits.iter().any(u8::is_ascii_uppercase);
    let decoded = lower.then(|| const_hex::decode_to_slice(digits, bytes))?;
    decoded.ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp {
        producer: 3,
        number: 0x1234_5678_9abc,
        at_ns: 987_654_321,
    };

    fn message(pattern: &Pattern) -> String {
        let mut out = BytesMut::new();
        pattern.write(STAMP, &mut out);
        String::from_utf8(out.to_vec()).unwrap()
    }

    fn frame(data: &str) -> String {
        format!(r#"{{"MessageCode":"c","MessageData":"{data}","Topic":"t","Status":-1}}"#)
    }

    #[test]
    fn what_is_written_is_read_back() {
        for bytes in [HEADER_BYTES, HEADER_BYTES + 1, 128, 5000] {
            let pattern = Pattern::new(0xbeef, bytes);
            let data = message(&pattern);
            assert_eq!(data.len(), bytes);
            assert!(data.bytes().all(|byte| byte.is_ascii_alphanumeric()));
            assert_eq!(pattern.read_frame(&frame(&data)), Reading::Ours(STAMP));
        }
    }

    #[test]
    fn json_that_is_written_in_another_way_is_read_too() {
        let pattern = Pattern::new(1, 64);
        let data = message(&pattern);
        let spaced = format!(r#"{{ "Topic" : "t", "MessageData" : "{data}" }}"#);
        assert_eq!(pattern.read_frame(&spaced), Reading::Ours(STAMP));
        let escaped = frame(&data).replacen(r#"":"0"#, r#"":"\u0030"#, 1);
        assert!(escaped.contains(r"\u0030"));
        assert_eq!(pattern.read_frame(&escaped), Reading::Ours(STAMP));
    }

    #[test]
    fn a_change_of_any_byte_is_found() {
        let pattern = Pattern::new(1, 128);
        let data = message(&pattern);
        for at in 0..data.len() {
            let mut changed = data.clone().into_bytes();
            changed[at] = if changed[at] == b'7' { b'6' } else { b'7' };
            let changed = frame(&String::from_utf8(changed).unwrap());
            let expected = match at < RUN_BYTES {
                true => Reading::Foreign,
                false => Reading::Changed,
            };
            assert_eq!(pattern.read_frame(&changed), expected, "byte {at}");
        }
        let upper = data.replace("9abc", "9Abc");
        assert_ne!(upper, data);
        for changed in [&upper, &data[..127], &data[..20], &format!("{data}x")] {
            assert_eq!(pattern.read_frame(&frame(changed)), Reading::Changed);
        }
    }

    #[test]
    fn what_others_send_is_foreign() {
        let pattern = Pattern::new(1, 128);
        let other = message(&Pattern::new(2, 128));
        for frame in [&frame(&other), &frame("hello"), "no JSON", ""] {
            assert_eq!(pattern.read_frame(frame), Reading::Foreign, "{frame}");
        }
    }
}
