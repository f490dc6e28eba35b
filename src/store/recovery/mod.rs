//! Opens what a crash has left: from the mirror and the log after it; from the log alone if the
//! mirror is lost; from the snapshot if both are lost.
//!
//! It imports `repair`, `reader`, `mirror`, `snapshot`, `index`, `log` and `fs`.

pub(super) mod formats;
pub(super) mod identify;
pub(super) mod import_legacy;
mod loaded;
pub(super) mod migrate;
pub(super) mod opened;
pub(super) mod recovered;
mod replay;

use std::path::PathBuf;
use std::sync::Arc;

use crate::message::Sequence;
use crate::store::error::{IoContext, StoreError};
use crate::store::fs::files::{Files, parent};
use crate::store::fs::layout::Layout;
use crate::store::fs::lock::Fence;
use crate::store::fs::reserve::Reserve;
use crate::store::index::Index;
use crate::store::log::damage::Findings;
use crate::store::log::frame::Checkpoint;
use crate::store::log::local::Log;
use crate::store::log::position::Position;
use crate::store::log::segment::{SEGMENT_HEAD_BYTES, Segment, segment_numbers, segment_path};
use crate::store::log::segments::Segments;
use crate::store::mirror;
use crate::store::recovery::identify::{SnapshotFile, identify};
use crate::store::recovery::loaded::LoadedMirror;
use crate::store::recovery::opened::Opened;
use crate::store::recovery::recovered::{Origin, Recovered};
use crate::store::recovery::replay::Replay;
use crate::store::repair::heal::{Healer, mender};
use crate::store::repair::scrub::Scrub;
use crate::store::snapshot::{self, Snapshot};

/// The largest log that is read whole before the store answers.
const SCRUB_AT_START_BYTES_MAX: u64 = if cfg!(test) { 1 << 20 } else { 64 << 20 };

/// Refuses a link at the store's path that leads to nothing. A disk that is not mounted would look
/// like an empty store, and the link would be replaced.
pub(crate) fn refuse_dangling(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    for path in [&layout.snapshot, &layout.dir] {
        if let Some(target) = files.dangling(path).doing("look at", path)? {
            return Err(StoreError::NotOurs {
                path: path.clone(),
                what: format!("it is a link to {}, which is not there", target.display()),
            });
        }
    }
    Ok(())
}

/// Removes everything the store has. A file that it did not write stays.
pub(crate) fn clear(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    mirror::remove(&layout.sled)?;
    files.remove_dir(&layout.dir).doing("remove", &layout.dir)?;
    if let SnapshotFile::Snapshot = identify(files, &layout.snapshot)? {
        let removed = files.remove_file(&layout.snapshot);
        removed.doing("remove", &layout.snapshot)?;
    }
    Ok(())
}

/// Reads the store back. The caller has locked the folder. A full disk does not keep an existing
/// store closed: its mirror is opened with the help of `reserve`, or left for later.
pub(crate) fn open(
    files: &Arc<dyn Files>,
    layout: &Layout,
    segment_bytes: u64,
    reserve: &Reserve,
) -> Result<Opened, StoreError> {
    let found = look_at(files, layout)?;
    migrate::migrate(&**files, &layout.dir)?;
    remove_unfinished(&**files, layout)?;
    let mut recovered = Recovered::of(Origin::Log);
    if !found.has_log {
        begin_without_log(&**files, layout, &found.snapshot, &mut recovered)?;
    }
    let findings = Arc::new(Findings::default());
    let (loaded, segments, mut healer) = load(files, layout, reserve, &findings, &mut recovered)?;
    let LoadedMirror {
        mirror,
        mut index,
        unusable,
    } = loaded;
    let none = Index::new().checkpoint();
    let mut log = Log::open(segments.clone(), found.fence, &none, segment_bytes)?;
    let (from, next) = (index.applied(), index.next_sequence());
    let covered = healer.covered()?;
    let replay = Replay {
        log: &mut log,
        index: &mut index,
        mirror: &mirror,
        reserve,
        healer: &mut healer,
        findings: &findings,
        recovered: &mut recovered,
        known: from.max(covered.unwrap_or_default()),
        durable: from,
        holes: false,
        mirror_full: false,
    };
    replay.run()?;
    match unusable {
        None => bring_back_oldest(&segments, &index, &mut healer, &mut recovered)?,
        Some(reason) => {
            index.mark_all_dirty();
            // A crash may have come before there was anything to mirror.
            let stored = recovered.origin == Origin::Log && index.next_sequence() > Sequence(1);
            recovered.mirror_rebuilt = (stored && mirror.is_open()).then_some(reason);
        }
    }
    set_last_sequences(&log, &index)?;
    keep_names(&**files, layout)?;
    let mut snapshot = Snapshot::open(files, &layout.snapshot, &log, &findings, mender)?;
    if covered.is_none() || healer.may_have_others(index.cutoff())? {
        snapshot.keep();
    }
    let scrub = Scrub::new(&segments, healer, &findings, from, next);
    let scrub = scrub_if_small(scrub, &segments, &index, &mut snapshot, &mut recovered)?;
    recovered.damage.extend(findings.texts());
    recovered.counts = index.counts();
    Ok(Opened {
        snapshot,
        log,
        index,
        mirror,
        recovered,
        findings,
        scrub,
        original: matches!(found.snapshot, SnapshotFile::Original),
    })
}

/// What is on the disk before anything is changed.
struct OnDisk {
    has_log: bool,
    snapshot: SnapshotFile,
    /// Keeps other processes out of the log.
    fence: Fence,
}

/// Looks at what is on the disk, and changes nothing. Refuses a newer format, and a log that
/// another process has.
fn look_at(files: &Arc<dyn Files>, layout: &Layout) -> Result<OnDisk, StoreError> {
    formats::refuse_newer(&**files, layout)?;
    let numbers = segment_numbers(&**files, &layout.log)?;
    let has_log = !numbers.is_empty();
    let mut fence = Fence::new(files);
    if let Some(newest) = numbers.last() {
        fence.stand_at(&segment_path(&layout.log, *newest))?;
    }
    let snapshot = match identify(&**files, &layout.snapshot) {
        // Next to a log it was a snapshot once, and is kept under another name.
        Err(StoreError::NotOurs { .. }) if has_log => SnapshotFile::Snapshot,
        file => file?,
    };
    Ok(OnDisk {
        has_log,
        snapshot,
        fence,
    })
}

/// The folder of a log that is being restored. It gets the log's name only when it is whole.
fn restoring(layout: &Layout) -> PathBuf {
    layout.dir.join("log.restoring")
}

/// Removes what an interrupted restore or snapshot has left: both begin again.
fn remove_unfinished(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    let restoring = restoring(layout);
    files.remove_dir(&restoring).doing("remove", &restoring)?;
    snapshot::remove_unfinished(files, &layout.snapshot)
}

/// Begins a store without a log: restored from its snapshot, or new.
fn begin_without_log(
    files: &dyn Files,
    layout: &Layout,
    found: &SnapshotFile,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    recovered.origin = Origin::Nothing;
    mirror::remove(&layout.sled)?;
    match found {
        SnapshotFile::Snapshot => restore(files, layout, recovered),
        SnapshotFile::Nothing | SnapshotFile::Original => Ok(()),
    }
}

/// Loads the mirror and opens the log, whose files are healed from the snapshot. A mirror that does
/// not belong to the log is replaced by an empty one.
fn load(
    files: &Arc<dyn Files>,
    layout: &Layout,
    reserve: &Reserve,
    findings: &Findings,
    recovered: &mut Recovered,
) -> Result<(LoadedMirror, Arc<Segments>, Healer), StoreError> {
    let loaded = LoadedMirror::open(layout, reserve)?;
    let told = [
        loaded.mirror.seed(),
        snapshot::seed(&**files, &layout.snapshot),
    ];
    let told: Vec<u32> = told.into_iter().flatten().collect();
    let (segments, damaged_heads) = Segments::open(files, &layout.log, &told)?;
    let mut healer = Healer::new(files, &layout.snapshot, &segments);
    heal_files(&segments, &damaged_heads, &mut healer, findings, recovered)?;
    let loaded = loaded.of_log(&segments, layout, reserve)?;
    Ok((loaded, segments, healer))
}

/// Scrubs a small store at once. Of a large one, returns what is left for the background.
fn scrub_if_small(
    mut scrub: Scrub,
    segments: &Segments,
    index: &Index,
    snapshot: &mut Snapshot,
    recovered: &mut Recovered,
) -> Result<Option<Scrub>, StoreError> {
    let small = segments.bytes() <= SCRUB_AT_START_BYTES_MAX;
    if small {
        scrub.run(index, snapshot)?;
    }
    recovered.healed.append(&mut scrub.healed);
    Ok((!small).then_some(scrub))
}

/// Reports what the log's files show without being read: damaged heads, missing files, and files
/// that are too short.
fn heal_files(
    segments: &Segments,
    damaged_heads: &[Arc<Segment>],
    healer: &mut Healer,
    findings: &Findings,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let head_text = |segment: &Segment| {
        let path = segment.path.display();
        format!("{path} from byte 0 to {SEGMENT_HEAD_BYTES}: the segment's head is damaged")
    };
    for segment in damaged_heads {
        if healer.head(segment)? {
            let healed = head_text(segment) + "; it is rewritten";
            recovered.healed.push(healed);
        }
    }
    healer.ends(segments.oldest().unwrap_or_default(), &mut recovered.healed)?;
    for segment in damaged_heads {
        if !segments.has_head(segment)? {
            findings.note(Position::at(segment.number, 0), &head_text(segment));
        }
    }
    let all = segments.from(0);
    for pair in all.windows(2) {
        for number in pair[0].number + 1..pair[1].number {
            let path = segments.path_of(number);
            findings.note(
                Position::at(number, 0),
                &format!("{} is missing", path.display()),
            );
        }
    }
    Ok(())
}

/// Restores the oldest segments if they have messages. Mirror and log tell that only together: a
/// mirror alone may be from before those messages expired, and the log may have purged segments
/// since.
fn bring_back_oldest(
    segments: &Segments,
    index: &Index,
    healer: &mut Healer,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let Some(oldest) = segments.oldest() else {
        return Ok(());
    };
    let first = Position::at(oldest, SEGMENT_HEAD_BYTES);
    let checkpoint = match segments.meta_at(first) {
        Ok(located) => located.meta.checkpoint.unwrap_or_default(),
        Err(StoreError::Corrupt { .. }) => return Ok(()),
        Err(error) => return Err(error),
    };
    if index.first_live() < checkpoint.next {
        healer.ends(0, &mut recovered.healed)?;
    }
    Ok(())
}

/// Unpacks the snapshot, which becomes the log.
fn restore(
    files: &dyn Files,
    layout: &Layout,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let restoring = restoring(layout);
    let unpacked = snapshot::unpack::unpack(files, &layout.snapshot, &restoring, &mut |_, _| {})?;
    recovered
        .damage
        .extend(unpacked.damaged.iter().map(|offset| {
            format!(
                "{} at byte {offset}: a chunk is damaged",
                layout.snapshot.display()
            )
        }));
    recovered.torn_bytes = unpacked.torn;
    if unpacked.bytes == 0 {
        return files.remove_dir(&restoring).doing("remove", &restoring);
    }
    recovered.origin = Origin::Snapshot;
    files.remove_dir(&layout.log).doing("remove", &layout.log)?;
    let renamed = files.rename(&restoring, &layout.log);
    renamed.doing("rename", &restoring)?;
    files.sync_dir(&layout.dir).doing("sync", &layout.dir)
}

/// A killed process may have created names that only the system's memory has. They must be on disk
/// before anything builds on them.
fn keep_names(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    for dir in [&layout.log, &layout.dir, parent(&layout.snapshot)] {
        files.sync_dir(dir).doing("sync", dir)?;
    }
    Ok(())
}

/// Sets the last message of each segment, which the next one's checkpoint tells.
fn set_last_sequences(log: &Log, index: &Index) -> Result<(), StoreError> {
    let segments = log.segments().from(0);
    let last = index.next_sequence().0 - 1;
    for pair in segments.windows(2) {
        let first = Position {
            segment: pair[1].number,
            offset: u32::try_from(SEGMENT_HEAD_BYTES).unwrap_or_default(),
        };
        // Without that checkpoint nobody knows: the segment is kept as long as any message.
        let checkpoint = match log.segments().meta_at(first) {
            Ok(located) => located.meta.checkpoint,
            Err(StoreError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        pair[0].set_last_sequence(checkpoint.map_or(last, |checkpoint: Checkpoint| {
            checkpoint.next.saturating_sub(1)
        }));
    }
    if let Some(newest) = segments.last() {
        newest.set_last_sequence(last);
    }
    Ok(())
}
