//! What a message is: its data, topic, code, and where it is in its life.
//!
//! Everything else in the crate speaks in these types. This module does no I/O and knows no
//! encoding; the JSON names are in [`crate::wire`], the stored bytes in `store/record.rs`.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use bytestring::ByteString;
use sha1::{Digest, Sha1};

/// The longest topic that is accepted, in bytes.
pub const TOPIC_BYTES_MAX: usize = 1024;

/// A whole number of seconds since 1970-01-01 UTC, up to the year 2106.
///
/// The range is that of the last 8 hex digits of a [`MessageCode`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixSeconds(pub u32);

impl UnixSeconds {
    /// The earliest time there is.
    pub const MIN: UnixSeconds = UnixSeconds(0);
    /// The latest time there is.
    pub const MAX: UnixSeconds = UnixSeconds(u32::MAX);

    /// The time nearest to `seconds` that can be expressed.
    pub fn saturating_from(seconds: i64) -> UnixSeconds {
        UnixSeconds(u32::try_from(seconds.max(0)).unwrap_or(u32::MAX))
    }

    /// The time `seconds` earlier, but not before [`UnixSeconds::MIN`].
    #[must_use]
    pub fn saturating_sub(self, seconds: u64) -> UnixSeconds {
        UnixSeconds(
            self.0
                .saturating_sub(u32::try_from(seconds).unwrap_or(u32::MAX)),
        )
    }
}

/// The place of a message in the one order of all messages: counted from 1, never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence(pub u64);

impl Sequence {
    /// The sequence after this one.
    #[must_use]
    pub fn next(self) -> Sequence {
        Sequence(self.0 + 1)
    }
}

impl fmt::Display for Sequence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The name under which producers and consumers meet: not empty, no `|`, at most
/// [`TOPIC_BYTES_MAX`] bytes (protocol, "Message").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic(Arc<str>);

/// Why a text is not a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TopicError {
    /// There is no text.
    #[error("the topic is empty")]
    Empty,
    /// The text has the character that the protocol reserves.
    #[error("the topic contains '|'")]
    Bar,
    /// The text is over [`TOPIC_BYTES_MAX`].
    #[error("the topic has {0} bytes, more than {TOPIC_BYTES_MAX}")]
    TooLong(usize),
}

impl Topic {
    /// The topic's name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Topic {
    type Err = TopicError;

    fn from_str(name: &str) -> Result<Topic, TopicError> {
        if name.is_empty() {
            return Err(TopicError::Empty);
        }
        if name.contains('|') {
            return Err(TopicError::Bar);
        }
        if name.len() > TOPIC_BYTES_MAX {
            return Err(TopicError::TooLong(name.len()));
        }
        Ok(Topic(name.into()))
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for Topic {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// The public name of a message: 16 bytes of a digest, then the time of creation as 4 bytes,
/// big-endian; written as 40 lower-case hex digits (protocol, "Message").
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageCode([u8; 20]);

/// A text is not 40 hex digits.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a message code is 40 hex digits, not {0:?}")]
pub struct CodeError(String);

/// The part of a message's code that its node gives: 16 of the 20 bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MessageDigest([u8; 16]);

impl MessageCode {
    /// The code of a message that was accepted at `created`: the digest, then that time.
    pub fn new(digest: MessageDigest, created: UnixSeconds) -> MessageCode {
        let mut code = [0; 20];
        code[..16].copy_from_slice(&digest.0);
        code[16..].copy_from_slice(&created.0.to_be_bytes());
        MessageCode(code)
    }

    /// The code with these bytes.
    pub fn from_bytes(bytes: [u8; 20]) -> MessageCode {
        MessageCode(bytes)
    }

    /// The code's bytes: digest, then time.
    pub fn as_bytes(&self) -> &[u8; 20] {
        &self.0
    }

    /// The time of creation that the code carries.
    pub fn created(&self) -> UnixSeconds {
        let [.., a, b, c, d] = self.0;
        UnixSeconds(u32::from_be_bytes([a, b, c, d]))
    }

    /// The 40 lower-case hex digits, as ASCII.
    pub fn to_hex(self) -> [u8; 40] {
        *const_hex::const_encode::<20, false>(&self.0).as_byte_array()
    }
}

impl FromStr for MessageCode {
    type Err = CodeError;

    fn from_str(text: &str) -> Result<MessageCode, CodeError> {
        let refuse = || CodeError(text.chars().take(64).collect());
        if text.len() != 40 {
            return Err(refuse());
        }
        let mut bytes = [0; 20];
        const_hex::decode_to_slice(text, &mut bytes).map_err(|_| refuse())?;
        Ok(MessageCode(bytes))
    }
}

impl fmt::Display for MessageCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(const_hex::const_encode::<20, false>(&self.0).as_str())
    }
}

impl fmt::Debug for MessageCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a message is in its life. The integers for it are in [`crate::wire`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Stored, and on its way to be pushed ("stateless", -1).
    Accepted,
    /// Pushed, but written to no consumer (0).
    NotConsumed,
    /// At least one consumer was written to, first at this time (1).
    Consumed {
        /// When the first write succeeded.
        at: UnixSeconds,
    },
}

/// A [`Status`] without its time: what messages are counted and searched by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StatusKind {
    /// See [`Status::Accepted`].
    Accepted,
    /// See [`Status::NotConsumed`].
    NotConsumed,
    /// See [`Status::Consumed`].
    Consumed,
}

impl StatusKind {
    /// Every kind, in the order of life.
    pub const ALL: [StatusKind; 3] = [
        StatusKind::Accepted,
        StatusKind::NotConsumed,
        StatusKind::Consumed,
    ];

    /// The place of this kind in [`StatusKind::ALL`].
    pub fn index(self) -> usize {
        match self {
            StatusKind::Accepted => 0,
            StatusKind::NotConsumed => 1,
            StatusKind::Consumed => 2,
        }
    }

    /// Whether a message may go from this kind to `next`: a consumed message stays consumed.
    pub fn may_become(self, next: StatusKind) -> bool {
        match self {
            StatusKind::Accepted => next != StatusKind::Accepted,
            StatusKind::NotConsumed => next != StatusKind::NotConsumed,
            StatusKind::Consumed => false,
        }
    }
}

impl Status {
    /// This status without its time.
    pub fn kind(self) -> StatusKind {
        match self {
            Status::Accepted => StatusKind::Accepted,
            Status::NotConsumed => StatusKind::NotConsumed,
            Status::Consumed { .. } => StatusKind::Consumed,
        }
    }
}

/// A message that is stored.
#[derive(Clone, Debug, PartialEq)]
pub struct Message {
    /// Its place in the order of all messages.
    pub sequence: Sequence,
    /// Its public name.
    pub code: MessageCode,
    /// Its topic.
    pub topic: Topic,
    /// What the producer sent.
    pub data: ByteString,
    /// When it was accepted.
    pub created: UnixSeconds,
    /// Where it is in its life.
    pub status: Status,
}

/// A message on its way to the store: data and topic, and the digest of the data so far.
///
/// The digest is begun where the message comes in, so that large data is hashed there and not
/// where all messages pass; [`Draft::digest`] ends it.
#[derive(Clone)]
pub struct Draft {
    /// The topic it was sent to.
    pub topic: Topic,
    /// What the producer sent.
    pub data: ByteString,
    digest: Sha1,
}

impl fmt::Debug for Draft {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Draft")
            .field("topic", &self.topic)
            .field("bytes", &self.data.len())
            .finish_non_exhaustive()
    }
}

/// The data of a message is larger than the server accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the data of a message has {bytes} bytes, more than {bytes_max}")]
pub struct DataTooLarge {
    /// The bytes that it has.
    pub bytes: usize,
    /// The bytes that it may have.
    pub bytes_max: usize,
}

impl Draft {
    /// The draft of a client's message to `topic`, whose data may have `bytes_max` bytes.
    ///
    /// # Errors
    /// The data is larger.
    pub fn within(bytes_max: usize, topic: Topic, data: ByteString) -> Result<Draft, DataTooLarge> {
        let bytes = data.len();
        if bytes > bytes_max {
            return Err(DataTooLarge { bytes, bytes_max });
        }
        Ok(Draft::new(topic, data))
    }

    /// A draft of a message to `topic`; hashes the data.
    pub fn new(topic: Topic, data: ByteString) -> Draft {
        let digest = Sha1::new_with_prefix(data.as_bytes());
        Draft {
            topic,
            data,
            digest,
        }
    }

    /// The first 32 hex digits of this message's code: of a SHA-1 over data, the time `now` of the
    /// node that it came to, and `unique` (protocol, "Message").
    pub fn digest(&self, now: UnixSeconds, unique: u128) -> MessageDigest {
        let digest = self
            .digest
            .clone()
            .chain_update(now.0.to_be_bytes())
            .chain_update(unique.to_be_bytes())
            .finalize();
        let mut first = [0; 16];
        first.copy_from_slice(&digest[..16]);
        MessageDigest(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_hex_of_digest_and_time() {
        let draft = Draft::new("t".parse().unwrap(), "hello".into());
        let created = UnixSeconds(1_639_392_557);
        let code_of = |unique| MessageCode::new(draft.digest(created, unique), created);
        let code = code_of(7);
        let text = code.to_string();
        assert_eq!(text.len(), 40);
        assert!(text.ends_with("61b7252d"), "{text}");
        assert_eq!(text.as_bytes(), code.to_hex());
        assert_eq!(text.parse(), Ok(code));
        assert_eq!(code.created(), created);
        assert_ne!(code_of(8), code);
    }

    #[test]
    fn a_draft_of_a_client_has_its_limit() {
        let draft = |data: &str| Draft::within(5, "t".parse().unwrap(), data.into());
        assert_eq!(draft("hello").unwrap().data, "hello");
        let (bytes, bytes_max) = (6, 5);
        let refused = DataTooLarge { bytes, bytes_max };
        // What counts is bytes, not characters.
        for data in ["hello!", "\u{fffd}\u{fffd}"] {
            assert_eq!(draft(data).unwrap_err(), refused);
        }
    }

    #[test]
    fn a_code_is_40_digits_and_nothing_else() {
        let digits = "0123456789abcdef";
        let code = [digits, digits, "01234567"].concat();
        assert_eq!(code.parse::<MessageCode>().unwrap().to_string(), code);
        let upper = code.to_uppercase().parse::<MessageCode>().unwrap();
        assert_eq!(upper.to_string(), code);
        for wrong in [
            String::new(),
            code[1..].to_owned(),
            format!("{code}0"),
            format!("0x{code}"),
            format!("0x{}", &code[2..]),
            format!("{}g", &code[1..]),
            format!("{}é", &code[2..]),
        ] {
            assert!(wrong.parse::<MessageCode>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_code_is_the_sha1_of_data_time_and_id() {
        let draft = Draft::new("t".parse().unwrap(), "hello".into());
        let created = UnixSeconds(0x61b7_252d);
        let code = MessageCode::new(draft.digest(created, 7), created);
        let mut input = b"hello\x61\xb7\x25\x2d".to_vec();
        input.extend_from_slice(&7_u128.to_be_bytes());
        assert_eq!(code.as_bytes()[..16], Sha1::digest(&input)[..16]);
    }

    #[test]
    fn a_topic_is_not_empty_and_has_no_bar() {
        assert_eq!("".parse::<Topic>(), Err(TopicError::Empty));
        assert_eq!("a|b".parse::<Topic>(), Err(TopicError::Bar));
        let long = "x".repeat(TOPIC_BYTES_MAX + 1);
        assert_eq!(long.parse::<Topic>(), Err(TopicError::TooLong(long.len())));
        assert_eq!(
            "orders/eu 1".parse::<Topic>().unwrap().as_str(),
            "orders/eu 1"
        );
    }

    #[test]
    fn consumed_is_final() {
        use StatusKind::*;
        for next in StatusKind::ALL {
            assert!(!Consumed.may_become(next));
        }
        assert!(Accepted.may_become(Consumed) && Accepted.may_become(NotConsumed));
        assert!(NotConsumed.may_become(Accepted) && NotConsumed.may_become(Consumed));
        assert!(!Accepted.may_become(Accepted));
    }
}
