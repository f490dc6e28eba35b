//! The key ring: the keys of the file that are in use, each with its grant.

use std::sync::Arc;

use subtle::ConditionallySelectable;

use crate::access::digest::Digest;
use crate::access::grant::Grant;
use crate::access::listed_key::ListedKey;

/// Keys and their grants.
#[derive(Default)]
pub(super) struct KeyRing(Vec<(ListedKey, Arc<Grant>)>);

impl KeyRing {
    pub(super) fn new(keys: Vec<ListedKey>) -> KeyRing {
        let grants = keys.into_iter().map(|key| {
            let grant = Arc::new(Grant::of(&key));
            (key, grant)
        });
        KeyRing(grants.collect())
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn grants(&self) -> impl Iterator<Item = &Arc<Grant>> {
        self.0.iter().map(|(_, grant)| grant)
    }

    /// The grant of the key that is presented. All keys are compared, also after a match, so that
    /// the time tells nothing.
    pub(super) fn find(&self, presented: &str) -> Option<Arc<Grant>> {
        let presented = Digest::of(presented)?;
        let mut found = u32::MAX;
        for (place, (key, _)) in (0..).zip(&self.0) {
            found.conditional_assign(&place, key.digest.is(&presented));
        }
        let (_, grant) = self.0.get(usize::try_from(found).ok()?)?;
        Some(grant.clone())
    }

    /// The ring of these keys. Keys that are the same in every respect keep their grants.
    pub(super) fn replaced_by(&self, keys: Vec<ListedKey>) -> KeyRing {
        let same = |key: &ListedKey| self.0.iter().find(|(old, _)| old == key);
        let next = keys.into_iter().map(|key| {
            let grant = match same(&key) {
                Some((_, grant)) => grant.clone(),
                None => Arc::new(Grant::of(&key)),
            };
            (key, grant)
        });
        KeyRing(next.collect())
    }

    /// The ring of the same keys, with a new grant in place of each that `renews` picks; `None` if
    /// it picks none.
    pub(super) fn with_new_grants(&self, renews: impl Fn(&Grant) -> bool) -> Option<KeyRing> {
        let mut is_other = false;
        let next = self.0.iter().map(|(key, grant)| {
            let grant = match renews(grant) {
                true => {
                    is_other = true;
                    Arc::new(Grant::of(key))
                }
                false => grant.clone(),
            };
            (key.clone(), grant)
        });
        let ring = KeyRing(next.collect());
        is_other.then_some(ring)
    }

    /// The grants that another ring lacks.
    pub(super) fn grants_not_in(&self, other: &KeyRing) -> Vec<Arc<Grant>> {
        let is_there = |grant: &Arc<Grant>| other.grants().any(|one| Arc::ptr_eq(grant, one));
        let grants = self.grants().filter(|grant| !is_there(grant));
        grants.cloned().collect()
    }
}
