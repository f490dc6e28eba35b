//! What is known to be damaged, each said once: recovery, scrub and reads meet the same bytes.

use std::collections::HashSet;
use std::fmt::Display;
use std::sync::Mutex;

use crate::store::segments::Position;

/// Findings that are kept; more of them are not told apart.
const FINDINGS_MAX: usize = 1000;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Findings(Mutex<Found>);

#[derive(Debug, Default)]
struct Found {
    places: HashSet<Position>,
    texts: Vec<String>,
}

impl Findings {
    /// Keeps what was found at `position`; true if it is new.
    pub(crate) fn note(&self, position: Position, what: &dyn Display) -> bool {
        let mut found = self.0.lock().expect("no holder of this lock panics");
        let new = found.places.len() < FINDINGS_MAX && found.places.insert(position);
        if new {
            found.texts.push(what.to_string());
        }
        new
    }

    /// Keeps what was found, and says it if it is new.
    pub(crate) fn report(&self, position: Position, what: &dyn Display) {
        if self.note(position, what) {
            tracing::error!("damaged: {what}; everything else is served");
        }
    }

    /// All that was found, each as a sentence.
    pub(crate) fn texts(&self) -> Vec<String> {
        let found = self.0.lock().expect("no holder of this lock panics");
        found.texts.clone()
    }
}
