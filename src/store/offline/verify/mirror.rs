//! Compares the mirror with the log.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use crate::message::{Sequence, StatusKind};
use crate::sequences::SequenceSet;
use crate::store::error::StoreError;
use crate::store::index::Index;
use crate::store::index::bitmap::BLOCK_LEN;
use crate::store::index::block::Block;
use crate::store::log::position::Position;
use crate::store::mirror::copy::MirrorCopy;
use crate::store::offline::verify::report::{Fault, Place, Report};
use crate::store::offline::verify::times::Times;

/// A mirror that could be loaded, and its state.
pub(in crate::store) struct MirrorCheck {
    copy: MirrorCopy,
    index: Index,
    dir: PathBuf,
}

impl MirrorCheck {
    /// Loads the mirror in `dir`. `None`, with a finding or a note, if that is not possible.
    pub(in crate::store) fn open(
        dir: &Path,
        report: &mut Report,
    ) -> Result<Option<MirrorCheck>, StoreError> {
        if !dir.exists() {
            report.note(format!("there is no mirror in {}", dir.display()));
            return Ok(None);
        }
        let opened = MirrorCopy::of(dir).and_then(|copy| {
            let index = copy.mirror().load()?;
            Ok((copy, index))
        });
        match opened {
            Ok((_, index)) if index.applied() == Position::default() => {
                report.note(format!("the mirror in {} is empty", dir.display()));
                Ok(None)
            }
            Ok((copy, index)) => Ok(Some(MirrorCheck {
                copy,
                index,
                dir: dir.to_owned(),
            })),
            Err(StoreError::Mirror(what)) => {
                report.damage(whole(dir), Fault::Mirror(what.to_string()));
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// The position in the log that it stands for.
    pub(in crate::store) fn applied(&self) -> Position {
        self.index.applied()
    }

    /// Compares it with the log up to `reached`. If some of the log is `lost`, counts need not
    /// agree, and only messages are compared.
    pub(in crate::store) fn compare(
        &self,
        log: &Index,
        times: &Times,
        reached: Position,
        lost: bool,
        place: &dyn Fn(u32, u64, u64) -> Place,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        if !self.is_comparable(log, reached, place, report)? {
            return Ok(());
        }
        if !lost {
            self.numbers(log, report);
        }
        let differing = self.differing(log, times)?;
        differing.report(&self.dir, report);
        Ok(())
    }

    /// Whether mirror and log stand at the same position; if not, `report` tells why.
    fn is_comparable(
        &self,
        log: &Index,
        reached: Position,
        place: &dyn Fn(u32, u64, u64) -> Place,
        report: &mut Report,
    ) -> Result<bool, StoreError> {
        let applied = self.applied();
        if applied > reached {
            let segment = place(applied.segment, 0, 0).path;
            let known = u64::from(applied.offset);
            report.damage(whole(&self.dir), Fault::LogCutOff { segment, known });
            return Ok(false);
        }
        if self.copy.is_partial()? {
            report.note(format!(
                "a crash interrupted a change of the mirror in {}; the next start completes it from the log",
                self.dir.display()
            ));
            return Ok(false);
        }
        if log.applied() > applied {
            report.note(format!(
                "the mirror in {} ends before the log begins; the next start completes it",
                self.dir.display()
            ));
        }
        Ok(log.applied() == applied)
    }

    /// Compares mirror and log message by message.
    fn differing(&self, log: &Index, times: &Times) -> Result<Differing, StoreError> {
        let numbers: BTreeSet<u64> = log
            .block_numbers()
            .chain(self.index.block_numbers())
            .collect();
        let mut differing = Differing::default();
        for number in numbers {
            let all = |block: Option<&Block>| block.map(Block::live).unwrap_or_default();
            let mut either = all(log.block(number));
            either.insert(&all(self.index.block(number)));
            for bit in either.iter() {
                self.compare_message(log, times, number, bit, &mut differing)?;
            }
        }
        Ok(differing)
    }

    /// Compares the message at `bit` of a block.
    fn compare_message(
        &self,
        log: &Index,
        times: &Times,
        number: u64,
        bit: u64,
        differing: &mut Differing,
    ) -> Result<(), StoreError> {
        let sequence = Sequence(number * BLOCK_LEN + bit);
        let status = log.status(sequence);
        if status != self.index.status(sequence) {
            differing.statuses.insert(sequence);
            return Ok(());
        }
        if log.topic_of(sequence) != self.index.topic_of(sequence) {
            differing.topics.insert(sequence);
        }
        if let (Some(ours), Some(its)) = (log.block(number), self.index.block(number)) {
            let run = Block::run_of(bit);
            if its.runs[run] > ours.runs[run] || its.runs[run] == Position::default() {
                differing.places.insert(sequence);
            }
        }
        if status == Some(StatusKind::Consumed)
            && self.copy.mirror().consumed_at(sequence)? != times.of(sequence)
        {
            differing.consumed.insert(sequence);
        }
        Ok(())
    }

    /// Compares what is kept once for all messages.
    fn numbers(&self, log: &Index, report: &mut Report) {
        // Days are those of the server's time zone, which may be another one: only their sum
        // counts.
        let accepted = |index: &Index| index.growth().iter().map(|(_, n)| n).sum::<u64>();
        let topics = |index: &Index| -> BTreeMap<String, _> {
            let topics = index.topics().iter();
            topics
                .map(|(topic, counts)| (topic.as_str().to_owned(), counts))
                .collect()
        };
        let rows = [
            (
                "the next sequence",
                log.next_sequence() != self.index.next_sequence(),
            ),
            ("the cutoff of expiry", log.cutoff() != self.index.cutoff()),
            (
                "the number of messages",
                log.counts() != self.index.counts(),
            ),
            (
                "the number of messages of a topic",
                topics(log) != topics(&self.index),
            ),
            ("the growth", accepted(log) != accepted(&self.index)),
            (
                "the growth by quarters of an hour",
                log.quarters() != self.index.quarters(),
            ),
        ];
        for (what, differs) in rows {
            if differs {
                report.damage(whole(&self.dir), Fault::MirrorDiffers { what });
            }
        }
    }
}

/// Messages of which mirror and log say different things, by what it is.
#[derive(Default)]
struct Differing {
    statuses: SequenceSet,
    topics: SequenceSet,
    places: SequenceSet,
    consumed: SequenceSet,
}

impl Differing {
    fn report(self, dir: &Path, report: &mut Report) {
        for (what, messages) in [
            ("the status of messages", self.statuses),
            ("the topic of messages", self.topics),
            ("the place of messages in the log", self.places),
            ("the time at which messages were consumed", self.consumed),
        ] {
            if !messages.is_empty() {
                report.damage_of(whole(dir), Fault::MirrorDiffers { what }, messages);
            }
        }
    }
}

/// The place of a finding about the whole mirror.
fn whole(dir: &Path) -> Place {
    Place {
        path: dir.to_owned(),
        from: 0,
        to: 0,
    }
}
