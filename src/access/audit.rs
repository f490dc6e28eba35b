//! The lines of the log that tell who was let in, kept out, or changed something.
//!
//! All have the target [`AUDIT`], the name of the key, and never the key.

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

/// Lets one through in a while.
#[derive(Default)]
pub(super) struct Limit(Mutex<(Option<Instant>, u64)>);

impl Limit {
    /// How many were held back before this one; `None` if it is held back too.
    pub(super) fn admit(&self, now: Instant) -> Option<u64> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (last, held) = &mut *state;
        if last.is_some_and(|last| now.saturating_duration_since(last) < EVERY) {
            *held += 1;
            return None;
        }
        *last = Some(now);
        Some(std::mem::take(held))
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
}
