//! Applies the log after the mirror's position, and decides how the log ends.

use crate::message::Sequence;
use crate::sequences::{SequenceSet, Span};
use crate::store::change::Change;
use crate::store::error::StoreError;
use crate::store::fs::reserve::{Reserve, Urgency};
use crate::store::index::Index;
use crate::store::log::damage::{Damage, Findings};
use crate::store::log::local::Log;
use crate::store::log::position::Position;
use crate::store::log::segment::SEGMENT_HEAD_BYTES;
use crate::store::log::segments::Segments;
use crate::store::log::walk::Step;
use crate::store::mirror::Mirror;
use crate::store::recovery::recovered::Recovered;
use crate::store::repair::coverage::{Coverage, lost_text};
use crate::store::repair::heal::Healer;

/// Times of consumption that a replay keeps in memory. Beyond that, they go to the mirror.
const TIMES_MAX: usize = 64 << 10;

/// More than a crash can leave of the first segment while it is created.
const BEGUN_BYTES: u64 = 4 << 10;

/// Applies the log after the mirror's position to the index.
pub(crate) struct Replay<'a> {
    pub(crate) log: &'a mut Log,
    pub(crate) index: &'a mut Index,
    pub(crate) mirror: &'a Mirror,
    pub(crate) reserve: &'a Reserve,
    pub(crate) healer: &'a mut Healer,
    pub(crate) findings: &'a Findings,
    pub(crate) recovered: &'a mut Recovered,
    /// Everything before was synced, and a client may know of it: mirror or snapshot have it.
    pub(crate) known: Position,
    /// Everything before is on the disk for certain.
    pub(crate) durable: Position,
    /// The newest segment has bytes that are not a frame.
    pub(crate) holes: bool,
    /// The mirror takes no more, because the disk is full.
    pub(crate) mirror_full: bool,
}

impl Replay<'_> {
    /// Replays the log, and decides how it ends. What a crash has left of an unfinished write is
    /// cut off. Where synced bytes are gone, the log continues in a new segment.
    pub(crate) fn run(mut self) -> Result<(), StoreError> {
        let segments = self.log.segments().clone();
        self.drop_undone(&segments)?;
        let mut walk = segments.walk(self.index.applied(), true);
        let mut coverage = Coverage::from(self.index.next_sequence(), self.index.applied());
        let mut tail: Option<Damage> = None;
        while let Some(step) = walk.next()? {
            if let Some(mut damage) = tail.take() {
                if let Step::Damage(zeros) = &step
                    && segments.is_preallocated(zeros)?
                {
                    damage.to = zeros.to;
                    tail = Some(damage);
                    continue;
                }
                self.pass_over(damage, &mut coverage);
            }
            let damage = match step {
                Step::Frame(frame) if coverage.accepts(&frame.meta, frame.position, frame.next) => {
                    self.index.apply(frame.position, frame.next, &frame.meta);
                    self.recovered.replayed += 1;
                    self.mirror_times()?;
                    continue;
                }
                Step::Frame(frame) => Damage::misplaced(&frame),
                Step::Damage(damage) => damage,
            };
            let mut healed = self.healer.frames(&damage)?;
            if healed.is_empty() {
                tail = Some(damage);
            } else {
                self.recovered.healed.append(&mut healed);
                walk.go_back(&damage);
            }
        }
        self.settle(tail, &mut coverage)?;
        for missing in coverage.missing() {
            let text = missing.text(missing.span.len, &segments);
            self.findings.note(missing.key(), &text);
        }
        self.index.advance(self.log.end());
        Ok(())
    }

    /// Removes a segment whose creation was not certain to succeed, and continues before it. A
    /// power cut may bring the segment back, and its checkpoint would then say that newer messages
    /// are gone.
    fn drop_undone(&mut self, segments: &Segments) -> Result<(), StoreError> {
        let end = self.log.end();
        let first = Position::at(end.segment, SEGMENT_HEAD_BYTES);
        let all = segments.from(0);
        let [.., before, _] = &all[..] else {
            return Ok(());
        };
        if self.known > first {
            return Ok(());
        }
        let checkpoint = match segments.meta_at(first) {
            Ok(located) if located.next == end => located.meta.checkpoint,
            Ok(_) | Err(StoreError::Corrupt { .. }) => None,
            Err(error) => return Err(error),
        };
        match checkpoint {
            Some(checkpoint) if checkpoint.next < first_after(segments, before.number)? => {
                self.log.drop_newest(before)
            }
            _ => Ok(()),
        }
    }

    /// Passes over lost messages. They are not counted, since nobody may have been told of them.
    /// But their sequences are not used again: readers still find them where the damage is.
    fn pass_over(&mut self, damage: Damage, coverage: &mut Coverage) {
        let (position, next) = (damage.position(), damage.end());
        let newest = damage.segment == self.log.end().segment;
        self.holes |= newest;
        // Creating the newest segment synced everything before it.
        if newest && position >= self.known {
            let text = format!("{damage} (or it is a write that was not finished)");
            self.findings.note(position, &text);
        } else {
            self.findings.note(position, &damage);
        }
        if let Some(meta) = damage.meta
            && coverage.accepts(&meta, position, next)
        {
            let last = meta.entries.last();
            self.index.skip_to(last.map(|entry| entry.sequence.next()));
        }
    }

    /// Hands times of consumption to the mirror when there are many.
    fn mirror_times(&mut self) -> Result<(), StoreError> {
        if self.index.times.len() >= TIMES_MAX && !self.mirror_full {
            // The mirror must not be ahead of what a power cut leaves.
            self.write_again()?;
            self.durable = self.log.end();
            let changes = self.index.take_changes();
            match self.mirror.apply(&changes) {
                Err(error) if !error.is_full() => return Err(error),
                Err(_) => {
                    self.mirror_full = true;
                    self.index.mirrored(Some(changes));
                }
                Ok(()) => self.index.mirrored(None),
            }
        }
        Ok(())
    }

    /// A file system that never overwrites in place needs free space for that.
    fn write_again(&self) -> Result<(), StoreError> {
        let write = || self.log.write_again(self.durable);
        self.reserve.spend(Urgency::Deletion, write)
    }

    /// Decides how the log ends, now that everything before `tail` is applied: what a crash has left
    /// of an unfinished write is cut off, and after lost bytes the log continues in a new segment.
    fn settle(&mut self, tail: Option<Damage>, coverage: &mut Coverage) -> Result<(), StoreError> {
        let known = self.known;
        let end = self.log.end();
        let lost = known > end;
        if lost {
            self.lose_tail(known)?;
        }
        if let Some(damage) = tail {
            let newest = damage.segment == end.segment && damage.to == u64::from(end.offset);
            if newest && damage.position() >= known {
                self.refuse_all_unreadable(&damage)?;
                self.recovered.torn_bytes +=
                    self.log
                        .segments()
                        .written_between(damage.segment, damage.from, damage.to)?;
                self.log.truncate(damage.position())?;
                if damage.from <= SEGMENT_HEAD_BYTES {
                    self.log.begin_again(&self.index.checkpoint())?;
                }
            } else {
                self.pass_over(damage, coverage);
            }
        }
        // What is served from now on must not be forgotten, and what is mirrored must be synced.
        self.write_again()?;
        // A hole may begin with the head of a longer frame, and more bytes after it would seem to
        // complete that frame.
        if lost || self.holes {
            let checkpoint = self.index.checkpoint();
            let (log, number) = (&mut *self.log, known.segment);
            let go_on = || log.roll_past(number, &checkpoint);
            self.reserve.spend(Urgency::Expiry, go_on)?;
        }
        Ok(())
    }

    /// A crash leaves only the beginning of a first segment. If nothing of a longer one can be
    /// read, the seed of the checksums is unknown, and nothing may be cut off.
    fn refuse_all_unreadable(&self, damage: &Damage) -> Result<(), StoreError> {
        let only = self.log.segments().oldest() == Some(damage.segment);
        if only && damage.from <= SEGMENT_HEAD_BYTES && damage.to > BEGUN_BYTES {
            return Err(StoreError::NotOurs {
                path: damage.path.clone(),
                what: "no frame of the log can be read; is it of another store?".into(),
            });
        }
        Ok(())
    }

    /// The log ends before `known`: reports that, and forgets the messages after its end.
    fn lose_tail(&mut self, known: Position) -> Result<(), StoreError> {
        let end = self.log.end();
        let segments = self.log.segments();
        let first = first_after(segments, end.segment)?;
        let next = self.index.next_sequence().0;
        let path = segments.path_of(end.segment);
        let mut text = format!(
            "{} ends at byte {}, and was written up to byte {} of segment {}",
            path.display(),
            end.offset,
            known.offset,
            known.segment
        );
        if first < next {
            let lost = Span {
                first,
                len: next - first,
            };
            let live = self.index.live_between(Sequence(first), Sequence(next - 1));
            text += &format!(": {}", lost_text(live, lost));
            let mut set = SequenceSet::new();
            set.insert_span(lost);
            self.index.change(Change::Deleted, &set);
        }
        self.findings.note(end, &text);
        Ok(())
    }
}

/// The first message that is in no frame of a segment, nor of those before it.
fn first_after(segments: &Segments, segment: u32) -> Result<u64, StoreError> {
    let mut walk = segments.walk(Position::at(segment, 0), false);
    let mut first = 1;
    while let Some(step) = walk.next()? {
        if let Step::Frame(frame) = step {
            let checkpoint = frame
                .meta
                .checkpoint
                .map_or(0, |checkpoint| checkpoint.next);
            let after = frame.meta.entries.last();
            let after = after.map_or(0, |entry| entry.sequence.0 + 1);
            first = first.max(checkpoint).max(after);
        }
    }
    Ok(first)
}
