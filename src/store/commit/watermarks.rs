//! How far log, mirror and snapshot are, and what the writer tells the threads behind it.

use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::store::log::position::Position;
use crate::store::log::segment::Segment;

/// What the writer tells the threads behind it.
pub(crate) struct Keeper {
    state: Mutex<State>,
    changed: Condvar,
}

pub(in crate::store) struct State {
    /// The log has something that the mirror has not.
    pub(in crate::store) behind: bool,
    /// The log was written up to here.
    pub(in crate::store) written: Position,
    /// The mirror has everything before this position.
    pub(in crate::store) mirrored: Position,
    /// When the oldest of what it has not was written.
    pub(in crate::store) unmirrored_since: Option<Instant>,
    /// When the snapshot had everything.
    pub(in crate::store) snapshot_at: Instant,
    /// The time between two snapshots.
    pub(in crate::store) snapshot_every: Duration,
    /// Everything before this position is synced.
    pub(in crate::store) synced: Position,
    pub(in crate::store) dead: Vec<Arc<Segment>>,
    pub(in crate::store) closing: bool,
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
    pub(in crate::store) fn mirrored(&self, position: Position, taken: Instant) {
        let mut state = self.lock();
        state.mirrored = state.mirrored.max(position);
        state.unmirrored_since = (state.written > position).then_some(taken);
    }

    pub(in crate::store) fn lock(&self) -> MutexGuard<'_, State> {
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
    pub(in crate::store) fn wait_behind(&self) -> bool {
        let guard = self.lock();
        let state = self
            .changed
            .wait_while(guard, |state| !state.behind && !state.closing)
            .expect("no holder of this lock panics");
        state.closing
    }

    /// Waits for a time, or until closing: true then.
    pub(in crate::store) fn pause(&self, time: Duration) -> bool {
        self.pause_while(time, |_| true)
    }

    /// The same, and no longer than this holds.
    pub(in crate::store) fn pause_while(
        &self,
        time: Duration,
        holds: impl Fn(&State) -> bool,
    ) -> bool {
        let guard = self.lock();
        let (state, _) = self
            .changed
            .wait_timeout_while(guard, time, |state| !state.closing && holds(state))
            .expect("no holder of this lock panics");
        state.closing
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
