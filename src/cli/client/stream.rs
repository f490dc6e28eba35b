//! A connection to a server: TCP, with TLS if its URL says so.

use anyhow::Context;
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_util::either::Either;

use crate::cli::client::trust;
use crate::cli::client::url::ServerUrl;

/// An open connection.
pub(in crate::cli) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Connects to `url`. With TLS, its certificate has to be trusted.
///
/// # Errors
/// Nothing listens there, or the certificate is not trusted.
pub(in crate::cli) async fn connect(url: &ServerUrl) -> anyhow::Result<Stream> {
    let address = url.address();
    let stream = TcpStream::connect(url.host_and_port())
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let Some(trust) = url.secured() else {
        return Ok(Either::Left(stream));
    };
    let (host, _) = url.host_and_port();
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host} cannot have a certificate"))?;
    let secured = trust::connector(trust)?.connect(name, stream).await;
    let secured = secured.map_err(|error| trust::explained(&error, host));
    let secured = secured.with_context(|| format!("no TLS with {address}"))?;
    Ok(Either::Right(Box::new(secured)))
}
