//! The proxies that may name the addresses of their clients (`server.trustedProxies`).

use std::net::IpAddr;

use ipnet::IpNet;

/// Addresses of proxies, and networks of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proxies(Vec<IpNet>);

impl Proxies {
    /// Addresses or networks, separated by commas; an empty text for none.
    pub(in crate::config) fn parse(text: &str) -> Result<Proxies, String> {
        if text.trim().is_empty() {
            return Ok(Proxies::default());
        }
        let networks = text.split(',').map(|one| network(one.trim()));
        let networks: Option<Vec<IpNet>> = networks.collect();
        networks.map(Proxies).ok_or_else(|| {
            "is not addresses or networks such as 10.0.0.7 or fd00::/8 between commas".to_owned()
        })
    }

    /// Whether the proxy at `ip` is trusted.
    pub fn trust(&self, ip: IpAddr) -> bool {
        let ip = ip.to_canonical();
        self.0.iter().any(|network| network.contains(&ip))
    }
}

/// A network, or that of a single address. The address is parsed by the standard library: ipnet
/// itself also takes leading zeros.
fn network(text: &str) -> Option<IpNet> {
    match text.split_once('/') {
        Some((address, bits)) => IpNet::new(address.parse().ok()?, bits.parse().ok()?).ok(),
        None => text.parse::<IpAddr>().ok().map(IpNet::from),
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
            "010.0.0.0/8",
            "10.0.0.0/300",
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
