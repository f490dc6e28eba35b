//! From a snapshot's file, or a copy of a running store, to a store in an empty place.
//!
//! Everything is made in a folder beside, `<name>.db.restoring`, which gets the store's name when
//! its log is whole and synced. A crash before leaves that folder, and no server starts beside
//! it; one after leaves a store.

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

/// What a restore came to.
#[derive(Debug)]
pub enum Restored {
    /// The store is there, durably.
    Done {
        /// What the check of the file found.
        report: Report,
        /// The messages that the store has.
        counts: Counts,
    },
    /// The file is damaged: nothing was done.
    Damaged(Report),
}

/// Checks the file at `from`, and makes the store of `options` from it. `damaged`: also from a
/// file that is damaged, of which everything is taken that is whole. Blocks.
///
/// # Errors
/// When there is a store or a snapshot already, a server has it open, `from` cannot be read, is
/// no snapshot or has a newer format, or the disk refuses.
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

/// Makes the folder of the store, with a log and without a mirror.
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
