//! The key that a connection has shown.

use std::sync::{Arc, Mutex, PoisonError};

use super::grant::Grant;

/// The key that a connection has shown last, if it was right. Clones are of the same connection.
///
/// A proxy may have one connection for many clients, so another key puts an end to it.
#[derive(Clone, Debug, Default)]
pub struct Shown(Arc<Mutex<Option<Arc<Grant>>>>);

impl Shown {
    /// Whether it is this key's; it is nobody's any more if not.
    pub(super) fn is(&self, grant: Option<&Arc<Grant>>) -> bool {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*shown, grant) {
            (Some(one), Some(grant)) if Arc::ptr_eq(one, grant) => true,
            _ => {
                *shown = None;
                false
            }
        }
    }

    pub(super) fn set(&self, grant: &Arc<Grant>) {
        let mut shown = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *shown = Some(grant.clone());
    }
}
