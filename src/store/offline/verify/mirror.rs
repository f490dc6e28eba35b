//! Compares the mirror with the log.

use std::collections::BTreeMap;
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
    /// Loads the mirror in `dir`; `None`, with a finding or a note, if that is not possible.
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

    /// Compares it with the log up to `reached`. If some of the log is `lost`, only message by
    /// message.
    pub(in crate::store) fn compare(
        &self,
        log: &Index,
        times: &Times,
        reached: Position,
        lost: bool,
        place: &dyn Fn(u32, u64, u64) -> Place,
        report: &mut Report,
    ) -> Result<(), StoreError> {
        let applied = self.applied();
        if applied > reached {
            let segment = place(applied.segment, 0, 0).path;
            let known = u64::from(applied.offset);
            report.damage(whole(&self.dir), Fault::LogCutOff { segment, known });
            return Ok(());
        }
        if self.copy.is_partial()? {
            report.note(format!(
                "a crash interrupted a change of the mirror in {}; the next start completes it from the log",
                self.dir.display()
            ));
            return Ok(());
        }
        if log.applied() < applied {
            return Ok(());
        }
        if log.applied() > applied {
            report.note(format!(
                "the mirror in {} ends before the log begins; the next start completes it",
                self.dir.display()
            ));
            return Ok(());
        }
        if !lost {
            self.numbers(log, report);
        }
        let numbers: std::collections::BTreeSet<u64> = log
            .block_numbers()
            .chain(self.index.block_numbers())
            .collect();
        let (mut statuses, mut topics, mut places, mut consumed) = (
            SequenceSet::new(),
            SequenceSet::new(),
            SequenceSet::new(),
            SequenceSet::new(),
        );
        for number in numbers {
            let (ours, its) = (log.block(number), self.index.block(number));
            let all = |block: Option<&Block>| block.map(Block::live).unwrap_or_default();
            let (live, its_live) = (all(ours), all(its));
            let mut either = live.clone();
            either.insert(&its_live);
            for bit in either.iter() {
                let sequence = Sequence(number * BLOCK_LEN + bit);
                let status = log.status(sequence);
                if status != self.index.status(sequence) {
                    statuses.insert(sequence);
                    continue;
                }
                if log.topic_of(sequence) != self.index.topic_of(sequence) {
                    topics.insert(sequence);
                }
                if let (Some(ours), Some(its)) = (ours, its) {
                    let run = Block::run_of(bit);
                    if its.runs[run] > ours.runs[run] || its.runs[run] == Position::default() {
                        places.insert(sequence);
                    }
                }
                if status == Some(StatusKind::Consumed)
                    && self.copy.mirror().consumed_at(sequence)? != times.of(sequence)
                {
                    consumed.insert(sequence);
                }
            }
        }
        for (what, messages) in [
            ("the status of messages", statuses),
            ("the topic of messages", topics),
            ("the place of messages in the log", places),
            ("the time at which messages were consumed", consumed),
        ] {
            if !messages.is_empty() {
                let fault = Fault::MirrorDiffers { what };
                report.damage_of(whole(&self.dir), fault, messages);
            }
        }
        Ok(())
    }

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

fn whole(dir: &Path) -> Place {
    Place {
        path: dir.to_owned(),
        from: 0,
        to: 0,
    }
}
