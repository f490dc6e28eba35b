//! The writing end of the log. What is in the log happened.
//!
//! One thread appends frames to the newest segment, syncs them, and lets readers see them; the
//! files and how they are read are in [`crate::store::log::segments`].

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::store::error::{IoContext, StoreError};
use crate::store::fs::lock::Fence;
use crate::store::log::frame::Base;
use crate::store::log::position::Position;
use crate::store::log::segment::Segment;
use crate::store::log::segments::{Segments, create_segment, encode_base};

/// A segment is closed when it has this many bytes, if not asked otherwise.
pub(crate) const SEGMENT_BYTES_TARGET: u64 = 128 << 20;
/// No segment has more bytes, also where no other one can be begun: with the room behind it, and
/// the block of a disk behind damage, it is within 4 GiB.
const SEGMENT_BYTES_MAX: u64 = u32::MAX as u64 - (1 << 20);
/// Zeros are written so far ahead of small groups. A sync of bytes that the file has already is
/// of those bytes alone; one of a file that has grown is of its length too, on another block.
const ROOM_BYTES: u64 = 128 << 10;
/// They are written in pages, lest the system keeps them as one and takes each group for it.
const ROOM_PAGE: [u8; 4 << 10] = [0; 4 << 10];
/// The sync of more bytes than this takes its time for them, and gains nothing by room.
const ROOM_GROUP_BYTES_MAX: usize = 16 << 10;

/// The writing end of the log.
pub(crate) struct Log {
    segments: Arc<Segments>,
    /// No other process writes `current`.
    fence: Fence,
    current: Arc<Segment>,
    written: u64,
    /// The file has zeros from `written` to here, unless that is less.
    room: u64,
    /// A segment is closed when it has this many bytes.
    segment_bytes: u64,
    /// Behind what was written lies a part of what could not be.
    ragged: bool,
}

impl Log {
    /// Goes on in the newest of `segments`, or begins a log at `base`. What lies behind the
    /// last whole frame is found by the recovery, see [`Log::cut`].
    pub(crate) fn open(
        segments: Arc<Segments>,
        mut fence: Fence,
        base: &Base,
        segment_bytes: u64,
    ) -> Result<Log, StoreError> {
        let last = segments.from(0).pop();
        let current = match last {
            Some(segment) => segment,
            None => create_segment(&segments, 1, base)?,
        };
        fence.stand_at(&current.path)?;
        let written = current.end();
        Ok(Log {
            segments,
            fence,
            current,
            written,
            room: written,
            segment_bytes,
            ragged: false,
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

    /// Cuts off everything behind `end`, which is in the newest segment.
    pub(crate) fn cut(&mut self, end: Position) -> Result<(), StoreError> {
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
        self.room = self.written;
        Ok(())
    }

    /// Removes the newest segment, of which nobody knows, and goes on in the one before.
    pub(crate) fn drop_newest(&mut self, before: &Arc<Segment>) -> Result<(), StoreError> {
        self.segments.drop_segment(&self.current)?;
        self.current = before.clone();
        self.written = before.end();
        self.room = self.written;
        Ok(())
    }

    /// Writes the base of a segment that [`Log::cut`] has left with nothing else.
    pub(crate) fn begin_again(&mut self, base: &Base) -> Result<(), StoreError> {
        let mut bytes = vec![];
        encode_base(&mut bytes, self.seed(), base);
        self.append(&bytes)?;
        self.sync()?;
        self.publish(base.next.saturating_sub(1));
        Ok(())
    }

    /// Writes whole frames; they are not synced and not to be read until [`Log::publish`].
    /// After an error nothing of them is in the log.
    pub(crate) fn append(&mut self, frames: &[u8]) -> Result<(), StoreError> {
        self.smooth()?;
        let written = self.written + frames.len() as u64;
        if written > SEGMENT_BYTES_MAX {
            let too_large = std::io::Error::from(std::io::ErrorKind::FileTooLarge);
            return Err(too_large).doing("write to", &self.current.path);
        }
        if let Err(error) = self.current.file.write_all_at(frames, self.written) {
            self.ragged = true;
            // What cannot be cut off now will be before the next write.
            let _ = self.smooth();
            return Err(error).doing("write to", &self.current.path);
        }
        self.written = written;
        if written > self.room && frames.len() <= ROOM_GROUP_BYTES_MAX {
            self.make_room();
        }
        Ok(())
    }

    /// Lets the next small groups find their place in the file; without it they are only slower.
    fn make_room(&mut self) {
        let page_bytes = ROOM_PAGE.len() as u64;
        let until = self.written + ROOM_BYTES;
        self.room = self.written;
        while self.room < until {
            let at = self.room.next_multiple_of(page_bytes);
            // A page that is written in part is to be cut off with the others.
            self.room = at + page_bytes;
            if self.current.file.write_all_at(&ROOM_PAGE, at).is_err() {
                return;
            }
        }
    }

    /// Gives back the room behind what was written; a sync makes that durable.
    pub(crate) fn trim(&mut self) -> Result<(), StoreError> {
        if self.room > self.written {
            let file = &self.current.file;
            file.set_len(self.written)
                .doing("cut", &self.current.path)?;
            self.room = self.written;
        }
        Ok(())
    }

    /// Half a frame at the end would hide what is written after it.
    fn smooth(&mut self) -> Result<(), StoreError> {
        if self.ragged {
            let file = &self.current.file;
            file.set_len(self.written)
                .doing("cut", &self.current.path)?;
            self.ragged = false;
            self.room = self.written;
        }
        Ok(())
    }

    /// Cuts off what was written from `end` on and never published, if the disk lets it.
    pub(crate) fn take_back(&mut self, end: Position) {
        debug_assert_eq!(end.segment, self.current.number);
        self.written = u64::from(end.offset);
        self.ragged = true;
        let _ = self.smooth();
    }

    /// Asks the disk to keep everything appended.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.current.sync()
    }

    /// Writes what lies behind `from` in the newest segment once more, and syncs it. Bytes that
    /// are read after a restart need not be on the disk: where a sync failed before, the system
    /// takes them for written, and no later sync writes them.
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

    /// Lets readers see everything appended, which holds messages up to `last_sequence`.
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

    /// Whether the newest segment could be given back if there were another: all its
    /// messages are gone and it is worth it.
    pub(crate) fn is_idle(&self, first_live: u64) -> bool {
        const WORTH_BYTES: u64 = 1 << 20;
        self.written > WORTH_BYTES.min(self.segment_bytes)
            && self.current.last_sequence() < first_live
    }

    /// Closes the segment, which the caller has trimmed and synced, and begins the next.
    /// After an error the log goes on in the old one.
    pub(crate) fn roll(&mut self, base: &Base) -> Result<(), StoreError> {
        self.smooth()?;
        self.go_on_behind(self.current.number, base)
    }

    /// Goes on in a segment with a number behind `number`: what was at positions before may be
    /// known elsewhere, and is never written differently.
    pub(crate) fn go_on_behind(&mut self, number: u32, base: &Base) -> Result<(), StoreError> {
        let number = self.current.number.max(number) + 1;
        self.current = create_segment(&self.segments, number, base)?;
        // A file that is new can be locked but for want of means, and the store is locked too.
        let _ = self.fence.stand_at(&self.current.path);
        self.written = self.current.end();
        self.room = self.written;
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
        let mut log = Log::open(open(), Fence::new(&files), &Base::default(), 1).unwrap();
        // As after very many groups; the file has a hole in their place.
        log.written = SEGMENT_BYTES_MAX - 1;
        log.append(b"x").unwrap();
        assert!(log.append(b"x").is_err());
        log.publish(1);
        let len = log.current.file.len().unwrap();
        assert!(log.room == len && len < u64::from(u32::MAX), "{len}");
        // One of a version that had no such bound.
        log.current.file.set_len(5 << 30).unwrap();
        assert_eq!(open().from(0)[0].end(), u64::from(u32::MAX));
    }
}
