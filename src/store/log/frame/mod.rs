//! The bytes of a log frame: their layout, checksums and encoding.
//!
//! ```text
//!  0  magic      4  "DMQ" and the frame version, 1; a newer one keeps the head's form
//!  4  meta_len   4  little-endian, as all lengths and checksums here
//!  8  data_len   4
//! 12  data_crc   4  CRC-32 of data
//! 16  head_crc   4  CRC-32 of bytes 0..16 and meta
//! 20  meta          MessagePack, see [`Meta`]: everything but the messages' data
//!     data          the data of the frame's messages, one after the other
//! ```
//!
//! Meta and data have separate checksums, so that a search reads 20 bytes per message and not its
//! data. Both checksums begin with the seed of the store, which no producer knows. So a search
//! through a damaged log does not take a message's data for a frame, even if it looks like one. A
//! frame is applied whole or not at all.

use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::message::{MessageCode, Sequence, Topic, UnixSeconds};
use crate::sequences::{SequenceSet, Span};
use crate::store::change::Change;
use crate::store::error::StoreError;

const MAGIC: [u8; 4] = *b"DMQ\x01";
/// The bytes before meta.
pub(crate) const HEAD_BYTES: usize = 20;
/// More than any meta needs: 256 messages of as many topics, or the changes of one request.
const META_BYTES_MAX: usize = 64 << 20;
/// A frame is closed after this many messages …
pub(crate) const FRAME_MESSAGES_MAX: usize = 256;
/// … or this much data.
pub(crate) const FRAME_DATA_TARGET: usize = 64 << 10;

/// A message to be encoded into a frame.
#[derive(Clone, Copy)]
pub(crate) struct NewMessage<'a> {
    pub(crate) code: MessageCode,
    pub(crate) created: UnixSeconds,
    pub(crate) topic: &'a Topic,
    pub(crate) data: &'a [u8],
}

/// What the log from here on cannot tell, because it was in segments that are gone. The first
/// frame of every segment has one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Checkpoint {
    /// The sequence of the next message.
    pub(crate) next: u64,
    /// Every message before this sequence is gone.
    pub(crate) first_live: u64,
    /// Every message created before this time is gone.
    pub(crate) cutoff: u32,
    /// Messages accepted on each day since 1970.
    pub(crate) growth: Vec<(i32, u64)>,
    /// Messages accepted in each quarter of an hour since 1970.
    #[serde(default)]
    pub(crate) quarters: Vec<(u32, u64)>,
}

/// A message in the meta of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) sequence: Sequence,
    pub(crate) code: MessageCode,
    pub(crate) created: UnixSeconds,
    /// Index in [`Meta::topics`].
    pub(crate) topic: u32,
    /// Where its data begins in the frame's data.
    pub(crate) offset: u32,
    pub(crate) len: u32,
}

/// The decoded meta of a frame. Its fields are applied in this order.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Meta {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) topics: Vec<Topic>,
    /// The messages accepted. Their sequences are consecutive.
    pub(crate) entries: Vec<Entry>,
    /// Every message created before this time is gone.
    pub(crate) cutoff: Option<UnixSeconds>,
    pub(crate) changes: Vec<(Change, SequenceSet)>,
}

/// The stored form of [`Meta`]: an array of arrays, in which repeats are written once.
#[derive(Default, Serialize, Deserialize)]
struct RawMeta<'a> {
    checkpoint: Option<Checkpoint>,
    #[serde(borrow)]
    new_messages: Option<RawMessages<'a>>,
    cutoff: Option<u32>,
    changes: Vec<RawChange>,
}

#[derive(Serialize, Deserialize)]
struct RawMessages<'a> {
    first: u64,
    #[serde(borrow)]
    topics: Vec<&'a str>,
    /// (index of the topic, number of messages in a row)
    topic_runs: Vec<(u32, u32)>,
    /// (time of creation, number of messages in a row)
    created_runs: Vec<(u32, u32)>,
    /// 20 bytes per message
    #[serde(with = "serde_bytes", borrow)]
    codes: &'a [u8],
    lens: Vec<u32>,
}

#[derive(Serialize, Deserialize)]
struct RawChange {
    code: u8,
    at: u32,
    /// (sequences skipped since the range before, sequences in the range)
    spans: Vec<(u64, u64)>,
}

/// The meta of the frame that `bytes` begin with. Its data is not looked at.
pub(crate) fn meta_of(seed: u32, bytes: &[u8]) -> Result<Meta, FrameError> {
    Head::parse(bytes)?.meta(seed, bytes)
}

/// Why bytes are not a valid frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FrameError {
    /// The bytes end before the frame does.
    Cut,
    Magic,
    Length,
    Head,
    Data,
    Content,
    Place,
}

impl FrameError {
    /// The error in words.
    pub(crate) fn what(self) -> &'static str {
        match self {
            FrameError::Cut => "the frame is cut off",
            FrameError::Magic => "these bytes are not a frame",
            FrameError::Length => "the frame's lengths are impossible",
            FrameError::Head => "the checksum of the frame's head is wrong",
            FrameError::Data => "the checksum of the frame's data is wrong",
            FrameError::Content => "the frame's content cannot be read",
            FrameError::Place => "the frame belongs elsewhere in the log",
        }
    }
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}

/// The lengths and checksums before meta.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) meta_len: usize,
    pub(crate) data_len: usize,
    data_crc: u32,
    head_crc: u32,
}

impl Head {
    /// Reads a head. Only the magic and the bounds are checked.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Head, FrameError> {
        let bytes = bytes.get(..HEAD_BYTES).ok_or(FrameError::Cut)?;
        if bytes[..4] != MAGIC {
            return Err(FrameError::Magic);
        }
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let head = Head {
            meta_len: word(4) as usize,
            data_len: word(8) as usize,
            data_crc: word(12),
            head_crc: word(16),
        };
        if head.meta_len > META_BYTES_MAX {
            return Err(FrameError::Length);
        }
        Ok(head)
    }

    /// The length of the whole frame.
    pub(crate) fn frame_len(&self) -> usize {
        HEAD_BYTES + self.meta_len + self.data_len
    }

    /// Checks and decodes the meta. `head_and_meta` begins with the head.
    pub(crate) fn meta(&self, seed: u32, head_and_meta: &[u8]) -> Result<Meta, FrameError> {
        let end = HEAD_BYTES + self.meta_len;
        let bytes = head_and_meta.get(..end).ok_or(FrameError::Cut)?;
        let (head, meta) = bytes.split_at(HEAD_BYTES);
        if checksum(seed, &[&head[..16], meta]) != self.head_crc {
            return Err(FrameError::Head);
        }
        decode_meta(meta, self.data_len).ok_or(FrameError::Content)
    }

    /// Checks the frame's data.
    pub(crate) fn check_data(&self, seed: u32, data: &[u8]) -> Result<(), FrameError> {
        if data.len() != self.data_len {
            return Err(FrameError::Cut);
        }
        if checksum(seed, &[data]) != self.data_crc {
            return Err(FrameError::Data);
        }
        Ok(())
    }
}

/// The version of the frame that `bytes` begin with, if this version cannot read it. The frame
/// counts only if its checksum is right: otherwise it is damage.
pub(crate) fn newer_version(seed: u32, bytes: &[u8]) -> Option<u8> {
    let (name, version) = (&MAGIC[..3], bytes.get(3)?);
    if bytes[..3] != *name || *version <= MAGIC[3] {
        return None;
    }
    let mut as_known = bytes.get(..HEAD_BYTES)?.to_vec();
    as_known[3] = MAGIC[3];
    let head = Head::parse(&as_known).ok()?;
    let meta = bytes.get(HEAD_BYTES..HEAD_BYTES + head.meta_len)?;
    (checksum(seed, &[&bytes[..16], meta]) == head.head_crc).then_some(*version)
}

/// The newest version of frames that this version reads.
pub(crate) const VERSION: u8 = MAGIC[3];

/// The offset of the next place in `bytes` where a frame may begin.
pub(crate) fn find_magic(bytes: &[u8]) -> Option<usize> {
    bytes.windows(MAGIC.len()).position(|at| at == MAGIC)
}

fn checksum(seed: u32, parts: &[&[u8]]) -> u32 {
    let mut hasher = crc32fast::Hasher::new_with_initial(seed);
    for part in parts {
        hasher.update(part);
    }
    hasher.finalize()
}

/// The content of a frame to be written. [`Meta`] is its decoded form.
#[derive(Default)]
pub(crate) struct Frame<'a> {
    pub(crate) checkpoint: Option<Checkpoint>,
    pub(crate) first: Sequence,
    pub(crate) new_messages: &'a [NewMessage<'a>],
    pub(crate) cutoff: Option<UnixSeconds>,
    pub(crate) changes: &'a [(Change, SequenceSet)],
}

/// Appends `frame` to `out`.
pub(crate) fn encode(out: &mut Vec<u8>, seed: u32, frame: &Frame<'_>) {
    let start = out.len();
    out.extend_from_slice(&[0; HEAD_BYTES]);
    let mut codes = Vec::with_capacity(frame.new_messages.len() * 20);
    for message in frame.new_messages {
        codes.extend_from_slice(message.code.as_bytes());
    }
    let raw = RawMeta {
        checkpoint: frame.checkpoint.clone(),
        new_messages: raw_messages(frame, &codes),
        cutoff: frame.cutoff.map(|cutoff| cutoff.0),
        changes: frame.changes.iter().map(raw_change).collect(),
    };
    rmp_serde::encode::write(out, &raw).expect("writing to memory does not fail");
    let meta_end = out.len();
    for message in frame.new_messages {
        out.extend_from_slice(message.data);
    }
    let data_crc = checksum(seed, &[&out[meta_end..]]);
    let length = |len: usize| {
        u32::try_from(len)
            .expect("messages are limited far below 4 GiB")
            .to_le_bytes()
    };
    let meta_len = length(meta_end - start - HEAD_BYTES);
    let data_len = length(out.len() - meta_end);
    let head = &mut out[start..];
    head[..4].copy_from_slice(&MAGIC);
    head[4..8].copy_from_slice(&meta_len);
    head[8..12].copy_from_slice(&data_len);
    head[12..16].copy_from_slice(&data_crc.to_le_bytes());
    let head_crc = checksum(seed, &[&head[..16], &head[HEAD_BYTES..meta_end - start]]);
    head[16..20].copy_from_slice(&head_crc.to_le_bytes());
}

fn raw_messages<'a>(frame: &Frame<'a>, codes: &'a [u8]) -> Option<RawMessages<'a>> {
    if frame.new_messages.is_empty() {
        return None;
    }
    let mut raw = RawMessages {
        first: frame.first.0,
        topics: vec![],
        topic_runs: vec![],
        created_runs: vec![],
        codes,
        lens: Vec::with_capacity(frame.new_messages.len()),
    };
    let mut last: Option<&Topic> = None;
    for message in frame.new_messages {
        raw.lens
            .push(u32::try_from(message.data.len()).expect("messages are limited far below 4 GiB"));
        if last == Some(message.topic) {
            if let Some((_, run)) = raw.topic_runs.last_mut() {
                *run += 1;
            }
        } else {
            last = Some(message.topic);
            let name = message.topic.as_str();
            let index = raw.topics.iter().position(|topic| *topic == name);
            let index = index.unwrap_or_else(|| {
                raw.topics.push(name);
                raw.topics.len() - 1
            });
            let index = u32::try_from(index).expect("a frame has few topics");
            raw.topic_runs.push((index, 1));
        }
        match raw.created_runs.last_mut() {
            Some((created, run)) if *created == message.created.0 => *run += 1,
            _ => raw.created_runs.push((message.created.0, 1)),
        }
    }
    Some(raw)
}

impl Change {
    fn code(self) -> (u8, u32) {
        match self {
            Change::Requeued => (0, 0),
            Change::NotConsumed => (1, 0),
            Change::Consumed { at } => (2, at.0),
            Change::Deleted => (3, 0),
        }
    }

    fn from_code(code: u8, at: u32) -> Option<Change> {
        match code {
            0 => Some(Change::Requeued),
            1 => Some(Change::NotConsumed),
            2 => Some(Change::Consumed {
                at: UnixSeconds(at),
            }),
            3 => Some(Change::Deleted),
            _ => None,
        }
    }
}

fn raw_change((change, sequences): &(Change, SequenceSet)) -> RawChange {
    let (code, at) = change.code();
    let mut end = 0;
    let spans = sequences
        .spans()
        .iter()
        .map(|span| {
            let gap = span.first - end;
            end = span.end();
            (gap, span.len)
        })
        .collect();
    RawChange { code, at, spans }
}

fn decode_meta(bytes: &[u8], data_len: usize) -> Option<Meta> {
    let raw: RawMeta<'_> = rmp_serde::from_slice(bytes).ok()?;
    let mut meta = Meta {
        checkpoint: raw.checkpoint,
        cutoff: raw.cutoff.map(UnixSeconds),
        ..Meta::default()
    };
    if let Some(new_messages) = raw.new_messages {
        meta.topics = new_messages
            .topics
            .iter()
            .map(|name| name.parse().ok())
            .collect::<Option<_>>()?;
        meta.entries = entries(&new_messages, meta.topics.len(), data_len)?;
    } else if data_len != 0 {
        return None;
    }
    for RawChange { code, at, spans } in raw.changes {
        let (mut set, mut end) = (SequenceSet::new(), 0_u64);
        for (gap, len) in spans {
            let first = end.checked_add(gap)?;
            end = first.checked_add(len)?;
            set.insert_span(Span { first, len });
        }
        meta.changes.push((Change::from_code(code, at)?, set));
    }
    Some(meta)
}

fn entries(raw: &RawMessages<'_>, topics: usize, data_len: usize) -> Option<Vec<Entry>> {
    fn runs<T: Copy>(runs: &[(T, u32)]) -> impl Iterator<Item = T> + '_ {
        runs.iter()
            .flat_map(|&(value, run)| std::iter::repeat_n(value, run as usize))
    }
    if raw.codes.len() != raw.lens.len() * 20 {
        return None;
    }
    let mut topic_of = runs(&raw.topic_runs);
    let mut created_of = runs(&raw.created_runs);
    let mut entries = Vec::with_capacity(raw.lens.len());
    let mut offset = 0_u32;
    let mut sequence = raw.first;
    for (&len, code) in raw.lens.iter().zip(raw.codes.chunks_exact(20)) {
        let entry = Entry {
            sequence: Sequence(sequence),
            code: MessageCode::from_bytes(code.try_into().ok()?),
            created: UnixSeconds(created_of.next()?),
            topic: topic_of.next()?,
            offset,
            len,
        };
        if entry.topic as usize >= topics {
            return None;
        }
        entries.push(entry);
        offset = offset.checked_add(len)?;
        sequence = sequence.checked_add(1)?;
    }
    (offset as usize == data_len).then_some(entries)
}

#[cfg(test)]
pub(crate) mod fuzz;

/// Says that this version cannot read frames of that version.
pub(crate) fn newer_frame(path: &Path, version: u8) -> StoreError {
    newer(path, version.into(), VERSION.into())
}

/// Says that something in `path` has a newer format than this version reads.
pub(crate) fn newer(path: &Path, found: u32, known: u32) -> StoreError {
    StoreError::FormatTooNew {
        path: path.to_owned(),
        found,
        known,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(seed: u32) -> Vec<u8> {
        let (a, b): (Topic, Topic) = ("a".parse().unwrap(), "b".parse().unwrap());
        let new_message = |n: u8, topic| NewMessage {
            code: MessageCode::from_bytes([n; 20]),
            created: UnixSeconds(100 + u32::from(n) / 2),
            topic,
            data: &[b'x', b'y', b'z'][..usize::from(n)],
        };
        let new_messages = [
            new_message(1, &a),
            new_message(2, &b),
            new_message(3, &b),
            new_message(0, &a),
        ];
        let mut out = vec![];
        encode(
            &mut out,
            seed,
            &Frame {
                checkpoint: Some(Checkpoint {
                    next: 7,
                    first_live: 3,
                    cutoff: 50,
                    growth: vec![(20_000, 12)],
                    quarters: vec![(1_988_888, 3)],
                }),
                first: Sequence(7),
                new_messages: &new_messages,
                cutoff: Some(UnixSeconds(60)),
                changes: &[
                    (
                        Change::NotConsumed,
                        [Sequence(3), Sequence(9)].into_iter().collect(),
                    ),
                    (
                        Change::Consumed {
                            at: UnixSeconds(99),
                        },
                        [Sequence(4)].into_iter().collect(),
                    ),
                ],
            },
        );
        out
    }

    #[test]
    fn a_frame_reads_back_as_written() {
        let bytes = sample(5);
        let head = Head::parse(&bytes).unwrap();
        assert_eq!(head.frame_len(), bytes.len());
        let meta = head.meta(5, &bytes).unwrap();
        assert_eq!(meta.checkpoint.as_ref().unwrap().growth, [(20_000, 12)]);
        assert_eq!(meta.cutoff, Some(UnixSeconds(60)));
        let told: Vec<_> = meta
            .entries
            .iter()
            .map(|e| {
                (
                    e.sequence.0,
                    e.created.0,
                    meta.topics[e.topic as usize].as_str(),
                    e.offset,
                    e.len,
                )
            })
            .collect();
        assert_eq!(
            told,
            [
                (7, 100, "a", 0, 1),
                (8, 101, "b", 1, 2),
                (9, 101, "b", 3, 3),
                (10, 100, "a", 6, 0)
            ]
        );
        assert_eq!(meta.changes[0].1.spans().len(), 2);
        assert_eq!(
            meta.changes[1].0,
            Change::Consumed {
                at: UnixSeconds(99)
            }
        );
        let data = &bytes[HEAD_BYTES + head.meta_len..];
        assert_eq!(data, b"xxyxyz");
        head.check_data(5, data).unwrap();
    }

    #[test]
    fn another_store_s_frame_is_not_taken() {
        let bytes = sample(5);
        let head = Head::parse(&bytes).unwrap();
        assert_eq!(head.meta(6, &bytes), Err(FrameError::Head));
        assert_eq!(
            head.check_data(6, &bytes[HEAD_BYTES + head.meta_len..]),
            Err(FrameError::Data)
        );
    }

    #[test]
    fn every_single_flipped_bit_is_found() {
        let bytes = sample(5);
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            let read = Head::parse(&damaged).and_then(|head| {
                head.meta(5, &damaged)?;
                head.check_data(
                    5,
                    damaged
                        .get(HEAD_BYTES + head.meta_len..)
                        .ok_or(FrameError::Cut)?,
                )
            });
            assert!(read.is_err(), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_a_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = decode_meta(&bytes, 10);
            let _ = Head::parse(&bytes).and_then(|head| head.meta(0, &bytes));
        }
    }
}
