//! Which addresses count as one client.

use std::net::IpAddr;

use ipnet::Ipv6Net;

/// Bits of IPv6 that one customer has: who has one address has the other 2^64 of its network too.
const CUSTOMER_BITS: u8 = 64;

/// What an address counts as: itself, or its /64 network of IPv6. This machine stays itself.
pub(crate) fn of_client(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Net::new_assert(address, CUSTOMER_BITS).network().into()
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_customer_of_ipv6_is_one() {
        let at = |text: &str| text.parse::<IpAddr>().unwrap();
        let rows = [
            ("2001:db8:1:2::1", "2001:db8:1:2::"),
            ("2001:db8:1:2:ffff:ffff:ffff:ffff", "2001:db8:1:2::"),
            ("2001:db8:1:3::1", "2001:db8:1:3::"),
            ("::ffff:10.0.0.1", "10.0.0.1"),
            ("10.0.0.1", "10.0.0.1"),
            ("::1", "::1"),
            ("127.0.0.1", "127.0.0.1"),
        ];
        for (address, network) in rows {
            assert_eq!(of_client(at(address)), at(network), "{address}");
        }
    }
}
