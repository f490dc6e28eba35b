//! Reads every byte of the log from its beginning, and checks that it adds up.

use std::path::Path;

use crate::sequences::SequenceSet;
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::log::damage::Damage;
use crate::store::log::frame::Checkpoint;
use crate::store::log::position::Position;
use crate::store::log::segment::SEGMENT_HEAD_BYTES;
use crate::store::log::segments::{Located, Segments};
use crate::store::log::walk::Step;
use crate::store::offline::verify::mirror::MirrorCheck;
use crate::store::offline::verify::report::{Fault, Place, Report, range};
use crate::store::offline::verify::steps::Steps;
use crate::store::offline::verify::times::Times;

/// The number of frames after which changes are taken out of the index.
const FRAMES_BETWEEN: u64 = 1024;

/// Checks the log, and the mirror where the log reaches its position.
pub(in crate::store) struct LogCheck<'a, 'p> {
    segments: &'a Segments,
    /// The place of the bytes of a segment, from and up to an offset in it.
    place: &'a dyn Fn(u32, u64, u64) -> Place,
    report: &'a mut Report,
    steps: &'a mut Steps<'p>,
    index: Index,
    times: Times,
    /// The segment of the last frame.
    segment: Option<u32>,
    /// The next sequence, once it is known.
    next: Option<u64>,
    /// Bytes that are not a frame, as long as nothing has followed them.
    open: Option<Unread>,
    /// An earlier part cannot be read, so what follows need not agree with it.
    lost: bool,
    /// The number of messages whose code has another time than their own.
    other_times: u64,
}

/// Bytes that are not a frame.
struct Unread {
    segment: u32,
    from: u64,
    to: u64,
    what: &'static str,
    messages: SequenceSet,
}

impl<'a, 'p> LogCheck<'a, 'p> {
    pub(in crate::store) fn new(
        segments: &'a Segments,
        place: &'a dyn Fn(u32, u64, u64) -> Place,
        report: &'a mut Report,
        steps: &'a mut Steps<'p>,
    ) -> LogCheck<'a, 'p> {
        LogCheck {
            segments,
            place,
            report,
            steps,
            index: Index::new(),
            times: Times::default(),
            segment: None,
            next: None,
            open: None,
            lost: false,
            other_times: 0,
        }
    }

    /// Checks everything, also the mirror when the log reaches its position.
    pub(in crate::store) fn run(
        mut self,
        mut mirror: Option<MirrorCheck>,
    ) -> Result<(), StoreError> {
        let mut walk = self.segments.walk(Position::default(), false);
        while let Some(step) = walk.next()? {
            match step {
                Step::Frame(frame) => {
                    if let Some(mirror) = mirror.take_if(|it| it.applied() <= frame.position) {
                        self.compare(mirror, frame.position)?;
                    }
                    self.steps
                        .add(u64::from(frame.next.offset) - u64::from(frame.position.offset));
                    self.frame(&frame)?;
                }
                Step::Damage(damage) => self.damage(&damage)?,
            }
        }
        let whole_to = self.end()?;
        self.close();
        if let Some(mirror) = mirror {
            self.compare(mirror, whole_to)?;
        }
        self.totals();
        Ok(())
    }

    /// Keeps bytes that are not a frame until it is known what follows them.
    fn damage(&mut self, damage: &Damage) -> Result<(), StoreError> {
        self.steps.add(damage.to - damage.from);
        match &mut self.open {
            Some(torn) if self.segments.is_preallocated(damage)? => torn.to = damage.to,
            _ => {
                self.close();
                self.open = Some(self.unread(damage)?);
            }
        }
        Ok(())
    }

    /// Where the log ends. An unfinished write there is no damage and is taken out of what is open.
    fn end(&mut self) -> Result<Position, StoreError> {
        let end = self.segments.from(0).last().map(|newest| Position {
            segment: newest.number,
            offset: u32::try_from(newest.end()).unwrap_or(u32::MAX),
        });
        let mut whole_to = end.unwrap_or_default();
        let at_end = |unread: &mut Unread| {
            (unread.segment, unread.to) == (whole_to.segment, whole_to.offset.into())
        };
        let Some(torn) = self.open.take_if(at_end) else {
            return Ok(whole_to);
        };
        whole_to.offset = u32::try_from(torn.from).unwrap_or(u32::MAX);
        let segments = self.segments;
        let written = segments.written_between(torn.segment, torn.from, torn.to)?;
        if written > 0 {
            let place = (self.place)(torn.segment, torn.from, torn.from + written);
            self.report.note(format!(
                "{place}: the log ends with an unfinished write, which was never acknowledged; the next start removes it"
            ));
        }
        Ok(whole_to)
    }

    /// Reports what the log adds up to.
    fn totals(&mut self) {
        let totals = &mut self.report.totals;
        totals.segments = self.segments.from(0).len() as u64;
        totals.messages = self.index.counts();
        totals.topics = self.index.topics().len() as u64;
        if self.other_times > 0 {
            self.report.note(format!(
                "{} messages have codes with another time than their own, as after an import: a search by code does not find them",
                self.other_times
            ));
        }
    }

    /// What is wrong with bytes that are not a frame.
    fn unread(&self, damage: &Damage) -> Result<Unread, StoreError> {
        let segment = number_of(&damage.path);
        let at = Position {
            segment,
            offset: u32::try_from(damage.from).unwrap_or(u32::MAX),
        };
        let what = match self.segments.meta_at(at) {
            Err(StoreError::Corrupt { what, .. }) => what,
            Err(error) => return Err(error),
            Ok(_) => "it is no frame",
        };
        Ok(Unread {
            segment,
            from: damage.from,
            to: damage.to,
            what,
            messages: SequenceSet::new(),
        })
    }

    /// Reports unread bytes as damage, now that something follows them.
    fn close(&mut self) {
        if let Some(unread) = self.open.take() {
            let place = (self.place)(unread.segment, unread.from, unread.to);
            let fault = Fault::Frame(unread.what);
            self.report.damage_of(place, fault, unread.messages);
            self.lost = true;
        }
    }

    /// Checks a frame, and applies it.
    fn frame(&mut self, frame: &Located) -> Result<(), StoreError> {
        self.close();
        self.report.totals.frames += 1;
        let number = frame.position.segment;
        if self.segment != Some(number) {
            self.begin_segment(frame);
        } else if frame.meta.checkpoint.is_some() && !self.lost {
            // A crash may have left a segment without its first frame, which is written again.
            self.checkpoint(frame, frame.meta.checkpoint.as_ref());
        }
        self.segment = Some(number);
        if let Some(checkpoint) = &frame.meta.checkpoint {
            self.next = self.next.max(Some(checkpoint.next));
        }
        self.sequences(frame);
        match self.data(frame)? {
            true => self.index.apply(frame.position, frame.next, &frame.meta),
            false => self.index.advance(frame.next),
        }
        if self.report.totals.frames.is_multiple_of(FRAMES_BETWEEN) {
            self.times.take(&mut self.index);
        }
        Ok(())
    }

    /// Messages come in the order of their sequences, and their outcomes come later.
    fn sequences(&mut self, frame: &Located) {
        let entries = &frame.meta.entries;
        if let (Some(first), Some(last)) = (entries.first(), entries.last()) {
            let (first, end) = (first.sequence.0, last.sequence.0 + 1);
            match self.next {
                Some(next) if next < first => self.missing(frame, next, first),
                Some(next) if first < next => {
                    let twice = range(first, end.min(next));
                    self.report.damage_of(self.at(frame), Fault::Twice, twice);
                }
                Some(_) | None => {}
            }
            self.next = self.next.max(Some(end));
        }
        let Some(next) = self.next.filter(|_| !self.lost) else {
            return;
        };
        for (_, sequences) in &frame.meta.changes {
            let last = sequences.spans().last();
            if let Some(last) = last.filter(|last| last.end() > next) {
                let to_come = range(last.first.max(next), last.end());
                self.report
                    .damage_of(self.at(frame), Fault::ToCome, to_come);
            }
        }
    }

    /// The bytes of a frame.
    fn at(&self, frame: &Located) -> Place {
        let Located { position, next, .. } = frame;
        (self.place)(position.segment, position.offset.into(), next.offset.into())
    }

    /// Messages from `next` up to `first` are missing before this frame.
    fn missing(&mut self, frame: &Located, next: u64, first: u64) {
        let gone = range(next, first);
        let damaged = self.report.findings.last_mut().filter(|_| self.lost);
        match damaged {
            // They were in the bytes that could not be read.
            Some(last) if last.messages.is_empty() => last.messages = gone,
            _ => self.report.damage_of(self.at(frame), Fault::Missing, gone),
        }
    }

    /// Checks the beginning of a segment, and that none is missing before it.
    fn begin_segment(&mut self, frame: &Located) {
        let number = frame.position.segment;
        let first = (self.segment).map_or(number, |before| before.saturating_add(1));
        for missing in first..number {
            let place = Place {
                to: 0,
                ..(self.place)(missing, 0, 0)
            };
            self.report.damage(place, Fault::SegmentMissing);
            self.lost = true;
        }
        let begins = u64::from(frame.position.offset) == SEGMENT_HEAD_BYTES;
        match &frame.meta.checkpoint {
            Some(checkpoint) if self.segment.is_some() => self.checkpoint(frame, Some(checkpoint)),
            None if begins => self.report.damage(self.at(frame), Fault::NoCheckpoint),
            Some(_) | None => {}
        }
    }

    /// Compares the checkpoint of a segment with what the segments before it add up to.
    fn checkpoint(&mut self, frame: &Located, told: Option<&Checkpoint>) {
        let Some(told) = told else { return };
        if let Some(next) = self.next.filter(|next| *next < told.next) {
            self.missing(frame, next, told.next);
            return;
        }
        if self.lost {
            return;
        }
        let found = self.index.checkpoint();
        // Days are those of the server's time zone, which may be another one: only their sum
        // counts.
        let days = |growth: &[(i32, u64)]| growth.iter().map(|(_, count)| count).sum::<u64>();
        let quarters = |growth: &[(u32, u64)]| growth.iter().map(|(_, count)| count).sum::<u64>();
        let rows = [
            ("the next sequence", told.next, found.next),
            ("the first message", told.first_live, found.first_live),
            (
                "the cutoff of expiry",
                told.cutoff.into(),
                found.cutoff.into(),
            ),
            ("the growth", days(&told.growth), days(&found.growth)),
        ];
        for (what, told, found) in rows {
            if told != found {
                let fault = Fault::Checkpoint { what, told, found };
                self.report.damage(self.at(frame), fault);
            }
        }
        // The first release did not write them.
        if !told.quarters.is_empty() && told.quarters != found.quarters {
            let fault = Fault::Checkpoint {
                what: "the growth by quarters of an hour",
                told: quarters(&told.quarters),
                found: quarters(&found.quarters),
            };
            self.report.damage(self.at(frame), fault);
        }
    }

    /// Checks the data of a frame. Returns whether it can be read.
    fn data(&mut self, frame: &Located) -> Result<bool, StoreError> {
        let offset = frame.position.offset;
        let all = || frame.meta.entries.iter().map(|entry| entry.sequence);
        let data = match self.segments.data_of(&frame.segment, offset, &frame.head) {
            Ok(data) => data,
            Err(StoreError::Corrupt { what, .. }) => {
                self.open = Some(Unread {
                    segment: frame.position.segment,
                    from: offset.into(),
                    to: frame.next.offset.into(),
                    what,
                    messages: all().collect(),
                });
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        let mut no_text = SequenceSet::new();
        for entry in &frame.meta.entries {
            let from = entry.offset as usize;
            let text = data.get(from..from + entry.len as usize);
            if text.is_none_or(|text| std::str::from_utf8(text).is_err()) {
                no_text.insert(entry.sequence);
            }
            if entry.code.created() != entry.created {
                self.other_times += 1;
            }
        }
        if !no_text.is_empty() {
            self.report.damage_of(self.at(frame), Fault::Text, no_text);
        }
        Ok(true)
    }

    /// Compares the mirror with what the log adds up to here.
    fn compare(&mut self, mirror: MirrorCheck, reached: Position) -> Result<(), StoreError> {
        self.times.take(&mut self.index);
        let (index, times) = (&self.index, &self.times);
        mirror.compare(index, times, reached, self.lost, self.place, self.report)
    }
}

/// The number of a segment, by the name of its file.
fn number_of(path: &Path) -> u32 {
    let name = path.file_stem().and_then(|name| name.to_str());
    name.and_then(|name| name.parse().ok()).unwrap_or_default()
}
