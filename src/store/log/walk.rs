//! Walks over the frames of the log in the order in which they were written, and past damage.

use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::log::damage::Damage;
use crate::store::log::frame::{self, FrameError, Meta};
use crate::store::log::position::Position;
use crate::store::log::segment::{SEGMENT_HEAD_BYTES, Segment};
use crate::store::log::segments::{Located, Segments};

/// The search for the next valid frame reads this many bytes at a time.
const SEARCH_BYTES: usize = 1 << 20;

impl Segments {
    /// Walks over the frames from `position` on. `check_data` also reads their data.
    pub(crate) fn walk(&self, position: Position, check_data: bool) -> Walk<'_> {
        Walk::new(self, position, check_data)
    }

    /// Whether `damage` is only the preallocated zeros at the end of the log.
    pub(in crate::store) fn is_preallocated(&self, damage: &Damage) -> Result<bool, StoreError> {
        let newest = self.lock_read().values().next_back().cloned();
        let ends = newest
            .is_some_and(|newest| newest.number == damage.segment && newest.end() == damage.to);
        Ok(ends && self.written_between(damage.segment, damage.from, damage.to)? == 0)
    }
}

/// What [`Walk::next`] meets.
pub(crate) enum Step {
    Frame(Located),
    /// Damage that the walk has passed.
    Damage(Damage),
}

/// A walk over the frames in the order in which they were written.
pub(crate) struct Walk<'a> {
    segments: &'a Segments,
    position: Position,
    check_data: bool,
    /// Frames before this position may belong elsewhere: see [`Damage::doubtful_until`].
    doubtful: Position,
    /// The value of `doubtful` before the last damage.
    doubtful_before: Position,
}

impl<'a> Walk<'a> {
    /// Begins at `position`. `check_data` also reads the data of frames.
    pub(crate) fn new(segments: &'a Segments, position: Position, check_data: bool) -> Walk<'a> {
        Walk {
            segments,
            position,
            check_data,
            doubtful: Position::default(),
            doubtful_before: Position::default(),
        }
    }

    /// Where the next step begins.
    pub(crate) fn position(&self) -> Position {
        self.position
    }

    /// Goes back to the last damage, which has been healed. Its frames are not doubtful then.
    pub(crate) fn go_back(&mut self, damage: &Damage) {
        self.position = damage.position();
        self.doubtful = self.doubtful_before;
    }

    /// The next frame or damage; `None` at the end of the log.
    pub(crate) fn next(&mut self) -> Result<Option<Step>, StoreError> {
        loop {
            let Some(segment) = self.segments.at_or_after(self.position.segment) else {
                return Ok(None);
            };
            if segment.number != self.position.segment {
                self.position = Position::at(segment.number, SEGMENT_HEAD_BYTES);
            }
            self.position.offset = self
                .position
                .offset
                .max(Position::at(0, SEGMENT_HEAD_BYTES).offset);
            if u64::from(self.position.offset) >= segment.end() {
                let Some(next) = segment.number.checked_add(1) else {
                    return Ok(None);
                };
                if self.segments.at_or_after(next).is_none() {
                    return Ok(None);
                }
                self.position = Position::at(next, SEGMENT_HEAD_BYTES);
                continue;
            }
            return self.step(&segment).map(Some);
        }
    }

    fn step(&mut self, segment: &Arc<Segment>) -> Result<Step, StoreError> {
        self.doubtful_before = self.doubtful;
        let located = match self.read(segment, self.position.offset.into())? {
            Ok(located) => located,
            Err(what) => return self.search(segment, what),
        };
        let is_doubtful = self.position < self.doubtful;
        if self.check_data || is_doubtful {
            let offset = self.position.offset;
            match self.segments.data_of(segment, offset, &located.head) {
                Ok(_) => {}
                Err(StoreError::Corrupt { .. }) if is_doubtful => {
                    return self.search(segment, FrameError::Data);
                }
                // A frame with only its data damaged still says where it ends.
                Err(StoreError::Corrupt { .. }) => {
                    let to = located.next.offset.into();
                    let damage = self.damage(segment, to, FrameError::Data, Some(located.meta));
                    return Ok(Step::Damage(damage));
                }
                Err(error) => return Err(error),
            }
        }
        self.position = located.next;
        Ok(Step::Frame(located))
    }

    /// Passes bytes that are not a frame. Frames found after them may belong elsewhere, and count
    /// only if they are whole.
    fn search(&mut self, segment: &Arc<Segment>, what: FrameError) -> Result<Step, StoreError> {
        let next = self.next_good(segment, self.position.offset.into())?;
        let damage = self.damage(segment, next.unwrap_or(segment.end()), what, None);
        self.doubtful = damage.doubtful_until();
        Ok(Step::Damage(damage))
    }

    /// Passes the bytes up to `to`.
    fn damage(
        &mut self,
        segment: &Segment,
        to: u64,
        what: FrameError,
        meta: Option<Meta>,
    ) -> Damage {
        let from = u64::from(self.position.offset);
        self.position = Position::at(segment.number, to);
        Damage {
            segment: segment.number,
            path: segment.path.clone(),
            from,
            to,
            what,
            meta,
        }
    }

    /// The frame at `at` without its data, or why there is none.
    fn read(
        &self,
        segment: &Arc<Segment>,
        at: u64,
    ) -> Result<Result<Located, FrameError>, StoreError> {
        if at == SEGMENT_HEAD_BYTES && segment.is_misplaced() {
            return Ok(Err(FrameError::Place));
        }
        self.segments.try_meta_in(segment, at)
    }

    /// The first place after `from` in a segment where a valid frame begins.
    fn next_good(&self, segment: &Arc<Segment>, from: u64) -> Result<Option<u64>, StoreError> {
        let mut offset = from + 1;
        while offset < segment.end() {
            let bytes = segment.read(offset, SEARCH_BYTES)?;
            let Some(found) = frame::find_magic(&bytes) else {
                // A magic may lie across the border of two reads.
                offset += (bytes.len() as u64).saturating_sub(3).max(1);
                continue;
            };
            let candidate = offset + found as u64;
            if self.read(segment, candidate)?.is_ok() {
                return Ok(Some(candidate));
            }
            offset = candidate + 1;
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::message::{Message, MessageCode, Sequence, Status, Topic, UnixSeconds};
    use crate::store::fs::files::{Files, OsFiles};
    use crate::store::log::encode::encode_messages;
    use crate::store::log::segment::segment_head;

    const SEED: u32 = 7;

    /// A segment with one message per frame: its bytes, and where each frame begins.
    fn segment_of(frames: u64) -> (Vec<u8>, Vec<usize>) {
        let (mut bytes, mut begins) = (segment_head(SEED, 1).to_vec(), vec![]);
        for number in 1..=frames {
            let message = Message {
                sequence: Sequence(number),
                created: UnixSeconds(1),
                code: MessageCode::from_bytes([1; 20]),
                status: Status::Accepted,
                topic: "t".parse::<Topic>().unwrap(),
                data: "some data".into(),
            };
            begins.push(bytes.len());
            encode_messages(&mut bytes, SEED, &[message]);
        }
        begins.push(bytes.len());
        (bytes, begins)
    }

    #[test]
    fn damage_that_is_healed_is_read_again_and_leaves_no_doubt() {
        let (whole, begins) = segment_of(5);
        // The heads of the second and the fourth frame, and the data of the last one.
        let mut damaged = whole.clone();
        for at in [begins[1], begins[3], begins[5] - 1] {
            damaged[at] ^= 1;
        }
        for heals_the_first in [false, true] {
            let dir = tempfile::tempdir().unwrap();
            let files: Arc<dyn Files> = Arc::new(OsFiles);
            std::fs::write(dir.path().join("0000000001.seg"), &damaged).unwrap();
            let (segments, _) = Segments::open(&files, dir.path(), &[SEED]).unwrap();
            let mut walk = Walk::new(&segments, Position::default(), true);
            let heal = |damage: &Damage| {
                let from = usize::try_from(damage.from).unwrap();
                let bytes = &whole[from..usize::try_from(damage.to).unwrap()];
                segments.get(1).unwrap().heal(damage.from, bytes).unwrap();
            };
            let (mut met, mut last) = (vec![], None);
            while let Some(step) = walk.next().unwrap() {
                match step {
                    Step::Frame(frame) => met.push(frame.meta.entries[0].sequence.0),
                    Step::Damage(damage) => {
                        let number = begins.iter().position(|at| *at as u64 == damage.from);
                        let heals = number == Some(3) || number == Some(1) && heals_the_first;
                        if heals {
                            heal(&damage);
                            walk.go_back(&damage);
                        }
                        last = Some(damage);
                    }
                }
            }
            let all: &[u64] = if heals_the_first {
                &[1, 2, 3, 4]
            } else {
                &[1, 3, 4]
            };
            assert_eq!(met, all);
            // A frame with only its data damaged counts where nothing before it is damaged.
            let last = last.unwrap();
            assert_eq!(last.from, begins[4] as u64);
            assert_eq!(last.meta.is_some(), heals_the_first);
        }
    }

    #[test]
    fn what_is_behind_damage_at_the_very_end_has_a_place() {
        let damage = Damage {
            segment: 1,
            path: PathBuf::new(),
            from: 100,
            to: u32::MAX.into(),
            what: FrameError::Cut,
            meta: None,
        };
        assert_eq!(damage.doubtful_until(), Position::at(1, u32::MAX.into()));
    }
}
