//! The lines of the log that tell who was let in, kept out, or changed something.
//!
//! All have the target [`AUDIT`], the name of the key, and never the key.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::grant::Grant;
use super::ring::Ring;

/// The target of these lines.
pub const AUDIT: &str = "audit";

/// Refused keys are told no more often.
const EVERY: Duration = Duration::from_secs(1);

/// Where a key is presented.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Whose it is.
    pub address: IpAddr,
    /// The method of the request.
    pub method: &'static str,
    /// The path of the route, with the names of its parameters.
    pub path: &'static str,
}

impl Place {
    /// Tells that the holder of a key did something here.
    pub fn tell(&self, grant: &Grant, what: fmt::Arguments<'_>) {
        let Place {
            address,
            method,
            path,
        } = self;
        let key = grant.name();
        tracing::info!(target: AUDIT, key, %address, route = %format_args!("{method} {path}"), "{what}");
    }
}

/// A key was refused, and so many before of which nothing was said.
pub(super) fn refused(key: &str, place: &Place, why: &str, unsaid: u64) {
    let Place {
        address,
        method,
        path,
    } = place;
    tracing::warn!(target: AUDIT, key, %address, route = %format_args!("{method} {path}"), unsaid, "refused: {why}");
}

/// The file is in use: these keys of it are new, and these are no more; one that is changed is
/// both.
pub(super) fn loaded(file: &Path, ring: &Ring, added: &[Arc<Grant>], gone: &[Arc<Grant>]) {
    let names = |grants: &[Arc<Grant>]| {
        let names: Vec<_> = grants.iter().map(|grant| grant.name()).collect();
        names.join(",")
    };
    let (keys, added, gone) = (ring.len(), names(added), names(gone));
    tracing::info!(target: AUDIT, file = %file.display(), keys, added, gone, "loaded the keys");
}

/// The file cannot be used.
pub(super) fn not_loaded(why: &str) {
    tracing::error!(target: AUDIT, "the keys are not loaded: {why}");
}

/// A key's time is over.
pub(super) fn expired(key: &str) {
    tracing::info!(target: AUDIT, key, "a key has expired");
}

/// A key had expired, and by the clock it has not any more.
pub(super) fn counts_again(key: &str) {
    tracing::info!(target: AUDIT, key, "a key counts again: the clock was ahead");
}

/// Lets one through in a while.
#[derive(Default)]
pub(super) struct Limit(Mutex<Held>);

/// When the last one was let through, and how many were held back since.
#[derive(Default)]
struct Held {
    last: Option<Instant>,
    back: u64,
}

impl Held {
    fn admit(&mut self, now: Instant) -> Option<u64> {
        if self.is_recent(now) {
            self.back += 1;
            return None;
        }
        self.last = Some(now);
        Some(std::mem::take(&mut self.back))
    }

    fn is_recent(&self, now: Instant) -> bool {
        let since = |last| now.saturating_duration_since(last);
        self.last.is_some_and(|last| since(last) < EVERY)
    }
}

impl Limit {
    /// How many were held back before this one; `None` if it is held back too.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.admit(now)
    }
}

/// Who does something, and where: the name of a key, an address, a route.
type Who = (Box<str>, IpAddr, &'static str);

/// As [`Limit`], for each who does something.
#[derive(Default)]
pub(super) struct Repeats(Mutex<HashMap<Who, Held>>);

impl Repeats {
    /// Those that are kept; with more of them at once each is let through.
    const MAX: usize = 10_000;

    /// As [`Limit::admit`].
    pub(super) fn admit(&self, who: Who, now: Instant) -> Option<u64> {
        let mut repeats = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if repeats.len() >= Repeats::MAX && !repeats.contains_key(&who) {
            repeats.retain(|_, held| held.is_recent(now));
            if repeats.len() >= Repeats::MAX {
                return Some(0);
            }
        }
        repeats.entry(who).or_default().admit(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_in_a_second_and_then_how_many_there_were() {
        let (limit, now) = (Limit::default(), Instant::now());
        let admitted = [0, 1, 999, 1000, 1500, 2000].map(|ms| {
            let at = now + Duration::from_millis(ms);
            limit.admit(at)
        });
        assert_eq!(admitted, [Some(0), None, None, Some(2), None, Some(1)]);
    }

    #[test]
    fn repeats_are_counted_for_each_key_address_and_route() {
        let (repeats, now) = (Repeats::default(), Instant::now());
        let who = |key: &str, host: u32, path| (key.into(), IpAddr::V4(host.into()), path);
        for _ in 0..2 {
            repeats.admit(who("a", 1, "/x"), now);
        }
        for other in [who("b", 1, "/x"), who("a", 2, "/x"), who("a", 1, "/y")] {
            assert_eq!(repeats.admit(other, now), Some(0));
        }
        assert_eq!(repeats.admit(who("a", 1, "/x"), now + EVERY), Some(1));
        for host in 0..20_000 {
            assert_eq!(repeats.admit(who("c", host, "/x"), now + EVERY), Some(0));
        }
        assert_eq!(repeats.0.lock().unwrap().len(), Repeats::MAX);
        assert_eq!(repeats.admit(who("d", 1, "/x"), now + 2 * EVERY), Some(0));
        assert_eq!(repeats.0.lock().unwrap().len(), 1);
    }
}
