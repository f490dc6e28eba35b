//! The key that a connection has presented.

use std::sync::{Arc, Mutex, PoisonError};

use crate::access::grant::Grant;

/// The key that a connection has presented last, if it was valid. Clones are of the same
/// connection.
///
/// A proxy may send requests of many clients over one connection, so another key replaces it.
#[derive(Clone, Debug, Default)]
pub struct PresentedKey(Arc<Mutex<Option<Arc<Grant>>>>);

impl PresentedKey {
    /// Whether it is the key of this grant. If not, it is forgotten.
    pub(super) fn is(&self, grant: Option<&Arc<Grant>>) -> bool {
        let mut presented = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*presented, grant) {
            (Some(one), Some(grant)) if Arc::ptr_eq(one, grant) => true,
            _ => {
                *presented = None;
                false
            }
        }
    }

    pub(super) fn set(&self, grant: &Arc<Grant>) {
        let mut presented = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *presented = Some(grant.clone());
    }
}
