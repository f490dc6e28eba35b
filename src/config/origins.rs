//! The pages that browsers may use the server from (`server.origins`).

/// Origins of pages, as browsers send them in the header `Origin`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    /// Every page there is.
    Any,
    /// Pages of these origins, and the server's own.
    Only(Vec<String>),
}

impl Origins {
    /// `*`, or origins between commas.
    pub(super) fn parse(text: &str) -> Result<Origins, String> {
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

    /// Whether a page of `origin` may use the server, which it reaches as `host`.
    pub fn allow(&self, origin: &str, host: Option<&str>) -> bool {
        let Origins::Only(allowed) = self else {
            return true;
        };
        let is_own = origin
            .split_once("://")
            .is_some_and(|(_, page)| host.is_some_and(|host| page.eq_ignore_ascii_case(host)));
        is_own || allowed.iter().any(|one| one.eq_ignore_ascii_case(origin))
    }
}

/// A scheme and a host, perhaps a port, and nothing else; browsers leave a usual port out.
fn origin(text: &str) -> Option<String> {
    let (scheme, page) = text.split_once("://")?;
    let (name, port) = match page.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        Some(_) | None => (page, None),
    };
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

    #[test]
    fn only_what_is_listed_and_the_own_page_may() {
        let origins =
            Origins::parse("https://a.example, http://b.example:8080,https://c.example:443")
                .unwrap();
        let host = Some("mq.example:8011");
        for (origin, may) in [
            ("https://a.example", true),
            ("https://A.example", true),
            ("http://a.example", false),
            ("https://a.example:444", false),
            ("https://a.example.evil", false),
            ("http://b.example:8080", true),
            ("http://b.example", false),
            ("https://c.example", true),
            ("http://mq.example:8011", true),
            ("http://mq.example", false),
            ("null", false),
            ("", false),
        ] {
            assert_eq!(origins.allow(origin, host), may, "{origin}");
        }
        assert!(!origins.allow("http://mq.example:8011", None));
        assert!(Origins::parse("*").unwrap().allow("null", None));
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
