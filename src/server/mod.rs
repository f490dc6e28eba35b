//! Puts store, broker, `http/` and `ws/` together, and owns the order in which they start and stop.

mod apart;
mod connections;
mod front;
mod import_file;
mod keys;
mod open_store;
mod reload;
mod supervisor;
mod tuned;

use std::future::Future;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context, anyhow};
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinError;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::broker::{Broker, Inbox};
use crate::config::{Config, Durability, Sources};
use crate::server::apart::Apart;
use crate::server::connections::tls::Tls;
use crate::server::front::Front;
use crate::server::keys::Keys;
use crate::server::open_store::open_store;
use crate::server::reload::Reloads;
use crate::server::tuned::{settings, tell_pace, told_topics, warn_of_key};
use crate::store::Storage;
use crate::telemetry::Level;

pub use crate::server::import_file::{Progress, import_file};

/// The exit code after a second signal, as a shell gives it for an interrupted program.
const EXIT_INTERRUPTED: i32 = 130;
/// Steps of tasks after which the runtime looks for new connections and bytes. Higher values delay
/// noticing them when many tasks are busy; looking costs about a hundredth of the steps.
const STEPS_BETWEEN_EVENTS: u32 = 16;
/// Threads that read the disk; each keeps some memory. Work there may wait for the disk, never for
/// a client: consumers, keys and the closing of the store need these threads too.
const BLOCKING_THREADS_MAX: usize = 64;

/// Runs the server until SIGTERM or SIGINT; a second signal ends the process at once. On SIGHUP it
/// reads `sources`, which `config` is from, again, and sets `level` to what they say.
///
/// # Errors
/// The store cannot be opened, the server cannot listen on its address, or accepted messages
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

/// Connections that the system keeps until the server accepts them, if it allows as many. In a
/// burst of more, the others are reset or wait for a second.
const UNACCEPTED_MAX: u32 = 4096;

/// Listens on the address of `config`.
///
/// # Errors
/// The address is in use, or is not one of this machine.
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
    // A restarted server does not wait for connections of the process before it.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(UNACCEPTED_MAX)
}

/// Serves on `listener` until `shutdown` resolves; then refuses new requests, closes every
/// session with 1001, and writes what is left. The health routes answer from the start until
/// every session is closed.
///
/// # Errors
/// The store cannot be opened, or accepted messages could not be written at the end.
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
    let address = listener.local_addr()?;
    let front = Front::new(config).await?;
    let config = front.config.get();
    let mut serve = front.accept(listener);
    let inbox = Inbox::new(config.mq.message_chan_buffer, config.mq.queue_memory_bytes);
    let store = open_store(&config.mq, inbox.committed()).await?;
    let (broker, mut tasks) = Broker::start(store.clone(), inbox, settings(&config.mq));
    broker.tell_topics(told_topics(&config)).await;
    let keys = Keys {
        access: front.access.clone(),
        broker: broker.clone(),
        apart: Apart::start().context("cannot start a thread")?,
    };
    let looking = tokio::spawn(keys.clone().watch(front.stop.clone()));
    let sessions = TaskTracker::new();
    front.open(&broker, &sessions);
    announce(&config, address);
    supervisor::ready();
    if let Some(reloads) = reloads {
        let running = front.running(&store, &broker, keys);
        tokio::spawn(reload::watch(reloads, running, front.stop.clone()));
    }
    let alive = tokio::spawn(supervisor::keep_alive(broker.clone()));
    // Without one of these tasks the server would only seem to run.
    let failure = tokio::select! {
        () = shutdown => None,
        why = tasks.ended() => Some(why),
        why = ended(&mut serve) => Some(why),
        why = ended(looking) => Some(why),
    };
    supervisor::stopping();
    front.drain(&sessions, serve).await;
    broker.stop();
    drop(tasks);
    alive.abort();
    close(store, config.mq.durability).await?;
    match failure {
        Some(why) => Err(anyhow!("a part of the server has failed: {why}")),
        None => Ok(()),
    }
}

/// Writes what is left, and says whether it is on disk.
async fn close(store: Arc<dyn Storage>, durability: Durability) -> anyhow::Result<()> {
    tokio::task::spawn_blocking(move || store.close()).await??;
    match durability {
        Durability::Disk => tracing::info!("stopped; everything accepted is on disk"),
        Durability::Memory => tracing::info!("stopped; messages were in memory only"),
    }
    Ok(())
}

/// Waits for the end of a task that should run until the server stops; returns why it ended.
async fn ended(task: impl Future<Output = Result<(), JoinError>>) -> String {
    match task.await {
        Err(error) => error.to_string(),
        Ok(()) => "a task has returned".into(),
    }
}

/// Checks the certificate and the key of `config`, if it has any. Blocks.
///
/// # Errors
/// One of them cannot be read, or they do not belong together.
pub fn check_tls(config: &Config) -> anyhow::Result<()> {
    let files = config.server.tls.as_ref();
    files.map_or(Ok(()), |files| Tls::open(files).map(drop))
}

/// Logs the address, and what an operator should know of the configuration.
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
