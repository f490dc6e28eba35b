//! What cannot be written at the moment: noted by whoever tries, asked for by whoever shows it.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::error::StoreError;

/// What is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    Log,
    Mirror,
    Snapshot,
}

/// How the last attempts went.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<[Option<StoreError>; 3]>>);

impl Trouble {
    fn lock(&self) -> MutexGuard<'_, [Option<StoreError>; 3]> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Notes how an attempt went; says whether it went otherwise than the one before.
    pub(crate) fn note(&self, part: Part, error: Option<&StoreError>) -> bool {
        let before = std::mem::replace(&mut self.lock()[part as usize], error.cloned());
        before.is_some() != error.is_some()
    }

    pub(crate) fn health(&self) -> Health {
        let troubles = self.lock();
        let cause = |part: Part| troubles[part as usize].as_ref().map(StoreError::cause);
        let mirror = cause(Part::Mirror);
        let snapshot = cause(Part::Snapshot);
        Health {
            refusing: cause(Part::Log),
            impaired: mirror
                .map(|cause| format!("the mirror of the log is behind: {cause}"))
                .into_iter()
                .chain(snapshot.map(|cause| format!("the snapshot is behind: {cause}")))
                .collect(),
        }
    }
}

/// What cannot be written at the moment, each as a reason for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why messages cannot be stored.
    pub refusing: Option<String>,
    /// What else cannot be written, and holds nobody up.
    pub impaired: Vec<String>,
}
