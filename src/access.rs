//! Who may do what: the secret key, which may do everything, and named keys with rights, topics
//! and an expiry, which a file lists.
//!
//! [`Access`] is asked by the edges with whatever a client presents, and gives back its
//! [`Grant`]. It never knows a named key itself: the file has digests only.
//!
//! Invariant: no key is ever logged; the time that a comparison takes says nothing about the
//! keys there are; what is kept of who presents wrong ones is bounded.

mod audit;
mod digest;
mod file;
mod grant;
mod listed;
mod rights;
mod ring;
mod throttle;
mod topics;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::SecretKey;
use crate::measure::Counter;

pub use audit::{AUDIT, Place};
pub use digest::{Digest, Token, TokenError};
pub use file::KeysFile;
pub use grant::{Denied, End, Grant, Lack, SECRET_KEY};
pub use listed::{KeysError, ListedKey};
pub use rights::{Right, Rights};
pub use ring::KEYS_MAX;
pub use topics::Topics;

use audit::Limit;
use ring::Ring;
use throttle::Throttle;

/// How often the file of keys should be looked at: with it, a key that is revoked or expired is
/// of no use within a second.
pub const LOOK_EVERY: Duration = Duration::from_millis(400);

/// All keys. Clones are cheap and are the same.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    /// The secret key, and its grant. Held for a look or an exchange only.
    secret: RwLock<(SecretKey, Arc<Grant>)>,
    file: KeysFile,
    /// Held for a copy or an exchange of the `Arc` only.
    ring: RwLock<Arc<Ring>>,
    /// The bytes of the file when it was looked at last; `None`: it was not there, or not
    /// readable. Held while the file is read.
    seen: Mutex<Option<Vec<u8>>>,
    /// Why the keys of before are still in use.
    trouble: Mutex<Option<String>>,
    throttle: Throttle,
    wrong: Limit,
    denied: Limit,
    /// How often keys lacked what.
    lacked: [Counter; Lack::ALL.len()],
    clock: Clock,
}

/// Why a key opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is none of this server's keys.
    Wrong,
    /// It was one until its time was over.
    Expired(Denied),
}

impl Access {
    /// The keys of the file, and `secret`. A file that is not there lists none. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, or is not as it should be.
    pub fn open(secret: SecretKey, file: KeysFile, clock: Clock) -> Result<Access, KeysError> {
        let bytes = file.bytes()?;
        let ring = Ring::new(file.parse(bytes.as_deref().unwrap_or_default())?);
        if bytes.is_some() {
            audit::loaded(file.path(), &ring, &[], &[]);
        }
        Ok(Access(Arc::new(Shared {
            secret: RwLock::new((secret, Arc::new(Grant::of_secret_key()))),
            file,
            ring: RwLock::new(Arc::new(ring)),
            seen: Mutex::new(bytes),
            trouble: Mutex::default(),
            throttle: Throttle::default(),
            wrong: Limit::default(),
            denied: Limit::default(),
            lacked: Default::default(),
            clock,
        })))
    }

    /// What the key `presented` is good for; an empty one is no guess and is refused at once. Whoever has presented many wrong ones of late, by
    /// address, waits for the answer, seconds at most; one wrong key in a second is logged.
    ///
    /// # Errors
    /// [`Refused`] says why it is good for nothing.
    pub async fn present(&self, presented: &str, place: &Place) -> Result<Arc<Grant>, Refused> {
        if presented.is_empty() {
            return Err(Refused::Wrong);
        }
        let found = self.find(presented);
        let name = found.as_ref().map(|grant| grant.name());
        let throttle = &self.0.throttle;
        let wait = throttle.wait(place.address, name, Instant::now());
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let Some(grant) = found else {
            if let Some(unsaid) = self.0.wrong.admit(Instant::now()) {
                audit::refused("-", place, "a wrong key", unsaid);
            }
            return Err(Refused::Wrong);
        };
        if !wait.is_zero() {
            throttle.prove(place.address, grant.name());
        }
        // It may have ended while it waited, or since the file was looked at.
        let now = self.0.clock.now();
        match grant.ended_by(now) {
            None => Ok(grant),
            Some(End::Revoked) => Err(Refused::Wrong),
            Some(End::Expired) => {
                let denied = Denied::expired(&grant);
                self.tell_denied(&grant, place, &denied);
                Err(Refused::Expired(denied))
            }
        }
    }

    fn find(&self, presented: &str) -> Option<Arc<Grant>> {
        let ring = self.ring();
        let listed = ring.find(presented);
        let secret = self.0.secret.read().unwrap_or_else(PoisonError::into_inner);
        match secret.0.matches(presented) {
            true => Some(secret.1.clone()),
            false => listed,
        }
    }

    /// Goes over to another secret key. If it is another, the grant of the one before has ended:
    /// its streams end, and its sessions are for the caller to end.
    pub fn change_secret(&self, key: &SecretKey) -> Option<(Arc<Grant>, End)> {
        let mut secret = self
            .0
            .secret
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        if secret.0 == *key {
            return None;
        }
        let new = (key.clone(), Arc::new(Grant::of_secret_key()));
        let (_, old) = std::mem::replace(&mut *secret, new);
        old.end(End::Revoked);
        Some((old, End::Revoked))
    }

    fn ring(&self) -> Arc<Ring> {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.clone()
    }

    /// Counts that a key was refused something, and says so in the audit, no more often than once
    /// a second.
    pub fn tell_denied(&self, grant: &Grant, place: &Place, denied: &Denied) {
        self.lacked(denied.lack()).add(1);
        if let Some(unsaid) = self.0.denied.admit(Instant::now()) {
            audit::refused(grant.name(), place, &denied.to_string(), unsaid);
        }
    }

    /// How often something was refused because a key lacked this.
    pub fn lacked(&self, what: Lack) -> &Counter {
        &self.0.lacked[what as usize]
    }

    /// Reads the file if it has changed, and ends what is revoked, changed or expired: streams
    /// of these keys end, and their sessions are for the caller to end. Blocks for the file.
    ///
    /// A file that cannot be used changes nothing; the log says so, and [`Access::trouble`].
    pub fn reload(&self) -> Vec<(Arc<Grant>, End)> {
        let mut ended = self.take_changes();
        let now = self.0.clock.now();
        for grant in self.ring().grants() {
            if grant.ended_by(now) == Some(End::Expired) && grant.end(End::Expired) {
                audit::expired(grant.name());
                ended.push((grant.clone(), End::Expired));
            }
        }
        ended
    }

    fn take_changes(&self) -> Vec<(Arc<Grant>, End)> {
        let file = &self.0.file;
        let mut seen = lock(&self.0.seen);
        let bytes = match file.bytes() {
            // A file that is gone is a slip, or is being written: nobody is locked out for it.
            Ok(None) if self.ring().len() > 0 => Err(listed::gone(file.path())),
            read => read,
        };
        let parsed = match bytes {
            Ok(bytes) if bytes == *seen && (bytes.is_some() || self.trouble().is_none()) => {
                return vec![];
            }
            Ok(bytes) => {
                let parsed = file.parse(bytes.as_deref().unwrap_or_default());
                *seen = bytes;
                parsed
            }
            Err(error) => {
                *seen = None;
                Err(error)
            }
        };
        match parsed {
            Ok(keys) => self.take(keys),
            Err(error) => {
                self.keep(&error);
                vec![]
            }
        }
    }

    /// Goes over to these keys; the grants of those that are no more have ended then.
    fn take(&self, keys: Vec<ListedKey>) -> Vec<(Arc<Grant>, End)> {
        *lock(&self.0.trouble) = None;
        let before = self.ring();
        let ring = Arc::new(before.replaced_by(keys));
        let (added, gone) = (ring.grants_not_in(&before), before.grants_not_in(&ring));
        audit::loaded(self.0.file.path(), &ring, &added, &gone);
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = ring;
        let gone = gone.into_iter().filter(|grant| grant.end(End::Revoked));
        gone.map(|grant| (grant, End::Revoked)).collect()
    }

    /// Keeps the keys there are; the same trouble is told once.
    fn keep(&self, error: &KeysError) {
        let text = format!("{error}; the keys of before stay in use");
        let mut trouble = lock(&self.0.trouble);
        if trouble.as_ref() != Some(&text) {
            audit::not_loaded(&text);
        }
        *trouble = Some(text);
    }

    /// Why the file of keys cannot be used, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        lock(&self.0.trouble).clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;
