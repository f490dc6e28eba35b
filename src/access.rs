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

pub use audit::{AUDIT, Place};
pub use digest::{Digest, Token, TokenError};
pub use file::KeysFile;
pub use grant::{Denied, End, Grant, SECRET_KEY};
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
    secret: SecretKey,
    all: Arc<Grant>,
    file: KeysFile,
    /// Held for a copy or an exchange of the `Arc` only.
    ring: RwLock<Arc<Ring>>,
    /// Held while the file is read.
    seen: Mutex<Seen>,
    throttle: Throttle,
    refusals: Limit,
    clock: Clock,
}

/// What is known of the file.
#[derive(Default)]
struct Seen {
    /// Its bytes when it was looked at last; `None`: it was not there, or not readable.
    bytes: Option<Vec<u8>>,
    /// Why the keys of before are still in use.
    trouble: Option<String>,
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
            audit::loaded(file.path(), ring.len(), &[]);
        }
        Ok(Access(Arc::new(Shared {
            secret,
            all: Arc::new(Grant::of_secret_key()),
            file,
            ring: RwLock::new(Arc::new(ring)),
            seen: Mutex::new(Seen {
                bytes,
                trouble: None,
            }),
            throttle: Throttle::default(),
            refusals: Limit::default(),
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
            self.tell_refused("-", place, "a wrong key");
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
                self.tell_refused(grant.name(), place, &denied.to_string());
                Err(Refused::Expired(denied))
            }
        }
    }

    fn find(&self, presented: &str) -> Option<Arc<Grant>> {
        let ring = self.ring();
        let listed = ring.find(presented);
        match self.0.secret.matches(presented) {
            true => Some(self.0.all.clone()),
            false => listed,
        }
    }

    fn ring(&self) -> Arc<Ring> {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.clone()
    }

    /// Says in the log that a key was refused something; no more often than once a second.
    pub fn tell_refused(&self, key: &str, place: &Place, why: &str) {
        if let Some(unsaid) = self.0.refusals.admit(Instant::now()) {
            audit::refused(key, place, why, unsaid);
        }
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
        let (mut seen, file) = (self.seen(), &self.0.file);
        let bytes = match file.bytes() {
            // A file that is gone is a slip, or is being written: nobody is locked out for it.
            Ok(None) if self.ring().len() > 0 => Err(listed::gone(file.path())),
            read => read,
        };
        let parsed = match bytes {
            Ok(bytes) if bytes == seen.bytes && (bytes.is_some() || seen.trouble.is_none()) => {
                return vec![];
            }
            Ok(bytes) => {
                let parsed = file.parse(bytes.as_deref().unwrap_or_default());
                seen.bytes = bytes;
                parsed
            }
            Err(error) => {
                seen.bytes = None;
                Err(error)
            }
        };
        let keys = match parsed {
            Ok(keys) => keys,
            Err(error) => {
                seen.refuse(&error);
                return vec![];
            }
        };
        seen.trouble = None;
        let (ring, gone) = self.ring().replaced_by(keys);
        let names: Vec<&str> = gone.iter().map(|grant| grant.name()).collect();
        audit::loaded(file.path(), ring.len(), &names);
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
        let gone = gone.into_iter().filter(|grant| grant.end(End::Revoked));
        gone.map(|grant| (grant, End::Revoked)).collect()
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.0.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why the file of keys cannot be used, if it cannot.
    pub fn trouble(&self) -> Option<String> {
        self.seen().trouble.clone()
    }
}

impl Seen {
    /// Keeps the keys there are; the same trouble is told once.
    fn refuse(&mut self, error: &KeysError) {
        let text = format!("{error}; the keys of before stay in use");
        if self.trouble.as_ref() != Some(&text) {
            audit::not_loaded(&text);
        }
        self.trouble = Some(text);
    }
}

#[cfg(test)]
mod tests;
