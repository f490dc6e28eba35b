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
    let log = log.filter(|log| {
        let same = log.seed == seed || log.from(0).is_empty();
        if !same {
            report.note(format!(
                "{} is the snapshot of another store; the next snapshot renames it",
                path.display()
            ));
        }
        same
    });
    let mut contents = Contents::default();
    let mut expected: Option<(u32, u32)> = None;
    while let Some(part) = parts.next()? {
        steps.add(part.to - part.from);
        report.totals.chunks += 1;
        let place = |from, to| Place {
            path: path.to_owned(),
            from,
            to,
        };
        if !part.whole {
            report.damage(place(part.from, part.to), Fault::Chunk);
        }
        if let Some((segment, offset)) = part.place {
            let follows = match expected {
                None => offset == 0,
                Some(expected) => {
                    (segment, offset) == expected
                        || (Some(segment) == expected.0.checked_add(1) && offset == 0)
                }
            };
            if !follows {
                report.damage(place(part.from, part.to), Fault::Hole);
            }
            let len = u32::try_from(part.bytes.len()).unwrap_or(u32::MAX);
            expected = Some((segment, offset.saturating_add(len)));
            let head = segment_head(seed, segment);
            let begins = offset == 0 && part.bytes.len() >= head.len();
            if part.whole && begins && part.bytes[..head.len()] != head {
                let from = part.bytes_from();
                let to = from + head.len() as u64;
                report.damage(place(from, to), Fault::SegmentHead);
            }
            contents.add(&part);
            if let Some(log) = log.filter(|_| part.whole) {
                compare(log, &part, segment, offset, path, report)?;
            }
        }
    }
    if parts.torn() > 0 {
        let (len, torn) = (parts.len(), parts.torn());
        report.note(format!(
            "{} from byte {} to {len}: the last chunk is incomplete, as in a copy made while the file was written, or in a file cut off",
            path.display(),
            len - torn
        ));
    }
    report.ended = parts.ended();
    if let (Some(log), Some((segment, offset))) = (log, expected)
        && let Some(newest) = log.from(0).last()
        && (segment, u64::from(offset)) > (newest.number, newest.end())
    {
        report.note(format!(
            "{} has more than the log, as after a power cut; the next snapshot replaces it",
            path.display()
        ));
    }
    Ok(Chunked {
        file: parts.into_file(),
        seed,
        contents,
    })
}

/// Compares the bytes of a chunk with those of its segment, as far as there are any.
fn compare(
    log: &Segments,
    part: &Part,
    segment: u32,
    offset: u32,
    path: &Path,
    report: &mut Report,
) -> Result<(), StoreError> {
    let Some(segment) = log.get(segment) else {
        return Ok(());
    };
    let bytes = segment.read(offset.into(), part.bytes.len())?;
    let differs = |(one, other): (&u8, &u8)| one != other;
    let pairs = || part.bytes.iter().zip(&bytes);
    let (Some(first), Some(last)) = (pairs().position(differs), pairs().rposition(differs)) else {
        return Ok(());
    };
    let from = part.bytes_from() + first as u64;
    let place = Place {
        path: path.to_owned(),
        from,
        to: part.bytes_from() + last as u64 + 1,
    };
    let segment = segment.path.clone();
    report.damage(place, Fault::Differs { segment });
    Ok(())
}
