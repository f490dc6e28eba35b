//! Frames that are made up, changed, or made to deceive.

use bolero::{TypeGenerator, ValueGenerator, check, produce};

use super::*;
use crate::fuzz::{Edit, bounded};

const TOPICS: [&str; 4] = ["a", "b c", "短", "a"];

fn few<T: TypeGenerator>() -> impl ValueGenerator<Output = Vec<T>> {
    produce::<Vec<T>>().with().len(0..6usize)
}

/// What became of messages: as it is stored, and spans of first sequence and length.
type Changed = (u8, u32, Vec<(u32, u16)>);

/// What a frame is made of.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) struct Content {
    first: u32,
    checkpoint: Option<(u64, u64, u32)>,
    #[generator(few())]
    new_messages: Vec<(u8, [u8; 20], u32, Vec<u8>)>,
    cutoff: Option<u32>,
    #[generator(few())]
    changes: Vec<Changed>,
}

impl Content {
    /// Appends the frame.
    pub(crate) fn encode(&self, out: &mut Vec<u8>, seed: u32) {
        let topic = |n: u8| TOPICS[usize::from(n) % TOPICS.len()].parse().unwrap();
        let topics: Vec<Topic> = self
            .new_messages
            .iter()
            .map(|message| topic(message.0))
            .collect();
        let new_messages: Vec<_> = self
            .new_messages
            .iter()
            .zip(&topics)
            .map(|((_, code, created, data), topic)| NewMessage {
                code: MessageCode::from_bytes(*code),
                created: UnixSeconds(*created),
                topic,
                data,
            })
            .collect();
        let changes: Vec<_> = self.changes.iter().map(change).collect();
        let checkpoint = self
            .checkpoint
            .map(|(next, first_live, cutoff)| Checkpoint {
                next,
                first_live,
                cutoff,
                ..Checkpoint::default()
            });
        let frame = Frame {
            checkpoint,
            first: Sequence(self.first.into()),
            new_messages: &new_messages,
            cutoff: self.cutoff.map(UnixSeconds),
            changes: &changes,
        };
        encode(out, seed, &frame);
    }
}

fn change((code, at, spans): &Changed) -> (Change, SequenceSet) {
    let mut set = SequenceSet::new();
    for (first, len) in spans {
        let (first, len) = (u64::from(*first), u64::from(*len) + 1);
        set.insert_span(Span { first, len });
    }
    let change = Change::from_code(code % 4, *at).unwrap();
    (change, set)
}

/// A frame that is whole, and its data.
fn decode(bytes: &[u8], seed: u32) -> Result<(Meta, &[u8]), FrameError> {
    let head = Head::parse(bytes)?;
    let meta = head.meta(seed, bytes)?;
    let data = bytes.get(HEAD_BYTES + head.meta_len..head.frame_len());
    let data = data.ok_or(FrameError::Cut)?;
    head.check_data(seed, data)?;
    Ok((meta, data))
}

/// What a frame says of a message.
type Told<'a> = (Sequence, MessageCode, UnixSeconds, &'a str, &'a [u8]);

/// What a frame says of its messages; everything is where it says.
fn told<'a>(meta: &'a Meta, data: &'a [u8]) -> Vec<Told<'a>> {
    let entries = meta.entries.iter();
    entries
        .map(|entry| {
            let (from, len) = (entry.offset as usize, entry.len as usize);
            let topic = meta.topics[entry.topic as usize].as_str();
            let data = &data[from..from + len];
            (entry.sequence, entry.code, entry.created, topic, data)
        })
        .collect()
}

#[test]
fn a_frame_says_what_was_written() {
    let target = check!().with_generator((produce::<Content>(), produce::<u32>()));
    bounded(target, 300).for_each(|(content, seed)| {
        let mut bytes = vec![];
        content.encode(&mut bytes, *seed);
        let (meta, data) = decode(&bytes, *seed).unwrap();
        let found = told(&meta, data);
        assert_eq!(found.len(), content.new_messages.len());
        for ((n, found), (topic, code, created, data)) in
            (0..).zip(found).zip(&content.new_messages)
        {
            let expected = (
                Sequence(u64::from(content.first) + n),
                MessageCode::from_bytes(*code),
                UnixSeconds(*created),
                TOPICS[usize::from(*topic) % TOPICS.len()],
                &**data,
            );
            assert_eq!(found, expected);
        }
        assert_eq!(meta.cutoff, content.cutoff.map(UnixSeconds));
        let changes: Vec<_> = content.changes.iter().map(change).collect();
        assert_eq!(meta.changes, changes);
        let checkpoint = meta
            .checkpoint
            .map(|checkpoint| (checkpoint.next, checkpoint.first_live, checkpoint.cutoff));
        assert_eq!(checkpoint, content.checkpoint);
        assert!(seed ^ 1 == *seed || decode(&bytes, seed ^ 1).is_err());
    });
}

#[test]
fn a_frame_that_was_changed_is_refused() {
    let edits = produce::<Vec<Edit>>().with().len(1..5usize);
    let target = check!().with_generator((produce::<Content>(), edits));
    bounded(target, 300).for_each(|(content, edits)| {
        let mut bytes = vec![];
        content.encode(&mut bytes, 7);
        let mut changed = bytes.clone();
        edits.iter().for_each(|edit| edit.apply(&mut changed));
        match decode(&changed, 7) {
            Ok(_) => assert!(changed.starts_with(&bytes)),
            Err(_) => assert!(!changed.starts_with(&bytes)),
        }
    });
}

#[test]
fn meta_with_the_right_checksum_makes_sense_or_is_refused() {
    let edits = produce::<Vec<Edit>>().with().len(0..4usize);
    let target = check!().with_generator((produce::<Content>(), edits));
    bounded(target, 600).for_each(|(content, edits)| {
        let mut bytes = vec![];
        content.encode(&mut bytes, 7);
        let head = Head::parse(&bytes).unwrap();
        let data = bytes.split_off(HEAD_BYTES + head.meta_len);
        let mut meta = bytes.split_off(HEAD_BYTES);
        edits.iter().for_each(|edit| edit.apply(&mut meta));
        let Some(meta) = decode_meta(&meta, data.len()) else {
            return;
        };
        // What it says can be written again, and then says the same.
        let new_messages: Vec<_> = told(&meta, &data)
            .into_iter()
            .zip(&meta.entries)
            .map(|((_, code, created, _, data), entry)| NewMessage {
                code,
                created,
                topic: &meta.topics[entry.topic as usize],
                data,
            })
            .collect();
        for (_, set) in &meta.changes {
            let mut end = None;
            for span in set.spans() {
                assert!(
                    span.len > 0 && end.is_none_or(|end| end < span.first),
                    "{set:?}"
                );
                end = Some(span.end());
            }
        }
        let frame = Frame {
            checkpoint: meta.checkpoint.clone(),
            first: meta
                .entries
                .first()
                .map_or(Sequence(0), |entry| entry.sequence),
            new_messages: &new_messages,
            cutoff: meta.cutoff,
            changes: &meta.changes,
        };
        let mut again = vec![];
        encode(&mut again, 7, &frame);
        let (found, found_data) = decode(&again, 7).unwrap();
        assert_eq!(told(&found, found_data), told(&meta, &data));
        assert_eq!(
            (found.checkpoint, found.cutoff, found.changes),
            (meta.checkpoint, meta.cutoff, meta.changes)
        );
    });
}

#[test]
fn bytes_that_say_how_many_follow_are_not_believed() {
    let target = check!().with_generator((produce::<[u8; HEAD_BYTES]>(), produce::<Vec<u8>>()));
    bounded(target, 2000).for_each(|(head, rest)| {
        let bytes = [&MAGIC[..], &head[4..], rest].concat();
        if let Ok(head) = Head::parse(&bytes) {
            assert!(head.meta_len <= META_BYTES_MAX);
            assert!(head.meta(7, &bytes).is_err());
        }
        // Arrays and texts of any length that are not there.
        assert_eq!(
            decode_meta(rest, 0).filter(|meta| !meta.entries.is_empty()),
            None
        );
    });
}
