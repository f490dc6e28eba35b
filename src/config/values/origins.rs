//! The pages from which browsers may use the server (`server.origins`), and its own names.

use std::net::IpAddr;

/// Origins of pages, as browsers send them in the header `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every page.
    Any,
    /// Pages of these origins, and the server's own.
    Only(Vec<String>),
}

impl Origins {
    /// `*`, or origins between commas.
    pub(in crate::config) fn parse(text: &str) -> Result<Origins, String> {
        if text.trim() == "*" {
            return Ok(Origins::Any);
        }
        let origins = text.split(',').map(|one| origin(one.trim()));
        let origins: Option<Vec<String>> = origins.collect();
        origins.map(Origins::Only).ok_or_else(|| {
            "is neither * nor origins such as https://a.example or http://b.example:8080 between commas"
                .to_owned()
        })
    }
}

/// Which pages may use a server: those of its `server.origins`, and its own.
///
/// While the key is the published one, a page of another site only needs to find the server. So
/// then `*` means the pages of this machine, and requests have to name the server by a name that
/// no other site can own. A browser that resolves `evil.example` to the server's address takes
/// the answers as those of that site, so a page is not the server's own just because the names
/// match.
#[derive(Clone, Copy, Debug)]
pub struct Pages<'a> {
    pub(in crate::config) origins: &'a Origins,
    /// Whether the key is the published one.
    pub(in crate::config) key_is_published: bool,
}

impl Pages<'_> {
    /// Whether every page may read the answers.
    pub fn are_all(self) -> bool {
        *self.origins == Origins::Any
    }

    /// Whether names and pages are checked because the key is the published one.
    pub fn are_guarded(self) -> bool {
        self.key_is_published
    }

    /// Whether a page of `origin` may use the server, which it reaches as `host`.
    pub fn allow(self, origin: &str, host: Option<&str>) -> bool {
        let is_listed = match self.origins {
            Origins::Any => !self.key_is_published,
            Origins::Only(listed) => listed.iter().any(|one| one.eq_ignore_ascii_case(origin)),
        };
        if is_listed {
            return true;
        }
        let Some((_, page)) = origin.split_once("://") else {
            return false;
        };
        let name = name_of(page);
        let is_own = host.is_some_and(|host| page.eq_ignore_ascii_case(host));
        is_own && (is_loopback(name) || address(name).is_some())
            || self.key_is_published && is_loopback(name)
    }

    /// Whether no other site can own this name: an address, or a name without a dot, which is one of
    /// the own network.
    pub fn know(self, host: &str) -> bool {
        let name = name_of(host);
        let is_listed = |listed: &[String]| {
            let mut pages = listed.iter().filter_map(|one| one.split_once("://"));
            pages.any(|(_, page)| name_of(page).eq_ignore_ascii_case(name))
        };
        let is_of_the_network = !name.is_empty() && !name.contains('.');
        is_of_the_network
            || is_loopback(name)
            || address(name).is_some()
            || matches!(self.origins, Origins::Only(listed) if is_listed(listed))
    }
}

/// The name in `name` or `name:port`.
fn name_of(host: &str) -> &str {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => name,
        Some(_) | None => host,
    }
}

fn address(name: &str) -> Option<IpAddr> {
    let bare = name
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(name).parse().ok()
}

/// Whether the name is this machine: browsers do not resolve it elsewhere.
fn is_loopback(name: &str) -> bool {
    match address(name) {
        Some(address) => address.to_canonical().is_loopback(),
        None => {
            let name = name.strip_suffix('.').unwrap_or(name);
            let (_, last) = name.rsplit_once('.').unwrap_or(("", name));
            last.eq_ignore_ascii_case("localhost")
        }
    }
}

/// A scheme and a host, perhaps a port, and nothing else. Browsers leave out the default port.
fn origin(text: &str) -> Option<String> {
    let (scheme, page) = text.split_once("://")?;
    let name = name_of(page);
    let port = page[name.len()..].strip_prefix(':');
    let is_scheme = !scheme.is_empty()
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    let in_name = |c: char| c.is_ascii_alphanumeric() || "-._[:]".contains(c);
    let is_name = !name.is_empty() && name.chars().all(in_name);
    let is_port = port.is_none_or(|port| port.parse::<u16>().is_ok());
    let is_usual = matches!(
        (scheme, port),
        ("http", Some("80")) | ("https", Some("443"))
    );
    let origin = match is_usual {
        true => format!("{scheme}://{name}"),
        false => text.to_owned(),
    };
    (is_scheme && is_name && is_port).then_some(origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pages(origins: &Origins, key_is_published: bool) -> Pages<'_> {
        Pages {
            origins,
            key_is_published,
        }
    }

    #[test]
    fn only_what_is_listed_and_the_own_page_may() {
        let origins =
            Origins::parse("https://a.example, http://b.example:8080,https://c.example:443")
                .unwrap();
        for (origin, host, may) in [
            ("https://a.example", "a:8011", true),
            ("https://A.example", "a:8011", true),
            ("http://a.example", "a:8011", false),
            ("https://a.example:444", "a:8011", false),
            ("https://a.example.evil", "a:8011", false),
            ("http://b.example:8080", "a:8011", true),
            ("http://b.example", "a:8011", false),
            ("https://c.example", "a:8011", true),
            ("http://192.0.2.1:8011", "192.0.2.1:8011", true),
            ("http://localhost:8011", "localhost:8011", true),
            ("http://localhost:8012", "localhost:8011", false),
            // Another site may own this name, and resolve it to this server.
            ("http://mq.example:8011", "mq.example:8011", false),
            ("null", "a:8011", false),
            ("", "a:8011", false),
        ] {
            let allowed = pages(&origins, false).allow(origin, Some(host));
            assert_eq!(allowed, may, "{origin} {host}");
        }
        assert!(!pages(&origins, false).allow("http://192.0.2.1:8011", None));
        assert!(pages(&Origins::Any, false).allow("null", None));
    }

    #[test]
    fn while_everybody_knows_the_key_any_page_is_one_of_this_machine() {
        let listed = Origins::parse("https://a.example").unwrap();
        for (origin, host, may) in [
            ("http://localhost", "127.0.0.1:8011", true),
            ("http://LOCALHOST:3000", "127.0.0.1:8011", true),
            ("http://app.localhost:3000", "127.0.0.1:8011", true),
            ("http://127.0.0.1:3000", "127.0.0.1:8011", true),
            ("http://127.9.9.9", "127.0.0.1:8011", true),
            ("http://[::1]:3000", "127.0.0.1:8011", true),
            ("http://192.0.2.1:8011", "192.0.2.1:8011", true),
            ("http://[2001:db8::1]:8011", "[2001:db8::1]:8011", true),
            ("http://192.0.2.1:3000", "192.0.2.1:8011", false),
            ("http://192.0.2.2:8011", "192.0.2.1:8011", false),
            ("http://evil.example:8011", "evil.example:8011", false),
            ("http://localhost.evil.example", "127.0.0.1:8011", false),
            ("http://127.0.0.1.evil.example", "127.0.0.1:8011", false),
            ("http://intranet:8011", "intranet:8011", false),
            ("null", "127.0.0.1:8011", false),
            ("file://", "127.0.0.1:8011", false),
            ("", "127.0.0.1:8011", false),
        ] {
            for origins in [&Origins::Any, &listed] {
                let allowed = pages(origins, true).allow(origin, Some(host));
                assert_eq!(allowed, may, "{origin} {host}");
            }
        }
        assert!(pages(&listed, true).allow("https://a.example", None));
    }

    #[test]
    fn a_name_that_may_be_anybodys_is_not_known() {
        let listed = Origins::parse("https://mq.example:444").unwrap();
        for (host, any_knows, list_knows) in [
            ("localhost:8011", true, true),
            ("app.localhost.", true, true),
            ("127.0.0.1", true, true),
            ("[::1]:8011", true, true),
            ("[2001:db8::1]", true, true),
            ("192.0.2.1:8011", true, true),
            ("broker:8011", true, true),
            ("MQ.example:8011", false, true),
            ("mq.example", false, true),
            ("evil.example:8011", false, false),
            ("localhost.evil.example", false, false),
            ("127.0.0.1.evil.example:8011", false, false),
            ("evil.", false, false),
            ("", false, false),
        ] {
            assert_eq!(pages(&Origins::Any, true).know(host), any_knows, "{host}");
            assert_eq!(pages(&listed, true).know(host), list_knows, "{host}");
        }
    }

    #[test]
    fn what_is_no_origin_is_refused() {
        for wrong in [
            "",
            "a.example",
            "https://",
            "https://a.example/",
            "https://a.example/path",
            "https://a.example:x",
            "https://*.a.example",
            "*, https://a.example",
            "https://a.example,",
            "https://a b",
        ] {
            assert!(Origins::parse(wrong).is_err(), "{wrong}");
        }
        assert!(Origins::parse("http://[::1]:8011").is_ok());
        assert!(Origins::parse("http://[::1]").is_ok());
    }
}
