//! Takes back from the snapshot what the log has lost: both have the same bytes at the same
//! places.
//!
//! Bytes are put only where the log's own are missing or fail their checksums, and only from
//! chunks that are whole. At every start this comes before anything is appended, so that the
//! snapshot never has bytes of a place that the log then writes differently; what cannot be
//! taken back makes the log go on in a new segment, see [`crate::store::recovery`].

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

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

/// The snapshot is believed where it agrees with so many bytes of the log before.
const AGREEING_BYTES: u64 = 512;
/// More than nearly every frame has.
const FRAME_BYTES: u64 = 256 << 10;
/// What is taken back of a segment with a damaged head: the block of the disk that it is in.
const HEAD_BLOCK_BYTES: u64 = BLOCK_BYTES;

/// What looks at the log before a snapshot is written anew.
pub(crate) fn mender(files: &Arc<dyn Files>, snapshot: &Path, log: &Arc<Segments>) -> Mend {
    let mut healer = Healer::new(files, snapshot, log);
    Box::new(move |segment, findings| healer.segment(segment, findings))
}

/// See the module.
pub(crate) struct Healer {
    files: Arc<dyn Files>,
    snapshot: PathBuf,
    segments: Arc<Segments>,
    source: Option<Source>,
    looked: bool,
    /// The segments whose frames were healed for what is behind them.
    within: BTreeSet<u32>,
}

/// A snapshot with the seed of the log.
struct Source {
    catalog: Catalog,
    kin: Kin,
}

impl Healer {
    /// Heals `segments` from the file `snapshot`, which is not read before it is needed.
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

    /// The snapshot, if it is of the history of the log.
    fn catalog(&mut self) -> Result<Option<&Catalog>, StoreError> {
        let source = self.source()?;
        let same = source.filter(|source| matches!(source.kin, Kin::Same(_)));
        Ok(same.map(|source| &source.catalog))
    }

    /// Everything that the snapshot has of the log is before this; `None` if it is of another
    /// history of the same store, as a copy put beside it may be.
    pub(crate) fn covered(&mut self) -> Result<Option<Position>, StoreError> {
        let oldest = self.segments.oldest().unwrap_or_default();
        let Some(Source { catalog, kin }) = self.source()? else {
            return Ok(Some(Position::default()));
        };
        let covered = catalog.covered();
        Ok(match kin {
            Kin::Same(_) => Some(covered),
            // What it has may have been given back since.
            Kin::Unknown if covered.segment < oldest => Some(covered),
            Kin::Unknown | Kin::Other => None,
        })
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
        let segments = self.segments.clone();
        let oldest = segments.oldest().unwrap_or_default();
        let Some(Source { catalog, kin }) = self.source()? else {
            return Ok(());
        };
        let newest = catalog.covered().segment;
        // Before this number the snapshot is known to be of the log.
        let known = match kin {
            Kin::Same(number) => *number,
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
                    // The end is compared by what is before it.
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

    /// Heals the damaged frames of a segment of a log that is in use. What cannot be healed goes to
    /// `findings`; true if the snapshot has other bytes than the log there.
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

    /// Heals damaged frames, or what is damaged before them, by which they are compared; says
    /// what. Where that is something they are read again.
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
        // What seems good behind the damage may be of another place.
        let until = u64::from(damage.doubtful_until().offset) + FRAME_BYTES;
        let until = until.min(segment.end());
        let mut bytes = catalog.bytes_from(damage.segment, damage.from, until)?;
        // Where the log's own frame tells which messages it has, these are no others.
        if let Some(meta) = &damage.meta
            && !whole_frame(segments.seed, &bytes).is_ok_and(|(_, kept)| kept == *meta)
        {
            return Ok(None);
        }
        let damaged = usize::try_from(damage.to - damage.from).unwrap_or(usize::MAX);
        let own = segment.read(damage.from, bytes.len().min(damaged))?;
        let skipped = behind_hole(segments.seed, &own, &bytes);
        bytes.drain(..skipped);
        let (from, damaged) = (damage.from + skipped as u64, damaged - skipped);
        let has_all = from + bytes.len() as u64 >= damage.to;
        // What the snapshot has behind so many of its bytes, up to the end of the damage.
        let lacking = |len: usize| bytes.len().min(damaged) - len;
        let mut healed = 0;
        for (len, _) in frames_of(segments.seed, &bytes) {
            let end = from + len as u64;
            if end < damage.to {
                // Only where the snapshot lacks the rest, or has the same damage there.
                let same = segment.read(end, lacking(len))? == bytes[len..len + lacking(len)];
                healed = if has_all && !same { 0 } else { len };
            } else if end == segment.end() || segments.try_meta_in(segment, end)?.is_ok() {
                healed = len;
                break;
            }
        }
        if healed == 0 {
            return Ok(None);
        }
        bytes.truncate(healed);
        if segment.read(from, healed)? == bytes {
            // It is what was written, and still not what can be used.
            return Ok(None);
        }
        segment.heal(from, &bytes)?;
        Ok(Some(healed_text(segment, from, from + healed as u64)))
    }
}

/// How many bytes the log's own, `own`, and the snapshot's, `kept`, have in common before a frame
/// that is whole in the latter: a hole that a power cut has left in both. 0 if there is none.
fn behind_hole(seed: u32, own: &[u8], kept: &[u8]) -> usize {
    if whole_frame(seed, kept).is_ok() {
        return 0;
    }
    let same = own.iter().zip(kept).take_while(|(own, kept)| own == kept);
    let same = same.count();
    let mut at = 1;
    while let Some(found) = kept.get(at..).and_then(frame::find_magic)
        && at + found <= same
        && at + found < own.len()
    {
        at += found;
        if whole_frame(seed, &kept[at..]).is_ok() {
            return at;
        }
        at += 1;
    }
    0
}

/// Whether the snapshot has the same bytes as the log just before `at`.
fn agrees(segment: &Segment, catalog: &Catalog, at: u64) -> Result<bool, StoreError> {
    let from = at.saturating_sub(AGREEING_BYTES);
    match catalog.bytes(segment.number, from, at)? {
        Some(kept) => Ok(segment.read(from, kept.len())? == kept),
        None => Ok(false),
    }
}

/// Whether what is to be taken, of the newest segment that the snapshot has, leads to the
/// segment `next` of the log, which the snapshot does not have.
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
    // What became of messages tells nothing: it may be of any history.
    Ok(messages
        .max()
        .is_some_and(|reached| reached <= checkpoint.next))
}

/// Writes what the snapshot has of a segment from `at` to `end`; where that is not whole there
/// will be zeros, which are damage. Returns where the last byte is.
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
    format!("{path} from byte {from} to {to}: taken back from the snapshot")
}

/// Where the frames end that `bytes` begin with, one behind the other and each whole, and what
/// is in them.
fn frames_of(seed: u32, bytes: &[u8]) -> Vec<(usize, Meta)> {
    let (mut at, mut frames) = (0, vec![]);
    while let Ok((len, meta)) = whole_frame(seed, &bytes[at..]) {
        at += len;
        frames.push((at, meta));
    }
    frames
}
