//! The way to a server: a TCP connection, secured if its URL says so.

use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{self, ClientConfig, RootCertStore};
use tokio_util::either::Either;

use super::client::ServerUrl;

/// A connection that was made.
pub(super) type Stream = Either<TcpStream, Box<TlsStream<TcpStream>>>;

/// Whom this system trusts.
static SYSTEM: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Systems have certificates that are of no use; the others do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Connects to `url`; its certificate has to be vouched for.
///
/// # Errors
/// Nobody listens there, or it is not who it should be.
pub(super) async fn connect(url: &ServerUrl) -> anyhow::Result<Stream> {
    let address = url.address();
    let stream = TcpStream::connect(url.host_and_port())
        .await
        .with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    let Some(ca) = url.secured() else {
        return Ok(Either::Left(stream));
    };
    let (host, _) = url.host_and_port();
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host} cannot have a certificate"))?;
    let secured = connector(ca)?.connect(name, stream).await;
    let secured = secured.map_err(explained);
    let secured = secured.with_context(|| format!("no TLS with {address}"))?;
    Ok(Either::Right(Box::new(secured)))
}

/// Says what to do about a certificate that is not vouched for.
fn explained(error: io::Error) -> anyhow::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => {
            let advice = "its certificate is not vouched for; --ca FILE names who may";
            anyhow::Error::new(error).context(advice)
        }
        _ => error.into(),
    }
}

fn connector(ca: Option<&Path>) -> anyhow::Result<TlsConnector> {
    let roots = match ca {
        Some(file) => read(file)?,
        None => SYSTEM.clone(),
    };
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

fn read(file: &Path) -> anyhow::Result<RootCertStore> {
    let cannot = || format!("--ca: cannot read {}", file.display());
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(file).with_context(cannot)? {
        roots
            .add(certificate.with_context(cannot)?)
            .with_context(cannot)?;
    }
    ensure!(
        !roots.is_empty(),
        "--ca: {} has no certificate",
        file.display()
    );
    Ok(roots)
}
