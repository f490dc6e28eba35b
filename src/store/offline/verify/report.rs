//! The results of a check.

use std::fmt;
use std::path::PathBuf;

use crate::sequences::{SequenceSet, Span};
use crate::store::counts::Counts;

/// The most findings kept. Of further ones only the number is kept.
const FINDINGS_MAX: usize = 1000;
/// The most ranges of messages shown for one finding.
const RANGES_TOLD: usize = 8;

/// The result of a check: what is wrong and where, if anything.
#[derive(Debug, Default)]
pub struct Report {
    /// What is wrong, in the order of the check; at most 1,000.
    pub findings: Vec<Finding>,
    /// The number of further findings.
    pub more_findings: u64,
    /// What is not damage, but worth knowing.
    pub notes: Vec<String>,
    /// What was checked.
    pub totals: Totals,
    /// The file says itself that it is complete, as a backup does.
    pub ended: bool,
}

/// What was checked, as far as it can be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Totals {
    /// Files of the log, or their copies in the snapshot.
    pub segments: u64,
    /// Frames in them.
    pub frames: u64,
    /// Chunks of the snapshot.
    pub chunks: u64,
    /// Messages that are not gone.
    pub messages: Counts,
    /// Topics that have messages.
    pub topics: u64,
}

/// Something that is wrong.
#[derive(Clone, Debug, PartialEq)]
pub struct Finding {
    /// Where.
    pub place: Place,
    /// What.
    pub fault: Fault,
    /// The sequences of the messages concerned, as far as they are known.
    pub messages: SequenceSet,
}

/// Bytes of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The file or folder.
    pub path: PathBuf,
    /// The first byte.
    pub from: u64,
    /// The byte after the last; 0 if no bytes are meant.
    pub to: u64,
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A segment does not begin with a segment's head.
    #[error("the segment's head is damaged")]
    SegmentHead,
    /// A segment between others does not exist.
    #[error("the segment is missing")]
    SegmentMissing,
    /// Bytes of the log are not a valid frame.
    #[error("{0}")]
    Frame(&'static str),
    /// The first frame of a segment is not a checkpoint.
    #[error("the segment does not begin with a checkpoint")]
    NoCheckpoint,
    /// The checkpoint contradicts the segments before it.
    #[error("{what} is {told} here, but {found} according to the segments before")]
    Checkpoint {
        /// The value in question.
        what: &'static str,
        /// Its value in the checkpoint.
        told: u64,
        /// Its value according to the segments before.
        found: u64,
    },
    /// Messages have sequences that others have had.
    #[error("messages appear a second time")]
    Twice,
    /// Messages between others are in no frame.
    #[error("messages are missing before this frame")]
    Missing,
    /// An outcome comes before its message is stored.
    #[error("an outcome comes before its message")]
    ToCome,
    /// Data of messages is not UTF-8.
    #[error("the data of messages is not UTF-8")]
    Text,
    /// Bytes of the snapshot are not the chunk that was written.
    #[error("the chunk is damaged")]
    Chunk,
    /// A chunk does not continue where the one before ended.
    #[error("there is a hole in the history before this chunk")]
    Hole,
    /// The snapshot has other bytes than the log.
    #[error("its bytes differ from those of {}", segment.display())]
    Differs {
        /// The segment that it is a copy of.
        segment: PathBuf,
    },
    /// The mirror cannot be read.
    #[error("{0}")]
    Mirror(String),
    /// The mirror contradicts the log up to the same position.
    #[error("{what} differs from the log")]
    MirrorDiffers {
        /// The value in question.
        what: &'static str,
    },
    /// The mirror or the snapshot has seen more of the log than exists.
    #[error("the log was longer: mirror or snapshot know it up to byte {known} of {}", segment.display())]
    LogCutOff {
        /// The last segment that was seen.
        segment: PathBuf,
        /// The offset up to which it was seen.
        known: u64,
    },
}

impl Report {
    /// Whether nothing is wrong.
    pub fn is_whole(&self) -> bool {
        self.findings.is_empty()
    }

    pub(in crate::store) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    pub(in crate::store) fn damage(&mut self, place: Place, fault: Fault) {
        self.damage_of(place, fault, SequenceSet::new());
    }

    pub(in crate::store) fn damage_of(
        &mut self,
        place: Place,
        fault: Fault,
        messages: SequenceSet,
    ) {
        if self.findings.len() == FINDINGS_MAX {
            self.more_findings += 1;
            return;
        }
        self.findings.push(Finding {
            place,
            fault,
            messages,
        });
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.to {
            0 => write!(f, "{}", self.path.display()),
            to => write!(f, "{} from byte {} to {to}", self.path.display(), self.from),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.fault)?;
        let spans = self.messages.spans();
        if spans.is_empty() {
            return Ok(());
        }
        let told = spans.iter().take(RANGES_TOLD).map(|span| match span.len {
            1 => span.first.to_string(),
            _ => format!("{} to {}", span.first, span.end() - 1),
        });
        let told: Vec<String> = told.collect();
        write!(
            f,
            "; {} messages, by sequence {}",
            self.messages.len(),
            told.join(", ")
        )?;
        match spans.len() > RANGES_TOLD {
            true => write!(f, " and others"),
            false => Ok(()),
        }
    }
}

/// The sequences from `first` up to but not including `end`.
pub(in crate::store) fn range(first: u64, end: u64) -> SequenceSet {
    let mut set = SequenceSet::new();
    set.insert_span(Span {
        first,
        len: end.saturating_sub(first),
    });
    set
}
