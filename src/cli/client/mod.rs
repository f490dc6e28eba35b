//! A WebSocket client of a DPMQ server: the address, the login, the frames.

pub(super) mod request;
pub(super) mod stream;
pub(super) mod trust;
pub(super) mod url;

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use anyhow::{Context, anyhow, bail};
use futures_util::{SinkExt, StreamExt};
use tokio_tungstenite::tungstenite::http::{Response, StatusCode};
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use crate::cli::Failure;
use crate::cli::args::{Address, Client, Common, Server};
use crate::cli::client::stream::Stream;
use crate::cli::client::url::{ServerUrl, Side};
use crate::config::{Config, DEFAULT_FILE};
use crate::message::Topic;

/// The configuration of a server that is installed on this machine.
const INSTALLED: &str = "/etc/dpmq/application.yaml";
/// How long the server may take to answer up to the end of the login.
const LOGIN_TIME: Duration = Duration::from_secs(10);
/// How long closing the connection may take.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// A connection to a server.
pub(in crate::cli) type Socket = WebSocketStream<Stream>;

/// `common` for a client that may run in any folder: if the folder has no configuration and no
/// server is named, the client uses the configuration of the installed server.
pub(in crate::cli) fn installed(common: Common, address: &Address) -> Common {
    let is_named = common.config.is_some() || address.url.is_some();
    if is_named || fs::exists(DEFAULT_FILE).unwrap_or(true) {
        return common;
    }
    let config = readable(Path::new(INSTALLED)).ok().flatten();
    Common { config, ..common }
}

/// `file`, if it exists.
///
/// # Errors
/// It exists, or may, but this user cannot read it.
fn readable(file: &Path) -> io::Result<Option<PathBuf>> {
    match fs::File::open(file) {
        Ok(_) => Ok(Some(file.to_owned())),
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(error),
        Err(_) => Ok(None),
    }
}

/// Everything that a connection needs.
pub(in crate::cli) struct Target {
    url: ServerUrl,
    endpoint: String,
    key: String,
}

impl Target {
    /// The connection that `client` asks for; `config` fills in what it leaves open.
    pub(in crate::cli) fn of(
        config: &Config,
        client: &Client,
        side: Side,
        topic: &Topic,
    ) -> Result<Target, Failure> {
        let id = match &client.id {
            Some(id) => id.clone(),
            None => format!("cli-{}", std::process::id()),
        };
        Target::new(config, &client.server, &id, side, topic)
    }

    /// The connection of a client with the id `id`.
    pub(in crate::cli) fn new(
        config: &Config,
        server: &Server,
        id: &str,
        side: Side,
        topic: &Topic,
    ) -> Result<Target, Failure> {
        let url = server.address.server(config)?;
        Ok(Target {
            endpoint: url.endpoint(side, topic, id),
            url,
            key: config.mq.secret_key.expose().to_owned(),
        })
    }

    /// Connects and logs in.
    pub(in crate::cli) async fn open(&self) -> anyhow::Result<Socket> {
        match tokio::time::timeout(LOGIN_TIME, self.connect()).await {
            Ok(opened) => opened,
            Err(_) => bail!(
                "{} did not let us in within {} seconds",
                self.url.address(),
                LOGIN_TIME.as_secs()
            ),
        }
    }

    async fn connect(&self) -> anyhow::Result<Socket> {
        let address = self.url.address();
        let stream = stream::connect(&self.url).await?;
        // The server decides how large a message may be.
        let limits = WebSocketConfig::default()
            .max_frame_size(None)
            .max_message_size(None);
        let (mut socket, _) = client_async_with_config(&self.endpoint, stream, Some(limits))
            .await
            .map_err(|error| match error {
                tungstenite::Error::Http(response) => {
                    let text = format!("{address} {}", refusal(&response));
                    match response.status() {
                        StatusCode::TOO_MANY_REQUESTS => anyhow!(text),
                        status if status.is_client_error() => anyhow!(Final(text)),
                        _ => anyhow!(text),
                    }
                }
                other => anyhow!(other).context(format!("{address} is no DPMQ server")),
            })?;
        self.log_in(&mut socket).await?;
        Ok(socket)
    }

    async fn log_in(&self, socket: &mut Socket) -> anyhow::Result<()> {
        let mut key = Some(self.key.as_str());
        loop {
            let text = next_text(socket).await?;
            match (text.as_str(), key.take()) {
                ("Please enter the secret key", Some(key)) => {
                    socket.send(Message::text(key)).await?;
                }
                ("Secret key matching succeeded", None) => return Ok(()),
                ("Secret key matching error", None) => {
                    let key = match readable(Path::new(INSTALLED)) {
                        Err(_) => format!("; {INSTALLED} may have it, for root to read"),
                        Ok(_) => String::new(),
                    };
                    bail!(Final(format!(
                        "the server refused the secret key (--key, or DPMQ_MQ_SECRETKEY{key})"
                    )))
                }
                _ => bail!(
                    "{} is no DPMQ server: it did not ask for the key",
                    self.url.address()
                ),
            }
        }
    }
}

/// A refusal that a later attempt would meet again.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Final(String);

/// Whether the server has refused this client for good.
pub(in crate::cli) fn is_final(error: &anyhow::Error) -> bool {
    error.is::<Final>()
}

/// The next text frame; an error with the reason if the connection has ended.
pub(in crate::cli) async fn next_text(socket: &mut Socket) -> anyhow::Result<Utf8Bytes> {
    while let Some(frame) = socket.next().await {
        match frame.context("the connection was lost")? {
            Message::Text(text) => return Ok(text),
            Message::Close(close) => return Err(closed(close.as_ref())),
            Message::Binary(_) | Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err(closed(None))
}

/// The error for a connection that the server has closed, with its reason if it gave one.
pub(in crate::cli) fn closed(close: Option<&CloseFrame>) -> anyhow::Error {
    let text = match close.filter(|close| !close.reason.is_empty()) {
        Some(close) => format!("the server closed the connection: {}", close.reason),
        None => "the server closed the connection".to_owned(),
    };
    match close {
        Some(close) if close.code == CloseCode::Policy => anyhow!(Final(text)),
        _ => anyhow!(text),
    }
}

/// Closes the connection, and ignores errors.
pub(in crate::cli) async fn close(mut socket: Socket) {
    let _ = tokio::time::timeout(CLOSE_TIME, socket.close(None)).await;
}

/// Why the handshake was refused, from the reply to it.
fn refusal(response: &Response<Option<Vec<u8>>>) -> String {
    let body = response.body().as_deref().unwrap_or_default();
    let body: String = String::from_utf8_lossy(body)
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .take(200)
        .collect();
    match body.trim() {
        "" => format!("refused the connection: HTTP {}", response.status()),
        body => format!("refused the connection: HTTP {}: {body}", response.status()),
    }
}

/// A route with a query.
pub(in crate::cli) fn route(path: &str, query: &[(&str, &str)]) -> String {
    let mut form = form_urlencoded::Serializer::new(String::new());
    format!("{path}?{}", form.extend_pairs(query).finish())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn url(text: &str) -> ServerUrl {
        text.parse().unwrap()
    }

    #[test]
    fn an_endpoint_is_the_protocols_path_with_everything_else_encoded() {
        let topic = "orders/eu 1".parse().unwrap();
        assert_eq!(
            url("http://localhost:8011/").endpoint(Side::Producer { acks: true }, &topic, "ü?"),
            "ws://localhost:8011/Producers/Conn/orders%2Feu%201/%C3%BC%3F?ack=1"
        );
        assert_eq!(
            url("https://a").endpoint(Side::Consumer, &topic, "c"),
            "wss://a:443/Consumers/Conn/orders%2Feu%201/c"
        );
        let topic = "..".parse().unwrap();
        assert_eq!(
            url("ws://[::1]:80/dpmq/").endpoint(Side::Consumer, &topic, "c"),
            "ws://[::1]:80/dpmq/Consumers/Conn/%2E%2E/c"
        );
    }

    #[test]
    fn a_file_that_is_not_there_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("application.yaml");
        assert_eq!(readable(&file).unwrap(), None);
        fs::write(&file, "").unwrap();
        assert_eq!(readable(&file).unwrap(), Some(file));
    }

    #[test]
    fn whoever_names_a_server_or_a_file_is_asked_for_no_other() {
        let common = |config: Option<&str>| Common {
            config: config.map(PathBuf::from),
            set: vec![],
        };
        let address = |text: Option<&str>| Address {
            url: text.map(url),
            ca: None,
        };
        let named = installed(common(Some("a.yaml")), &address(None)).config;
        assert_eq!(named, Some("a.yaml".into()));
        let elsewhere = installed(common(None), &address(Some("http://broker:8011")));
        assert_eq!(elsewhere.config, None);
    }

    #[test]
    fn a_url_without_a_port_means_80_and_with_tls_443() {
        assert_eq!(url("http://example.org"), url("ws://example.org:80/"));
        assert_eq!(url("https://example.org"), url("wss://example.org:443/"));
        assert_ne!(url("https://example.org:80"), url("http://example.org"));
    }

    #[test]
    fn a_host_and_a_port_are_enough() {
        assert_eq!(url("127.0.0.1:8011"), url("http://127.0.0.1:8011"));
        assert_eq!(url("broker:80"), url("http://broker"));
        assert_eq!(url("[::1]:8011"), url("ws://[::1]:8011"));
    }

    #[test]
    fn what_is_no_server_url_is_refused() {
        for text in [
            "",
            "localhost",
            ":8011",
            "localhost:",
            "localhost:70000",
            "a b:80",
            "ftp://a",
            "http://",
            "http://a b",
            "http://a/?x",
            "wss://a/?x",
        ] {
            assert!(text.parse::<ServerUrl>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_default_url_is_the_configured_server() {
        let mut config = Config::default();
        assert_eq!(
            ServerUrl::configured(&config).unwrap(),
            url("http://127.0.0.1:8011")
        );
        config.server.allow_default_key = true;
        assert_eq!(
            ServerUrl::configured(&config).unwrap(),
            url("http://127.0.0.1:8011")
        );
        config.server.host = "::1".into();
        assert_eq!(
            ServerUrl::configured(&config).unwrap(),
            url("http://[::1]:8011")
        );
        config.server.port = 0;
        assert!(ServerUrl::configured(&config).is_err());
    }
}
