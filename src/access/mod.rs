//! Who may do what: the secret key, which may do everything, and named keys with rights, topics
//! and an expiry, which a file lists.
//!
//! [`Access`] is asked by `http/` and `ws/` with whatever a client presents, and gives back its
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
mod shown;
mod throttle;

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use tokio::time::Instant;

use crate::clock::Clock;
use crate::config::SecretKey;
use crate::measure::Counter;

pub use crate::patterns::Topics;
pub use audit::{AUDIT, Place};
pub use digest::{Digest, Token, TokenError};
pub use file::KeysFile;
pub use grant::{Denied, End, Grant, Lack};
pub use listed::{KEYS_MAX, KeysError, ListedKey, SECRET_KEY};
pub use rights::{Right, Rights};
pub use shown::Shown;

use audit::{Limit, Repeats};
use ring::Ring;
use throttle::Throttle;

/// How often the file of keys should be looked at. What two looks have seen counts, so a key that
/// is revoked or expired is of no use within a second.
pub const LOOK_EVERY: Duration = Duration::from_millis(250);

/// All keys. Clones are cheap and are the same.
#[derive(Clone)]
pub struct Access(Arc<Shared>);

struct Shared {
    /// The secret key, and its grant. Held for a look or an exchange only.
    secret: RwLock<(SecretKey, Arc<Grant>)>,
    file: KeysFile,
    /// Held for a copy or an exchange of the `Arc` only.
    ring: RwLock<Arc<Ring>>,
    /// Held while the file is read.
    seen: Mutex<Seen>,
    /// Why the keys of before are still in use.
    trouble: Mutex<Option<String>>,
    throttle: Throttle,
    wrong: Limit,
    denied: Limit,
    taken: Repeats,
    /// How often keys lacked what.
    lacked: [Counter; Lack::ALL.len()],
    clock: Clock,
}

/// What a look at the file finds: its bytes if it is there, or why it cannot be used.
type Look = Result<Option<Vec<u8>>, String>;

/// What the looks at the file have found.
struct Seen {
    /// What counts.
    counts: Look,
    /// What the last look found, if that is something else. A file that is written in place is
    /// empty for a moment, or has a part of its keys: it counts when the next look finds the same.
    next: Option<Look>,
}

impl Seen {
    fn new(counts: Look) -> Seen {
        Seen { counts, next: None }
    }

    /// Whether this look is the second of two that agree on something new, which counts then.
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

/// Why a key opens nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It is none of this server's keys.
    Wrong,
    /// It was not looked at: from this address so many wrong ones have come that no more of them
    /// may wait for an answer.
    TooMany,
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

    /// What the key `presented` is good for; an empty one is no guess and is refused at once. Whoever
    /// has presented many wrong ones of late, by address, waits for the answer, seconds at most, and
    /// a few at a time; a connection that has `shown` the key before does not. One wrong key in a
    /// second is logged.
    ///
    /// # Errors
    /// [`Refused`] says why it is good for nothing.
    pub async fn present(
        &self,
        presented: &str,
        place: &Place,
        shown: &Shown,
    ) -> Result<Arc<Grant>, Refused> {
        if presented.is_empty() {
            return Err(Refused::Wrong);
        }
        let found = self.find(presented);
        let wait = match shown.is(found.as_ref()) {
            true => Ok(Duration::ZERO),
            false => {
                let throttle = &self.0.throttle;
                throttle.wait(place.address, found.as_ref(), Instant::now())
            }
        };
        let Ok(wait) = wait else {
            self.tell_wrong(place, "too many wrong keys from this address");
            return Err(Refused::TooMany);
        };
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        let Some(grant) = found else {
            self.tell_wrong(place, "a wrong key");
            return Err(Refused::Wrong);
        };
        if !wait.is_zero() {
            self.0.throttle.prove(place.address, &grant);
        }
        shown.set(&grant);
        // It may have ended while it waited, or since the file was looked at.
        let now = self.0.clock.now();
        match grant.ended_by(now) {
            None => Ok(grant),
            Some(End::Revoked) => Err(Refused::Wrong),
            Some(End::Expired) => {
                let denied = Denied::ended(&grant, End::Expired);
                self.tell_denied(&grant, place, &denied);
                Err(Refused::Expired(denied))
            }
        }
    }

    fn tell_wrong(&self, place: &Place, why: &str) {
        if let Some(unsaid) = self.0.wrong.admit(Instant::now()) {
            audit::refused("-", place, why, unsaid);
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

    /// Says in the audit what the holder of a key took at a place, no more often than once a second
    /// for each key, address and route.
    pub fn tell_taken(&self, grant: &Grant, place: &Place, what: fmt::Arguments<'_>) {
        let who = (grant.name().into(), place.address, place.path);
        match self.0.taken.admit(who, Instant::now()) {
            Some(0) => place.tell(grant, what),
            Some(unsaid) => place.tell(grant, format_args!("{what}, after {unsaid} more")),
            None => {}
        }
    }

    /// How often something was refused because a key lacked this.
    pub fn lacked(&self, what: Lack) -> &Counter {
        &self.0.lacked[what as usize]
    }

    /// Looks at the file, and takes what it and the look before agree on. Ends what is revoked,
    /// changed or expired: streams of these keys end, and their sessions are for the caller to end.
    /// Blocks for the file.
    ///
    /// A file that cannot be used changes nothing; the log says so, and [`Access::trouble`].
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
        // What was opened with it has ended, and the key has not: the clock was ahead.
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
            // A file that is gone is a slip, or is being written: nobody is locked out for it.
            Ok(None) if self.ring().len() > 0 => Err(listed::gone(file.path())),
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

    fn set_ring(&self, ring: Ring) {
        *self.0.ring.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(ring);
    }

    /// Goes over to these keys; the grants of those that are no more have ended then.
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

    /// Keeps the keys there are; the same trouble is told once.
    fn keep(&self, problem: &str) {
        let text = format!("{problem}; the keys of before stay in use");
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
