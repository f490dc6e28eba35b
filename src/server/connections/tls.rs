//! TLS: the certificate and its key, which are read again when their files change.

use std::path::Path;
use std::sync::{Arc, RwLock};
use std::time::{Duration, SystemTime};

use anyhow::{Context, ensure};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_util::sync::CancellationToken;

use crate::config::TlsFiles;
use crate::regular;

/// How often the files are checked for changes.
const LOOK: Duration = Duration::from_secs(2);

/// The certificate in use, and its files.
pub(in crate::server) struct Tls {
    files: TlsFiles,
    acceptor: RwLock<TlsAcceptor>,
}

impl Tls {
    /// Reads the files.
    ///
    /// # Errors
    /// One of them cannot be read, or they do not belong together.
    pub(in crate::server) fn open(files: &TlsFiles) -> anyhow::Result<Tls> {
        Ok(Tls {
            acceptor: RwLock::new(load(files)?),
            files: files.clone(),
        })
    }

    /// The acceptor for the next connection.
    pub(in crate::server) fn acceptor(&self) -> TlsAcceptor {
        let acceptor = self.acceptor.read();
        acceptor.expect("nothing panics while it is held").clone()
    }

    /// Reads the files again, and logs the result. Open connections keep their certificate.
    pub(in crate::server) async fn reload(self: &Arc<Tls>) {
        if let Err(error) = self.read().await {
            let error: &dyn std::error::Error = error.as_ref();
            tracing::error!(error, "the old certificate stays in use");
        }
    }

    /// Uses what the files have, if it is valid.
    async fn read(self: &Arc<Tls>) -> anyhow::Result<()> {
        let tls = self.clone();
        let acceptor = tokio::task::spawn_blocking(move || load(&tls.files)).await??;
        *self.acceptor.write().expect("as above") = acceptor;
        tracing::info!("the certificate was read again");
        Ok(())
    }

    /// Reads the files again whenever they have changed, until `stop` is cancelled. Two files are
    /// replaced one after the other and do not match meanwhile, so a problem is logged only if they
    /// are unchanged at the next check.
    pub(in crate::server) async fn watch(self: Arc<Tls>, stop: CancellationToken) {
        let (mut seen, mut is_used) = (self.state().await, true);
        while stop
            .run_until_cancelled(tokio::time::sleep(LOOK))
            .await
            .is_some()
        {
            let state = self.state().await;
            if state != seen {
                seen = state;
                is_used = match self.read().await {
                    Ok(()) => true,
                    Err(error) => {
                        tracing::debug!("the certificate cannot be used yet: {error:#}");
                        false
                    }
                };
            } else if !is_used {
                is_used = true;
                self.reload().await;
            }
        }
    }

    /// What shows that a file has changed; `None` for a file that does not exist.
    async fn state(&self) -> [Option<(SystemTime, u64)>; 2] {
        let of = async |path: &Path| {
            let file = tokio::fs::metadata(path).await.ok()?;
            Some((file.modified().ok()?, file.len()))
        };
        [of(&self.files.certificate).await, of(&self.files.key).await]
    }
}

fn load(files: &TlsFiles) -> anyhow::Result<TlsAcceptor> {
    let TlsFiles { certificate, key } = files;
    let cannot = || format!("server.tlsCert: cannot read {}", certificate.display());
    let pem = regular::read(certificate).with_context(cannot)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .with_context(cannot)?;
    ensure!(
        !chain.is_empty(),
        "server.tlsCert: {} has no certificate",
        certificate.display()
    );
    let cannot = || format!("server.tlsKey: cannot read {}", key.display());
    let pem = regular::read(key).with_context(cannot)?;
    let secret = PrivateKeyDer::from_pem_slice(&pem).with_context(cannot)?;
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, secret)
        .with_context(|| {
            let (certificate, key) = (certificate.display(), key.display());
            format!("server.tlsCert and server.tlsKey: {certificate} and {key} cannot be used")
        })?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}
