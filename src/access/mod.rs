//! Who may do what: the secret key, which may do everything, and named keys with rights, topics
//! and an expiry, which a file lists.
//!
//! `http/` and `session/` ask [`Access`] with the key that a client presents, and get its
//! [`Grant`]. It never knows a named key itself: the file has digests only.
//!
//! Invariant: no key is ever logged; the time that a comparison takes says nothing about the
//! keys there are; what is kept of addresses with wrong keys is bounded.

mod audit;
mod digest;
mod grant;
mod key_ring;
mod keys_file;
mod listed_key;
mod presented;
mod rights;
mod throttle;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::SecretKey;
use crate::measure::Counter;

pub use crate::access::audit::{AUDIT, RequestSource};
pub use crate::access::digest::{Digest, Token, TokenError};
pub use crate::access::grant::{Denied, End, Grant, Lack};
pub use crate::access::keys_file::KeysFile;
pub use crate::access::listed_key::{KEYS_MAX, KeysError, ListedKey, SECRET_KEY};
pub use crate::access::presented::PresentedKey;
pub use crate::access::rights::{Right, Rights};
pub use crate::patterns::Topics;

use crate::access::audit::{Limit, Repeats};
use crate::access::key_ring::KeyRing;
use crate::access::throttle::Throttle;

/// How often the file of keys should be read. A change counts when two reads agree on it, so a key
/// that is revoked or expires stops working within a second.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// All keys. Clones are cheap and are the same.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    /// The secret key, and its grant. Locked for a look or an exchange only.
    secret: RwLock<(SecretKey, Arc<Grant>)>,
    file: KeysFile,
    /// Locked for a copy or an exchange of the `Arc` only.
    ring: RwLock<Arc<KeyRing>>,
    /// Locked while the file is read.
    seen: Mutex<Seen>,
    /// Why the file cannot be used, so that the keys read before it stay in use.
    trouble: Mutex<Option<String>>,
    throttle: Throttle,
    wrong: Limit,
    denied: Limit,
    taken: Repeats,
    /// How often a key lacked each thing.
    lacked: [Counter; Lack::ALL.len()],
    clock: Clock,
}

/// What a read of the file finds: its bytes if it exists, or why it cannot be used.
type Look = Result<Option<Vec<u8>>, String>;

/// What the last reads of the file have found.
struct Seen {
    /// What is in use.
    counts: Look,
    /// What the last read found, if that is something else. A file that is written in source is
    /// empty or partial for a moment, so it counts only when the next read finds the same.
    next: Option<Look>,
}

impl Seen {
    fn new(counts: Look) -> Seen {
        Seen { counts, next: None }
    }

    /// Whether this read is the second of two that agree on something new, which counts from now on.
    fn agrees(&mut self, look: Look) -> bool {
        if look == self.counts {
            self.next = None;
        } else if self.next.as_ref() == Some(&look) {
            *self = Seen::new(look);
            return true;
        } else {
            self.next = Some(look);
        }
        false
    }
}

/// Why a presented key is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// The server has no such key.
    Wrong,
    /// The key was not compared: too many keys from this address wait for an answer, after many
    /// wrong ones.
    TooMany,
    /// The key has expired.
    Expired(Denied),
}

impl Access {
    /// The keys of the file, and `secret`. A file that does not exist lists none. Blocks.
    ///
    /// # Errors
    /// The file cannot be read, or is invalid.
    pub fn open(secret: SecretKey, file: KeysFile, clock: Clock) -> Result<Access, KeysError> {
        let bytes = file.bytes()?;
        let ring = KeyRing::new(file.parse(bytes.as_deref().unwrap_or_default())?);
        if bytes.is_some() {
            audit::loaded(file.path(), &ring, &[], &[]);
        }
        Ok(Access(Arc::new(Shared {
            secret: RwLock::new((secret, Arc::new(Grant::of_secret_key()))),
            file,
            ring: RwLock::new(Arc::new(ring)),
            seen: Mutex::new(Seen::new(Ok(bytes))),
            trouble: Mutex::default(),
            throttle: Throttle::default(),
            wrong: Limit::default(),
            denied: Limit::default(),
            taken: Repeats::default(),
            lacked: Default::default(),
            clock,
        })))
    }

    /// The grant of the key `presented`. An empty key is no guess and is refused at once. An address
    /// with many recent wrong keys waits for the answer, for seconds at most, and few of its requests
    /// wait at a time. A connection that has presented the key before does not wait. At most one
    /// wrong key a second is logged.
    ///
    /// # Errors
    /// The key is refused; [`Refused`] says why.
    pub async fn present(
        &self,
        presented: &str,
        source: &RequestSource,
        before: &PresentedKey,
    ) -> Result<Arc<Grant>, Refused> {
        if presented.is_empty() {
            return Err(Refused::Wrong);
        }
        let found = self.find(presented);
        let wait = match before.is(found.as_ref()) {
            true => Ok(Duration::ZERO),
            false => {
                let throttle = &self.0.throttle;
                throttle.wait(source.address, found.as_ref(), Instant::now())
            }
        };
        let Ok(wait) = wait else {
            self.tell_wrong(source, "too many wrong keys from this address");
            return Err(Refused::TooMany);
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let Some(grant) = found else {
            self.tell_wrong(source, "a wrong key");
            return Err(Refused::Wrong);
        };
        if !wait.is_zero() {
            self.0.throttle.prove(source.address, &grant);
        }
        before.set(&grant);
        // The grant may have ended during the wait, or since the file was read.
        let now = self.0.clock.now();
        match grant.ended_by(now) {
            None => Ok(grant),
            Some(End::Revoked) => Err(Refused::Wrong),
            Some(End::Expired) => {
                let denied = Denied::ended(&grant, End::Expired);
                self.tell_denied(&grant, source, &denied);
                Err(Refused::Expired(denied))
            }
        }
    }

    fn tell_wrong(&self, source: &RequestSource, why: &str) {
        if let Some(unsaid) = self.0.wrong.admit(Instant::now()) {
            audit::refused("-", source, why, unsaid);
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

    /// Replaces the secret key. If the new one differs, ends the grant of the old one: its streams
    /// end, and the caller has to end its sessions.
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

    fn ring(&self) -> Arc<KeyRing> {
        let ring = self.0.ring.read().unwrap_or_else(PoisonError::into_inner);
        ring.clone()
    }

    /// Counts that a key was denied something, and logs it in the audit, at most once a second.
    pub fn tell_denied(&self, grant: &Grant, source: &RequestSource, denied: &Denied) {
        self.lacked(denied.lack()).add(1);
        if let Some(unsaid) = self.0.denied.admit(Instant::now()) {
            audit::refused(grant.name(), source, &denied.to_string(), unsaid);
        }
    }

    /// Logs in the audit what the holder of a key took, at most once a second for each key, address
    /// and route.
    pub fn tell_taken(&self, grant: &Grant, source: &RequestSource, what: fmt::Arguments<'_>) {
        let who = (grant.name().into(), source.address, source.path);
        match self.0.taken.admit(who, Instant::now()) {
            Some(0) => source.tell(grant, what),
            Some(unsaid) => source.tell(grant, format_args!("{what}, after {unsaid} more")),
            None => {}
        }
    }

    /// How often a key was denied something because it lacked this.
    pub fn lacked(&self, what: Lack) -> &Counter {
        &self.0.lacked[what as usize]
    }

    /// Reads the file, and uses what this read and the one before agree on. Ends the grants of keys
    /// that are revoked, changed or expired: their streams end, and the caller has to end their
    /// sessions. Blocks for the file.
    ///
    /// A file that cannot be used changes nothing; the log and [`Access::trouble`] say so.
    pub fn reload(&self) -> Vec<(Arc<Grant>, End)> {
        let mut ended = self.take_changes();
        let now = self.0.clock.now();
        let ring = self.ring();
        for grant in ring.grants() {
            if grant.ended_by(now) == Some(End::Expired) && grant.end(End::Expired) {
                audit::expired(grant.name());
                ended.push((grant.clone(), End::Expired));
            }
        }
        // The clock was ahead: the grant has ended, but the key has not expired.
        let counts_again = |grant: &Grant| {
            let again = grant.ended() == Some(End::Expired) && !grant.is_over(now);
            if again {
                audit::counts_again(grant.name());
            }
            again
        };
        if let Some(ring) = ring.with_new_grants(counts_again) {
            self.set_ring(ring);
        }
        ended
    }

    fn take_changes(&self) -> Vec<(Arc<Grant>, End)> {
        let file = &self.0.file;
        let mut seen = lock(&self.0.seen);
        let look = match file.bytes() {
            // A missing file is a mistake, or is being replaced: it locks nobody out.
            Ok(None) if self.ring().len() > 0 => Err(listed_key::gone(file.path())),
            read => read,
        };
        if !seen.agrees(look.map_err(|error| error.to_string())) {
            return vec![];
        }
        let parsed = seen.counts.as_ref().map_err(String::clone);
        let parsed = parsed.and_then(|bytes| {
            let keys = file.parse(bytes.as_deref().unwrap_or_default());
            keys.map_err(|error| error.to_string())
        });
        match parsed {
            Ok(keys) => self.take(keys),
            Err(problem) => {
                self.keep(&problem);
                vec![]
            }
        }
    }

    fn set_ring(&self, ring: KeyRing) {
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// Uses these keys from now on, and ends the grants of those that are gone.
    fn take(&self, keys: Vec<ListedKey>) -> Vec<(Arc<Grant>, End)> {
        *lock(&self.0.trouble) = None;
        let before = self.ring();
        let ring = before.replaced_by(keys);
        let (added, gone) = (ring.grants_not_in(&before), before.grants_not_in(&ring));
        audit::loaded(self.0.file.path(), &ring, &added, &gone);
        self.set_ring(ring);
        let gone = gone.into_iter().filter(|grant| grant.end(End::Revoked));
        gone.map(|grant| (grant, End::Revoked)).collect()
    }

    /// Keeps the keys that are in use. The same problem is logged once.
    fn keep(&self, problem: &str) {
        let text = format!("{problem}; the keys of before stay in use");
        let mut trouble = lock(&self.0.trouble);
        if trouble.as_ref() != Some(&text) {
            audit::not_loaded(&text);
        }
        *trouble = Some(text);
    }

    /// Why the file of keys cannot be used, if it is so.
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
