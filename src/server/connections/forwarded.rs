//! The client whose request a proxy forwards.

use std::net::{IpAddr, SocketAddr};

use hyper::HeaderMap;

use crate::config::Proxies;

/// The header to which a proxy appends the address that its request came from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address of the client whose request came from `peer`. Only addresses that trusted proxies
/// have appended are believed; the client may have written those before them.
pub(super) fn client(peer: IpAddr, headers: &HeaderMap, proxies: &Proxies) -> IpAddr {
    let mut client = peer.to_canonical();
    for passed_on in headers.get_all(FORWARDED_FOR).iter().rev() {
        for from in passed_on.as_bytes().rsplit(|byte| *byte == b',') {
            if !proxies.trust(client) {
                return client;
            }
            match address(from) {
                Some(address) => client = address,
                // The proxy names no address, so the client is the proxy itself.
                None => return client,
            }
        }
    }
    client
}

/// An address; some proxies append the port.
fn address(text: &[u8]) -> Option<IpAddr> {
    let text = std::str::from_utf8(text).ok()?.trim();
    let alone = text.parse().ok();
    let address = alone.or_else(|| Some(text.parse::<SocketAddr>().ok()?.ip()))?;
    Some(address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Sources};

    fn proxies(text: &str) -> Proxies {
        let config = Config::load(&Sources {
            overrides: vec![("server.trustedProxies".into(), text.into())],
            ..Sources::default()
        });
        config.unwrap().server.trusted_proxies
    }

    #[test]
    fn the_client_is_the_last_one_that_no_trusted_proxy_is() {
        const NEAR: &str = "10.0.0.1";
        let rows: &[(&str, &[&str], &str)] = &[
            // Others are not believed.
            ("192.0.2.7", &["203.0.113.9"], "192.0.2.7"),
            (NEAR, &[], NEAR),
            (NEAR, &["203.0.113.9"], "203.0.113.9"),
            ("::ffff:10.0.0.1", &["203.0.113.9"], "203.0.113.9"),
            // What the client wrote is to the left of what the proxy appended.
            (NEAR, &["127.0.0.1, 203.0.113.9"], "203.0.113.9"),
            (NEAR, &["127.0.0.1", "203.0.113.9"], "203.0.113.9"),
            (NEAR, &["nonsense,\" , 203.0.113.9"], "203.0.113.9"),
            // Proxies behind proxies.
            (NEAR, &["203.0.113.9, 10.9.9.9"], "203.0.113.9"),
            (NEAR, &["203.0.113.9", "10.9.9.9,10.0.0.2"], "203.0.113.9"),
            (NEAR, &["192.0.2.1, 203.0.113.9, 10.9.9.9"], "203.0.113.9"),
            (NEAR, &["10.9.9.9, 10.0.0.2"], "10.9.9.9"),
            // Forms of an address.
            (NEAR, &["203.0.113.9:4711"], "203.0.113.9"),
            (NEAR, &["2001:db8::1"], "2001:db8::1"),
            (NEAR, &["[2001:db8::1]:4711"], "2001:db8::1"),
            (NEAR, &["::ffff:203.0.113.9"], "203.0.113.9"),
            (NEAR, &["  203.0.113.9\t"], "203.0.113.9"),
            // An invalid address counts as none.
            (NEAR, &["203.0.113.9, unknown"], NEAR),
            (NEAR, &["203.0.113.9, 10.9.9.9, "], NEAR),
            (NEAR, &["unknown, 10.9.9.9"], "10.9.9.9"),
            (NEAR, &["203.0.113.9 10.9.9.9"], NEAR),
            (NEAR, &[""], NEAR),
        ];
        for (peer, headers, client) in rows {
            let mut map = HeaderMap::new();
            for value in *headers {
                map.append(FORWARDED_FOR, value.parse().unwrap());
            }
            let found = super::client(peer.parse().unwrap(), &map, &proxies("10.0.0.0/8"));
            assert_eq!(found.to_string(), *client, "{peer} {headers:?}");
        }
    }
}
