//! How far log, mirror and snapshot have come, shared by the writer and the threads that follow it.

use std::sync::{Condvar, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use crate::message::Sequence;
use crate::store::log::position::Position;

/// How far log, mirror and snapshot have come. The threads that follow the writer wait here.
pub(crate) struct Watermarks {
    state: Mutex<WatermarkState>,
    changed: Condvar,
}

/// What the lock of [`Watermarks`] guards.
pub(in crate::store) struct WatermarkState {
    /// The mirror thread has work: log that is not mirrored, or segments to give back.
    pub(in crate::store) mirror_due: bool,
    /// The log was written up to here.
    pub(in crate::store) written: Position,
    /// The mirror has everything before this position.
    pub(in crate::store) mirrored: Position,
    /// When the oldest change not yet mirrored was written.
    pub(in crate::store) unmirrored_since: Option<Instant>,
    /// When the snapshot last had everything.
    pub(in crate::store) snapshot_at: Instant,
    /// The time between two snapshots.
    pub(in crate::store) snapshot_every: Duration,
    /// Everything before this position is synced.
    pub(in crate::store) synced: Position,
    /// Every message before this sequence is gone, and what deleted it is synced. The log may give
    /// back the segments that end before it.
    pub(in crate::store) first_kept: Sequence,
    /// The threads finish what is left, and end.
    pub(in crate::store) closing: bool,
}

/// How far mirror and snapshot lag the log.
pub(crate) struct Lag {
    /// The mirror has everything before this position.
    pub(crate) mirrored: Position,
    /// The age of the oldest change not yet mirrored.
    pub(crate) mirror: Duration,
    /// How long ago the snapshot last had everything.
    pub(crate) snapshot: Duration,
}

impl Watermarks {
    /// For a log that ends at `end`, with nothing left to mirror. A snapshot is due at this
    /// interval.
    pub(crate) fn new(end: Position, snapshot_every: Duration) -> Watermarks {
        let state = WatermarkState {
            mirror_due: false,
            written: end,
            mirrored: end,
            unmirrored_since: None,
            snapshot_at: Instant::now(),
            snapshot_every,
            synced: Position::default(),
            first_kept: Sequence::default(),
            closing: false,
        };
        Watermarks {
            state: Mutex::new(state),
            changed: Condvar::new(),
        }
    }

    /// How far mirror and snapshot lag the log.
    pub(crate) fn lag(&self) -> Lag {
        let state = self.lock();
        let since = state.unmirrored_since;
        Lag {
            mirrored: state.mirrored,
            mirror: since.map_or(Duration::ZERO, |since| since.elapsed()),
            snapshot: state.snapshot_at.elapsed(),
        }
    }

    /// The mirror has everything before `position`. Changes written since `taken` may lie after
    /// it.
    pub(in crate::store) fn mirrored(&self, position: Position, taken: Instant) {
        let mut state = self.lock();
        state.mirrored = state.mirrored.max(position);
        state.unmirrored_since = (state.written > position).then_some(taken);
    }

    pub(in crate::store) fn lock(&self) -> MutexGuard<'_, WatermarkState> {
        self.state.lock().expect("no holder of this lock panics")
    }

    /// The writer has written the log up to `end`, and synced it if `synced`.
    pub(crate) fn written(&self, synced: bool, end: Position) {
        let mut state = self.lock();
        if synced {
            state.synced = state.synced.max(end);
        }
        state.written = end;
        if state.unmirrored_since.is_none() && end > state.mirrored {
            state.unmirrored_since = Some(Instant::now());
        }
        if !state.mirror_due {
            state.mirror_due = true;
            self.changed.notify_all();
        }
    }

    /// No message before `first_kept` is needed any more, for certain: the mirror thread gives the
    /// space of those messages back.
    pub(crate) fn purge_before(&self, first_kept: Sequence) {
        let mut state = self.lock();
        if state.first_kept < first_kept {
            state.first_kept = first_kept;
            state.mirror_due = true;
            self.changed.notify_all();
        }
    }

    /// Changes the interval between snapshots. It counts from the last one.
    pub(crate) fn write_snapshot_every(&self, time: Duration) {
        self.lock().snapshot_every = time;
        self.changed.notify_all();
    }

    /// Asks both threads to finish what is left and end.
    pub(crate) fn close(&self) {
        self.lock().closing = true;
        self.changed.notify_all();
    }

    /// Waits until there is something to mirror; true when closing.
    pub(in crate::store) fn wait_mirror_due(&self) -> bool {
        let guard = self.lock();
        let state = self
            .changed
            .wait_while(guard, |state| !state.mirror_due && !state.closing)
            .expect("no holder of this lock panics");
        state.closing
    }

    /// Waits for `time`, or until the store closes: then true.
    pub(in crate::store) fn pause(&self, time: Duration) -> bool {
        self.pause_while(time, |_| true)
    }

    /// Like [`Watermarks::pause`], but stops waiting once `holds` is false.
    pub(in crate::store) fn pause_while(
        &self,
        time: Duration,
        holds: impl Fn(&WatermarkState) -> bool,
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
    fn the_mirror_lags_from_the_oldest_write_it_lacks() {
        let at = |offset| Position { segment: 1, offset };
        let watermarks = Watermarks::new(at(100), Duration::MAX);
        assert_eq!(watermarks.lag().mirror, Duration::ZERO);
        watermarks.written(true, at(200));
        let since = |watermarks: &Watermarks| watermarks.lock().unmirrored_since;
        let first = since(&watermarks).unwrap();
        watermarks.written(true, at(300));
        assert_eq!(since(&watermarks), Some(first));
        assert_eq!(watermarks.lag().mirrored, at(100));

        // While it took the first two over, a third came.
        let taken = Instant::now();
        watermarks.written(true, at(400));
        watermarks.mirrored(at(300), taken);
        assert_eq!(since(&watermarks), Some(taken));
        assert_eq!(watermarks.lag().mirrored, at(300));
        watermarks.mirrored(at(400), Instant::now());
        assert_eq!(watermarks.lag().mirror, Duration::ZERO);
        assert_eq!(watermarks.lag().mirrored, at(400));
    }
}
