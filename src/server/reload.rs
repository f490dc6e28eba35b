//! Reads the configuration again while the server runs, and applies what can change.

use std::sync::Arc;

use tokio::signal::unix::Signal;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::config::{Config, Live, Sources};
use crate::limits::memory_budget::MemoryBudget;
use crate::server::connections::admission::Admission;
use crate::server::connections::tls::Tls;
use crate::server::keys::Keys;
use crate::server::supervisor;
use crate::server::tuned::{limits, settings, tell_pace, told_topics, warn_of_key};
use crate::store::Storage;
use crate::telemetry::Level;

/// What starts a reload, and what it reads.
pub(super) struct Reloads {
    /// SIGHUP. It is caught from the start on, so that an early one is not lost.
    pub(super) asked: Signal,
    pub(super) sources: Sources,
    pub(super) level: Level,
}

/// The parts that a new configuration changes.
pub(super) struct Running {
    pub(super) config: Live,
    pub(super) admission: Arc<Admission>,
    pub(super) memory: MemoryBudget,
    pub(super) store: Arc<dyn Storage>,
    pub(super) broker: Broker,
    pub(super) keys: Keys,
    pub(super) tls: Option<Arc<Tls>>,
}

/// Reloads on each signal, until `stop` is cancelled.
pub(super) async fn watch(mut reloads: Reloads, running: Running, stop: CancellationToken) {
    loop {
        tokio::select! {
            Some(()) = reloads.asked.recv() => {
                supervisor::reloading();
                running.reload(&reloads).await;
                supervisor::ready();
            }
            () = stop.cancelled() => return,
        }
    }
}

impl Running {
    async fn reload(&self, reloads: &Reloads) {
        let (config, sources) = (self.config.get(), reloads.sources.clone());
        let reading = self.keys.apart.run(move || config.reread(&sources));
        match reading.await {
            Some(Ok(reread)) => {
                for key in &reread.waiting {
                    tracing::warn!("{key} has changed, which needs a restart to count");
                }
                reloads.level.set(&reread.config.log.level);
                self.take(reread.config);
                if reread.changed.contains(&"server.metricsTopics") {
                    let told = told_topics(&self.config.get());
                    self.broker.tell_topics(told).await;
                }
                match &reread.changed[..] {
                    [] => tracing::info!("read the configuration again; nothing has changed"),
                    changed => {
                        tracing::info!("read the configuration again: {}", changed.join(", "))
                    }
                }
                if ["mq.sendCount", "mq.pushMessagesSpeed"]
                    .iter()
                    .any(|key| reread.changed.contains(key))
                {
                    tell_pace(&self.config.get().mq);
                }
            }
            Some(Err(error)) => {
                tracing::error!("the configuration stays as it was: {error}");
            }
            None => tracing::error!("the configuration was not read again"),
        }
        self.keys.look_for_sure().await;
        if let Some(tls) = &self.tls {
            tls.reload().await;
        }
    }

    /// Applies `config`.
    fn take(&self, config: Config) {
        let (server, mq) = (&config.server, &config.mq);
        self.admission.change(limits(&config));
        self.memory.resize(server.inbound_bytes);
        self.store.write_snapshot_every(mq.persistent_every);
        self.broker.keep_in_memory(mq.queue_memory_bytes);
        self.broker.change(settings(mq));
        let secret = mq.secret_key.clone();
        self.config.set(config);
        if self.keys.change_secret(&secret) {
            warn_of_key(&self.config.get());
        }
    }
}
