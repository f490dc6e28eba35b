//! Decides whether a snapshot has the history of the log: both have the same bytes at the same
//! places, up to the newest place that both have. A store that was put back to an earlier day and
//! went on has another history than the snapshot of the later day. Both have the same seed, and
//! often the same bytes before the day on which they part.

use crate::message::UnixSeconds;
use crate::store::error::StoreError;
use crate::store::growth;
use crate::store::log::damage::Damage;
use crate::store::log::frame::{self, FrameError, Head, Meta};
use crate::store::log::position::Position;
use crate::store::log::segment::{SEGMENT_HEAD_BYTES, Segment};
use crate::store::log::segments::Segments;
use crate::store::log::walk::{Step, Walk};
use crate::store::repair::coverage::Coverage;
use crate::store::snapshot::catalog::Catalog;

/// Bytes before the newest common place that are compared first. They nearly always have a message,
/// whose code no other history has.
const COMPARED_BYTES: u64 = 1 << 20;

/// The relation of a snapshot to the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Kin {
    /// The same history. Both have bytes of this segment, and it is the newest such one.
    Same(u32),
    /// Nothing differs, but no message is at a place that both have. The newest segment of which
    /// both have bytes.
    Alike(u32),
    /// Log and snapshot have no place in common.
    Unknown,
    /// Another history.
    Other,
}

/// The result of comparing one segment.
enum Compared {
    /// A message is the same, and nothing after it differs.
    Same,
    /// Nothing differs, and there is no message.
    Nothing,
    Differs,
}

/// The relation of `catalog` to the log with `segments`. The newest common place with evidence
/// decides.
pub(in crate::store) fn of(segments: &Segments, catalog: &Catalog) -> Result<Kin, StoreError> {
    let covered = catalog.segments();
    let mut newest = None;
    let mut found = None;
    for segment in segments.from(0).iter().rev() {
        let Some(&end) = covered.get(&segment.number) else {
            continue;
        };
        let common = end.min(segment.end());
        let number = *newest.get_or_insert(segment.number);
        match compare(segments, segment, catalog, common)? {
            Compared::Differs => return Ok(Kin::Other),
            Compared::Same => {
                found = Some(number);
                break;
            }
            Compared::Nothing => {}
        }
    }
    let Some(number) = found.or(newest) else {
        return nothing_in_common(segments);
    };
    if diverges(segments, catalog, number)? {
        return Ok(Kin::Other);
    }
    Ok(match found {
        Some(_) => Kin::Same(number),
        None => Kin::Alike(number),
    })
}

/// If nothing of the log can be read, nothing contradicts the snapshot.
fn nothing_in_common(segments: &Segments) -> Result<Kin, StoreError> {
    let mut walk = segments.walk(Position::default(), true);
    while let Some(step) = walk.next()? {
        if let Step::Frame(_) = step {
            return Ok(Kin::Unknown);
        }
    }
    Ok(Kin::Same(u32::MAX))
}

/// Whether the log has more of a segment than the snapshot, although the snapshot continues in
/// another one.
fn diverges(segments: &Segments, catalog: &Catalog, number: u32) -> Result<bool, StoreError> {
    let covered = catalog.segments();
    let goes_on = covered.keys().next_back() > Some(&number);
    // The damaged part of the snapshot may have been the rest of the segment.
    if !goes_on || catalog.is_damaged() {
        return Ok(false);
    }
    let (Some(segment), Some(&end)) = (segments.get(number), covered.get(&number)) else {
        return Ok(false);
    };
    Ok(segment.end() > end && last_frame_end(segments, &segment)? > end)
}

fn compare(
    segments: &Segments,
    segment: &Segment,
    catalog: &Catalog,
    common: u64,
) -> Result<Compared, StoreError> {
    let from = common.saturating_sub(COMPARED_BYTES);
    let len = usize::try_from(common - from).unwrap_or(usize::MAX);
    let bytes = segment.read(from, len)?;
    let kept = catalog.bytes(segment.number, from, common)?;
    if kept.is_some_and(|kept| kept == bytes) && has_message(segments.seed, &bytes) {
        return Ok(Compared::Same);
    }
    compare_frames(segments, segment, catalog, common)
}

/// Compares frame by frame. What is not a frame proves nothing, nor do frames that the disk has
/// written to the wrong place. A frame with only its data damaged still tells which messages it
/// had: a power cut leaves such frames too.
fn compare_frames(
    segments: &Segments,
    segment: &Segment,
    catalog: &Catalog,
    common: u64,
) -> Result<Compared, StoreError> {
    let mut walk = Walk::new(
        segments,
        Position::at(segment.number, SEGMENT_HEAD_BYTES),
        true,
    );
    let mut coverage = Coverage::default();
    let mut compared = Compared::Nothing;
    while let Some(step) = walk.next()? {
        let frame = match step {
            Step::Frame(frame) if frame.position.segment == segment.number => frame,
            Step::Damage(damage) if damage.segment == segment.number => {
                if let Some(meta) = &damage.meta
                    && coverage.accepts(meta, damage.position(), damage.end())
                    && let Some(kept) = meta_at(segments.seed, catalog, &damage, common)?
                {
                    compared = match kept == *meta {
                        true => Compared::Same,
                        false => Compared::Differs,
                    };
                }
                continue;
            }
            _ => break,
        };
        let begin = u64::from(frame.position.offset);
        // The snapshot may end within a frame.
        let end = common.min(frame.next.offset.into());
        if begin >= end {
            break;
        }
        if !coverage.accepts(&frame.meta, frame.position, frame.next) {
            continue;
        }
        let Some(kept) = catalog.bytes(segment.number, begin, end)? else {
            continue;
        };
        let same = segment.read(begin, kept.len())? == kept;
        let has_message = !frame.meta.entries.is_empty();
        compared = match (same, compared) {
            (false, _) => Compared::Differs,
            (true, Compared::Nothing) if !has_message => Compared::Nothing,
            (true, Compared::Differs) if !has_message => Compared::Differs,
            (true, _) => Compared::Same,
        };
    }
    Ok(compared)
}

/// The meta of the snapshot's frame where the log has `damage`.
fn meta_at(
    seed: u32,
    catalog: &Catalog,
    damage: &Damage,
    common: u64,
) -> Result<Option<Meta>, StoreError> {
    let kept = catalog.bytes_from(damage.segment, damage.from, common)?;
    Ok(frame::meta_of(seed, &kept).ok())
}

/// Whether there is a whole frame with a message somewhere in `bytes`.
fn has_message(seed: u32, bytes: &[u8]) -> bool {
    let mut at = 0;
    while let Some(found) = frame::find_magic(&bytes[at..]) {
        at += found;
        match whole_frame(seed, &bytes[at..]) {
            Ok((_, meta)) if !meta.entries.is_empty() => return true,
            Ok((len, _)) => at += len,
            Err(_) => at += 1,
        }
    }
    false
}

/// Whether the snapshot may have a message of before the segment `oldest` that was created at
/// `cutoff` or later.
pub(in crate::store) fn has_newer(
    seed: u32,
    catalog: &Catalog,
    oldest: u32,
    cutoff: UnixSeconds,
) -> Result<bool, StoreError> {
    for (number, end) in catalog.segments().range(..oldest).rev() {
        let bytes = catalog.bytes_from(*number, 0, *end)?;
        if (bytes.len() as u64) < *end {
            return Ok(true);
        }
        let metas = metas_in(seed, &bytes);
        let mut entries = metas.iter().flat_map(|meta| &meta.entries);
        if entries.any(|entry| entry.created >= cutoff) {
            return Ok(true);
        }
        let before = metas.iter().find_map(|meta| meta.checkpoint.as_ref());
        let newest = before.and_then(|before| before.quarters.last());
        if newest.is_some_and(|(quarter, _)| growth::end_of_quarter(*quarter) <= cutoff) {
            return Ok(false);
        }
    }
    Ok(false)
}

/// The metas of the frames in `bytes`.
fn metas_in(seed: u32, bytes: &[u8]) -> Vec<Meta> {
    let (mut at, mut metas) = (0, vec![]);
    while let Some(found) = frame::find_magic(&bytes[at..]) {
        at += found;
        let head = Head::parse(&bytes[at..]);
        match head.and_then(|head| Ok((head.frame_len(), head.meta(seed, &bytes[at..])?))) {
            Ok((len, meta)) => {
                metas.push(meta);
                at = bytes.len().min(at + len);
            }
            Err(_) => at += 1,
        }
    }
    metas
}

/// The length and the meta of the frame that `bytes` begin with, if it is whole.
pub(in crate::store) fn whole_frame(seed: u32, bytes: &[u8]) -> Result<(usize, Meta), FrameError> {
    let head = Head::parse(bytes)?;
    let len = head.frame_len();
    let frame = bytes.get(..len).ok_or(FrameError::Cut)?;
    let meta = head.meta(seed, frame)?;
    head.check_data(seed, &frame[len - head.data_len..])?;
    Ok((len, meta))
}

/// Where the last valid frame of a segment ends, or the damage at its end begins.
pub(in crate::store) fn last_frame_end(
    segments: &Segments,
    segment: &Segment,
) -> Result<u64, StoreError> {
    let end = segment.end();
    let mut walk = Walk::new(
        segments,
        Position::at(segment.number, SEGMENT_HEAD_BYTES),
        true,
    );
    let mut reached = SEGMENT_HEAD_BYTES.min(end);
    while let Some(step) = walk.next()? {
        match step {
            Step::Frame(frame) if frame.position.segment == segment.number => {
                reached = frame.next.offset.into();
            }
            Step::Damage(damage) if damage.segment == segment.number => {
                reached = if damage.to == end {
                    damage.from
                } else {
                    damage.to
                };
            }
            _ => break,
        }
    }
    Ok(reached)
}
