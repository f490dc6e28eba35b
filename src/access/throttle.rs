//! Slows down guesses: an address that sends wrong keys waits longer for each next answer.
//!
//! Few keys of an address wait at a time. What is kept of an address is small, and the number of
//! addresses is bounded. From an address with wrong keys, a valid key waits as long as a wrong
//! one, or a quick answer would tell it apart; once it has waited it is known there, and waits no
//! more. A wait keeps its place until its end, also when its client has hung up, and without a
//! place a key is not compared at all. That bounds the guesses that are answered, however many
//! connections they come over.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use crate::access::grant::Grant;
use crate::access::listed_key::KEYS_MAX;
use crate::connection::network;

/// Wrong keys that cost no time.
const FREE: u32 = 10;
/// The wait after the first wrong key that costs time; it doubles with each.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(3);
/// Waits of one address at a time: with the longest, eight keys in three seconds.
const WAITS_MAX: usize = 8;
/// The time without a wrong key after which the earlier ones are forgotten.
const MEMORY: Duration = Duration::from_secs(60);
/// The most addresses that are kept; beyond it, every key from another address waits longest.
const ADDRESSES_MAX: usize = 10_000;
/// Waits at a time of all addresses that are not kept.
const WAITS_ELSEWHERE_MAX: usize = 64;
/// Valid keys that are kept of an address: as many as there may be.
const PROVEN_MAX: usize = KEYS_MAX + 1;

/// The addresses that wrong keys have come from.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Table>);

/// So many keys wait already that this one was not compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct TooMany;

#[derive(Default)]
struct Table {
    suspects: HashMap<IpAddr, Suspect>,
    /// When forgotten addresses were last removed.
    cleared: Option<Instant>,
    /// The waits of addresses that are not kept.
    elsewhere: Waits,
}

/// An address that wrong keys come from.
struct Suspect {
    wrong: u32,
    last: Instant,
    waits: Waits,
    /// Valid keys that have waited.
    proven: Vec<Arc<Grant>>,
}

/// The end of each wait.
#[derive(Default)]
struct Waits(Vec<Instant>);

impl Waits {
    fn have_place(&mut self, max: usize, now: Instant) -> Result<(), TooMany> {
        self.0.retain(|end| *end > now);
        match self.0.len() < max {
            true => Ok(()),
            false => Err(TooMany),
        }
    }

    fn add(&mut self, wait: Duration, now: Instant) {
        if !wait.is_zero() {
            self.0.push(now + wait);
        }
    }
}

impl Throttle {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long `from` waits for its answer, after presenting the key of this grant, or a wrong
    /// key, which is counted.
    pub(super) fn wait(
        &self,
        from: IpAddr,
        key: Option<&Arc<Grant>>,
        now: Instant,
    ) -> Result<Duration, TooMany> {
        let address = network::of_client(from);
        let mut table = self.lock();
        if !table.has_room(address, now) {
            let elsewhere = &mut table.elsewhere;
            elsewhere.have_place(WAITS_ELSEWHERE_MAX, now)?;
            elsewhere.add(LONGEST, now);
            return Ok(LONGEST);
        }
        let suspect = table.suspects.get_mut(&address);
        let suspect = match (suspect.filter(|suspect| suspect.counts(now)), key) {
            (Some(suspect), _) => suspect,
            (None, Some(_)) => return Ok(Duration::ZERO),
            (None, None) => {
                table.suspects.insert(address, Suspect::new(now));
                return Ok(Duration::ZERO);
            }
        };
        suspect.waits.have_place(WAITS_MAX, now)?;
        let wait = match key {
            Some(grant) if suspect.knows(grant) => Duration::ZERO,
            Some(_) => after(suspect.wrong.saturating_add(1)),
            None => {
                suspect.wrong = suspect.wrong.saturating_add(1);
                suspect.last = now;
                after(suspect.wrong)
            }
        };
        suspect.waits.add(wait, now);
        Ok(wait)
    }

    /// Remembers that this valid key has waited.
    pub(super) fn prove(&self, from: IpAddr, key: &Arc<Grant>) {
        if let Some(suspect) = self.lock().suspects.get_mut(&network::of_client(from))
            && !suspect.knows(key)
        {
            suspect.proven.retain(|grant| grant.ended().is_none());
            if suspect.proven.len() == PROVEN_MAX {
                suspect.proven.remove(0);
            }
            suspect.proven.push(key.clone());
        }
    }
}

impl Table {
    /// Whether this address can be kept. At most once a second, this removes forgotten addresses.
    fn has_room(&mut self, address: IpAddr, now: Instant) -> bool {
        const CLEAR_EVERY: Duration = Duration::from_secs(1);
        if self.suspects.len() < ADDRESSES_MAX || self.suspects.contains_key(&address) {
            return true;
        }
        let lately = |at| now.saturating_duration_since(at) < CLEAR_EVERY;
        if self.cleared.is_none_or(|at| !lately(at)) {
            self.cleared = Some(now);
            self.suspects.retain(|_, suspect| suspect.counts(now));
        }
        self.suspects.len() < ADDRESSES_MAX
    }
}

impl Suspect {
    /// An address with its first wrong key.
    fn new(now: Instant) -> Suspect {
        Suspect {
            wrong: 1,
            last: now,
            waits: Waits::default(),
            proven: vec![],
        }
    }

    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < MEMORY
    }

    fn knows(&self, key: &Arc<Grant>) -> bool {
        self.proven.iter().any(|grant| Arc::ptr_eq(grant, key))
    }
}

/// The wait after this number of wrong keys.
fn after(wrong: u32) -> Duration {
    const DOUBLINGS_MAX: u32 = 16;
    match wrong.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(more) => LONGEST.min(FIRST * 2_u32.pow(more.min(DOUBLINGS_MAX))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STEP: Duration = LONGEST;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn key() -> Arc<Grant> {
        Arc::new(Grant::of_secret_key())
    }

    /// Presents a wrong key so many times, each when no wait is left; the last wait, and when.
    fn wrong(throttle: &Throttle, from: IpAddr, times: u32, now: Instant) -> (Duration, Instant) {
        (0..times).fold((Duration::ZERO, now), |(_, now), _| {
            let now = now + STEP;
            (throttle.wait(from, None, now).unwrap(), now)
        })
    }

    #[test]
    fn the_wait_grows_and_has_an_end() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let (wait, now) = wrong(&throttle, address(1), FREE, now);
        assert_eq!(wait, Duration::ZERO);
        let waits: Vec<_> = (1..=7)
            .map(|n| throttle.wait(address(1), None, now + n * STEP))
            .map(|wait| wait.unwrap().as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3000, 3000]);
        let (wait, now) = wrong(&throttle, address(1), 1000, now + 7 * STEP);
        assert_eq!(wait, LONGEST);
        assert_eq!(wrong(&throttle, address(2), FREE, now).0, Duration::ZERO);
    }

    #[test]
    fn few_are_answered_however_many_ask_and_hang_up() {
        let (throttle, begin) = (Throttle::default(), Instant::now());
        let (asked, seconds) = (1000, 30);
        let mut answered = 0;
        for n in 0..asked * seconds {
            let now = begin + Duration::from_secs(1) * n / asked;
            // One in a thousand is right.
            let right = (n % 1000 == 7).then(key);
            answered += usize::from(throttle.wait(address(1), right.as_ref(), now).is_ok());
        }
        let longest = WAITS_MAX * usize::try_from(seconds).unwrap() / 3;
        assert!(answered >= longest, "{answered}");
        assert!(answered <= 10 + 3 * WAITS_MAX + longest, "{answered}");
        let now = begin + Duration::from_secs(1) * seconds;
        assert_eq!(
            throttle.wait(address(2), Some(&key()), now),
            Ok(Duration::ZERO)
        );
    }

    #[test]
    fn a_key_that_is_known_is_not_told_from_a_wrong_one_where_nothing_is_looked_at() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let known = key();
        let (_, now) = wrong(&throttle, address(1), FREE + 20, now);
        throttle.prove(address(1), &known);
        let now = now + STEP;
        assert_eq!(
            throttle.wait(address(1), Some(&known), now),
            Ok(Duration::ZERO)
        );
        for _ in 0..WAITS_MAX {
            assert_eq!(throttle.wait(address(1), None, now), Ok(LONGEST));
        }
        assert_eq!(throttle.wait(address(1), None, now), Err(TooMany));
        assert_eq!(throttle.wait(address(1), Some(&known), now), Err(TooMany));
        let later = now + LONGEST;
        assert_eq!(
            throttle.wait(address(1), Some(&known), later),
            Ok(Duration::ZERO)
        );
    }

    #[test]
    fn wrong_keys_are_forgotten() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let (_, now) = wrong(&throttle, address(1), 100, now);
        let later = now + MEMORY;
        let wait = throttle.wait(address(1), Some(&key()), later);
        assert_eq!(wait, Ok(Duration::ZERO));
        assert_eq!(wrong(&throttle, address(1), FREE, later).0, Duration::ZERO);
    }

    #[test]
    fn a_right_key_waits_as_a_wrong_one_would_until_it_is_known() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let (right, other) = (key(), key());
        let wait = |key: Option<&Arc<Grant>>, now| {
            let wait = throttle.wait(address(1), key, now);
            wait.unwrap().as_millis()
        };
        assert_eq!(wait(Some(&right), now), 0);
        let (_, now) = wrong(&throttle, address(1), FREE + 2, now);
        assert_eq!(wait(Some(&right), now), 400);
        assert_eq!(wait(Some(&right), now), 400, "it has not waited yet");
        throttle.prove(address(1), &right);
        assert_eq!(wait(Some(&right), now), 0);
        assert_eq!(wait(Some(&other), now), 400);
        assert_eq!(wait(None, now), 400);
    }

    #[test]
    fn as_many_keys_are_known_as_there_may_be() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let (_, now) = wrong(&throttle, address(1), FREE + 2, now);
        let keys: Vec<_> = (0..PROVEN_MAX).map(|_| key()).collect();
        keys.iter().for_each(|key| throttle.prove(address(1), key));
        for key in &keys {
            let wait = throttle.wait(address(1), Some(key), now + STEP);
            assert_eq!(wait, Ok(Duration::ZERO));
        }
        throttle.prove(address(1), &key());
        let proven = throttle.lock().suspects[&address(1)].proven.len();
        assert_eq!(proven, PROVEN_MAX);
    }

    #[test]
    fn what_is_kept_is_bounded_and_elsewhere_right_and_wrong_keys_wait_alike() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let addresses = u32::try_from(ADDRESSES_MAX).unwrap();
        for n in 0..addresses {
            assert_eq!(throttle.wait(address(n), None, now), Ok(Duration::ZERO));
        }
        let elsewhere = u32::try_from(WAITS_ELSEWHERE_MAX).unwrap();
        let elsewhere = addresses..addresses + elsewhere;
        for n in elsewhere.clone() {
            let right = (n % 2 == 0).then(key);
            let wait = throttle.wait(address(n), right.as_ref(), now);
            assert_eq!(wait, Ok(LONGEST));
        }
        for right in [None, Some(key())] {
            let wait = throttle.wait(address(elsewhere.end), right.as_ref(), now);
            assert_eq!(wait, Err(TooMany));
        }
        assert_eq!(throttle.wait(address(1), None, now), Ok(Duration::ZERO));
        assert_eq!(throttle.lock().suspects.len(), ADDRESSES_MAX);
        let later = now + MEMORY;
        let wait = throttle.wait(address(addresses), None, later);
        assert_eq!(wait, Ok(Duration::ZERO));
        assert_eq!(throttle.lock().suspects.len(), 1);
    }
}
