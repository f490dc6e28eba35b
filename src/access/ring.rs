//! The keys of the file as they are in use.

use std::sync::Arc;

use subtle::ConditionallySelectable;

use super::digest::Digest;
use super::grant::Grant;
use super::listed::ListedKey;

/// Keys that a file may list: each is looked at whenever a key is presented.
pub const KEYS_MAX: usize = 1000;

/// See the module.
#[derive(Default)]
pub(super) struct Ring(Vec<(ListedKey, Arc<Grant>)>);

impl Ring {
    pub(super) fn new(keys: Vec<ListedKey>) -> Ring {
        let grants = keys.into_iter().map(|key| {
            let grant = Arc::new(Grant::of(&key));
            (key, grant)
        });
        Ring(grants.collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.0.iter().map(|(_, grant)| grant)
    }

    /// The grant of the key that is presented. All keys are compared, whichever it is.
    pub(super) fn find(&self, presented: &str) -> Option<Arc<Grant>> {
        let presented = Digest::of(presented)?;
        let mut found = u32::MAX;
        for (place, (key, _)) in (0..).zip(&self.0) {
            found.conditional_assign(&place, key.digest.is(&presented));
        }
        let (_, grant) = self.0.get(usize::try_from(found).ok()?)?;
        Some(grant.clone())
    }

    /// The ring of these keys, and the grants that are not in it: those of keys that are the same
    /// in every respect stay.
    pub(super) fn replaced_by(&self, keys: Vec<ListedKey>) -> (Ring, Vec<Arc<Grant>>) {
        let same = |key: &ListedKey| self.0.iter().find(|(old, _)| old == key);
        let next = keys.into_iter().map(|key| match same(&key) {
            Some((_, grant)) => (key, grant.clone()),
            None => {
                let grant = Arc::new(Grant::of(&key));
                (key, grant)
            }
        });
        let next = Ring(next.collect());
        let stays = |grant: &Arc<Grant>| next.grants().any(|other| Arc::ptr_eq(grant, other));
        let gone = self.grants().filter(|grant| !stays(grant)).cloned();
        let gone = gone.collect();
        (next, gone)
    }
}
