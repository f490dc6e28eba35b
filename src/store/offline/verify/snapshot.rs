//! Checks a snapshot's chunks, and compares their bytes with the log.

use std::path::Path;

use crate::store::error::StoreError;
use crate::store::fs::files::{Files, StoredFile};
use crate::store::log::segment::segment_head;
use crate::store::log::segments::Segments;
use crate::store::offline::verify::report::{Fault, Place, Report};
use crate::store::offline::verify::steps::Steps;
use crate::store::snapshot::contents::Contents;
use crate::store::snapshot::parts::{Part, Parts};

/// A snapshot whose chunks have been checked.
pub(in crate::store) struct Chunked {
    pub(in crate::store) file: Box<dyn StoredFile>,
    pub(in crate::store) seed: u32,
    pub(in crate::store) contents: Contents,
}

/// Checks every chunk of the snapshot at `path`. Where `log` has the same places, the bytes are
/// compared.
pub(in crate::store) fn check(
    files: &dyn Files,
    path: &Path,
    log: Option<&Segments>,
    report: &mut Report,
    steps: &mut Steps<'_>,
) -> Result<Chunked, StoreError> {
    let mut parts = Parts::open(files, path)?;
    let seed = parts.seed;
    let mut check = ChunkCheck {
        path,
        seed,
        log: log.filter(|log| is_of_log(seed, log, path, report)),
        report,
        contents: Contents::default(),
        expected: None,
    };
    while let Some(part) = parts.next()? {
        steps.add(part.to - part.from);
        check.part(&part)?;
    }
    check.end(&parts);
    let contents = check.contents;
    Ok(Chunked {
        file: parts.into_file(),
        seed,
        contents,
    })
}

/// Whether the snapshot has the history of the log, by their seeds.
fn is_of_log(seed: u32, log: &Segments, path: &Path, report: &mut Report) -> bool {
    let same = log.seed == seed || log.from(0).is_empty();
    if !same {
        report.note(format!(
            "{} is the snapshot of another store; the next snapshot renames it",
            path.display()
        ));
    }
    same
}

/// Checks one chunk after another.
struct ChunkCheck<'a> {
    path: &'a Path,
    seed: u32,
    /// The log with which the bytes are compared.
    log: Option<&'a Segments>,
    report: &'a mut Report,
    contents: Contents,
    /// The segment and offset at which the next chunk begins, if it continues the last one.
    expected: Option<(u32, u32)>,
}

impl ChunkCheck<'_> {
    /// Checks a chunk.
    fn part(&mut self, part: &Part) -> Result<(), StoreError> {
        self.report.totals.chunks += 1;
        if !part.whole {
            self.damage(part.from, part.to, Fault::Chunk);
        }
        let Some((segment, offset)) = part.place else {
            return Ok(());
        };
        if !self.continues(segment, offset) {
            self.damage(part.from, part.to, Fault::Hole);
        }
        let len = u32::try_from(part.bytes.len()).unwrap_or(u32::MAX);
        self.expected = Some((segment, offset.saturating_add(len)));
        if part.whole && offset == 0 {
            self.head(part, segment);
        }
        self.contents.add(part);
        if part.whole {
            self.compare(part, segment, offset)?;
        }
        Ok(())
    }

    /// Whether a chunk continues the one before, or begins the segment after it.
    fn continues(&self, segment: u32, offset: u32) -> bool {
        let Some(expected) = self.expected else {
            return offset == 0;
        };
        (segment, offset) == expected || (Some(segment) == expected.0.checked_add(1) && offset == 0)
    }

    /// Checks the segment's head with which a chunk begins.
    fn head(&mut self, part: &Part, segment: u32) {
        let head = segment_head(self.seed, segment);
        let found = part.bytes.get(..head.len());
        if found.is_some_and(|found| found != head) {
            let from = part.bytes_from();
            self.damage(from, from + head.len() as u64, Fault::SegmentHead);
        }
    }

    /// Compares the bytes of a chunk with those of its segment, as far as there are any.
    fn compare(&mut self, part: &Part, segment: u32, offset: u32) -> Result<(), StoreError> {
        let Some(segment) = self.log.and_then(|log| log.get(segment)) else {
            return Ok(());
        };
        let bytes = segment.read(offset.into(), part.bytes.len())?;
        let differs = |(one, other): (&u8, &u8)| one != other;
        let pairs = || part.bytes.iter().zip(&bytes);
        let (first, last) = (pairs().position(differs), pairs().rposition(differs));
        if let (Some(first), Some(last)) = (first, last) {
            let from = part.bytes_from() + first as u64;
            let to = part.bytes_from() + last as u64 + 1;
            let segment = segment.path.clone();
            self.damage(from, to, Fault::Differs { segment });
        }
        Ok(())
    }

    /// Notes how the snapshot ends.
    fn end(&mut self, parts: &Parts) {
        let path = self.path.display();
        if parts.torn() > 0 {
            let (len, torn) = (parts.len(), parts.torn());
            self.report.note(format!(
                "{path} from byte {} to {len}: the last chunk is incomplete, as in a copy made while the file was written, or in a file cut off",
                len - torn
            ));
        }
        self.report.ended = parts.ended();
        if let (Some(log), Some((segment, offset))) = (self.log, self.expected)
            && let Some(newest) = log.from(0).last()
            && (segment, u64::from(offset)) > (newest.number, newest.end())
        {
            self.report.note(format!(
                "{path} has more than the log, as after a power cut; the next snapshot replaces it"
            ));
        }
    }

    fn damage(&mut self, from: u64, to: u64, fault: Fault) {
        let path = self.path.to_owned();
        self.report.damage(Place { path, from, to }, fault);
    }
}
