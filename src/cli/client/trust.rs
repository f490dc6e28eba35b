//! Who may vouch for a server's certificate, and what is said of one that nobody vouches for.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock};

use anyhow::{Context, anyhow, ensure};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::client::danger::{
    HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier,
};
use tokio_rustls::rustls::client::{WebPkiServerVerifier, verify_server_name};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::server::ParsedCertificate;
use tokio_rustls::rustls::{
    self, CertificateError, ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
};

use crate::regular;

/// Who may vouch for a server's certificate.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) enum Trust {
    /// Whom this system trusts.
    #[default]
    System,
    /// Those in a file, and the server's own if it is there.
    Ca(PathBuf),
    /// Nobody: it is the one in a file, which the server of this machine has.
    Itself(PathBuf),
}

/// Whom this system trusts.
static SYSTEM: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Systems have certificates that are of no use; the others do.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// What secures a connection to a server that `trust` vouches for.
///
/// # Errors
/// A file of `trust` cannot be used.
pub(in crate::cli) fn connector(trust: &Trust) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let builder = match trust {
        Trust::System => builder.with_root_certificates(SYSTEM.clone()),
        Trust::Ca(file) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Vouched::read(file, provider)?)),
        Trust::Itself(file) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Pinned::read(file, provider)?)),
    };
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

/// What became of a handshake with `host`, in words.
pub(in crate::cli) fn explained(error: &io::Error, host: &str) -> anyhow::Error {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::InvalidCertificate(reason)) => anyhow!(words(reason, host)),
        Some(rustls::Error::General(text)) => anyhow!(text.clone()),
        Some(rustls::Error::InvalidMessage(_)) => {
            anyhow!("what it says is not TLS: http:// or ws:// may be right")
        }
        _ if error.kind() == io::ErrorKind::UnexpectedEof => {
            anyhow!("it hung up: http:// or ws:// may be right")
        }
        _ => anyhow!(error.to_string()),
    }
}

fn words(reason: &CertificateError, host: &str) -> String {
    let other = |names: &[String]| match names {
        [] => "has no names: one is made with -addext subjectAltName=…".to_owned(),
        names => format!("is for {}", names.join(", ")),
    };
    match reason {
        // Also another one by somebody of the same name, and one that signs itself.
        CertificateError::UnknownIssuer
        | CertificateError::BadSignature
        | CertificateError::Other(_) => {
            "nobody who is trusted vouches for its certificate; --ca FILE names who may, or is the \
             certificate itself"
                .to_owned()
        }
        CertificateError::NotValidForName => format!("its certificate is not for {host}"),
        CertificateError::NotValidForNameContext { presented, .. } => {
            let names: Vec<String> = presented.iter().map(|name| plain(name)).collect();
            format!("its certificate is not for {host}, it {}", other(&names))
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            "its certificate has expired".to_owned()
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "its certificate is not valid yet, if the clock of this machine is right".to_owned()
        }
        other => format!("its certificate cannot be used: {other}"),
    }
}

/// The name in `DnsName("example.org")` and the like.
fn plain(name: &str) -> String {
    let quoted = name.split('"').nth(1);
    let bracketed = name
        .split_once('(')
        .and_then(|(_, rest)| rest.strip_suffix(')'));
    quoted.or(bracketed).unwrap_or(name).to_owned()
}

/// Trusts those who are vouched for by the certificates of a file, and these themselves: the usual
/// certificate that signs itself vouches for others too, which no chain may end with. Its dates are
/// those who gave it; its names and its key are checked.
#[derive(Debug)]
struct Vouched {
    certificates: Vec<CertificateDer<'static>>,
    chains: Arc<WebPkiServerVerifier>,
}

impl Vouched {
    fn read(file: &Path, provider: Arc<CryptoProvider>) -> anyhow::Result<Vouched> {
        let cannot = || format!("--ca: cannot read {}", file.display());
        let pem = regular::read(file).with_context(cannot)?;
        let (mut roots, mut certificates) = (RootCertStore::empty(), vec![]);
        for certificate in CertificateDer::pem_slice_iter(&pem) {
            let certificate = certificate.with_context(cannot)?;
            roots.add(certificate.clone()).with_context(cannot)?;
            certificates.push(certificate);
        }
        ensure!(
            !roots.is_empty(),
            "--ca: {} has no certificate",
            file.display()
        );
        let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(Vouched {
            certificates,
            chains: chains.build()?,
        })
    }
}

impl ServerCertVerifier for Vouched {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if !self.certificates.iter().any(|known| known == presented) {
            let chains = &self.chains;
            return chains.verify_server_cert(presented, others, name, stapled, now);
        }
        verify_server_name(&ParsedCertificate::try_from(presented)?, name)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.chains
            .verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
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
