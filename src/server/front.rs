//! The front of the server: what is there before the store is open, and what clients reach it by.

use std::sync::Arc;

use anyhow::Context;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, KeysFile};
use crate::broker::Broker;
use crate::clock::Clock;
use crate::config::{Config, Live};
use crate::connection::connection_stats::ConnectionStats;
use crate::http::{self, Gate, HttpState};
use crate::limits::fairness::FairShare;
use crate::limits::memory_budget::MemoryBudget;
use crate::server::connections::accept::Acceptor;
use crate::server::connections::admission::Admission;
use crate::server::connections::tls::Tls;
use crate::server::keys::Keys;
use crate::server::reload::Running;
use crate::server::tuned::limits;
use crate::session::Services;
use crate::store::Storage;
use crate::ws::{self, WsState};

/// Everything that connections share.
pub(super) struct Front {
    pub(super) config: Live,
    pub(super) access: Access,
    /// Cancelled when the server begins to stop.
    pub(super) stop: CancellationToken,
    /// Cancelled when no connection is accepted any more.
    closing: CancellationToken,
    gate: Gate,
    admission: Arc<Admission>,
    memory: MemoryBudget,
    fair_share: FairShare,
    stats: Arc<ConnectionStats>,
    tls: Option<Arc<Tls>>,
}

impl Front {
    /// # Errors
    /// The file of keys, the certificate or its key cannot be used.
    pub(super) async fn new(config: Config) -> anyhow::Result<Front> {
        let stop = CancellationToken::new();
        Ok(Front {
            access: open_keys(&config)?,
            closing: CancellationToken::new(),
            gate: Gate::new(stop.clone()),
            admission: Admission::new(limits(&config)),
            memory: MemoryBudget::new(config.server.inbound_bytes),
            fair_share: FairShare::new(&Handle::current()),
            stats: Arc::default(),
            tls: open_tls(&config, &stop).await?,
            config: Live::new(config),
            stop,
        })
    }

    /// Accepts connections until the front is drained. The gate answers them until it is opened.
    pub(super) fn accept(&self, listener: TcpListener) -> JoinHandle<()> {
        let gate = self.gate.router();
        let acceptor = Acceptor {
            app: http::for_pages(gate, self.config.clone(), self.stats.clone()),
            admission: self.admission.clone(),
            config: self.config.clone(),
            memory: self.memory.clone(),
            fair_share: self.fair_share.clone(),
            tls: self.tls.clone(),
            stats: self.stats.clone(),
            closing: self.closing.clone(),
        };
        tokio::spawn(acceptor.run(listener))
    }

    /// Opens the gate: from now on requests and `sessions` reach `broker`.
    pub(super) fn open(&self, broker: &Broker, sessions: &TaskTracker) {
        let state = HttpState::new(
            broker.clone(),
            self.config.clone(),
            self.access.clone(),
            self.stop.clone(),
            self.stats.clone(),
        );
        let services = Services {
            broker: broker.clone(),
            config: self.config.clone(),
            access: self.access.clone(),
            fair_share: self.fair_share.clone(),
            stop: self.stop.clone(),
            tracker: sessions.clone(),
            connections: self.stats.clone(),
        };
        let app = http::router(state).merge(ws::router(WsState {
            memory: self.memory.clone(),
            services,
        }));
        self.gate.open(app, broker.clone());
    }

    /// What a reload changes.
    pub(super) fn running(&self, store: &Arc<dyn Storage>, broker: &Broker, keys: Keys) -> Running {
        Running {
            config: self.config.clone(),
            admission: self.admission.clone(),
            memory: self.memory.clone(),
            store: store.clone(),
            broker: broker.clone(),
            keys,
            tls: self.tls.clone(),
        }
    }

    /// Refuses what is new, and waits for `sessions`, then for the requests under way, as long as
    /// the configuration allows.
    pub(super) async fn drain(&self, sessions: &TaskTracker, serve: JoinHandle<()>) {
        self.stop.cancel();
        sessions.close();
        let drained = async {
            sessions.wait().await;
            self.closing.cancel();
            // The last of the requests have their answers from the store.
            if !serve.is_finished() {
                let _ = serve.await;
            }
        };
        let most = self.config.get().server.drain;
        if tokio::time::timeout(most, drained).await.is_err() {
            tracing::warn!("some clients did not end in {most:?}; they are cut off");
        }
        self.closing.cancel();
    }
}

/// Reads the file of keys, in place: nothing else runs yet.
fn open_keys(config: &Config) -> anyhow::Result<Access> {
    let secret = config.mq.secret_key.clone();
    let file = KeysFile::at(&config.server.keys_file);
    Access::open(secret, file, Clock::system()).context("cannot use the file of keys")
}

/// The TLS of `config`, which follows its files until `stop` is cancelled.
async fn open_tls(config: &Config, stop: &CancellationToken) -> anyhow::Result<Option<Arc<Tls>>> {
    let Some(files) = config.server.tls.clone() else {
        return Ok(None);
    };
    let tls = tokio::task::spawn_blocking(move || Tls::open(&files)).await??;
    let tls = Arc::new(tls);
    tokio::spawn(tls.clone().watch(stop.clone()));
    Ok(Some(tls))
}
