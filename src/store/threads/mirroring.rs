//! The thread that keeps the mirror up to date after the log, and gives back segments without live
//! messages. No answer waits for it.

use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::message::Sequence;
use crate::store::commit::poison::{Poison, poison_on_error};
use crate::store::commit::watermarks::Watermarks;
use crate::store::error::StoreError;
use crate::store::fs::reserve::Reserve;
use crate::store::health::{Component, Trouble};
use crate::store::index::changes::Changes;
use crate::store::log::position::Position;
use crate::store::reader::Reader;

/// The mirror lags the log by about this. Groups that arrive meanwhile are written together.
const MIRROR_PAUSE: Duration = Duration::from_millis(20);

/// The interval at which the size of the mirror is checked.
const SPACE_CHECK: Duration = Duration::from_secs(20);

/// The interval at which sled is asked to write: only then it reports its errors.
const WRITTEN_CHECK: Duration = Duration::from_millis(500);

/// The pause before the mirror is tried again after a failure.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What the mirror has to write next.
pub(crate) struct Taken {
    changes: Option<Changes>,
    /// Whether the mirror is replaced by a new one.
    rewrite: bool,
    /// The segments that end before this have no live messages, and are given back.
    purge_before: Option<Sequence>,
    at: Instant,
}

/// Keeps the mirror up to date.
pub(crate) struct MirrorThread {
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) reader: Reader,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) poison: Poison,
    pub(crate) trouble: Trouble,
    /// The mirror could not be written. sled cannot continue after that, so a new one is begun.
    pub(crate) broken: Cell<bool>,
}

impl MirrorThread {
    /// Runs until [`Watermarks::close`]. Then the mirror has everything, on disk.
    pub(crate) fn run(self) -> Result<(), StoreError> {
        let mut space_checked = Instant::now();
        let mut written_checked = Instant::now();
        loop {
            let closing = self.watermarks.wait_mirror_due() || self.watermarks.pause(MIRROR_PAUSE);
            let result = self.step(&mut space_checked);
            let result = result.and_then(|()| self.check_written(&mut written_checked));
            let news = self.trouble.note(Component::Mirror, result.as_ref().err());
            if closing {
                return result.and_then(|()| self.flush());
            }
            if news && result.is_ok() {
                tracing::info!("the mirror is written again");
            }
            if let Err(error) = result {
                if news {
                    tracing::error!(%error, "the mirror cannot be written; it is tried again every {RETRY_PAUSE:?}, and a restart completes it from the log");
                }
                self.watermarks.lock().mirror_due = true;
                if self.watermarks.pause(RETRY_PAUSE) {
                    return Err(error);
                }
            }
        }
    }

    fn check_written(&self, checked: &mut Instant) -> Result<(), StoreError> {
        if checked.elapsed() < WRITTEN_CHECK {
            return Ok(());
        }
        *checked = Instant::now();
        let written = self.reader.mirror.write_out();
        self.broken.set(written.is_err());
        written
    }

    /// Catches up with the log, and syncs the mirror to the disk.
    pub(crate) fn end(&self) -> Result<(), StoreError> {
        self.step(&mut Instant::now())?;
        self.flush()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.reader.mirror.flush()
    }

    /// Catches up with the log, and gives back dead segments.
    pub(crate) fn step(&self, space_checked: &mut Instant) -> Result<(), StoreError> {
        let taken = self.take(space_checked);
        self.put(taken)
    }

    /// Takes what the mirror lacks of the log, if anything, for [`MirrorThread::put`].
    pub(crate) fn take(&self, space_checked: &mut Instant) -> Option<Taken> {
        let first_kept = {
            let mut state = self.watermarks.lock();
            state.mirror_due = false;
            state.first_kept
        };
        let purge_before = self.reader.segments.end_of_dead(first_kept);
        let bloated = space_checked.elapsed() > SPACE_CHECK && {
            *space_checked = Instant::now();
            self.reader.mirror.is_bloated(&self.reader.lock())
        };
        let rewrite = bloated || self.broken.get();
        let at = Instant::now();
        let mut index = self.reader.lock();
        if rewrite {
            index.mark_all_dirty();
        }
        if !index.is_dirty() {
            self.watermarks.mirrored(index.applied(), at);
        }
        let changes = index.is_dirty().then(|| index.take_changes());
        (changes.is_some() || purge_before.is_some()).then_some(Taken {
            changes,
            rewrite,
            purge_before,
            at,
        })
    }

    /// Writes what was taken, and gives back dead segments.
    pub(crate) fn put(&self, taken: Option<Taken>) -> Result<(), StoreError> {
        let Some(taken) = taken else {
            return self.reserve.fill();
        };
        let Taken {
            changes,
            rewrite,
            purge_before,
            at,
        } = taken;
        if self.poison.get().is_some() {
            // Memory, and so `changes`, may know more than the log has. The mirror must not.
            self.return_changes(changes);
            return Ok(());
        }
        let caught_up = match self.reserve.fill() {
            Ok(()) => changes.map_or(Ok(()), |changes| self.write(changes, rewrite, at)),
            Err(error) => {
                self.return_changes(changes);
                Err(error)
            }
        };
        let Some(purge_before) = purge_before else {
            return caught_up;
        };
        // So the next start need not read the whole log.
        let caught_up =
            caught_up.and_then(|()| self.flush().inspect_err(|_| self.broken.set(true)));
        match caught_up {
            Err(StoreError::Poisoned(_)) => caught_up,
            // On a full disk, their space may let the mirror be written.
            _ => caught_up.and(self.reader.segments.purge(purge_before)),
        }
    }

    fn return_changes(&self, changes: Option<Changes>) {
        if changes.is_some() {
            self.reader.lock().mirrored(changes);
        }
    }

    fn write(&self, changes: Changes, rewrite: bool, at: Instant) -> Result<(), StoreError> {
        let applied = changes.applied;
        let written = self.sync_up_to(applied).and_then(|()| {
            if rewrite {
                self.reader.mirror.rewrite(&changes)?;
            }
            self.reader.mirror.apply(&changes)
        });
        let is_poisoned = matches!(written, Err(StoreError::Poisoned(_)));
        self.broken.set(written.is_err() && !is_poisoned);
        let failed = written.is_err().then_some(changes);
        self.reader.lock().mirrored(failed);
        if written.is_ok() {
            self.watermarks.mirrored(applied, at);
        }
        written
    }

    /// The mirror must never be ahead of what a power cut leaves of the log.
    fn sync_up_to(&self, position: Position) -> Result<(), StoreError> {
        if self.watermarks.lock().synced >= position {
            return Ok(());
        }
        let Some(segment) = self.reader.segments.get(position.segment) else {
            return Ok(());
        };
        poison_on_error(segment.sync(), &self.poison).inspect_err(|error| {
            self.trouble.note(Component::Log, Some(error));
        })?;
        let mut state = self.watermarks.lock();
        state.synced = state.synced.max(position);
        Ok(())
    }
}
