//! The format that a scraper gets: the one that its `Accept` prefers (RFC 9110, 12.5.1).
//!
//! A client that does not ask for OpenMetrics, or asks for a format that does not exist, gets the
//! text that every tool reads and a browser shows.

use axum::http::{HeaderMap, header};

/// The format of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum MetricsFormat {
    /// OpenMetrics 1.0: with units, and with the types of counters in their names.
    OpenMetrics,
    /// The text format of Prometheus, 0.0.4.
    Prometheus,
}

/// A client's preference: its quality in thousandths, and whether the client names the format.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Preference {
    quality: u16,
    is_named: bool,
}

impl MetricsFormat {
    /// Type, subtype and version.
    fn kind(self) -> (&'static str, &'static str, &'static str) {
        match self {
            MetricsFormat::OpenMetrics => ("application", "openmetrics-text", "1.0.0"),
            MetricsFormat::Prometheus => ("text", "plain", "0.0.4"),
        }
    }

    pub(super) fn content_type(self) -> &'static str {
        match self {
            MetricsFormat::OpenMetrics => {
                "application/openmetrics-text; version=1.0.0; charset=utf-8"
            }
            MetricsFormat::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }

    /// The format that the request prefers.
    pub(super) fn preferred(headers: &HeaderMap) -> MetricsFormat {
        let accept = headers.get_all(header::ACCEPT).iter();
        let ranges: Vec<MediaRange<'_>> = accept
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .filter_map(MediaRange::parse)
            .collect();
        let open = MetricsFormat::OpenMetrics.preference(&ranges);
        let plain = MetricsFormat::Prometheus.preference(&ranges);
        let preferred = open.quality > plain.quality;
        let named = open.is_named && open.quality > 0 && open.quality == plain.quality;
        match preferred || named {
            true => MetricsFormat::OpenMetrics,
            false => MetricsFormat::Prometheus,
        }
    }

    /// The most exact range with the format decides; among equally exact ones, the best.
    fn preference(self, ranges: &[MediaRange<'_>]) -> Preference {
        let fitting = ranges
            .iter()
            .filter_map(|range| Some((range.exactness(self)?, range.quality)));
        fitting
            .max()
            .map_or(Preference::default(), |(exactness, quality)| Preference {
                quality,
                is_named: exactness >= Exactness::Type,
            })
    }
}

/// How exactly a range names a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Exactness {
    Any,
    Half,
    Type,
    Version,
}

/// A media range, as in `text/*;q=0.5`.
struct MediaRange<'a> {
    kind: &'a str,
    subkind: &'a str,
    version: Option<&'a str>,
    quality: u16,
}

impl MediaRange<'_> {
    /// `None` if it cannot be read.
    fn parse(text: &str) -> Option<MediaRange<'_>> {
        let mut parts = text.split(';').map(str::trim);
        let (kind, subkind) = parts.next()?.split_once('/')?;
        let mut range = MediaRange {
            kind,
            subkind,
            version: None,
            quality: 1000,
        };
        for part in parts.filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=')?;
            let value = value.trim_matches('"');
            match &*name.to_ascii_lowercase() {
                "q" => range.quality = thousandths(value)?,
                "version" => range.version = Some(value),
                // Charset or escaping: there is no choice.
                _ => {}
            }
        }
        Some(range)
    }

    /// How exactly the range names this format; `None` if it excludes it.
    fn exactness(&self, format: MetricsFormat) -> Option<Exactness> {
        let (kind, subkind, version) = format.kind();
        let same = str::eq_ignore_ascii_case;
        match (self.kind, self.subkind, self.version) {
            ("*", "*", _) => Some(Exactness::Any),
            (own, "*", _) if same(own, kind) => Some(Exactness::Half),
            (own, sub, None) if same(own, kind) && same(sub, subkind) => Some(Exactness::Type),
            (own, sub, Some(wanted)) if same(own, kind) && same(sub, subkind) => {
                (wanted == version).then_some(Exactness::Version)
            }
            _ => None,
        }
    }
}

/// A quality from 0 to 1 with at most three decimals, in thousandths.
fn thousandths(text: &str) -> Option<u16> {
    let (whole, decimals) = text.split_once('.').unwrap_or((text, ""));
    let is_short = decimals.len() <= 3 && decimals.bytes().all(|byte| byte.is_ascii_digit());
    let rest = format!("{decimals:0<3}").parse().ok().filter(|_| is_short);
    match (whole, rest) {
        ("0", rest) => rest,
        ("1", Some(0)) => Some(1000),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn wanted(values: &[&'static str]) -> MetricsFormat {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(header::ACCEPT, HeaderValue::from_static(value));
        }
        MetricsFormat::preferred(&headers)
    }

    #[test]
    fn a_scraper_gets_what_it_likes_best() {
        use MetricsFormat::{OpenMetrics, Prometheus};
        for (accept, format) in [
            // Nobody in particular, browsers, curl.
            (&[][..], Prometheus),
            (&[""], Prometheus),
            (&["*/*"], Prometheus),
            (
                &["text/html,application/xhtml+xml,application/xml;q=0.9,image/webp,*/*;q=0.8"],
                Prometheus,
            ),
            // Prometheus 2, 3 and 1; Grafana's agent asks as the second.
            (
                &[
                    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
                ],
                OpenMetrics,
            ),
            (
                &[
                    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
                ],
                OpenMetrics,
            ),
            (
                &[
                    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,text/plain;version=0.0.4;q=0.3",
                ],
                Prometheus,
            ),
            (&["text/plain;version=0.0.4"], Prometheus),
            (&["text/plain"], Prometheus),
            (&["application/openmetrics-text"], OpenMetrics),
            (
                &["Application/OpenMetrics-Text; Version=\"1.0.0\"; Q=0.1"],
                OpenMetrics,
            ),
            (&["application/*"], OpenMetrics),
            (&["text/*, application/*"], Prometheus),
            // Liked alike: the richer one, if it is named.
            (&["text/plain, application/openmetrics-text"], OpenMetrics),
            (
                &["text/plain;q=0.5", "application/openmetrics-text;q=0.5"],
                OpenMetrics,
            ),
            (
                &["text/plain;q=0.501, application/openmetrics-text;q=0.5"],
                Prometheus,
            ),
            (
                &["text/plain;q=0.4", "application/openmetrics-text;q=0.5"],
                OpenMetrics,
            ),
            // What is exact counts more than what is not.
            (&["*/*, application/openmetrics-text;q=0.5"], Prometheus),
            (
                &["application/openmetrics-text;q=0.5, */*;q=0.4"],
                OpenMetrics,
            ),
            (&["application/openmetrics-text;q=0, */*"], Prometheus),
            (&["text/plain;q=0, */*"], OpenMetrics),
            (
                &[
                    "application/openmetrics-text;q=0.1, application/openmetrics-text;version=1.0.0, text/plain;q=0.5",
                ],
                OpenMetrics,
            ),
            // What there is not.
            (&["application/openmetrics-text;version=2.0.0"], Prometheus),
            (
                &["application/openmetrics-text;version=2.0.0, text/plain;q=0.1"],
                Prometheus,
            ),
            (&["application/json"], Prometheus),
            (&["*/*;q=0"], Prometheus),
            // What cannot be read is passed over.
            (
                &["application/openmetrics-text;q=high, text/plain;q=0.1"],
                Prometheus,
            ),
            (&["application/openmetrics-text;q=NaN"], Prometheus),
            (&["application/openmetrics-text;q=-1"], Prometheus),
            (&["application/openmetrics-text;q=1.001"], Prometheus),
            (&["application/openmetrics-text;q=0.0001"], Prometheus),
            (
                &["application/openmetrics-text;q=1.000, text/plain;q=0.999"],
                OpenMetrics,
            ),
            (&["openmetrics-text;;;,/,;q=1"], Prometheus),
            (&[";;,,q=, application/openmetrics-text;;q=1;"], OpenMetrics),
        ] {
            assert_eq!(wanted(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn bytes_that_are_no_text_are_passed_over() {
        let mut headers = HeaderMap::new();
        let value = HeaderValue::from_bytes(b"text/\xff").unwrap();
        headers.append(header::ACCEPT, value);
        assert_eq!(
            MetricsFormat::preferred(&headers),
            MetricsFormat::Prometheus
        );
    }
}
