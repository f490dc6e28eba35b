//! The `server` section: the address to listen on, and the limits of clients.

use std::net::IpAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::config::error::ConfigError;
use crate::config::values::origins::Origins;
use crate::config::values::proxies::Proxies;
use crate::config::values::{self, Values, whole};
use crate::patterns::Topics;

const GIB: u64 = 1024 * 1024 * 1024;
const MEBIBYTES_MAX: u64 = 1024 * 1024;
const COUNT_MAX: u64 = 1_000_000_000;

/// The address to listen on, and the limits of clients.
#[derive(Clone, Debug, PartialEq)]
pub struct ServerConfig {
    /// The configured host name or address. The server listens on
    /// [`Config::listen_host`](super::Config::listen_host).
    pub host: String,
    /// The port; 0 takes any free one.
    pub port: u16,
    /// Whether a key that can be guessed may be used beyond this machine.
    pub allow_default_key: bool,
    /// The largest message that is accepted.
    pub max_message_bytes: usize,
    /// How long an HTTP send waits for a slot in the queue.
    pub send_wait: Duration,
    /// How long a stop waits for open connections to end.
    pub drain: Duration,
    /// The most wrong keys that a WebSocket client may send.
    pub login_attempts: u32,
    /// How long a WebSocket client may take to log in.
    pub login_timeout: Duration,
    /// How often a WebSocket client is pinged; `None` for never.
    pub ping_every: Option<Duration>,
    /// How long the head of a request may take, TLS included, and how long a body may pause.
    pub request_time: Duration,
    /// The most connections; 0 for a limit that suits the open files.
    pub max_connections: usize,
    /// The most connections from one address; 0 for a share of all.
    pub max_connections_per_address: usize,
    /// The proxies that may name the addresses of their clients.
    pub trusted_proxies: Proxies,
    /// Memory for all large messages that are being received.
    pub inbound_bytes: usize,
    /// The files of TLS; `None` for plain HTTP.
    pub tls: Option<TlsFiles>,
    /// The file of named keys, which need not exist.
    pub keys_file: PathBuf,
    /// The pages that browsers may use this server from.
    pub origins: Origins,
    /// Who may read `/metrics`.
    pub metrics: Metrics,
    /// The topics with metrics of their own; `None` for no topic.
    pub metrics_topics: Option<Topics>,
}

/// The files of TLS, both in PEM.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsFiles {
    /// The certificate, and the chain above it.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

/// Who may read the metrics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Metrics {
    /// Nobody; the route does not exist.
    Off,
    /// Clients with a key.
    WithKey,
    /// Everybody.
    Open,
}

/// The host to listen on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenHost<'a> {
    /// A host name or an address, without brackets.
    pub host: &'a str,
    /// Whether it is loopback only because the key can be guessed. The server logs
    /// [`ListenHost::ADVICE`] at its start then.
    pub restricted: bool,
}

impl ListenHost<'_> {
    /// Whether only this machine reaches it.
    pub fn is_loopback(&self) -> bool {
        is_loopback(self.host)
    }

    /// What to do about [`ListenHost::restricted`].
    pub const ADVICE: &'static str = "listening on this machine only, because mq.secretKey is \
        the published default or has fewer than 8 characters: set DPMQ_MQ_SECRETKEY (or \
        mq.secretKey) to a key of your own, or server.allowDefaultKey to 1";
}

impl ServerConfig {
    pub(super) fn from_values(values: &Values<'_>) -> Result<ServerConfig, ConfigError> {
        Ok(ServerConfig {
            host: values.read("server.host", values::host)?,
            port: values.read("server.port", values::port)?,
            allow_default_key: values.read("server.allowDefaultKey", values::flag)?,
            max_message_bytes: values.read("server.maxMessageBytes", whole(1..=GIB))?,
            send_wait: values.read("server.sendWaitSeconds", values::seconds)?,
            drain: values.read("server.drainSeconds", values::seconds)?,
            login_attempts: values.read("server.loginAttempts", whole(1..=1000))?,
            login_timeout: values.read("server.loginSeconds", values::seconds_above_zero)?,
            ping_every: values.read("server.pingSeconds", seconds_or_none)?,
            request_time: values.read("server.requestSeconds", values::seconds_above_zero)?,
            max_connections: values.read("server.maxConnections", whole(0..=COUNT_MAX))?,
            max_connections_per_address: values
                .read("server.maxConnectionsPerAddress", whole(0..=COUNT_MAX))?,
            trusted_proxies: values.read("server.trustedProxies", Proxies::parse)?,
            inbound_bytes: values
                .read("server.inboundMiB", values::mebibytes(1..=MEBIBYTES_MAX))?,
            tls: tls(values)?,
            keys_file: values.beside("server.keysFile")?,
            origins: values.read("server.origins", Origins::parse)?,
            metrics: values.read("server.metrics", metrics)?,
            metrics_topics: values.read("server.metricsTopics", topics)?,
        })
    }

    pub(super) fn listen_host(&self, key_is_safe: bool) -> ListenHost<'_> {
        let restricted = !key_is_safe && !is_loopback(&self.host);
        ListenHost {
            host: if restricted { "127.0.0.1" } else { &self.host },
            restricted,
        }
    }
}

/// Seconds above zero; zero means never.
fn seconds_or_none(text: &str) -> Result<Option<Duration>, String> {
    match values::seconds(text)? {
        Duration::ZERO => Ok(None),
        _ => values::seconds_above_zero(text).map(Some),
    }
}

/// Both files, or none.
fn tls(values: &Values<'_>) -> Result<Option<TlsFiles>, ConfigError> {
    let certificate = values.read("server.tlsCert", values::path_or_none)?;
    let key = values.read("server.tlsKey", |text| {
        let key = values::path_or_none(text)?;
        match (&certificate, &key) {
            (Some(_), None) => Err("is no file, though server.tlsCert is one".to_owned()),
            (None, Some(_)) => Err("is set, but server.tlsCert is not".to_owned()),
            _ => Ok(key),
        }
    })?;
    Ok(certificate
        .zip(key)
        .map(|(certificate, key)| TlsFiles { certificate, key }))
}

/// The problem follows the value: `"a,,b" is …`.
fn topics(text: &str) -> Result<Option<Topics>, String> {
    Topics::list(text).map_err(|problem| format!("is no list of topics: {problem}"))
}

fn metrics(text: &str) -> Result<Metrics, String> {
    match text {
        "0" => Ok(Metrics::Off),
        "1" => Ok(Metrics::WithKey),
        "2" => Ok(Metrics::Open),
        _ => Err("is neither 0, 1 nor 2".to_owned()),
    }
}

fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.to_canonical().is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}
