//! The threads behind the writer: one keeps the mirror and the space up to date, one the
//! snapshot. Neither is waited for by anybody who wants an answer.

use std::cell::Cell;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::store::error::StoreError;
use crate::store::fs::reserve::Reserve;
use crate::store::health::{Part, Trouble};
use crate::store::index::Index;
use crate::store::index::changes::Changes;
use crate::store::log::position::Position;
use crate::store::log::segment::Segment;
use crate::store::log::segments::Segments;
use crate::store::reader::Reader;
use crate::store::repair::scrub::Scrub;
use crate::store::snapshot::Snapshot;
use crate::store::writer::{Poison, poison_on_error};

/// The mirror lags the log by about this: groups that come meanwhile are written together.
const MIRROR_PAUSE: Duration = Duration::from_millis(20);
/// How often the space of the mirror is looked at.
const SPACE_CHECK: Duration = Duration::from_secs(60);
/// How often sled is asked whether it could write: it says so only then.
const WRITTEN_CHECK: Duration = Duration::from_millis(500);
/// After a failure the mirror is tried again in this time.
const RETRY_PAUSE: Duration = Duration::from_secs(5);

/// What is read of an unread log at once …
const SCRUB_BYTES: u64 = 8 << 20;
/// … and the pause behind it: at most 32 MiB a second.
const SCRUB_PAUSE: Duration = Duration::from_millis(250);

/// What the writer tells the threads behind it.
pub(crate) struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

struct State {
    /// The log has something that the mirror has not.
    behind: bool,
    /// The log was written up to here.
    written: Position,
    /// The mirror has everything before this position.
    mirrored: Position,
    /// When the oldest of what it has not was written.
    unmirrored_since: Option<Instant>,
    /// When the snapshot had everything.
    snapshot_at: Instant,
    /// The time between two snapshots.
    snapshot_every: Duration,
    /// Everything before this position is synced.
    synced: Position,
    dead: Vec<Arc<Segment>>,
    closing: bool,
}

/// How far mirror and snapshot are behind.
pub(crate) struct Lag {
    /// The mirror has everything before this position.
    pub(crate) mirrored: Position,
    /// How long the oldest of what it has not waits.
    pub(crate) mirror: Duration,
    /// How long ago the snapshot had everything.
    pub(crate) snapshot: Duration,
}

impl Keeper {
    /// The log ends at `end`, and nothing is behind; a snapshot is written so often.
    pub(crate) fn new(end: Position, snapshot_every: Duration) -> Keeper {
        let state = State {
            behind: false,
            written: end,
            mirrored: end,
            unmirrored_since: None,
            snapshot_at: Instant::now(),
            snapshot_every,
            synced: Position::default(),
            dead: vec![],
            closing: false,
        };
        Keeper {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// How far mirror and snapshot are behind.
    pub(crate) fn lag(&self) -> Lag {
        let state = self.lock();
        let since = state.unmirrored_since;
        Lag {
            mirrored: state.mirrored,
            mirror: since.map_or(Duration::ZERO, |since| since.elapsed()),
            snapshot: state.snapshot_at.elapsed(),
        }
    }

    /// The mirror has everything before `position`, and what was written after `taken` may be
    /// behind it.
    fn mirrored(&self, position: Position, taken: Instant) {
        let mut state = self.lock();
        state.mirrored = state.mirrored.max(position);
        state.unmirrored_since = (state.written > position).then_some(taken);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// The log was written up to `end`, and synced if `synced`.
    pub(crate) fn notify(&self, synced: bool, end: Position) {
        let mut state = self.lock();
        if synced {
            state.synced = state.synced.max(end);
        }
        state.written = end;
        if state.unmirrored_since.is_none() && end > state.mirrored {
            state.unmirrored_since = Some(Instant::now());
        }
        if !state.behind {
            state.behind = true;
            self.changed.notify_all();
        }
    }

    /// These segments are not read any more.
    pub(crate) fn unlink(&self, segments: Vec<Arc<Segment>>) {
        let mut state = self.lock();
        state.dead.extend(segments);
        state.behind = true;
        self.changed.notify_all();
    }

    /// A snapshot is written so often from now on, the next so long after the last one.
    pub(crate) fn write_snapshot_every(&self, time: Duration) {
        self.lock().snapshot_every = time;
        self.changed.notify_all();
    }

    /// Both threads do what is left, and end.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to mirror; true when closing.
    fn wait_behind(&self) -> bool {
        let guard = self.lock();
        let state = self
            .changed
            .wait_while(guard, |state| !state.behind && !state.closing)
            .expect("no holder of this lock panics");
        state.closing
    }

    /// Waits for a time, or until closing: true then.
    fn pause(&self, time: Duration) -> bool {
        self.pause_while(time, |_| true)
    }

    /// The same, and no longer than this holds.
    fn pause_while(&self, time: Duration, holds: impl Fn(&State) -> bool) -> bool {
        let guard = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(guard, time, |state| !state.closing && holds(state))
            .expect("no holder of this lock panics");
        state.closing
    }
}

/// What the mirror is to be written.
pub(crate) struct Taken {
    changes: Option<Changes>,
    /// Whether the mirror is begun anew.
    anew: bool,
    dead: Vec<Arc<Segment>>,
    at: Instant,
}

/// Keeps the mirror: see the module.
pub(crate) struct MirrorThread {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) reader: Reader,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) poison: Poison,
    pub(crate) trouble: Trouble,
    /// It could not be written: sled does not go on after that, and is begun anew.
    pub(crate) broken: Cell<bool>,
}

impl MirrorThread {
    /// Runs until [`Keeper::close`]; then the mirror has everything, on disk.
    pub(crate) fn run(self) -> Result<(), StoreError> {
        let mut space_checked = Instant::now();
        let mut written_checked = Instant::now();
        loop {
            let closing = self.keeper.wait_behind() || self.keeper.pause(MIRROR_PAUSE);
            let result = self.step(&mut space_checked);
            let result = result.and_then(|()| self.check_written(&mut written_checked));
            let news = self.trouble.note(Part::Mirror, result.as_ref().err());
            if closing {
                return result.and_then(|()| self.flush());
            }
            if news && result.is_ok() {
                tracing::info!("the mirror is written again");
            }
            if let Err(error) = result {
                if news {
                    tracing::error!(%error, "the mirror is behind; it is tried again every {RETRY_PAUSE:?}, and a restart makes it up from the log");
                }
                self.keeper.lock().behind = true;
                if self.keeper.pause(RETRY_PAUSE) {
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

    /// Catches up, and sees to it that all of it is on disk.
    pub(crate) fn end(&self) -> Result<(), StoreError> {
        self.step(&mut Instant::now())?;
        self.flush()
    }

    fn flush(&self) -> Result<(), StoreError> {
        self.reader.mirror.flush()
    }

    /// Catches up with the log, and removes the files of dead segments.
    pub(crate) fn step(&self, space_checked: &mut Instant) -> Result<(), StoreError> {
        let taken = self.take(space_checked);
        self.put(taken)
    }

    /// Takes what the log has and the mirror has not, if anything, for [`MirrorThread::put`].
    pub(crate) fn take(&self, space_checked: &mut Instant) -> Option<Taken> {
        let dead = {
            let mut state = self.keeper.lock();
            state.behind = false;
            std::mem::take(&mut state.dead)
        };
        let bloated = space_checked.elapsed() > SPACE_CHECK && {
            *space_checked = Instant::now();
            self.reader.mirror.is_bloated(&self.reader.lock())
        };
        let anew = bloated || self.broken.get();
        let at = Instant::now();
        let mut index = self.reader.lock();
        if anew {
            index.mark_all_dirty();
        }
        if !index.is_dirty() {
            self.keeper.mirrored(index.applied(), at);
        }
        let changes = index.is_dirty().then(|| index.take_changes());
        (changes.is_some() || !dead.is_empty()).then_some(Taken {
            changes,
            anew,
            dead,
            at,
        })
    }

    /// Writes what was taken, and removes the files of dead segments.
    pub(crate) fn put(&self, taken: Option<Taken>) -> Result<(), StoreError> {
        let Some(taken) = taken else {
            return self.reserve.fill();
        };
        let Taken {
            changes,
            anew,
            dead,
            at,
        } = taken;
        if self.poison.get().is_some() {
            // Memory, and so what was taken, may tell more than the log has: the mirror must not.
            self.give_back(changes);
            self.keeper.lock().dead.splice(..0, dead);
            return Ok(());
        }
        let caught_up = match self.reserve.fill() {
            Ok(()) => changes.map_or(Ok(()), |changes| self.write(changes, anew, at)),
            Err(error) => {
                self.give_back(changes);
                Err(error)
            }
        };
        let caught_up = caught_up.and_then(|()| match dead.is_empty() {
            true => Ok(()),
            // A start need not read the whole log then.
            false => self.flush().inspect_err(|_| self.broken.set(true)),
        });
        let unlinked = match &caught_up {
            Err(StoreError::Poisoned(_)) => caught_up.clone(),
            // A mirror that could not be written may be written in the room that they give.
            _ => self.reader.segments.unlink(&dead),
        };
        if unlinked.is_err() {
            self.keeper.lock().dead.splice(..0, dead);
        }
        caught_up.and(unlinked)
    }

    fn give_back(&self, changes: Option<Changes>) {
        if changes.is_some() {
            self.reader.lock().mirrored(changes);
        }
    }

    fn write(&self, changes: Changes, anew: bool, at: Instant) -> Result<(), StoreError> {
        let applied = changes.applied;
        let written = self.sync_up_to(applied).and_then(|()| {
            if anew {
                self.reader.mirror.rewrite(&changes)?;
            }
            self.reader.mirror.apply(&changes)
        });
        let is_poisoned = matches!(written, Err(StoreError::Poisoned(_)));
        self.broken.set(written.is_err() && !is_poisoned);
        let failed = written.is_err().then_some(changes);
        self.reader.lock().mirrored(failed);
        if written.is_ok() {
            self.keeper.mirrored(applied, at);
        }
        written
    }

    /// The mirror must never be ahead of what a power cut leaves of the log.
    fn sync_up_to(&self, position: Position) -> Result<(), StoreError> {
        if self.keeper.lock().synced >= position {
            return Ok(());
        }
        let Some(segment) = self.reader.segments.get(position.segment) else {
            return Ok(());
        };
        poison_on_error(segment.sync(), &self.poison).inspect_err(|error| {
            self.trouble.note(Part::Log, Some(error));
        })?;
        let mut state = self.keeper.lock();
        state.synced = state.synced.max(position);
        Ok(())
    }
}

/// Keeps the snapshot up to date, and reads what the start left unread.
pub(crate) struct SnapshotThread {
    pub(crate) keeper: Arc<Keeper>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) snapshot: Snapshot,
    pub(crate) scrub: Option<Scrub>,
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) trouble: Trouble,
}

impl SnapshotThread {
    /// Writes a snapshot every so often, until [`Keeper::close`], and one more then.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let mut last = Instant::now();
        loop {
            let every = self.keeper.lock().snapshot_every;
            let until_due = (last + every).saturating_duration_since(Instant::now());
            let pause = match &self.scrub {
                Some(_) => until_due.min(SCRUB_PAUSE),
                None => until_due,
            };
            let is_same = |state: &State| state.snapshot_every == every;
            let closing = self.keeper.pause_while(pause, is_same);
            if !closing {
                self.scrub_on();
                if last.elapsed() < self.keeper.lock().snapshot_every {
                    continue;
                }
            }
            last = Instant::now();
            let result = self.step();
            let news = self.trouble.note(Part::Snapshot, result.as_ref().err());
            if closing {
                return result;
            }
            match result {
                Err(error) if news => {
                    tracing::error!(%error, "the snapshot could not be written; it is tried again every {every:?}");
                }
                Ok(()) if news => tracing::info!("the snapshot is written again"),
                _ => {}
            }
        }
    }

    /// Reads a little more of what has not been read since the start.
    fn scrub_on(&mut self) {
        let Some(scrub) = &mut self.scrub else {
            return;
        };
        match scrub.go_on(SCRUB_BYTES, &self.index, &mut self.snapshot) {
            Ok(true) => {}
            Ok(false) => self.scrub = None,
            Err(error) => {
                tracing::error!(%error, "the store is not checked any further until a restart");
                self.scrub = None;
            }
        }
    }

    /// Catches up with the log.
    pub(crate) fn step(&mut self) -> Result<(), StoreError> {
        self.reserve.fill()?;
        self.snapshot.update(&self.segments)?;
        self.keeper.lock().snapshot_at = Instant::now();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mirror_lags_from_the_oldest_write_that_it_has_not() {
        let at = |offset| Position { segment: 1, offset };
        let keeper = Keeper::new(at(100), Duration::MAX);
        assert_eq!(keeper.lag().mirror, Duration::ZERO);
        keeper.notify(true, at(200));
        let since = |keeper: &Keeper| keeper.lock().unmirrored_since;
        let first = since(&keeper).unwrap();
        keeper.notify(true, at(300));
        assert_eq!(since(&keeper), Some(first));
        assert_eq!(keeper.lag().mirrored, at(100));

        // While it took the first two over, a third came.
        let taken = Instant::now();
        keeper.notify(true, at(400));
        keeper.mirrored(at(300), taken);
        assert_eq!(since(&keeper), Some(taken));
        assert_eq!(keeper.lag().mirrored, at(300));
        keeper.mirrored(at(400), Instant::now());
        assert_eq!(keeper.lag().mirror, Duration::ZERO);
        assert_eq!(keeper.lag().mirrored, at(400));
    }
}
