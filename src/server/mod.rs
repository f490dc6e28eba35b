//! Puts store, broker and edges together, and owns the order in which they start and stop.

mod apart;
mod connections;
mod keys;
mod reload;
mod supervisor;
mod tuned;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use crate::server::apart::Apart;
use crate::server::connections::accept::Acceptor;
use crate::server::connections::admission::Admission;
use crate::server::connections::tls::Tls;
use crate::server::keys::Keys;
use crate::server::reload::{Reloads, Running};
use anyhow::{Context, anyhow};
use tokio::net::{TcpListener, TcpSocket};
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::access::{Access, KeysFile};
use crate::broker::{Broker, Inbox};
use crate::clock::Clock;
use crate::config::{Config, Durability, Live, MqConfig, Recovery, Sources};
use crate::connection::connection_stats::ConnectionStats;
use crate::http::{self, Gate, HttpState};
use crate::import::{self, ImportError};
use crate::limits::fairness::FairShare;
use crate::limits::memory_budget::MemoryBudget;
use crate::server::tuned::{limits, settings, tell_pace, told_topics, warn_of_key};
use crate::session::Services;
use crate::store::{Committed, DiskStore, MemoryStore, Options, Origin, Recovered, Storage};
use crate::telemetry::Level;
use crate::ws::{self, WsState};

/// The exit code after a second signal, as a shell gives it for an interrupted program.
const EXIT_INTERRUPTED: i32 = 130;
/// Steps of tasks after which the runtime looks for what has come. With many tasks that have much
/// to do, who comes anew is noticed this much later; looking costs about a hundredth of them.
const STEPS_BETWEEN_EVENTS: u32 = 16;
/// Threads that read the disk; each keeps some memory. What runs there waits for the disk at most,
/// never for a client: consumers, keys and the end of the store need them too.
const BLOCKING_THREADS_MAX: usize = 64;

/// Runs the server until SIGTERM or SIGINT; a second one ends the process at once. On SIGHUP it
/// reads `sources` again, which `config` is from, and `level` is changed with them.
///
/// # Errors
/// When the store cannot be opened, the address cannot be listened on, or what was accepted
/// could not be written at the end.
pub fn run_until_signal(config: Config, sources: Sources, level: Level) -> anyhow::Result<()> {
    // Every socket is a file, and many systems allow 1,024 unless asked for more.
    if let Err(error) = rlimit::increase_nofile_limit(u64::MAX) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
    runtime()?.block_on(async {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let reloads = Reloads {
            asked: signal(SignalKind::hangup())?,
            sources,
            level,
        };
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        tokio::spawn(async move {
            let mut next = async || {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
            };
            next().await;
            tracing::info!("stopping; a second signal ends at once");
            stop.cancel();
            next().await;
            std::process::exit(EXIT_INTERRUPTED);
        });
        let listener = bind(&config).await?;
        serve_until(listener, config, Some(reloads), stopped.cancelled_owned()).await
    })
}

fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS_MAX)
        .event_interval(STEPS_BETWEEN_EVENTS)
        .build()
        .context("cannot start the runtime")
}

/// Connections that the system keeps until they are accepted, if it allows as many: those of a
/// burst beyond are reset, or wait for a second.
const UNACCEPTED_MAX: u32 = 4096;

/// Listens where `config` says.
///
/// # Errors
/// When the address is in use or is not one of this machine.
pub async fn bind(config: &Config) -> anyhow::Result<TcpListener> {
    let host = config.listen_host();
    let (host, port) = (host.host, config.server.port);
    let bound = async {
        let mut bound = Err(std::io::ErrorKind::AddrNotAvailable.into());
        for address in tokio::net::lookup_host((host, port)).await? {
            bound = listen(address);
            if bound.is_ok() {
                break;
            }
        }
        bound
    };
    bound
        .await
        .with_context(|| format!("cannot listen on {host}:{port}"))
}

fn listen(address: SocketAddr) -> std::io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // A server that starts again does not wait for the connections of the one before.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(UNACCEPTED_MAX)
}

/// Serves on `listener` until `shutdown` resolves; then refuses what is new, closes every
/// session with 1001, and writes what is left. How the server is can be asked from the first
/// moment until every session is closed.
///
/// # Errors
/// As [`run_until_signal`].
pub async fn run(
    listener: TcpListener,
    config: Config,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    serve_until(listener, config, None, shutdown).await
}

async fn serve_until(
    listener: TcpListener,
    config: Config,
    reloads: Option<Reloads>,
    shutdown: impl Future<Output = ()> + Send + 'static,
) -> anyhow::Result<()> {
    let live = Live::new(config);
    let config = live.get();
    let address = listener.local_addr()?;
    let access = open_keys(&config)?;
    let (stop, closing) = (CancellationToken::new(), CancellationToken::new());
    let (gate, connections) = (Gate::new(stop.clone()), Arc::<ConnectionStats>::default());
    let admission = Admission::new(limits(&config));
    let memory = MemoryBudget::new(config.server.inbound_bytes);
    let fair_share = FairShare::new(&Handle::current());
    let tls = open_tls(&config, &stop).await?;
    let acceptor = Acceptor {
        app: http::for_pages(gate.router(), live.clone(), connections.clone()),
        admission: admission.clone(),
        config: live.clone(),
        memory: memory.clone(),
        fair_share: fair_share.clone(),
        tls: tls.clone(),
        connections: connections.clone(),
        closing: closing.clone(),
    };
    let mut serve = tokio::spawn(acceptor.run(listener));
    let inbox = Inbox::new(config.mq.message_chan_buffer, config.mq.queue_memory_bytes);
    let store = open_store(&config.mq, inbox.committed()).await?;
    let settings = settings(&config.mq);
    let (broker, mut tasks) = Broker::start(store.clone(), inbox, settings);
    broker.tell_topics(told_topics(&config)).await;

    let sessions = TaskTracker::new();
    let apart = Apart::start().context("cannot start a thread")?;
    let keys = Keys {
        access: access.clone(),
        broker: broker.clone(),
        apart,
    };
    let looking = tokio::spawn(keys.clone().watch(stop.clone()));
    let state = HttpState::new(
        broker.clone(),
        live.clone(),
        access.clone(),
        stop.clone(),
        connections.clone(),
    );
    let services = Services {
        broker: broker.clone(),
        config: live.clone(),
        access: access.clone(),
        fair_share,
        stop: stop.clone(),
        tracker: sessions.clone(),
        connections,
    };
    let app = http::router(state).merge(ws::router(WsState {
        memory: memory.clone(),
        services,
    }));
    gate.open(app, broker.clone());
    announce(&config, address);
    supervisor::ready();
    if let Some(reloads) = reloads {
        let running = Running {
            config: live.clone(),
            admission,
            memory,
            store: store.clone(),
            broker: broker.clone(),
            keys,
            tls,
        };
        tokio::spawn(reload::watch(reloads, running, stop.clone()));
    }
    let alive = tokio::spawn(supervisor::keep_alive(broker.clone()));
    // Without one of these it would only seem to be there.
    let failure = tokio::select! {
        () = shutdown => None,
        why = tasks.ended() => Some(why),
        why = ended(&mut serve) => Some(why),
        why = ended(looking) => Some(why),
    };
    supervisor::stopping();
    stop.cancel();
    sessions.close();
    let drained = async {
        sessions.wait().await;
        closing.cancel();
        // Requests under way; the last of them have their answers from the store.
        if !serve.is_finished() {
            let _ = serve.await;
        }
    };
    let patience = live.get().server.drain;
    if tokio::time::timeout(patience, drained).await.is_err() {
        tracing::warn!("some clients did not end in {patience:?}; they are cut off");
    }
    closing.cancel();
    broker.stop();
    drop(tasks);
    alive.abort();
    let closing = store.clone();
    tokio::task::spawn_blocking(move || closing.close()).await??;
    match config.mq.durability {
        Durability::Disk => tracing::info!("stopped; everything accepted is on disk"),
        Durability::Memory => tracing::info!("stopped; messages were in memory only"),
    }
    match failure {
        Some(why) => Err(anyhow!("a part of the server has failed: {why}")),
        None => Ok(()),
    }
}

/// Waits until a task has ended that none does by itself before the server stops; returns why.
async fn ended(task: impl Future<Output = Result<(), JoinError>>) -> String {
    match task.await {
        Err(error) => error.to_string(),
        Ok(()) => "a task has returned".into(),
    }
}

/// Whether the certificate and the key of `config` can be used, if there are any. Blocks.
///
/// # Errors
/// One of them cannot be read, or they do not belong together.
pub fn check_tls(config: &Config) -> anyhow::Result<()> {
    let files = config.server.tls.as_ref();
    files.map_or(Ok(()), |files| Tls::open(files).map(drop))
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

/// Reads the file of keys, in place: nothing else runs yet.
fn open_keys(config: &Config) -> anyhow::Result<Access> {
    let secret = config.mq.secret_key.clone();
    let file = KeysFile::at(&config.server.keys_file);
    Access::open(secret, file, Clock::system()).context("cannot use the file of keys")
}

async fn open_store(mq: &MqConfig, committed: Committed) -> anyhow::Result<Arc<dyn Storage>> {
    let clock = Clock::system();
    if mq.durability == Durability::Memory {
        tracing::warn!(
            "mq.isPersistent is 0: messages are in memory only, and a restart loses them"
        );
        return Ok(Arc::new(MemoryStore::new(clock, committed)));
    }
    let options = options(mq, clock);
    let started = std::time::Instant::now();
    let opened = tokio::task::spawn_blocking(move || DiskStore::open(&options, committed)).await?;
    let (store, recovered) = opened.context("cannot open the store")?;
    report(mq, &recovered, started.elapsed());
    Ok(Arc::new(store))
}

fn options(mq: &MqConfig, clock: Clock) -> Options {
    Options {
        snapshot_every: mq.persistent_every,
        clear: mq.recovery == Recovery::Empty,
        clock,
        segment_bytes: mq.segment_bytes,
        ..Options::new(&mq.persistent_file)
    }
}

/// Says in a few lines what was recovered, and where.
fn report(mq: &MqConfig, recovered: &Recovered, took: Duration) {
    let file = mq.persistent_file.display();
    if let Some((imported, kept)) = &recovered.imported {
        let kept = kept.display();
        tracing::info!(
            "took {} messages over from the original's {file}, which is now {kept}",
            imported.added
        );
    }
    for healed in &recovered.healed {
        tracing::warn!("healed: {healed}");
    }
    for damage in &recovered.damage {
        tracing::error!("damaged: {damage}; everything else is served");
    }
    if let Some(reason) = &recovered.mirror_rebuilt {
        tracing::warn!("the mirror was built anew from the log: {reason}");
    }
    if recovered.torn_bytes > 0 {
        tracing::warn!(
            "cut {} bytes off the end of the log: a write that was not finished, of which nobody was told, or damage of the last one",
            recovered.torn_bytes
        );
    }
    let counts = recovered.counts;
    let from = match recovered.origin {
        Origin::Nothing => "a new store",
        Origin::Log => "the store",
        Origin::Snapshot => "the snapshot, since the store was gone",
    };
    tracing::info!(
        "recovered {} messages from {from} in {took:.1?}: {} to be pushed, {} not consumed, {} consumed",
        counts.all(),
        counts.accepted,
        counts.not_consumed,
        counts.consumed
    );
    tracing::info!("data is in {file}.db, the snapshot for backups in {file}");
}

/// Says where to go.
fn announce(config: &Config, address: SocketAddr) {
    if let Some(note) = config.note_on_variables() {
        tracing::info!("{note}");
    }
    warn_of_key(config);
    tell_pace(&config.mq);
    let ip = match address.ip() {
        ip if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        ip => ip,
    };
    let here = SocketAddr::new(ip, address.port());
    let scheme = if config.server.tls.is_some() {
        "https"
    } else {
        "http"
    };
    tracing::info!("listening on {address}; open {scheme}://{here}/");
}

/// How far an import is.
#[derive(Clone, Copy, Debug)]
pub struct Progress {
    /// Messages done.
    pub done: u64,
    /// Messages in all.
    pub total: u64,
}

/// Takes the messages of an original's data file over into the store of `config`, which no
/// server may have open. Returns what came of it, as a sentence; all is synced then.
///
/// # Errors
/// When the file cannot be read as one of the original, or the store cannot be written; also
/// when the file is damaged and only part of it could be taken over.
pub fn import_file(
    config: &Config,
    path: &Path,
    progress: &mut dyn FnMut(Progress),
) -> anyhow::Result<String> {
    anyhow::ensure!(
        config.mq.durability == Durability::Disk,
        "mq.isPersistent is 0: there is no store to import into"
    );
    let import = import::read(path).map_err(|error| match error {
        ImportError::Io { .. } => anyhow::Error::new(error),
        ImportError::Foreign { .. } => anyhow::anyhow!("{} is {error}", path.display()),
    })?;
    let total = import.messages.len() as u64;
    progress(Progress { done: 0, total });
    import.tell_refused();
    let mut options = options(&config.mq, Clock::system());
    options.clear = false;
    let imported = DiskStore::import(&options, import.messages, &mut |done| {
        progress(Progress { done, total });
    })?;
    let mut summary = format!("{} messages came over", imported.added);
    if imported.present > 0 {
        summary += &format!(", {} were there already", imported.present);
    }
    if import.refused_entries > 0 {
        let refused = import.refused_entries;
        summary += &format!(", {refused} could not be taken (see the log)");
    }
    match import.damage {
        Some(damage) => anyhow::bail!("{summary}; {damage}"),
        None => Ok(summary),
    }
}
