//! What cannot be written at the moment. The threads of the store note it, the console shows it.

use std::sync::{Arc, Mutex, MutexGuard};

use crate::store::error::StoreError;

/// A part of the store that is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Component {
    Log,
    Mirror,
    Snapshot,
}

/// The error of each component's last attempt to write, if it failed.
#[derive(Clone, Default)]
pub(crate) struct Trouble(Arc<Mutex<[Option<StoreError>; 3]>>);

impl Trouble {
    fn lock(&self) -> MutexGuard<'_, [Option<StoreError>; 3]> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Notes how an attempt went. Returns whether that is a change: the first failure, or the first
    /// success after one.
    pub(crate) fn note(&self, component: Component, error: Option<&StoreError>) -> bool {
        let before = std::mem::replace(&mut self.lock()[component as usize], error.cloned());
        before.is_some() != error.is_some()
    }

    pub(crate) fn health(&self) -> Health {
        let troubles = self.lock();
        let cause =
            |component: Component| troubles[component as usize].as_ref().map(StoreError::cause);
        let mirror = cause(Component::Mirror);
        let snapshot = cause(Component::Snapshot);
        Health {
            refusing: cause(Component::Log),
            impaired: mirror
                .map(|cause| format!("the mirror of the log cannot be written: {cause}"))
                .into_iter()
                .chain(snapshot.map(|cause| format!("the snapshot cannot be written: {cause}")))
                .collect(),
        }
    }
}

/// What cannot be written at the moment, and why.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Health {
    /// Why messages cannot be stored.
    pub refusing: Option<String>,
    /// What else cannot be written. No client waits for it.
    pub impaired: Vec<String>,
}
