//! Checks a store that is not running, or a snapshot's file, and reports exactly what is wrong.
//!
//! It never writes: sled writes to a mirror when it opens it, so the check opens a copy. Damage
//! that a server would skip by name is a finding here. What a crash leaves and the next start
//! repairs is a note.

mod log;
mod mirror;
pub(in crate::store) mod report;
mod snapshot;
pub(in crate::store) mod steps;
mod times;

use std::path::Path;
use std::sync::Arc;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, OpenHow};
use crate::store::fs::layout::{self, Layout};
use crate::store::fs::lock::Lock;
use crate::store::log::segment::{SEGMENT_HEAD_BYTES, segment_numbers, segment_path};
use crate::store::log::segments::Segments;
use crate::store::offline::verify::log::LogCheck;
use crate::store::offline::verify::mirror::MirrorCheck;
use crate::store::offline::verify::report::{Fault, Place, Report};
use crate::store::offline::verify::snapshot::Chunked;
use crate::store::offline::verify::steps::{Progress, Steps};
use crate::store::recovery::formats;
use crate::store::recovery::identify::{SnapshotFile, identify};

/// Checks the snapshot, or the copy of a running store, at `path`. Blocks.
///
/// # Errors
/// When it cannot be read, is not a snapshot, or has a newer format.
pub fn verify_file(
    files: &Arc<dyn Files>,
    path: &Path,
    progress: Progress<'_>,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    let file = files.open(path, OpenHow::Read).doing("open", path)?;
    let len = file.len().doing("look at", path)?;
    let mut step = Steps::new(progress, 2 * len);
    let Chunked {
        file,
        seed,
        contents,
    } = snapshot::check(&**files, path, None, &mut report, &mut step)?;
    if !report.ended {
        report.note(format!(
            "{} does not say where it ends: it is the file of a server, or is cut off",
            path.display()
        ));
    }
    let parts = contents.segments(file, path, seed);
    let (segments, _) = Segments::of(files, path, parts, &[])?;
    let place = |segment, from, to| Place {
        path: path.to_owned(),
        from: contents.at(segment, from),
        to: contents.at(segment, to),
    };
    LogCheck::new(&segments, &place, &mut report, &mut step).run(None)?;
    step.done();
    Ok(report)
}

/// Checks the store whose snapshot is, or would be, at `path`. Blocks.
///
/// # Errors
/// When a server has it open, it cannot be read, has a newer format, or does not exist.
pub fn verify_store(
    files: &Arc<dyn Files>,
    path: &Path,
    progress: Progress<'_>,
) -> Result<Report, StoreError> {
    let layout = Layout::new(path);
    let _lock = Lock::take_if_there(&**files, &layout)?;
    layout::refuse_unfinished(&**files, &layout)?;
    let snapshot_file = identify(&**files, path)?;
    if !files.exists(&layout.dir).doing("look at", &layout.dir)? {
        return match snapshot_file {
            SnapshotFile::Snapshot => {
                let mut report = verify_file(files, path, progress)?;
                report.note(format!(
                    "there is no {}: the next start restores it from the snapshot",
                    layout.dir.display()
                ));
                Ok(report)
            }
            SnapshotFile::Nothing | SnapshotFile::Original => Err(StoreError::NotOurs {
                path: layout.dir,
                what: "there is no store".into(),
            }),
        };
    }
    formats::refuse_newer(&**files, &layout)?;
    let mut report = Report::default();
    let (segments, log_bytes) = open_log(files, &layout, &mut report)?;
    let snapshot_bytes = match snapshot_file {
        SnapshotFile::Snapshot => {
            let file = files.open(path, OpenHow::Read).doing("open", path)?;
            file.len().doing("look at", path)?
        }
        SnapshotFile::Nothing | SnapshotFile::Original => 0,
    };
    let mut step = Steps::new(progress, log_bytes + snapshot_bytes);
    let mirror = MirrorCheck::open(&layout.sled, &mut report)?;
    let dir = &layout.log;
    let place = |segment, from, to| Place {
        path: segment_path(dir, segment),
        from,
        to,
    };
    LogCheck::new(&segments, &place, &mut report, &mut step).run(mirror)?;
    match snapshot_file {
        SnapshotFile::Snapshot => {
            snapshot::check(&**files, path, Some(&segments), &mut report, &mut step)?;
        }
        SnapshotFile::Nothing => report.note(format!("there is no snapshot at {}", path.display())),
        SnapshotFile::Original => report.note(format!(
            "{} is a data file of the original, which the next start imports",
            path.display()
        )),
    }
    step.done();
    Ok(report)
}

/// The segments of a store, opened for reading.
pub(crate) fn open_log(
    files: &Arc<dyn Files>,
    layout: &Layout,
    report: &mut Report,
) -> Result<(Arc<Segments>, u64), StoreError> {
    let dir = &layout.log;
    let numbers = match files.exists(dir).doing("look at", dir)? {
        true => segment_numbers(&**files, dir)?,
        false => vec![],
    };
    let newest = numbers.last().copied();
    let (mut opened, mut bytes) = (vec![], 0);
    for number in numbers {
        let path = segment_path(dir, number);
        let file = files.open(&path, OpenHow::Read).doing("open", &path)?;
        let len = file.len().doing("look at", &path)?;
        if len <= SEGMENT_HEAD_BYTES && Some(number) == newest {
            report.note(format!(
                "a crash interrupted the creation of {}: the next start removes it",
                path.display()
            ));
            continue;
        }
        bytes += len;
        opened.push((number, path, file));
    }
    if opened.is_empty() {
        report.note(format!("there is no log in {}", dir.display()));
    }
    let told: Vec<u32> = crate::store::snapshot::seed(&**files, &layout.snapshot)
        .into_iter()
        .collect();
    let (segments, damaged) = Segments::of(files, dir, opened, &told)?;
    for segment in damaged {
        let path = segment.path.clone();
        let (from, to) = (0, SEGMENT_HEAD_BYTES);
        report.damage(Place { path, from, to }, Fault::SegmentHead);
    }
    Ok((segments, bytes))
}
