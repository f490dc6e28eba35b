//! Messages found by the index, and their data.

use std::sync::Arc;

use bytes::Bytes;
use bytestring::ByteString;

use crate::message::{Message, MessageCode, Topic, UnixSeconds};
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::index::bitmap::{BLOCK_LEN, Bitmap};
use crate::store::index::block::Block;
use crate::store::index::search::BlockView;
use crate::store::log::damage::Findings;
use crate::store::log::frame::{Entry, Head};
use crate::store::log::position::Position;
use crate::store::log::segment::Segment;
use crate::store::log::segments::Segments;
use crate::store::log::walk::Step;

/// A message that the index has found. Its data is not read yet.
pub(super) struct FoundMessage {
    pub(super) entry: Entry,
    pub(super) topic: Topic,
    pub(super) frame: FrameRef,
}

impl FoundMessage {
    /// Copies the data of `message` out of its frame. Kept for a client, one message would
    /// otherwise keep the whole frame in memory.
    pub(super) fn without_frame(&self, message: Message) -> Message {
        match message.data.len() < self.frame.head.data_len {
            true => Message {
                data: ByteString::from(&*message.data),
                ..message
            },
            false => message,
        }
    }
}

/// Where a frame is, and its head.
#[derive(Clone)]
pub(super) struct FrameRef {
    pub(super) segment: Arc<Segment>,
    pub(super) position: Position,
    pub(super) head: Head,
}

/// The data of the frame read last. It nearly always has the neighbours too.
#[derive(Default)]
pub(super) struct DataCache(Option<(Position, Bytes)>);

impl DataCache {
    pub(super) fn get(
        &mut self,
        segments: &Segments,
        frame: &FrameRef,
    ) -> Result<Bytes, StoreError> {
        if let Some((position, data)) = &self.0
            && *position == frame.position
        {
            return Ok(data.clone());
        }
        let offset = frame.position.offset;
        let data = Bytes::from(segments.data_of(&frame.segment, offset, &frame.head)?);
        self.0 = Some((frame.position, data.clone()));
        Ok(data)
    }
}

/// The messages of `view`, ascending. Damaged ones are reported and skipped.
pub(super) fn find(
    segments: &Segments,
    view: &BlockView,
    findings: &Findings,
) -> Result<Vec<FoundMessage>, StoreError> {
    let mut found = Vec::with_capacity(usize::try_from(view.bits.len()).unwrap_or(0));
    let base = view.number * BLOCK_LEN;
    let bit_of = |sequence: u64| sequence.saturating_sub(base).min(BLOCK_LEN);
    let mut wanted = view.bits.clone();
    let mut walk = segments.walk(Position::default(), false);
    let mut reached = Position::default();
    // Good frames before this may be of another place, and tell nothing of what is missing.
    let mut doubtful = Position::default();
    loop {
        let next = wanted.iter().next();
        let Some(bit) = next else { break };
        // A run further on than the walk is where the next wanted message begins.
        let run = view.runs[Block::run_of(bit)];
        if run > reached {
            walk = segments.walk(run, false);
            reached = run;
        }
        let Some(step) = walk.next()? else { break };
        let located = match step {
            Step::Frame(located) => located,
            Step::Damage(damage) => {
                findings.report(damage.position(), &damage);
                doubtful = damage.doubtful_until();
                continue;
            }
        };
        reached = located.next;
        let entries = &located.meta.entries;
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else {
            continue;
        };
        let (low, high) = (bit_of(first.sequence.0), bit_of(last.sequence.0 + 1));
        if located.position >= doubtful {
            // Messages before this frame would have been met: they are in damaged bytes.
            wanted.take(&Bitmap::range(0, low));
        }
        for bit in wanted.take(&Bitmap::range(low, high)).iter() {
            let at = usize::try_from(base + bit - first.sequence.0).unwrap_or(usize::MAX);
            let Some(&entry) = entries.get(at) else {
                continue;
            };
            found.push(FoundMessage {
                entry,
                topic: located.meta.topics[entry.topic as usize].clone(),
                frame: FrameRef {
                    segment: located.segment.clone(),
                    position: located.position,
                    head: located.head,
                },
            });
        }
    }
    found.sort_unstable_by_key(|found| found.entry.sequence);
    Ok(found)
}

/// The codes of all messages created from `from` to `to`.
pub(crate) fn codes_between(
    segments: &Segments,
    index: &Index,
    findings: &Findings,
    from: UnixSeconds,
    to: UnixSeconds,
) -> Result<Vec<MessageCode>, StoreError> {
    let mut codes = vec![];
    for (_, number) in index.created_between(from, to, None, None, None) {
        if let Some(view) = index.view(number, None, None) {
            codes.extend(
                find(segments, &view, findings)?
                    .iter()
                    .map(|found| found.entry.code),
            );
        }
    }
    Ok(codes)
}
