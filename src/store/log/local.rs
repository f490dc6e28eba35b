//! The writing end of the log: what is in the log happened.
//!
//! One thread appends frames to the newest segment, syncs them, and lets readers see them.
//! [`crate::store::log::segments`] has the files and the reading end.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::lock::Fence;
use crate::store::log::frame::Checkpoint;
use crate::store::log::position::Position;
use crate::store::log::segment::Segment;
use crate::store::log::segments::{Segments, create_segment, encode_checkpoint};

/// The default size at which a segment is closed.
pub(crate) const SEGMENT_BYTES_TARGET: u64 = 128 << 20;
/// The largest segment, also while no new one can be created. With the preallocated zeros and a
/// disk block after damage, its positions stay below 4 GiB.
const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64 - (1 << 20);
/// Zeros written ahead of small groups. A sync of bytes within the file writes those bytes alone.
/// A sync of a file that has grown also writes its length, in another block.
const PREALLOCATED_BYTES: u64 = 128 << 10;
/// The zeros are written page by page. Otherwise the system may cache them as one large unit, and
/// write all of it for each group.
const ZERO_PAGE: [u8; 4 << 10] = [0; 4 << 10];
/// Groups of more bytes than this gain nothing from preallocated zeros.
const SMALL_GROUP_BYTES_MAX: usize = 16 << 10;

/// The writing end of the log.
pub(crate) struct Log {
    segments: Arc<Segments>,
    /// Keeps other processes from writing `current`.
    fence: Fence,
    current: Arc<Segment>,
    written: u64,
    /// The end of the preallocated zeros that follow `written`, if it is larger.
    preallocated: u64,
    /// A segment is closed when it has this many bytes.
    segment_bytes: u64,
    /// A failed write has left bytes after `written`.
    torn: bool,
}

impl Log {
    /// Continues the newest of `segments`, or begins a log at `checkpoint`. The recovery finds what
    /// follows the last whole frame, and calls [`Log::truncate`].
    pub(crate) fn open(
        segments: Arc<Segments>,
        mut fence: Fence,
        checkpoint: &Checkpoint,
        segment_bytes: u64,
    ) -> Result<Log, StoreError> {
        let last = segments.from(0).pop();
        let current = match last {
            Some(segment) => segment,
            None => create_segment(&segments, 1, checkpoint)?,
        };
        fence.stand_at(&current.path)?;
        let written = current.end();
        Ok(Log {
            segments,
            fence,
            current,
            written,
            preallocated: written,
            segment_bytes,
            torn: false,
        })
    }

    pub(crate) fn segments(&self) -> &Arc<Segments> {
        &self.segments
    }

    pub(crate) fn seed(&self) -> u32 {
        self.segments.seed
    }

    /// A segment is closed when it has this many bytes.
    pub(crate) fn segment_bytes(&self) -> u64 {
        self.segment_bytes
    }

    /// Where the next byte goes.
    pub(crate) fn end(&self) -> Position {
        Position::at(self.current.number, self.written)
    }

    /// Removes everything after `end`, which is in the newest segment.
    pub(crate) fn truncate(&mut self, end: Position) -> Result<(), StoreError> {
        debug_assert_eq!(end.segment, self.current.number);
        let path = &self.current.path;
        self.current
            .file
            .set_len(u64::from(end.offset))
            .doing("cut", path)?;
        self.current.sync()?;
        self.current
            .end
            .store(u64::from(end.offset), Ordering::Release);
        self.written = u64::from(end.offset);
        self.preallocated = self.written;
        Ok(())
    }

    /// Removes the newest segment, which nothing refers to, and continues the one before.
    pub(crate) fn drop_newest(&mut self, before: &Arc<Segment>) -> Result<(), StoreError> {
        self.segments.drop_segment(&self.current)?;
        self.current = before.clone();
        self.written = before.end();
        self.preallocated = self.written;
        Ok(())
    }

    /// Writes the checkpoint of a segment that [`Log::truncate`] has left empty.
    pub(crate) fn begin_again(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        let mut bytes = vec![];
        encode_checkpoint(&mut bytes, self.seed(), checkpoint);
        self.append(&bytes)?;
        self.sync()?;
        self.publish(checkpoint.next.saturating_sub(1));
        Ok(())
    }

    /// Writes whole frames, without a sync. Readers see them after [`Log::publish`]. After an
    /// error, none of them is in the log.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<(), StoreError> {
        self.repair_end()?;
        let written = self.written + frames.len() as u64;
        if written > SEGMENT_BYTES_MAX {
            let too_large = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
            return Err(too_large).doing("write to", &self.current.path);
        }
        if let Err(error) = self.current.file.write_all_at(frames, self.written) {
            self.torn = true;
            // If this fails too, the next write tries again.
            let _ = self.repair_end();
            return Err(error).doing("write to", &self.current.path);
        }
        self.written = written;
        if written > self.preallocated && frames.len() <= SMALL_GROUP_BYTES_MAX {
            self.preallocate();
        }
        Ok(())
    }

    /// Writes zeros ahead, within which the next small groups are written. If it fails, they are
    /// only slower.
    fn preallocate(&mut self) {
        let page_bytes = ZERO_PAGE.len() as u64;
        let until = self.written + PREALLOCATED_BYTES;
        self.preallocated = self.written;
        while self.preallocated < until {
            let at = self.preallocated.next_multiple_of(page_bytes);
            // Counted before the write: a page written in part must be removed too.
            self.preallocated = at + page_bytes;
            if self.current.file.write_all_at(&ZERO_PAGE, at).is_err() {
                return;
            }
        }
    }

    /// Removes the preallocated zeros; a sync makes that durable.
    pub(crate) fn drop_preallocated(&mut self) -> Result<(), StoreError> {
        if self.preallocated > self.written {
            let file = &self.current.file;
            file.set_len(self.written)
                .doing("cut", &self.current.path)?;
            self.preallocated = self.written;
        }
        Ok(())
    }

    /// Removes what a failed write has left: half a frame would hide the frames after it.
    fn repair_end(&mut self) -> Result<(), StoreError> {
        if self.torn {
            let file = &self.current.file;
            file.set_len(self.written)
                .doing("cut", &self.current.path)?;
            self.torn = false;
            self.preallocated = self.written;
        }
        Ok(())
    }

    /// Removes what was written from `end` on and never published, if the disk allows it.
    pub(crate) fn rollback(&mut self, end: Position) {
        debug_assert_eq!(end.segment, self.current.number);
        self.written = u64::from(end.offset);
        self.torn = true;
        let _ = self.repair_end();
    }

    /// Syncs everything appended to the disk.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.current.sync()
    }

    /// Rewrites the newest segment from `from` on, and syncs it. A page that reads back correctly
    /// may still not be on disk: after a failed sync, Linux marks it clean, and no later sync
    /// writes it.
    pub(crate) fn write_again(&self, from: Position) -> Result<(), StoreError> {
        const STEP_BYTES: usize = 1 << 20;
        let current = &self.current;
        let mut offset = match from.segment == current.number {
            true => u64::from(from.offset),
            false => 0,
        };
        while offset < self.written {
            let bytes = current.read(offset, STEP_BYTES)?;
            let written = current.file.write_all_at(&bytes, offset);
            written.doing("write to", &current.path)?;
            offset += bytes.len() as u64;
        }
        self.sync()
    }

    /// Lets readers see everything appended. Its last message is `last_sequence`.
    pub(crate) fn publish(&self, last_sequence: u64) {
        self.current
            .last_sequence
            .store(last_sequence, Ordering::Relaxed);
        self.current.end.store(self.written, Ordering::Release);
    }

    /// Whether the segment has reached its size.
    pub(crate) fn is_full(&self) -> bool {
        self.written >= self.segment_bytes
    }

    /// Whether the newest segment is worth closing so that it can be purged: all its messages
    /// are gone, and it is not small.
    pub(crate) fn is_idle(&self, first_live: u64) -> bool {
        const WORTH_BYTES: u64 = 1 << 20;
        self.written > WORTH_BYTES.min(self.segment_bytes)
            && self.current.last_sequence() < first_live
    }

    /// Closes the segment and begins the next. The caller has dropped the preallocated zeros and
    /// synced. After an error the log continues in the old segment.
    pub(crate) fn roll(&mut self, checkpoint: &Checkpoint) -> Result<(), StoreError> {
        self.repair_end()?;
        self.roll_past(self.current.number, checkpoint)
    }

    /// Continues in a new segment with a number above `number`. Mirror or snapshot may know
    /// positions up to there, so those never get other bytes.
    pub(crate) fn roll_past(
        &mut self,
        number: u32,
        checkpoint: &Checkpoint,
    ) -> Result<(), StoreError> {
        let number = self.current.number.max(number) + 1;
        self.current = create_segment(&self.segments, number, checkpoint)?;
        // Nobody else can lock a new file, so this fails only for lack of resources. The store
        // itself is locked too.
        let _ = self.fence.stand_at(&self.current.path);
        self.written = self.current.end();
        self.preallocated = self.written;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fs::files::{Files, OsFiles};

    #[test]
    fn a_segment_that_cannot_be_closed_stays_within_its_positions() {
        let dir = tempfile::tempdir().unwrap();
        let files: Arc<dyn Files> = Arc::new(OsFiles);
        let open = || Segments::open(&files, dir.path(), &[]).unwrap().0;
        let mut log = Log::open(open(), Fence::new(&files), &Checkpoint::default(), 1).unwrap();
        // As after very many groups; the file has a hole in their place.
        log.written = SEGMENT_BYTES_MAX - 1;
        log.append(b"x").unwrap();
        assert!(log.append(b"x").is_err());
        log.publish(1);
        let len = log.current.file.len().unwrap();
        assert!(
            log.preallocated == len && len < u64::from(u32::MAX),
            "{len}"
        );
        // One of a version that had no such bound.
        log.current.file.set_len(5 << 30).unwrap();
        assert_eq!(open().from(0)[0].end(), u64::from(u32::MAX));
    }
}
