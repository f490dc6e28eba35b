//! Whoever presents wrong keys waits for the next answer, longer each time.
//!
//! Who it is goes by the address; what is kept of one is small, and of so many addresses only.
//! A right key waits as long as a wrong one where wrong ones have come from, or a quick answer
//! would tell which it is; once it has waited it is known there, and waits no more.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Wrong keys that cost no time.
const FREE: u32 = 10;
/// The wait after the first wrong key that does, which doubles with each.
const FIRST: Duration = Duration::from_millis(100);
/// The longest wait.
const LONGEST: Duration = Duration::from_secs(3);
/// A time without wrong keys after which those of before are forgotten.
const MEMORY: Duration = Duration::from_secs(60);
/// Addresses that are kept; past it, a wrong key from another one waits longest.
const ADDRESSES_MAX: usize = 10_000;
/// Names of right keys that are kept of an address.
const PROVEN_MAX: usize = 8;

/// See the module.
#[derive(Default)]
pub(super) struct Throttle(Mutex<Table>);

#[derive(Default)]
struct Table {
    suspects: HashMap<IpAddr, Suspect>,
    /// When room was made last.
    cleared: Option<Instant>,
}

/// An address that wrong keys come from.
struct Suspect {
    wrong: u32,
    last: Instant,
    /// The names of right keys that have waited.
    proven: Vec<String>,
}

impl Throttle {
    fn lock(&self) -> MutexGuard<'_, Table> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long `from` waits for its answer, after presenting the key of this name, or a wrong
    /// one, which counts.
    pub(super) fn wait(&self, from: IpAddr, key: Option<&str>, now: Instant) -> Duration {
        let address = network(from);
        let mut table = self.lock();
        match key {
            Some(name) => match table.suspects.get(&address) {
                Some(suspect) if suspect.counts(now) && !suspect.knows(name) => {
                    after(suspect.wrong.saturating_add(1))
                }
                Some(_) | None => Duration::ZERO,
            },
            None if table.has_room(address, now) => {
                let suspect = table.suspects.entry(address).or_insert(Suspect {
                    wrong: 0,
                    last: now,
                    proven: vec![],
                });
                if !suspect.counts(now) {
                    suspect.wrong = 0;
                    suspect.proven.clear();
                }
                suspect.wrong = suspect.wrong.saturating_add(1);
                suspect.last = now;
                after(suspect.wrong)
            }
            None => LONGEST,
        }
    }

    /// The key of this name has waited.
    pub(super) fn prove(&self, from: IpAddr, key: &str) {
        if let Some(suspect) = self.lock().suspects.get_mut(&network(from))
            && !suspect.knows(key)
        {
            if suspect.proven.len() == PROVEN_MAX {
                suspect.proven.remove(0);
            }
            suspect.proven.push(key.to_owned());
        }
    }
}

impl Table {
    /// Whether this address can be kept; forgets others for it, at most once a second.
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
    fn counts(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < MEMORY
    }

    fn knows(&self, key: &str) -> bool {
        self.proven.iter().any(|name| name == key)
    }
}

/// The wait after so many wrong keys.
fn after(wrong: u32) -> Duration {
    const DOUBLINGS_MAX: u32 = 16;
    match wrong.checked_sub(FREE + 1) {
        None => Duration::ZERO,
        Some(more) => LONGEST.min(FIRST * 2_u32.pow(more.min(DOUBLINGS_MAX))),
    }
}

/// What counts as one: an IPv4 address, or the 64 bits of IPv6 that one customer has.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => {
            const HOST_BITS: u128 = u64::MAX as u128;
            Ipv6Addr::from_bits(address.to_bits() & !HOST_BITS).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::V4(n.into())
    }

    fn wrong(throttle: &Throttle, from: IpAddr, times: u32, now: Instant) -> Duration {
        (0..times).fold(Duration::ZERO, |_, _| throttle.wait(from, None, now))
    }

    #[test]
    fn the_wait_grows_and_has_an_end() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        assert_eq!(wrong(&throttle, address(1), FREE, now), Duration::ZERO);
        let waits: Vec<_> = (0..7)
            .map(|_| throttle.wait(address(1), None, now).as_millis())
            .collect();
        assert_eq!(waits, [100, 200, 400, 800, 1600, 3000, 3000]);
        assert_eq!(wrong(&throttle, address(1), 1000, now), LONGEST);
        assert_eq!(wrong(&throttle, address(2), FREE, now), Duration::ZERO);
    }

    #[test]
    fn wrong_keys_are_forgotten() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        wrong(&throttle, address(1), 100, now);
        let later = now + MEMORY;
        let wait = throttle.wait(address(1), Some("k"), later);
        assert_eq!(wait, Duration::ZERO);
        assert_eq!(wrong(&throttle, address(1), FREE, later), Duration::ZERO);
    }

    #[test]
    fn a_right_key_waits_as_a_wrong_one_would_until_it_is_known() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let right = |from| throttle.wait(from, Some("k"), now);
        assert_eq!(right(address(1)), Duration::ZERO);
        wrong(&throttle, address(1), FREE + 2, now);
        assert_eq!(right(address(1)).as_millis(), 400);
        assert_eq!(right(address(1)).as_millis(), 400, "it has not waited yet");
        throttle.prove(address(1), "k");
        assert_eq!(right(address(1)), Duration::ZERO);
        assert_eq!(
            throttle.wait(address(1), Some("other"), now).as_millis(),
            400
        );
        assert_eq!(throttle.wait(address(1), None, now).as_millis(), 400);
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let (throttle, now) = (Throttle::default(), Instant::now());
        let addresses = u32::try_from(ADDRESSES_MAX).unwrap();
        for n in 0..addresses {
            wrong(&throttle, address(n), 1, now);
        }
        assert_eq!(wrong(&throttle, address(addresses), 1, now), LONGEST);
        assert_eq!(wrong(&throttle, address(1), 1, now), Duration::ZERO);
        assert_eq!(throttle.lock().suspects.len(), ADDRESSES_MAX);
        let later = now + MEMORY;
        assert_eq!(
            wrong(&throttle, address(addresses), 1, later),
            Duration::ZERO
        );
        assert_eq!(throttle.lock().suspects.len(), 1);
        wrong(&throttle, address(7), 1, later);
        for n in 0..100 {
            throttle.prove(address(7), &n.to_string());
        }
        assert_eq!(
            throttle.lock().suspects[&address(7)].proven.len(),
            PROVEN_MAX
        );
    }

    #[test]
    fn a_customer_of_ipv6_is_one() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        assert_eq!(
            network(at("2001:db8:1:2::1")),
            network(at("2001:db8:1:2:ffff::"))
        );
        assert_ne!(
            network(at("2001:db8:1:2::1")),
            network(at("2001:db8:1:3::1"))
        );
        assert_eq!(network(at("::ffff:10.0.0.1")), at("10.0.0.1"));
    }
}
