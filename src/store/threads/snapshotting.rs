//! The thread that keeps the snapshot up to date after the log. No answer waits for it.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use crate::store::commit::watermarks::{WatermarkState, Watermarks};
use crate::store::error::StoreError;
use crate::store::fs::reserve::Reserve;
use crate::store::health::{Component, Trouble};
use crate::store::index::Index;
use crate::store::log::segments::Segments;
use crate::store::repair::scrub::Scrub;
use crate::store::snapshot::Snapshot;

/// Bytes of the log that are scrubbed at once …
const SCRUB_BYTES: u64 = 8 << 20;

/// … and the pause after them: at most 32 MiB a second.
const SCRUB_PAUSE: Duration = Duration::from_millis(250);

/// Keeps the snapshot up to date, and scrubs what the start left unread.
pub(crate) struct SnapshotThread {
    pub(crate) watermarks: Arc<Watermarks>,
    pub(crate) segments: Arc<Segments>,
    pub(crate) reserve: Arc<Reserve>,
    pub(crate) snapshot: Snapshot,
    pub(crate) scrub: Option<Scrub>,
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) trouble: Trouble,
}

impl SnapshotThread {
    /// Writes a snapshot every interval until [`Watermarks::close`], and a last one then.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let mut last = Instant::now();
        loop {
            let every = self.watermarks.lock().snapshot_every;
            let until_due = (last + every).saturating_duration_since(Instant::now());
            let pause = match &self.scrub {
                Some(_) => until_due.min(SCRUB_PAUSE),
                None => until_due,
            };
            let is_same = |state: &WatermarkState| state.snapshot_every == every;
            let closing = self.watermarks.pause_while(pause, is_same);
            if !closing {
                self.scrub_on();
                if last.elapsed() < self.watermarks.lock().snapshot_every {
                    continue;
                }
            }
            last = Instant::now();
            let result = self.step();
            let news = self
                .trouble
                .note(Component::Snapshot, result.as_ref().err());
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

    /// Scrubs a little more of what has not been read since the start.
    fn scrub_on(&mut self) {
        let Some(scrub) = &mut self.scrub else {
            return;
        };
        match scrub.go_on(SCRUB_BYTES, &self.index, &mut self.snapshot) {
            Ok(true) => {}
            Ok(false) => self.scrub = None,
            Err(error) => {
                tracing::error!(%error, "the check of the store failed; the rest is not checked until a restart");
                self.scrub = None;
            }
        }
    }

    /// Catches up with the log.
    pub(crate) fn step(&mut self) -> Result<(), StoreError> {
        self.reserve.fill()?;
        self.snapshot.update(&self.segments)?;
        self.watermarks.lock().snapshot_at = Instant::now();
        Ok(())
    }
}
