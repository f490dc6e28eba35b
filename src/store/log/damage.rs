//! Damage of the log: bytes that are not a valid frame. Each is reported once, although recovery,
//! scrub and reads all meet the same bytes.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::sync::Mutex;

use crate::store::log::frame::{FrameError, Meta};
use crate::store::log::position::Position;
use crate::store::log::segments::Located;

/// The most findings kept. Further ones are not reported.
const FINDINGS_MAX: usize = 1000;

/// The damage found so far.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    places: HashSet<Position>,
    texts: Vec<String>,
}

impl Findings {
    /// Keeps a finding at `position`. Returns whether it is new.
    pub(crate) fn note(&self, position: Position, what: &dyn Display) -> bool {
        let mut found = self.0.lock().expect("no holder of this lock panics");
        let new = found.places.len() < FINDINGS_MAX && found.places.insert(position);
        if new {
            found.texts.push(what.to_string());
        }
        new
    }

    /// Keeps a finding at `position`, and logs it if it is new.
    pub(crate) fn report(&self, position: Position, what: &dyn Display) {
        if self.note(position, what) {
            tracing::error!("damaged: {what}; everything else is served");
        }
    }

    /// All findings, each as a sentence.
    pub(crate) fn texts(&self) -> Vec<String> {
        let found = self.0.lock().expect("no holder of this lock panics");
        found.texts.clone()
    }
}

/// The most that a disk writes to the wrong place at once.
pub(crate) const BLOCK_BYTES: u64 = 4096;

/// Bytes of the log that are not a valid frame.
#[derive(Clone, Debug)]
pub(crate) struct Damage {
    pub(crate) segment: u32,
    pub(crate) path: PathBuf,
    pub(crate) from: u64,
    /// Where the next valid frame begins, or the segment ends.
    pub(crate) to: u64,
    pub(crate) what: FrameError,
    /// The frame's meta, if only its data is damaged.
    pub(crate) meta: Option<Meta>,
}

impl Damage {
    /// Where the damage begins.
    pub(crate) fn position(&self) -> Position {
        Position::at(self.segment, self.from)
    }

    /// A valid frame that belongs elsewhere: the disk has written it to the wrong place.
    pub(crate) fn misplaced(frame: &Located) -> Damage {
        Damage {
            segment: frame.segment.number,
            path: frame.segment.path.clone(),
            from: frame.position.offset.into(),
            to: frame.next.offset.into(),
            what: FrameError::Place,
            meta: None,
        }
    }

    /// Up to here, valid frames may belong elsewhere: a block that the disk has written to the
    /// wrong place may hold whole frames.
    pub(crate) fn doubtful_until(&self) -> Position {
        let block = self.to / BLOCK_BYTES + 1;
        Position::at(self.segment, (block * BLOCK_BYTES).min(u32::MAX.into()))
    }

    /// Where the damage ends.
    pub(crate) fn end(&self) -> Position {
        Position::at(self.segment, self.to)
    }
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path.display();
        write!(
            f,
            "{path} from byte {} to {}: {}",
            self.from, self.to, self.what
        )?;
        let entries = self.meta.as_ref().map(|meta| &meta.entries);
        let ends = entries.and_then(|entries| Some((entries.first()?, entries.last()?)));
        ends.map_or(Ok(()), |(first, last)| {
            let (first, last) = (first.sequence.0, last.sequence.0);
            write!(f, ", with the messages of the sequences {first} to {last}")
        })
    }
}
