//! The way to a server: a TCP connection, secured if its URL says so.

use std::io;
use std::path::Path;
use std::sync::{Arc, LazyLock};

use anyhow::{Context, ensure};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    self, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};
use tokio_util::either::Either;

use super::client::{ServerUrl, Trust};
use crate::regular;

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
    let Some(trust) = url.secured() else {
        return Ok(Either::Left(stream));
    };
    let (host, _) = url.host_and_port();
    let name = ServerName::try_from(host.to_owned())
        .with_context(|| format!("{host} cannot have a certificate"))?;
    let secured = connector(trust)?.connect(name, stream).await;
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

fn connector(trust: &Trust) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(SYSTEM.clone()),
        Trust::Ca(file) => builder.with_root_certificates(read(file)?),
        Trust::Itself(file) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned::read(file, provider)?)),
    };
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

/// Trusts one certificate, whatever names are in it: that of the server of this machine, which is
/// reached by another name than its clients use. That the server has its key is checked as ever.
#[derive(Debug)]
struct Pinned {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl Pinned {
    fn read(file: &Path, provider: Arc<CryptoProvider>) -> anyhow::Result<Pinned> {
        let cannot = || format!("server.tlsCert: cannot read {}", file.display());
        let pem = regular::read(file).with_context(cannot)?;
        let certificate = CertificateDer::from_pem_slice(&pem).with_context(cannot)?;
        Ok(Pinned {
            certificate,
            provider,
        })
    }
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *presented == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General(
                "the server has another certificate than the file of server.tlsCert".to_owned(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

fn read(file: &Path) -> anyhow::Result<RootCertStore> {
    let cannot = || format!("--ca: cannot read {}", file.display());
    let mut roots = RootCertStore::empty();
    let pem = regular::read(file).with_context(cannot)?;
    for certificate in CertificateDer::pem_slice_iter(&pem) {
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
