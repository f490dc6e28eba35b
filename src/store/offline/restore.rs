//! Builds a store in an empty place from a snapshot's file, or from a copy of a running store.
//!
//! The store is built in the folder `<name>.db.restoring`, which is renamed once its log is whole
//! and synced. A crash before that leaves the folder, and no server starts with it there. A crash
//! after that leaves a store.

use std::path::Path;

use crate::store::counts::Counts;
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, parent};
use crate::store::fs::layout::{Layout, unfinished};
use crate::store::fs::lock::Lock;
use crate::store::fs::reserve::Reserve;
use crate::store::offline::verify::report::Report;
use crate::store::offline::verify::steps::{Checked, Progress};
use crate::store::offline::verify::verify_file;
use crate::store::options::Options;
use crate::store::recovery::opened::mirror_all;
use crate::store::recovery::{self, migrate, refuse_dangling};
use crate::store::snapshot;

/// The result of a restore.
#[derive(Debug)]
pub enum Restored {
    /// The store exists, durably.
    Done {
        /// What the check of the file found.
        report: Report,
        /// The messages in the store.
        counts: Counts,
    },
    /// The file is damaged, and nothing was done.
    Damaged(Report),
}

/// Checks the file at `from`, and builds the store of `options` from it. With `damaged`, it also
/// takes everything that is whole from a damaged file. Blocks.
///
/// # Errors
/// When a store or a snapshot exists already, a server has it open, `from` cannot be read, is not a
/// snapshot or has a newer format, or the disk refuses.
pub fn restore(
    options: &Options,
    from: &Path,
    damaged: bool,
    progress: Progress<'_>,
) -> Result<Restored, StoreError> {
    let files = &options.files;
    let layout = Layout::new(&options.snapshot);
    refuse_dangling(&**files, &layout)?;
    refuse_occupied(&**files, &layout)?;
    drop(Lock::take_if_there(&**files, &layout)?);
    let report = verify_file(files, from, progress)?;
    if !report.is_whole() && !damaged {
        return Ok(Restored::Damaged(report));
    }
    if report.totals.segments == 0 {
        return Err(StoreError::NotOurs {
            path: from.to_owned(),
            what: "there is nothing in it".into(),
        });
    }
    let folder = parent(&layout.snapshot);
    files.create_dirs(folder).doing("create", folder)?;
    let mut lock = Lock::take(&**files, &layout)?;
    refuse_occupied(&**files, &layout)?;
    unpack(&**files, &layout, from, progress)?;
    lock.enter(&**files, &layout)?;
    let reserve = Reserve::new(files, &layout.dir, options.reserve_bytes);
    let mut opened = recovery::open(files, &layout, options.segment_bytes, &reserve)?;
    mirror_all(&mut opened)?;
    opened.snapshot.update(opened.log.segments())?;
    Ok(Restored::Done {
        report,
        counts: opened.recovered.counts,
    })
}

/// Builds the folder of the store, with a log and without a mirror.
fn unpack(
    files: &dyn Files,
    layout: &Layout,
    from: &Path,
    progress: Progress<'_>,
) -> Result<(), StoreError> {
    let aside = unfinished(layout);
    files.remove_dir(&aside).doing("remove", &aside)?;
    files.create_dirs(&aside).doing("create", &aside)?;
    migrate::migrate(files, &aside)?;
    let log = Layout::log_in(&aside);
    snapshot::unpack::unpack(files, from, &log, &mut |done, total| {
        progress(Checked { done, total });
    })?;
    files.sync_dir(&aside).doing("sync", &aside)?;
    let renamed = files.rename(&aside, &layout.dir);
    renamed.doing("rename", &aside)?;
    let folder = parent(&layout.dir);
    files.sync_dir(folder).doing("sync", folder)
}

fn refuse_occupied(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    for path in [&layout.snapshot, &layout.dir] {
        if files.exists(path).doing("look at", path)? {
            let path = path.clone();
            return Err(StoreError::Occupied { path });
        }
    }
    Ok(())
}
