//! The audit: log lines that say which key was refused, and which one changed or took something.
//!
//! All have the target [`AUDIT`], the name of the key, and never the key.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::access::grant::Grant;
use crate::access::key_ring::KeyRing;

/// The target of these lines.
pub const AUDIT: &str = "audit";

/// The least time between two lines of the same kind.
const EVERY: Duration = Duration::from_secs(1);

/// The request that a key comes with.
#[derive(Clone, Copy, Debug)]
pub struct RequestSource {
    /// The address of its client.
    pub address: IpAddr,
    /// The method of the request.
    pub method: &'static str,
    /// The path of the route, with the names of its parameters.
    pub path: &'static str,
}

impl RequestSource {
    /// Logs what the holder of a key did with this request.
    pub fn tell(&self, grant: &Grant, what: fmt::Arguments<'_>) {
        let RequestSource {
            address,
            method,
            path,
        } = self;
        let key = grant.name();
        tracing::info!(target: AUDIT, key, %address, route = %format_args!("{method} {path}"), "{what}");
    }
}

/// Logs that a key was refused, and how many refusals before it were not logged.
pub(super) fn refused(key: &str, source: &RequestSource, why: &str, unsaid: u64) {
    let RequestSource {
        address,
        method,
        path,
    } = source;
    tracing::warn!(target: AUDIT, key, %address, route = %format_args!("{method} {path}"), unsaid, "refused: {why}");
}

/// Logs that the file is in use, with its new keys and those that are gone; a changed key is both.
pub(super) fn loaded(file: &Path, ring: &KeyRing, added: &[Arc<Grant>], gone: &[Arc<Grant>]) {
    let names = |grants: &[Arc<Grant>]| {
        let names: Vec<_> = grants.iter().map(|grant| grant.name()).collect();
        names.join(",")
    };
    let (keys, added, gone) = (ring.len(), names(added), names(gone));
    tracing::info!(target: AUDIT, file = %file.display(), keys, added, gone, "loaded the keys");
}

/// Logs that the file cannot be used.
pub(super) fn not_loaded(why: &str) {
    tracing::error!(target: AUDIT, "the keys are not loaded: {why}");
}

/// Logs that a key has expired.
pub(super) fn expired(key: &str) {
    tracing::info!(target: AUDIT, key, "a key has expired");
}

/// Logs that a key which had expired is valid again, after the clock was set back.
pub(super) fn counts_again(key: &str) {
    tracing::info!(target: AUDIT, key, "a key counts again: the clock was ahead");
}

/// Admits one line per [`EVERY`].
#[derive(Default)]
pub(super) struct Limit(Mutex<Held>);

/// When the last line was admitted, and how many were held back since.
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
    /// The number of lines held back before this one; `None` if it is held back too.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut held = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        held.admit(now)
    }
}

/// Who does something, and how: the name of a key, an address, a route.
type Who = (Box<str>, IpAddr, &'static str);

/// A [`Limit`] for each key, address and route.
#[derive(Default)]
pub(super) struct Repeats(Mutex<HashMap<Who, Held>>);

impl Repeats {
    /// The most that are kept; beyond it every line is admitted.
    const MAX: usize = 10_000;

    /// The number of lines of `who` held back before this one; `None` if it is held back too.
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
