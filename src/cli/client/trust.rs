//! Which certificates of servers are trusted, and what a failed handshake is told as.

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

/// The certificates that are trusted.
#[derive(Clone, Debug, Default, PartialEq)]
pub(in crate::cli) enum Trust {
    /// What the authorities of this system have issued.
    #[default]
    System,
    /// The certificates in a file, and what they have issued.
    Ca(PathBuf),
    /// The one certificate in a file, which is that of the server of this machine.
    Itself(PathBuf),
}

/// The authorities of this system.
static SYSTEM: LazyLock<RootCertStore> = LazyLock::new(|| {
    let mut roots = RootCertStore::empty();
    // Some of a system's certificates cannot be used; the others are enough.
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
});

/// Secures connections to servers whose certificates `trust` covers.
///
/// # Errors
/// A file of `trust` cannot be used.
pub(in crate::cli) fn connector(trust: &Trust) -> anyhow::Result<TlsConnector> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()?;
    let verifier = match trust {
        Trust::System => None,
        Trust::Ca(file) => Some(FileVerifier::authorities(file, provider)?),
        Trust::Itself(file) => Some(FileVerifier::pinned(file, provider)?),
    };
    let builder = match verifier {
        None => builder.with_root_certificates(SYSTEM.clone()),
        Some(verifier) => builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier)),
    };
    Ok(TlsConnector::from(Arc::new(builder.with_no_client_auth())))
}

/// Says in words why a handshake with `host` has failed.
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
        // Also a certificate of another authority of the same name, and a self-signed one.
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

/// Trusts the certificates of a file. That the server has the key of its certificate is checked
/// for each.
#[derive(Debug)]
struct FileVerifier {
    certificates: Vec<CertificateDer<'static>>,
    /// For a file of `--ca`: also trusts what these certificates have issued, and checks names. Of
    /// the certificates themselves the dates are not checked, as they are given by hand; a usual
    /// self-signed one may issue others too, so no chain may end with it.
    ///
    /// `None` for the certificate of the server of this machine: whatever names are in it, for it
    /// is reached by another name than its clients use.
    chains: Option<Arc<WebPkiServerVerifier>>,
    provider: Arc<CryptoProvider>,
}

impl FileVerifier {
    /// Trusts the certificates in the file of `--ca`, and what they have issued.
    fn authorities(file: &Path, provider: Arc<CryptoProvider>) -> anyhow::Result<FileVerifier> {
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
        let roots = Arc::new(roots);
        let chains = WebPkiServerVerifier::builder_with_provider(roots, provider.clone());
        Ok(FileVerifier {
            certificates,
            chains: Some(chains.build()?),
            provider,
        })
    }

    /// Trusts the certificate in the file of `server.tlsCert`, and no other.
    fn pinned(file: &Path, provider: Arc<CryptoProvider>) -> anyhow::Result<FileVerifier> {
        let cannot = || format!("server.tlsCert: cannot read {}", file.display());
        let pem = regular::read(file).with_context(cannot)?;
        Ok(FileVerifier {
            certificates: vec![CertificateDer::from_pem_slice(&pem).with_context(cannot)?],
            chains: None,
            provider,
        })
    }
}

impl ServerCertVerifier for FileVerifier {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let is_known = self.certificates.iter().any(|known| known == presented);
        match &self.chains {
            None if is_known => {}
            None => {
                return Err(rustls::Error::General(
                    "the server has another certificate than the file of server.tlsCert".to_owned(),
                ));
            }
            Some(_) if is_known => {
                verify_server_name(&ParsedCertificate::try_from(presented)?, name)?;
            }
            Some(chains) => {
                return chains.verify_server_cert(presented, others, name, stapled, now);
            }
        }
        Ok(ServerCertVerified::assertion())
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
