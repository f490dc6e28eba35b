//! Heals the log from the snapshot: both have the same bytes at the same places.
//!
//! Bytes are written only where the log's own are missing or fail their checksums, and only from
//! whole chunks. At every start this happens before anything is appended. So the snapshot never has
//! bytes of a place that the log then writes differently. If something cannot be healed, the log
//! continues in a new segment, see [`crate::store::recovery`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::message::UnixSeconds;
use crate::store::error::StoreError;
use crate::store::fs::files::Files;
use crate::store::log::damage::{BLOCK_BYTES, Damage, Findings};
use crate::store::log::frame::{self, Meta};
use crate::store::log::position::Position;
use crate::store::log::segment::{SEGMENT_HEAD_BYTES, Segment, segment_head};
use crate::store::log::segments::Segments;
use crate::store::log::walk::Step;
use crate::store::repair::coverage::Coverage;
use crate::store::repair::kin::{self, Kin, last_frame_end, whole_frame};
use crate::store::snapshot::Mend;
use crate::store::snapshot::catalog::Catalog;

/// The snapshot counts where it agrees with this many bytes of the log before.
const AGREEING_BYTES: u64 = 512;
/// More than nearly every frame has.
const FRAME_BYTES: u64 = 256 << 10;
/// The bytes healed in a segment with a damaged head: the disk block of the head.
const HEAD_BLOCK_BYTES: u64 = BLOCK_BYTES;

/// What checks and heals the log before a new snapshot is written.
pub(crate) fn mender(files: &Arc<dyn Files>, snapshot: &Path, log: &Arc<Segments>) -> Mend {
    let mut healer = Healer::new(files, snapshot, log);
    Box::new(move |segment, findings| healer.segment(segment, findings))
}

/// Heals the segments of a log from the snapshot.
pub(crate) struct Healer {
    files: Arc<dyn Files>,
    snapshot: PathBuf,
    segments: Arc<Segments>,
    source: Option<Source>,
    looked: bool,
    /// The segments whose frames were healed to make what follows them comparable.
    within: BTreeSet<u32>,
}

/// A snapshot with the seed of the log.
struct Source {
    catalog: Catalog,
    kin: Kin,
}

impl Healer {
    /// Heals `segments` from the file `snapshot`, which is read only when needed.
    pub(crate) fn new(files: &Arc<dyn Files>, snapshot: &Path, segments: &Arc<Segments>) -> Healer {
        Healer {
            files: files.clone(),
            snapshot: snapshot.to_owned(),
            segments: segments.clone(),
            source: None,
            looked: false,
            within: BTreeSet::new(),
        }
    }

    /// Opens the snapshot, and compares its history with the log before anything is healed.
    fn source(&mut self) -> Result<Option<&mut Source>, StoreError> {
        if !self.looked {
            let catalog = Catalog::open(&*self.files, &self.snapshot, self.segments.seed)?;
            if let Some(catalog) = catalog {
                let kin = kin::of(&self.segments, &catalog)?;
                self.source = Some(Source { catalog, kin });
            }
            self.looked = true;
        }
        Ok(self.source.as_mut())
    }

    /// The snapshot, if it has the history of the log.
    fn catalog(&mut self) -> Result<Option<&Catalog>, StoreError> {
        let source = self.source()?;
        let same = source.filter(|source| matches!(source.kin, Kin::Same(_) | Kin::Alike(_)));
        Ok(same.map(|source| &source.catalog))
    }

    /// The snapshot has nothing of the log from this position on. `None` if it has another history
    /// of the same store, as a copy put there by hand may have.
    pub(crate) fn covered(&mut self) -> Result<Option<Position>, StoreError> {
        let oldest = self.segments.oldest().unwrap_or_default();
        let Some(Source { catalog, kin }) = self.source()? else {
            return Ok(Some(Position::default()));
        };
        let covered = catalog.covered();
        Ok(match kin {
            Kin::Same(_) | Kin::Alike(_) => Some(covered),
            // The log may have purged since what the snapshot has.
            Kin::Unknown if covered.segment < oldest => Some(covered),
            Kin::Unknown | Kin::Other => None,
        })
    }

    /// Whether the snapshot may have messages that the log never had: it is of another history, or
    /// no message shows that it is of the log's own, and it has some that are not older than what
    /// has expired in the log, before `cutoff`.
    pub(crate) fn may_have_others(&mut self, cutoff: UnixSeconds) -> Result<bool, StoreError> {
        let (seed, oldest) = (self.segments.seed, self.segments.oldest());
        let Some(Source { catalog, kin }) = self.source()? else {
            return Ok(false);
        };
        match kin {
            Kin::Same(_) => Ok(false),
            Kin::Alike(_) | Kin::Unknown => {
                kin::has_newer(seed, catalog, oldest.unwrap_or_default(), cutoff)
            }
            Kin::Other => Ok(true),
        }
    }

    /// Heals the beginning of a segment with a damaged head: from the snapshot, or, if its first
    /// frame can be read, from what the head must be. Returns whether that was possible.
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

    /// Restores missing segments from the number `from` on, and the ends of those that are too
    /// short. Adds a text for each to `healed`.
    pub(crate) fn ends(&mut self, from: u32, healed: &mut Vec<String>) -> Result<(), StoreError> {
        let segments = self.segments.clone();
        let oldest = segments.oldest().unwrap_or_default();
        let Some(Source { catalog, kin }) = self.source()? else {
            return Ok(());
        };
        let newest = catalog.covered().segment;
        // Segments before this number are known to have the snapshot's history.
        let known = match kin {
            Kin::Same(number) | Kin::Alike(number) => *number,
            Kin::Unknown if newest < oldest => 0,
            Kin::Unknown | Kin::Other => return Ok(()),
        };
        let mut lacking = vec![];
        for (number, end) in catalog.segments().range(from..) {
            match segments.get(*number) {
                Some(segment) if segment.end() >= *end => {}
                Some(segment) => {
                    let at = last_frame_end(&segments, &segment)?;
                    lacking.push((*number, at, *end));
                }
                None => lacking.push((*number, 0, *end)),
            }
        }
        if let Some(last) = lacking.last().filter(|(number, ..)| *number >= known)
            && let Some(next) = segments.at_or_after(newest.saturating_add(1))
            && !leads_to(&segments, catalog, *last, &next)?
        {
            *kin = Kin::Other;
            return Ok(());
        }
        for (number, mut at, end) in lacking {
            let segment = match segments.get(number) {
                Some(segment) => {
                    // The comparison of the end needs what is before it.
                    self.within(&segment, u64::MAX, healed)?;
                    at = last_frame_end(&segments, &segment)?;
                    segment
                }
                None => segments.make(number)?,
            };
            let Some(Source { catalog, .. }) = self.source()? else {
                return Ok(());
            };
            let taken = copy_back(&segments, &segment, catalog, at, end)?;
            if taken > at {
                healed.push(healed_text(&segment, at, taken));
            }
        }
        Ok(())
    }

    /// Heals the damaged frames of a segment that begin before `until`.
    fn within(
        &mut self,
        segment: &Arc<Segment>,
        until: u64,
        healed: &mut Vec<String>,
    ) -> Result<(), StoreError> {
        let segments = self.segments.clone();
        let mut walk = segments.walk(Position::at(segment.number, SEGMENT_HEAD_BYTES), true);
        while let Some(step) = walk.next()? {
            let begin = match &step {
                Step::Frame(frame) => frame.position,
                Step::Damage(damage) => damage.position(),
            };
            if begin.segment != segment.number || u64::from(begin.offset) >= until {
                break;
            }
            if let Step::Damage(damage) = step
                && let Some(text) = self.damaged(segment, &damage)?
            {
                healed.push(text);
                walk.go_back(&damage);
            }
        }
        Ok(())
    }

    /// Heals the damaged frames of a segment while the log is in use. What cannot be healed goes to
    /// `findings`. Returns whether the snapshot has other bytes than the log there.
    pub(crate) fn segment(
        &mut self,
        segment: &Segment,
        findings: &Findings,
    ) -> Result<bool, StoreError> {
        let segments = self.segments.clone();
        if !segments.has_head(segment)? && self.head(segment)? {
            let healed = format!("the head of {}", segment.path.display());
            tracing::warn!("healed: {healed}");
        }
        let begin = Position::at(segment.number, SEGMENT_HEAD_BYTES);
        let (mut walk, mut coverage) = (segments.walk(begin, true), Coverage::default());
        let mut others = false;
        while let Some(step) = walk.next()? {
            if walk.position().segment != segment.number {
                break;
            }
            let damage = match step {
                Step::Frame(frame) if coverage.accepts(&frame.meta, frame.position, frame.next) => {
                    continue;
                }
                Step::Frame(frame) => Damage::misplaced(&frame),
                Step::Damage(damage) => damage,
            };
            let healed = self.frames(&damage)?;
            if !healed.is_empty() {
                for healed in healed {
                    tracing::warn!("healed: {healed}");
                }
                walk.go_back(&damage);
                continue;
            }
            findings.report(damage.position(), &damage);
            if let Some(catalog) = self.catalog()? {
                let kept = catalog.bytes_from(damage.segment, damage.from, damage.to)?;
                others |= segment.read(damage.from, kept.len())? != kept;
            }
        }
        Ok(others)
    }

    /// Heals damaged frames, or the damage before them that hinders the comparison. Returns texts
    /// of what was healed; if there are any, the caller reads the frames again.
    pub(crate) fn frames(&mut self, damage: &Damage) -> Result<Vec<String>, StoreError> {
        let mut healed = vec![];
        let Some(segment) = self.segments.get(damage.segment) else {
            return Ok(healed);
        };
        let Some(catalog) = self.catalog()? else {
            return Ok(healed);
        };
        if !agrees(&segment, catalog, damage.from)? && self.within.insert(damage.segment) {
            self.within(&segment, damage.from, &mut healed)?;
        }
        healed.extend(self.damaged(&segment, damage)?);
        Ok(healed)
    }

    /// Heals damaged frames where the snapshot agrees before them.
    fn damaged(
        &mut self,
        segment: &Arc<Segment>,
        damage: &Damage,
    ) -> Result<Option<String>, StoreError> {
        let segments = self.segments.clone();
        let Some(catalog) = self.catalog()? else {
            return Ok(None);
        };
        if !agrees(segment, catalog, damage.from)? {
            return Ok(None);
        }
        // Frames after the damage that look valid may belong elsewhere.
        let until = u64::from(damage.doubtful_until().offset) + FRAME_BYTES;
        let until = until.min(segment.end());
        let mut bytes = catalog.bytes_from(damage.segment, damage.from, until)?;
        // The log's own frame may say which messages it has: the snapshot's must have the same.
        if let Some(meta) = &damage.meta
            && !whole_frame(segments.seed, &bytes).is_ok_and(|(_, kept)| kept == *meta)
        {
            return Ok(None);
        }
        let damaged = usize::try_from(damage.to - damage.from).unwrap_or(usize::MAX);
        let has_all = bytes.len() >= damaged;
        // The number of the snapshot's bytes after the first `len`, up to the end of the damage.
        let lacking = |len: usize| bytes.len().min(damaged) - len;
        let after = bytes.get(damaged..).unwrap_or_default();
        let agree_after = match segments.try_meta_in(segment, damage.to)? {
            Ok(located) => frame::meta_of(segments.seed, after) == Ok(located.meta),
            Err(_) => false,
        };
        let mut healed = 0;
        for len in frame_ends(segments.seed, damaged, &bytes) {
            let end = damage.from + len as u64;
            if end < damage.to {
                // Only where the snapshot lacks the rest, or has damage there too.
                let rest = &bytes[len..len + lacking(len)];
                let is_hole = agree_after || segment.read(end, rest.len())? == rest;
                healed = if has_all && !is_hole { 0 } else { len };
            } else if damage.meta.is_some()
                || end == segment.end()
                || segments.try_meta_in(segment, end)?.is_ok()
            {
                healed = len;
                break;
            }
        }
        if healed == 0 {
            return Ok(None);
        }
        bytes.truncate(healed);
        if segment.read(damage.from, healed)? == bytes {
            // It is what was written, and still cannot be used.
            return Ok(None);
        }
        segment.heal(damage.from, &bytes)?;
        let end = damage.from + healed as u64;
        Ok(Some(healed_text(segment, damage.from, end)))
    }
}

/// Where the whole frames end that begin in the first `damaged` of the snapshot's bytes `kept`.
/// Between them may be holes that a power cut has left.
fn frame_ends(seed: u32, damaged: usize, kept: &[u8]) -> Vec<usize> {
    let (mut at, mut ends) = (0, vec![]);
    while at < damaged {
        if let Ok((len, _)) = whole_frame(seed, &kept[at..]) {
            at += len;
            ends.push(at);
            continue;
        }
        let after = kept.get(at + 1..).unwrap_or_default();
        match frame::find_magic(after) {
            Some(found) => at += 1 + found,
            None => break,
        }
    }
    ends
}

/// Whether the snapshot has the same bytes as the log just before `at`.
fn agrees(segment: &Segment, catalog: &Catalog, at: u64) -> Result<bool, StoreError> {
    let from = at.saturating_sub(AGREEING_BYTES);
    match catalog.bytes(segment.number, from, at)? {
        Some(kept) => Ok(segment.read(from, kept.len())? == kept),
        None => Ok(false),
    }
}

/// Whether the frames to be restored, of the newest segment that the snapshot has, lead to the
/// segment `next` of the log, which the snapshot lacks.
fn leads_to(
    segments: &Segments,
    catalog: &Catalog,
    (number, at, end): (u32, u64, u64),
    next: &Segment,
) -> Result<bool, StoreError> {
    let first = Position::at(next.number, SEGMENT_HEAD_BYTES);
    let checkpoint = match segments.meta_at(first) {
        Ok(located) => located.meta.checkpoint.unwrap_or_default(),
        Err(StoreError::Corrupt { .. }) => return Ok(false),
        Err(error) => return Err(error),
    };
    let bytes = catalog.bytes_from(number, at.max(SEGMENT_HEAD_BYTES), end)?;
    let frames = frames_of(segments.seed, &bytes);
    let messages = frames.iter().filter_map(|(_, meta)| {
        let last = meta.entries.last().map(|entry| entry.sequence.0 + 1);
        last.max(meta.checkpoint.as_ref().map(|checkpoint| checkpoint.next))
    });
    // Outcomes of messages prove nothing: they may be of any history.
    Ok(messages
        .max()
        .is_some_and(|reached| reached <= checkpoint.next))
}

/// Writes the snapshot's bytes of a segment from `at` to `end`. Where the snapshot has none, zeros
/// remain, which are damage. Returns where the last byte is.
fn copy_back(
    segments: &Segments,
    segment: &Segment,
    catalog: &Catalog,
    mut at: u64,
    end: u64,
) -> Result<u64, StoreError> {
    if !agrees(segment, catalog, at)? {
        return Ok(at);
    }
    if at < SEGMENT_HEAD_BYTES {
        segment.heal(0, &segment_head(segments.seed, segment.number))?;
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

fn healed_text(segment: &Segment, from: u64, to: u64) -> String {
    let path = segment.path.display();
    format!("{path} from byte {from} to {to}: restored from the snapshot")
}

/// The consecutive whole frames that `bytes` begin with: where each ends, and its meta.
fn frames_of(seed: u32, bytes: &[u8]) -> Vec<(usize, Meta)> {
    let (mut at, mut frames) = (0, vec![]);
    while let Ok((len, meta)) = whole_frame(seed, &bytes[at..]) {
        at += len;
        frames.push((at, meta));
    }
    frames
}
