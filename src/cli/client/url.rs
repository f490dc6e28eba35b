//! The URL of a server, and the addresses below it.

use std::fmt::{self, Display};
use std::net::IpAddr;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use tokio_tungstenite::tungstenite::http::Uri;

use crate::cli::Failure;
use crate::cli::client::trust::Trust;
use crate::config::Config;
use crate::message::Topic;

/// What a client does with a topic.
#[derive(Clone, Copy)]
pub(in crate::cli) enum Side {
    /// The server acknowledges its messages, or not.
    Producer {
        acks: bool,
    },
    Consumer,
}

/// `http://HOST[:PORT][/PATH]`, or the same with `https`, `ws` or `wss`; `HOST:PORT` is `http`.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::cli) struct ServerUrl {
    /// Without brackets.
    host: String,
    port: u16,
    /// Without a slash at the end.
    path: String,
    /// Whether the server uses TLS.
    is_secured: bool,
    trust: Trust,
}

impl FromStr for ServerUrl {
    type Err = String;

    fn from_str(text: &str) -> Result<ServerUrl, String> {
        let expected =
            || "expected HOST:PORT or http://HOST:PORT, with TLS https://HOST:PORT".to_owned();
        let has_port = |text: &str| {
            let port = text.rsplit_once(':').map(|(_, port)| port.parse::<u16>());
            matches!(port, Some(Ok(_)))
        };
        let text = match text.contains("://") || !has_port(text) {
            true => text,
            false => &format!("http://{text}"),
        };
        let uri: Uri = text.parse().map_err(|_| expected())?;
        let is_secured = match uri.scheme_str() {
            Some("http" | "ws") => false,
            Some("https" | "wss") => true,
            _ => return Err(expected()),
        };
        if uri.query().is_some() {
            return Err(expected());
        }
        let host = uri.host().filter(|host| !host.is_empty());
        Ok(ServerUrl {
            host: host.ok_or_else(expected)?.trim_matches(['[', ']']).into(),
            port: uri.port_u16().unwrap_or(if is_secured { 443 } else { 80 }),
            path: uri.path().trim_end_matches('/').to_owned(),
            is_secured,
            trust: Trust::System,
        })
    }
}

impl ServerUrl {
    /// The same server, with other trusted certificates.
    pub(in crate::cli) fn trusting(self, trust: Trust) -> ServerUrl {
        ServerUrl { trust, ..self }
    }

    /// Whether it is the server of `config`, on this machine.
    pub(in crate::cli) fn is_here(&self, config: &Config) -> bool {
        let is_loopback = |host: &str| match host.parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => host.eq_ignore_ascii_case("localhost"),
        };
        let is_host = is_loopback(&self.host) || self.host == config.listen_host().host;
        is_host && self.port == config.server.port
    }

    /// The URL of the server of `config` on this machine.
    pub(in crate::cli) fn configured(config: &Config) -> Result<ServerUrl, Failure> {
        let port = config.server.port;
        if port == 0 {
            let text = "server.port is 0, which is any free port: say which with --url";
            return Err(Failure::Usage(text.to_owned()));
        }
        let host = config.listen_host().host;
        let everywhere = host
            .parse()
            .is_ok_and(|address: IpAddr| address.is_unspecified());
        Ok(ServerUrl {
            host: if everywhere { "127.0.0.1" } else { host }.to_owned(),
            port,
            path: String::new(),
            is_secured: config.server.tls.is_some(),
            trust: match &config.server.tls {
                Some(files) => Trust::Itself(files.certificate.clone()),
                None => Trust::System,
            },
        })
    }

    /// `HOST:PORT`, as it is written in URLs.
    pub(in crate::cli) fn address(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// Host and port, to connect to.
    pub(in crate::cli) fn host_and_port(&self) -> (&str, u16) {
        (&self.host, self.port)
    }

    /// The certificates that are trusted; `None` without TLS.
    pub(in crate::cli) fn secured(&self) -> Option<&Trust> {
        self.is_secured.then_some(&self.trust)
    }

    /// The path of `route` on this server.
    pub(in crate::cli) fn path(&self, route: &str) -> String {
        format!("{}{route}", self.path)
    }

    pub(in crate::cli) fn endpoint(&self, side: Side, topic: &Topic, id: &str) -> String {
        let (side, query) = match side {
            Side::Producer { acks: true } => ("Producers", "?ack=1"),
            Side::Producer { acks: false } => ("Producers", ""),
            Side::Consumer => ("Consumers", ""),
        };
        let (topic, id) = (percent_encoded(topic.as_str()), percent_encoded(id));
        let (address, path) = (self.address(), &self.path);
        let scheme = if self.is_secured { "wss" } else { "ws" };
        format!("{scheme}://{address}{path}/{side}/Conn/{topic}/{id}{query}")
    }
}

impl Display for ServerUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_secured { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.address(), self.path)
    }
}

/// `text` as one segment of a path.
pub(in crate::cli) fn percent_encoded(text: &str) -> PercentEncode<'_> {
    // A dot too: a segment of dots alone would be taken for a step up.
    const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');
    utf8_percent_encode(text, ESCAPED)
}
