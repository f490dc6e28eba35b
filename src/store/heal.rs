//! Takes back from the snapshot what the log has lost: both have the same bytes at the same
//! places.
//!
//! Bytes are put only where the log's own are missing or fail their checksums, and only from
//! chunks that are whole. At every start this comes before anything is appended, so that the
//! snapshot never has bytes of a place that the log then writes differently; what cannot be
//! taken back makes the log go on in a new segment, see [`super::recovery`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::StoreError;
use super::files::Files;
use super::record::{FrameError, Head};
use super::segments::{Position, SEGMENT_HEAD_BYTES, Segment, Segments, segment_head};
use super::snapshot::Catalog;
use super::walk::{BLOCK_BYTES, Damage, Step, Walk};

/// The snapshot is believed where it agrees with so many bytes of the log before.
const AGREEING_BYTES: u64 = 512;
/// More than nearly every frame has.
const FRAME_BYTES: u64 = 256 << 10;
/// What is taken back of a segment with a damaged head: the block of the disk that it is in.
const HEAD_BLOCK_BYTES: u64 = BLOCK_BYTES;

/// See the module.
pub(crate) struct Healer {
    files: Arc<dyn Files>,
    snapshot: PathBuf,
    segments: Arc<Segments>,
    catalog: Option<Catalog>,
    looked: bool,
}

impl Healer {
    /// Heals `segments` from the file `snapshot`, which is not read before it is needed.
    pub(crate) fn new(files: &Arc<dyn Files>, snapshot: &Path, segments: &Arc<Segments>) -> Healer {
        Healer {
            files: files.clone(),
            snapshot: snapshot.to_owned(),
            segments: segments.clone(),
            catalog: None,
            looked: false,
        }
    }

    fn catalog(&mut self) -> Result<Option<&Catalog>, StoreError> {
        if !self.looked {
            self.catalog = Catalog::open(&*self.files, &self.snapshot, self.segments.seed)?;
            self.looked = true;
        }
        Ok(self.catalog.as_ref())
    }

    /// Everything that the snapshot has of the log is before this; `None` if it is of another
    /// history of the same store, as a copy put beside it may be.
    pub(crate) fn covered(&mut self) -> Result<Option<Position>, StoreError> {
        let catalog = self.catalog()?;
        let covered = catalog.map_or(Position::default(), Catalog::covered);
        let segments = self.segments.clone();
        let Some(newest) = segments.from(0).pop() else {
            return Ok(Some(covered));
        };
        let differs = match segments.get(covered.segment) {
            _ if covered > Position::at(newest.number, newest.end()) => {
                let end = last_frame_end(&segments, &newest)?;
                self.differs(&newest, end)?
            }
            Some(segment) => self.differs(&segment, covered.offset.into())?,
            None => None,
        };
        Ok((differs != Some(true)).then_some(covered))
    }

    /// Heals the beginning of a segment whose head is damaged: from the snapshot, or, if its
    /// first frame can be read, from what the head must be. Says whether that was possible.
    pub(crate) fn head(&mut self, segment: &Segment) -> Result<bool, StoreError> {
        let number = segment.number;
        let end = HEAD_BLOCK_BYTES.min(segment.end()).max(SEGMENT_HEAD_BYTES);
        let kept = match self.catalog()? {
            Some(catalog) => {
                let covered = catalog.segments().get(&number).copied().unwrap_or_default();
                catalog.bytes(number, 0, end.min(covered))?
            }
            None => None,
        };
        if let Some(bytes) = kept.filter(|bytes| bytes.len() as u64 > SEGMENT_HEAD_BYTES) {
            segment.heal(0, &bytes)?;
            return Ok(true);
        }
        let first = Position::at(number, SEGMENT_HEAD_BYTES);
        let whole = !segment.is_misplaced() && self.segments.meta_at(first).is_ok();
        if whole {
            segment.heal(0, &segment_head(self.segments.seed, number))?;
        }
        Ok(whole)
    }

    /// Takes back segments behind `from` that are missing, and the ends of those that are too
    /// short; says each in `healed`.
    pub(crate) fn ends(&mut self, from: u32, healed: &mut Vec<String>) -> Result<(), StoreError> {
        let Some(catalog) = self.catalog()? else {
            return Ok(());
        };
        let ends: Vec<(u32, u64)> = catalog
            .segments()
            .range(from..)
            .map(|(n, e)| (*n, *e))
            .collect();
        for (number, end) in ends {
            let (segment, at) = match self.segments.get(number) {
                Some(segment) if segment.end() >= end => continue,
                Some(segment) => {
                    let at = last_frame_end(&self.segments, &segment)?;
                    (segment, at)
                }
                None => (self.segments.make(number)?, 0),
            };
            let taken = self.take_back(&segment, at, end)?;
            if taken > at {
                healed.push(healed_text(&segment, at, taken));
            }
        }
        Ok(())
    }

    /// Writes what the snapshot has from `at` to `end`; where that is not whole there will be
    /// zeros, which are damage. Returns where the last byte is.
    fn take_back(&mut self, segment: &Segment, mut at: u64, end: u64) -> Result<u64, StoreError> {
        let seed = self.segments.seed;
        if !self.agrees(segment, at)? {
            return Ok(at);
        }
        let Some(catalog) = self.catalog()? else {
            return Ok(at);
        };
        if at < SEGMENT_HEAD_BYTES {
            segment.heal(0, &segment_head(seed, segment.number))?;
        }
        let mut taken = at;
        while at < end {
            let to = catalog.chunk_end(segment.number, at).unwrap_or(end);
            if let Some(bytes) = catalog.bytes(segment.number, at, to)? {
                segment.heal(at, &bytes)?;
                taken = to;
            }
            at = to;
        }
        Ok(taken)
    }

    /// Heals damaged frames; says where the healed bytes end, if there are any.
    pub(crate) fn frames(&mut self, damage: &Damage) -> Result<Option<String>, StoreError> {
        let Some(segment) = self.segments.get(damage.segment) else {
            return Ok(None);
        };
        let segments = self.segments.clone();
        if !self.agrees(&segment, damage.from)? {
            return Ok(None);
        }
        let Some(catalog) = self.catalog()? else {
            return Ok(None);
        };
        // What seems good behind the damage may be of another place.
        let until = u64::from(damage.doubtful_until().offset) + FRAME_BYTES;
        let until = until.min(segment.end());
        let mut bytes = catalog.bytes_from(damage.segment, damage.from, until)?;
        let has_all = damage.from + bytes.len() as u64 >= damage.to;
        let mut healed = 0;
        for len in frame_ends(segments.seed, &bytes) {
            let end = damage.from + len as u64;
            if end < damage.to {
                // Only where the snapshot lacks the rest.
                healed = if has_all { 0 } else { len };
            } else if end == segment.end() || segments.try_meta_in(&segment, end)?.is_ok() {
                healed = len;
                break;
            }
        }
        if healed == 0 {
            return Ok(None);
        }
        bytes.truncate(healed);
        if segment.read(damage.from, healed)? == bytes {
            // It is what was written, and still not what can be used.
            return Ok(None);
        }
        segment.heal(damage.from, &bytes)?;
        let to = damage.from + healed as u64;
        Ok(Some(healed_text(&segment, damage.from, to)))
    }

    /// Whether the snapshot has the same bytes as the log just before `at`.
    fn agrees(&mut self, segment: &Segment, at: u64) -> Result<bool, StoreError> {
        Ok(self.differs(segment, at)? == Some(false))
    }

    /// Whether snapshot and log have other bytes just before `at`, if the snapshot has any.
    fn differs(&mut self, segment: &Segment, at: u64) -> Result<Option<bool>, StoreError> {
        let from = at.saturating_sub(AGREEING_BYTES);
        let Some(catalog) = self.catalog()? else {
            return Ok(None);
        };
        let Some(kept) = catalog.bytes(segment.number, from, at)? else {
            return Ok(None);
        };
        Ok(Some(segment.read(from, kept.len())? != kept))
    }
}

fn healed_text(segment: &Segment, from: u64, to: u64) -> String {
    let path = segment.path.display();
    format!("{path} from byte {from} to {to}: taken back from the snapshot")
}

/// Where the last good frame of a segment ends, or whatever is behind it begins.
fn last_frame_end(segments: &Segments, segment: &Segment) -> Result<u64, StoreError> {
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

/// Where the frames end that `bytes` begin with, one behind the other and each whole.
fn frame_ends(seed: u32, bytes: &[u8]) -> Vec<usize> {
    let (mut at, mut ends) = (0, vec![]);
    while let Ok(len) = whole_frame(seed, &bytes[at..]) {
        at += len;
        ends.push(at);
    }
    ends
}

fn whole_frame(seed: u32, bytes: &[u8]) -> Result<usize, FrameError> {
    let head = Head::parse(bytes)?;
    let len = head.frame_len();
    let frame = bytes.get(..len).ok_or(FrameError::Cut)?;
    head.meta(seed, frame)?;
    head.check_data(seed, &frame[len - head.data_len..])?;
    Ok(len)
}
