//! From what a crash left to a running store: the mirror and the log behind it; the log alone
//! where the mirror is lost; the snapshot where all is lost.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::{IoContext, StoreError};
use super::files::{Files, OpenHow, parent};
use super::index::Index;
use super::log::Log;
use super::mirror::{self, Mirror};
use super::record::Base;
use super::segments::{Damage, Position, SEGMENT_HEAD_BYTES, Step, segment_numbers};
use super::snapshot::Snapshot;
use super::{Counts, migrate, snapshot};
use crate::import;
use crate::message::Sequence;

/// Times of consumption that a replay keeps in memory; the mirror gets them when there are more.
const TIMES_MAX: usize = 64 << 10;

/// Where the files of a store are.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    /// `persistentFile`.
    pub(crate) snapshot: PathBuf,
    /// `<persistentFile>.db`.
    pub(crate) dir: PathBuf,
    pub(crate) log: PathBuf,
    pub(crate) sled: PathBuf,
}

impl Layout {
    pub(crate) fn new(snapshot: &Path) -> Layout {
        let dir = with_suffix(snapshot, ".db");
        Layout {
            snapshot: snapshot.to_owned(),
            log: dir.join("log"),
            sled: dir.join("sled"),
            dir,
        }
    }
}

/// `path` with `suffix` at the end of its name.
pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Where the messages came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// There was nothing.
    Nothing,
    /// The store's own log.
    Log,
    /// The snapshot: the store was gone.
    Snapshot,
}

/// What was found at the start, for the log and for whoever asks.
#[derive(Clone, Debug)]
pub struct Recovered {
    /// Where the messages came from.
    pub origin: Origin,
    /// What there is now.
    pub counts: Counts,
    /// Frames of the log that the mirror did not have.
    pub replayed: u64,
    /// Why the mirror was built anew, if it was.
    pub mirror_rebuilt: Option<String>,
    /// Bytes of an unfinished write that were cut off; nobody was told they were stored.
    pub torn_bytes: u64,
    /// What of the log or the snapshot cannot be read, each as a sentence.
    pub damage: Vec<String>,
    /// Messages taken over from a file of the original, and the name it has now.
    pub imported: Option<(super::Imported, PathBuf)>,
}

/// A store read back, before its threads run.
pub(crate) struct Opened {
    pub(crate) log: Log,
    pub(crate) index: Index,
    pub(crate) mirror: Mirror,
    pub(crate) snapshot: Snapshot,
    pub(crate) recovered: Recovered,
    /// The file of the original at the snapshot's place, to be taken over.
    pub(crate) original: bool,
}

/// What the file at the snapshot's place is.
enum Beside {
    Nothing,
    Snapshot,
    Original,
}

fn look_at(files: &dyn Files, path: &Path) -> Result<Beside, StoreError> {
    let file = match files.open(path, OpenHow::Read) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Beside::Nothing),
        Err(error) => return Err(error).doing("open", path),
    };
    let len = file.len().doing("look at", path)?;
    let mut head = vec![0; usize::try_from(len).unwrap_or(usize::MAX).min(64)];
    file.read_exact_at(&mut head, 0).doing("read", path)?;
    if head.is_empty() {
        return Ok(Beside::Nothing);
    }
    if head.starts_with(&snapshot::MAGIC) {
        return Ok(Beside::Snapshot);
    }
    if import::is_go_data(&head) {
        return Ok(Beside::Original);
    }
    Err(StoreError::NotOurs {
        path: path.to_owned(),
        what: "it is neither a snapshot nor a data file of the original; move it away, or set mq.persistentFile to another name".into(),
    })
}

/// Removes everything the store has; a file that it did not write is left.
pub(crate) fn clear(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    mirror::remove(&layout.sled)?;
    files.remove_dir(&layout.dir).doing("remove", &layout.dir)?;
    if let Beside::Snapshot = look_at(files, &layout.snapshot)? {
        let removed = files.remove_file(&layout.snapshot);
        removed.doing("remove", &layout.snapshot)?;
    }
    Ok(())
}

/// Reads the store back. The folder must be locked by the caller.
pub(crate) fn open(
    files: &Arc<dyn Files>,
    layout: &Layout,
    segment_bytes: u64,
) -> Result<Opened, StoreError> {
    let beside = look_at(&**files, &layout.snapshot)?;
    migrate::migrate(&**files, &layout.dir)?;
    let mut recovered = Recovered {
        origin: Origin::Log,
        counts: Counts::default(),
        replayed: 0,
        mirror_rebuilt: None,
        torn_bytes: 0,
        damage: vec![],
        imported: None,
    };
    // A restore that was cut off is begun again: its folder gets its name only when it is whole.
    let restoring = layout.dir.join("log.restoring");
    files.remove_dir(&restoring).doing("remove", &restoring)?;
    if segment_numbers(&**files, &layout.log)?.is_empty() {
        recovered.origin = Origin::Nothing;
        mirror::remove(&layout.sled)?;
        if let Beside::Snapshot = beside {
            restore(&**files, layout, &restoring, &mut recovered)?;
        }
    }
    let mut log = Log::open(files, &layout.log, &Index::new().base(), segment_bytes)?;
    recovered
        .damage
        .extend(log.damaged_heads().iter().map(|path| {
            let path = path.display();
            format!("{path} from byte 0 to {SEGMENT_HEAD_BYTES}: the segment's head is damaged")
        }));
    let (mirror, mut index, reason) = open_mirror(layout, &log)?;
    replay(&mut log, &mut index, &mirror, &mut recovered)?;
    if let Some(reason) = reason {
        index.mark_all_dirty();
        // A crash may have come before there was anything to mirror.
        if recovered.origin == Origin::Log && index.next_sequence() > Sequence(1) {
            recovered.mirror_rebuilt = Some(reason);
        }
    }
    set_last_sequences(&log, &index)?;
    keep_names(&**files, layout)?;
    recovered.counts = index.counts();
    Ok(Opened {
        // Before anything is appended: it must not have more of the log than there is.
        snapshot: Snapshot::open(files, &layout.snapshot, log.seed(), log.end())?,
        log,
        index,
        mirror,
        recovered,
        original: matches!(beside, Beside::Original),
    })
}

fn restore(
    files: &dyn Files,
    layout: &Layout,
    restoring: &Path,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let unpacked = snapshot::unpack(files, &layout.snapshot, restoring)?;
    recovered
        .damage
        .extend(unpacked.damaged.iter().map(|offset| {
            format!(
                "{} at byte {offset}: a chunk is not what was written",
                layout.snapshot.display()
            )
        }));
    recovered.torn_bytes = unpacked.torn;
    if unpacked.bytes == 0 {
        return files.remove_dir(restoring).doing("remove", restoring);
    }
    recovered.origin = Origin::Snapshot;
    files.remove_dir(&layout.log).doing("remove", &layout.log)?;
    let renamed = files.rename(restoring, &layout.log);
    renamed.doing("rename", restoring)?;
    files.sync_dir(&layout.dir).doing("sync", &layout.dir)
}

/// The mirror and the state it stands for; with a reason, if that is nothing because it could
/// not be used.
fn open_mirror(layout: &Layout, log: &Log) -> Result<(Mirror, Index, Option<String>), StoreError> {
    let absent = !layout.sled.exists();
    let opened = Mirror::open(&layout.sled).and_then(|mirror| {
        let index = mirror.load()?;
        if index.applied() > log.end() {
            return Err(StoreError::Mirror("it is ahead of the log".into()));
        }
        let (applied, oldest) = (index.applied().segment, log.segments().oldest());
        if applied > 0 && oldest.is_some_and(|oldest| applied < oldest) {
            // What the segments between told, as of deletions, nobody knows any more.
            return Err(StoreError::Mirror("it is older than the log".into()));
        }
        Ok((mirror, index))
    });
    match opened {
        Ok((mirror, index)) if absent => Ok((mirror, index, Some("there was none".into()))),
        // sled takes a file whose beginning it cannot read for a new one.
        Ok((mirror, index)) if index.applied() == Position::default() => {
            Ok((mirror, index, Some("it was empty".into())))
        }
        Ok((mirror, index)) => Ok((mirror, index, None)),
        Err(error) => {
            mirror::put_aside(&layout.sled)?;
            Ok((
                Mirror::open(&layout.sled)?,
                Index::new(),
                Some(error.to_string()),
            ))
        }
    }
}

/// The names that a process which was killed gave are found like any other, and yet only the
/// system's memory may have them. Before they are built upon they must be on the disk.
fn keep_names(files: &dyn Files, layout: &Layout) -> Result<(), StoreError> {
    for dir in [&layout.log, &layout.dir, parent(&layout.snapshot)] {
        files.sync_dir(dir).doing("sync", dir)?;
    }
    Ok(())
}

/// Applies the log behind the mirror, and cuts off what a crash left of an unfinished write.
fn replay(
    log: &mut Log,
    index: &mut Index,
    mirror: &Mirror,
    recovered: &mut Recovered,
) -> Result<(), StoreError> {
    let segments = log.segments().clone();
    let mut durable = index.applied();
    let mut walk = segments.walk(durable, true);
    let mut torn: Option<Damage> = None;
    while let Some(step) = walk.next()? {
        if let Some(damage) = torn.take() {
            note(index, recovered, &damage);
        }
        match step {
            Step::Frame(frame) => {
                index.apply(frame.position, frame.next, &frame.meta);
                recovered.replayed += 1;
                if index.times.len() >= TIMES_MAX {
                    // The mirror must not be ahead of what a power cut leaves.
                    log.write_again(durable)?;
                    durable = log.end();
                    mirror.apply(&index.take_changes())?;
                    index.mirrored(None);
                }
            }
            Step::Damage(damage) => torn = Some(damage),
        }
    }
    if let Some(damage) = torn {
        let end = log.end();
        let from = Position {
            segment: end.segment,
            offset: u32::try_from(damage.from).unwrap_or(end.offset),
        };
        let newest = segments
            .get(end.segment)
            .is_some_and(|newest| newest.path == damage.path);
        if newest && damage.to == u64::from(end.offset) {
            recovered.torn_bytes += damage.to - damage.from;
            log.cut(from)?;
            if u64::from(from.offset) <= SEGMENT_HEAD_BYTES {
                log.begin_again(&index.base())?;
            }
        } else {
            note(index, recovered, &damage);
        }
    }
    index.advance(log.end());
    // What is served from now on must not be forgotten, and what is mirrored was synced.
    log.write_again(durable)
}

/// What was lost stays lost, and its sequences are not given away again: readers still find
/// them where the damage is.
fn note(index: &mut Index, recovered: &mut Recovered, damage: &Damage) {
    recovered.damage.push(sentence(damage));
    if let Some(next) = damage.next {
        index.pass(next);
    }
}

fn sentence(damage: &Damage) -> String {
    format!(
        "{} from byte {} to {}: {}",
        damage.path.display(),
        damage.from,
        damage.to,
        damage.what
    )
}

/// Tells each segment what its last message is: the next one's base says so.
fn set_last_sequences(log: &Log, index: &Index) -> Result<(), StoreError> {
    let segments = log.segments().from(0);
    let last = index.next_sequence().0 - 1;
    for pair in segments.windows(2) {
        let first = Position {
            segment: pair[1].number,
            offset: u32::try_from(SEGMENT_HEAD_BYTES).unwrap_or_default(),
        };
        // Without its base nobody knows: the segment is kept as long as any message is.
        let base = match log.segments().meta_at(first) {
            Ok(located) => located.meta.base,
            Err(StoreError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        pair[0].set_last_sequence(base.map_or(last, |base: Base| base.next.saturating_sub(1)));
    }
    if let Some(newest) = segments.last() {
        newest.set_last_sequence(last);
    }
    Ok(())
}
