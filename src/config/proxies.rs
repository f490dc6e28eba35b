//! The proxies that are believed who their clients are (`server.trustedProxies`).

use std::net::IpAddr;

/// Addresses of proxies, and networks of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<Network>);

/// The addresses whose first `bits` are those of `address`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Network {
    address: IpAddr,
    bits: u32,
}

impl Proxies {
    /// Addresses or networks between commas; an empty text for none.
    pub(super) fn parse(text: &str) -> Result<Proxies, String> {
        if text.trim().is_empty() {
            return Ok(Proxies::default());
        }
        let networks = text.split(',').map(|one| Network::parse(one.trim()));
        let networks: Option<Vec<Network>> = networks.collect();
        networks.map(Proxies).ok_or_else(|| {
            "is not addresses or networks such as 10.0.0.7 or fd00::/8 between commas".to_owned()
        })
    }

    /// Whether the one at `ip` is believed.
    pub fn trust(&self, ip: IpAddr) -> bool {
        self.0.iter().any(|network| network.has(ip))
    }
}

impl Network {
    fn parse(text: &str) -> Option<Network> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().ok()?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Some(most), |bits| bits.parse().ok())?;
        (bits <= most).then_some(Network { address, bits })
    }

    fn has(&self, ip: IpAddr) -> bool {
        let (differ, width) = match (self.address, ip.to_canonical()) {
            (IpAddr::V4(a), IpAddr::V4(b)) => (u128::from(a.to_bits() ^ b.to_bits()), 32),
            (IpAddr::V6(a), IpAddr::V6(b)) => (a.to_bits() ^ b.to_bits(), 128),
            _ => return false,
        };
        // A shift by all bits leaves nothing that could differ.
        differ.checked_shr(width - self.bits).unwrap_or(0) == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_networks_are_trusted_and_their_neighbours_are_not() {
        let rows: &[(&str, &[&str], &[&str])] = &[
            ("", &[], &["10.0.0.7", "::1"]),
            (
                "10.0.0.7",
                &["10.0.0.7", "::ffff:10.0.0.7"],
                &["10.0.0.6", "::7"],
            ),
            (
                "10.0.0.0/8, 192.168.4.0/22",
                &["10.255.0.1", "192.168.7.255"],
                &["11.0.0.0", "192.168.8.0"],
            ),
            ("0.0.0.0/0", &["203.0.113.9"], &["::1"]),
            (
                "::1, fd00::/8",
                &["::1", "fdff::1"],
                &["::2", "fe00::", "0.0.0.1"],
            ),
            ("::/0", &["2001:db8::1"], &["127.0.0.1"]),
        ];
        for (proxies, trusted, others) in rows {
            let parsed = Proxies::parse(proxies).unwrap();
            let trusts = |ip: &&str| parsed.trust(ip.parse().unwrap());
            assert!(trusted.iter().all(trusts), "{proxies}");
            assert!(!others.iter().any(trusts), "{proxies}");
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for wrong in [
            "proxy.example",
            "10.0.0.0/33",
            "10.0.0.0/",
            "10.0.0.0/-1",
            "10.0.0.1:80",
            "10.0.0.1,",
            "::/129",
            "*",
        ] {
            assert!(Proxies::parse(wrong).is_err(), "{wrong}");
        }
    }
}
