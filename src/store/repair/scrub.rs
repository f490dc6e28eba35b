//! Reads what nobody has asked for: damage is found before the data is needed, and healed while the
//! snapshot still has the bytes.
//!
//! The recovery reads the log after the mirror's position. The scrub reads everything before it,
//! and then the chunks of the snapshot. A small store is scrubbed before it answers, a larger one
//! on the snapshot's thread, slowly enough that nobody notices.

use std::fmt::Display;
use std::sync::{Arc, Mutex};

use crate::message::Sequence;
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::log::damage::{Damage, Findings};
use crate::store::log::position::Position;
use crate::store::log::segments::Segments;
use crate::store::log::walk::{Step, Walk};
use crate::store::repair::coverage::Coverage;
use crate::store::repair::heal::Healer;
use crate::store::snapshot::Snapshot;

/// Reads the log and the snapshot step by step, and heals damage.
pub(crate) struct Scrub {
    segments: Arc<Segments>,
    healer: Healer,
    findings: Arc<Findings>,
    coverage: Coverage,
    from: Position,
    to: Position,
    /// Whether findings are logged at once.
    report_now: bool,
    log_done: bool,
    /// What was healed and has not been logged yet, each as a sentence.
    pub(crate) healed: Vec<String>,
}

impl Scrub {
    /// Reads the log before `to`. `next` is the first message after it.
    pub(crate) fn new(
        segments: &Arc<Segments>,
        healer: Healer,
        findings: &Arc<Findings>,
        to: Position,
        next: Sequence,
    ) -> Scrub {
        Scrub {
            segments: segments.clone(),
            healer,
            findings: findings.clone(),
            coverage: Coverage::up_to(next),
            from: Position::default(),
            to,
            report_now: false,
            log_done: false,
            healed: vec![],
        }
    }

    /// Reads everything at once.
    pub(crate) fn run(&mut self, index: &Index, snapshot: &mut Snapshot) -> Result<(), StoreError> {
        while self.step(u64::MAX)? {}
        self.finish(index);
        while self.check(snapshot, u64::MAX)? {}
        Ok(())
    }

    /// Reads about `bytes` bytes in the background, and logs findings at once. Returns false when
    /// everything is read.
    pub(crate) fn go_on(
        &mut self,
        bytes: u64,
        index: &Mutex<Index>,
        snapshot: &mut Snapshot,
    ) -> Result<bool, StoreError> {
        self.report_now = true;
        let more = if self.log_done {
            self.check(snapshot, bytes)?
        } else {
            self.log_done = !self.step(bytes)?;
            if self.log_done {
                self.finish(&index.lock().expect("no holder of this lock panics"));
            }
            true
        };
        for healed in self.healed.drain(..) {
            tracing::warn!("healed: {healed}");
        }
        Ok(more)
    }

    /// Reads about `bytes` bytes of the log. Returns false when all of it is read.
    fn step(&mut self, bytes: u64) -> Result<bool, StoreError> {
        let segments = self.segments.clone();
        let mut walk = Walk::new(&segments, self.from, true);
        let mut read = 0;
        while read < bytes {
            if walk.position() >= self.to {
                return Ok(false);
            }
            let Some(step) = walk.next()? else {
                return Ok(false);
            };
            match step {
                Step::Frame(frame) if frame.position >= self.to => return Ok(false),
                Step::Frame(frame) => {
                    read += frame.head.frame_len() as u64;
                    if !self
                        .coverage
                        .accepts(&frame.meta, frame.position, frame.next)
                    {
                        self.damage(&mut walk, &Damage::misplaced(&frame))?;
                    }
                }
                Step::Damage(damage) => {
                    read += damage.to - damage.from;
                    self.damage(&mut walk, &damage)?;
                }
            }
            self.from = walk.position();
        }
        Ok(true)
    }

    fn damage(&mut self, walk: &mut Walk<'_>, damage: &Damage) -> Result<(), StoreError> {
        let mut healed = self.healer.frames(damage)?;
        if !healed.is_empty() {
            self.healed.append(&mut healed);
            walk.go_back(damage);
            return Ok(());
        }
        if let Some(meta) = &damage.meta {
            self.coverage.accepts(meta, damage.position(), damage.end());
        }
        self.found(damage.position(), damage);
        Ok(())
    }

    /// Reports the messages that `index` has and the log lacks.
    fn finish(&self, index: &Index) {
        let before = self.coverage.before();
        for missing in self.coverage.missing().into_iter().chain(before) {
            let span = missing.span;
            let live = index.live_between(Sequence(span.first), Sequence(span.end() - 1));
            if live > 0 {
                self.found(missing.key(), &missing.text(live, &self.segments));
            }
        }
    }

    /// Checks the next chunks of the snapshot, about `bytes` bytes. Returns false when all are
    /// checked. If the snapshot is damaged, the next update writes a new one from the log. It keeps
    /// the old one if the log has damage itself.
    fn check(&mut self, snapshot: &mut Snapshot, bytes: u64) -> Result<bool, StoreError> {
        let mut read = 0;
        while read < bytes && snapshot.damage().is_none() {
            match snapshot.check_next()? {
                0 => break,
                len => read += len,
            }
        }
        if let Some(at) = snapshot.damage() {
            if !self.findings.texts().is_empty() {
                snapshot.keep();
            }
            let path = snapshot.path().display();
            self.healed.push(format!(
                "{path} at byte {at}: a chunk is damaged; a new snapshot is written from the log"
            ));
            return Ok(false);
        }
        Ok(read >= bytes)
    }

    /// During the start, findings are logged with everything else; later, at once.
    fn found(&self, position: Position, what: &dyn Display) {
        if self.report_now {
            self.findings.report(position, what);
        } else {
            self.findings.note(position, what);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;
    use std::time::{Duration, Instant};

    use crate::message::{Draft, Topic};
    use crate::store::disk::DiskStore;
    use crate::store::options::Options;
    use crate::store::{Reads, Stats, Store};

    /// A closed store of two megabytes in several segments.
    fn large(dir: &Path) -> Options {
        let options = Options {
            segment_bytes: 256 << 10,
            snapshot_every: Duration::from_millis(10),
            ..Options::new(dir.join("data"))
        };
        let (store, _) = DiskStore::open(&options, Box::new(|_| {})).unwrap();
        let topic: Topic = "t".parse().unwrap();
        for n in 0..200 {
            let data = n.to_string().repeat(10_000 / n.to_string().len());
            let drafts = vec![Draft::new(topic.clone(), data.into())];
            store.append(drafts, None).blocking_recv().unwrap().unwrap();
        }
        store.close().unwrap();
        options
    }

    fn flip(path: &Path, at: usize) {
        let mut bytes = fs::read(path).unwrap();
        bytes[at] ^= 1;
        fs::write(path, bytes).unwrap();
    }

    fn wait_until(what: impl Fn() -> bool) {
        let until = Instant::now() + Duration::from_secs(20);
        while !what() {
            assert!(Instant::now() < until);
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    #[test]
    fn a_large_log_is_read_and_healed_in_the_background() {
        let dir = tempfile::tempdir().unwrap();
        let options = large(dir.path());
        let segment = dir.path().join("data.db/log/0000000003.seg");
        let whole = fs::read(&segment).unwrap();
        flip(&segment, 100_000);
        let (store, recovered) = DiskStore::open(&options, Box::new(|_| {})).unwrap();
        assert!(recovered.damage.is_empty() && recovered.healed.is_empty());
        wait_until(|| fs::read(&segment).unwrap() == whole);
        assert!(store.damage().is_empty());
    }

    #[test]
    fn a_large_snapshot_is_read_and_written_anew_in_the_background() {
        let dir = tempfile::tempdir().unwrap();
        let options = large(dir.path());
        let flipped = fs::metadata(dir.path().join("data")).unwrap().len() / 2;
        flip(&dir.path().join("data"), flipped.try_into().unwrap());
        let damaged = fs::read(dir.path().join("data")).unwrap();
        let (store, _) = DiskStore::open(&options, Box::new(|_| {})).unwrap();
        wait_until(|| fs::read(dir.path().join("data")).unwrap() != damaged);
        store.close().unwrap();
        drop(store);
        fs::remove_dir_all(dir.path().join("data.db")).unwrap();
        let (_, recovered) = DiskStore::open(&options, Box::new(|_| {})).unwrap();
        assert_eq!((recovered.counts.all(), recovered.damage.len()), (200, 0));
    }

    #[test]
    fn what_cannot_be_healed_is_said_once_with_its_messages() {
        let dir = tempfile::tempdir().unwrap();
        let options = large(dir.path());
        fs::remove_file(dir.path().join("data")).unwrap();
        let segment = dir.path().join("data.db/log/0000000003.seg");
        flip(&segment, 100_000);
        let (store, recovered) = DiskStore::open(&options, Box::new(|_| {})).unwrap();
        assert!(recovered.damage.is_empty());
        wait_until(|| !store.damage().is_empty());
        let all = crate::store::query::Query::default();
        for _ in 0..2 {
            let listed = store.list(&all, usize::MAX).unwrap();
            assert_eq!(listed.messages.len(), 199);
        }
        let damage = store.damage();
        let path = segment.display().to_string();
        let [text] = damage.as_slice() else {
            panic!("{damage:?}");
        };
        assert!(
            text.contains(&path) && text.contains("the sequences"),
            "{text}"
        );
    }
}
