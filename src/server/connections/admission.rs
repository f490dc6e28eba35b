//! The bounds of connections: of all, and of one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard};

use crate::connection::connection_stats::Refused;
use crate::connection::network;

/// Open files that are not for clients: the store, the log, and connections that are being refused.
const OTHER_FILES: usize = 128;
/// The assumed limit of open files where it is not known.
const FILES_UNKNOWN: usize = 1024;

/// The most connections that may be open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::server) struct Limits {
    /// In all.
    pub(in crate::server) connections: usize,
    /// From one address, or from one /64 network of IPv6.
    pub(in crate::server) per_address: usize,
    /// From this machine.
    pub(in crate::server) from_here: usize,
}

impl Limits {
    /// The configured limits; 0 stands for a limit that suits `files`, the most open files. A proxy on
    /// this machine stands for many clients, so this machine has no limit of its own unless it is
    /// configured.
    pub(in crate::server) fn new(
        connections: usize,
        per_address: usize,
        files: Option<u64>,
    ) -> Limits {
        let files = files.map_or(FILES_UNKNOWN, |files| {
            usize::try_from(files).unwrap_or(usize::MAX)
        });
        let most = files.saturating_sub(OTHER_FILES).max(files / 2).max(1);
        let connections = match connections {
            0 => most,
            set => set.min(most),
        };
        let (per_address, from_here) = match per_address {
            0 => (connections.div_ceil(2), connections),
            set => (set, set),
        };
        Limits {
            connections,
            per_address,
            from_here,
        }
    }
}

/// Counts the open connections, and admits new ones.
pub(in crate::server) struct Admission(Mutex<Open>);

struct Open {
    limits: Limits,
    connections: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one connection, which dropping this frees.
pub(in crate::server) struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(in crate::server) fn new(limits: Limits) -> Arc<Admission> {
        Arc::new(Admission(Mutex::new(Open {
            limits,
            connections: 0,
            by_address: HashMap::new(),
        })))
    }

    /// Replaces the limits. Connections beyond them stay.
    pub(in crate::server) fn change(&self, limits: Limits) {
        self.open().limits = limits;
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().expect("nothing panics while it is held")
    }

    /// A place for a connection from `ip`.
    ///
    /// # Errors
    /// The most connections are open, in all or from this address.
    pub(in crate::server) fn admit(self: &Arc<Admission>, ip: IpAddr) -> Result<Place, Refused> {
        let address = network::of_client(ip);
        let mut open = self.open();
        let from_one = match address.is_loopback() {
            true => open.limits.from_here,
            false => open.limits.per_address,
        };
        if open.connections >= open.limits.connections {
            return Err(Refused::Limit);
        }
        if open
            .by_address
            .get(&address)
            .is_some_and(|n| *n >= from_one)
        {
            return Err(Refused::AddressLimit);
        }
        open.connections += 1;
        *open.by_address.entry(address).or_default() += 1;
        drop(open);
        Ok(Place {
            admission: self.clone(),
            address,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.admission.open();
        open.connections -= 1;
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn places_are_counted_by_address_and_given_back() {
        let admission = Admission::new(Limits::new(5, 2, Some(1024)));
        let admit = |text| admission.admit(ip(text)).map_err(|refused| (text, refused));
        let first = admit("2001:db8::1").unwrap();
        let _second = admit("2001:db8::2").unwrap();
        assert!(matches!(
            admit("2001:db8::3"),
            Err((_, Refused::AddressLimit))
        ));
        drop(first);
        let _third = admit("2001:db8::4").unwrap();
        let _other = [
            admit("10.0.0.1").unwrap(),
            admit("::ffff:10.0.0.1").unwrap(),
        ];
        assert!(matches!(admit("10.0.0.1"), Err((_, Refused::AddressLimit))));
        let _last = admit("10.0.0.2").unwrap();
        assert!(matches!(admit("10.0.0.3"), Err((_, Refused::Limit))));
    }

    #[test]
    fn connections_over_a_limit_that_is_lowered_stay() {
        let admission = Admission::new(Limits::new(3, 0, Some(1024)));
        let admit = || admission.admit(ip("127.0.0.1"));
        let (first, second) = (admit().unwrap(), admit().unwrap());
        admission.change(Limits::new(1, 0, Some(1024)));
        assert!(matches!(admit(), Err(Refused::Limit)));
        drop(first);
        assert!(matches!(admit(), Err(Refused::Limit)));
        drop(second);
        let _third = admit().unwrap();
        admission.change(Limits::new(2, 0, Some(1024)));
        let _fourth = admit().unwrap();
    }

    #[test]
    fn limits_suit_the_files_that_may_be_open() {
        let limits = |connections, per_address, files| {
            let limits = Limits::new(connections, per_address, files);
            (limits.connections, limits.per_address, limits.from_here)
        };
        assert_eq!(limits(0, 0, Some(20_000)), (19_872, 9_936, 19_872));
        assert_eq!(limits(0, 0, Some(64)), (32, 16, 32));
        assert_eq!(limits(0, 0, None), (896, 448, 896));
        assert_eq!(limits(100, 0, None), (100, 50, 100));
        assert_eq!(limits(100, 7, None), (100, 7, 7));
        assert_eq!(limits(5000, 0, Some(1024)), (896, 448, 896));
    }
}
