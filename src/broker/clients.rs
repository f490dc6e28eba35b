//! What producers and consumers have in common, and the list of connected producers. Consumers are
//! listed by topic, with their outboxes, in `crate::broker::push::consumers`.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tokio::sync::watch;

use crate::broker::push::outbox::Outbox;
use crate::message::{Topic, UnixSeconds};

/// A client, as the console shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientInfo {
    /// The name that the client gave itself; not unique.
    pub id: String,
    /// Its topic.
    pub topic: Topic,
    /// The address that it connects from.
    pub ip: IpAddr,
    /// When it logged in.
    pub since: UnixSeconds,
    /// The name of the key that it logged in with.
    pub key: Arc<str>,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It receives what is pushed to its topic.
    Consumer,
    /// It sends, over WebSocket.
    Producer,
}

/// A connected client.
#[derive(Clone, Debug)]
pub struct Client {
    /// Its number among all clients since the start; never reused.
    pub number: u64,
    /// What it does.
    pub role: Role,
    /// Who it is.
    pub info: Arc<ClientInfo>,
    /// Messages written to it, or received from it and stored.
    pub messages: u64,
    /// The messages that wait for it; `None` for a producer.
    pub outbox: Option<Outbox>,
}

/// Why the broker ends a client's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// A consumer's outbox was full while others kept up.
    TooSlow,
    /// An operator disconnected it.
    Disconnected,
    /// Its key was revoked or changed.
    KeyRevoked,
    /// Its key has expired.
    KeyExpired,
}

/// Tells a session that the broker asks it to end.
#[derive(Clone)]
pub struct CloseSignal(watch::Receiver<Option<CloseReason>>);

impl CloseSignal {
    /// Waits until the broker asks the session to end. Safe to cancel.
    pub async fn closed(&mut self) -> CloseReason {
        match self.0.wait_for(Option::is_some).await.map(|reason| *reason) {
            Ok(Some(reason)) => reason,
            // The client has left, so nobody asks for the end of its session.
            Ok(None) | Err(_) => std::future::pending().await,
        }
    }
}

/// The broker's end of a [`CloseSignal`].
pub(super) struct Closer(watch::Sender<Option<CloseReason>>);

impl Closer {
    pub(super) fn new() -> Closer {
        Closer(watch::Sender::new(None))
    }

    pub(super) fn signal(&self) -> CloseSignal {
        CloseSignal(self.0.subscribe())
    }

    /// Asks the session to end. Only the first reason is kept.
    pub(super) fn close(&self, reason: CloseReason) {
        self.0.send_if_modified(|before| {
            let first = before.is_none();
            before.get_or_insert(reason);
            first
        });
    }
}

/// Numbers clients, starting at 1.
#[derive(Default)]
pub(super) struct Numbers(AtomicU64);

impl Numbers {
    pub(super) fn next(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed) + 1
    }
}

/// A connected producer.
pub(super) struct Producer {
    number: u64,
    pub(super) info: Arc<ClientInfo>,
    /// Messages received from it and stored.
    messages: AtomicU64,
    pub(super) close: Closer,
}

impl Producer {
    pub(super) fn client(&self) -> Client {
        Client {
            number: self.number,
            role: Role::Producer,
            info: self.info.clone(),
            messages: self.messages.load(Ordering::Relaxed),
            outbox: None,
        }
    }
}

/// All producers that are connected over WebSocket, by number.
pub(super) struct Producers {
    connected: Mutex<BTreeMap<u64, Arc<Producer>>>,
    numbers: Arc<Numbers>,
}

impl Producers {
    pub(super) fn new(numbers: Arc<Numbers>) -> Arc<Producers> {
        Arc::new(Producers {
            connected: Mutex::default(),
            numbers,
        })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Arc<Producer>>> {
        self.connected
            .lock()
            .expect("no holder of this lock panics")
    }

    pub(super) fn join(self: &Arc<Producers>, info: ClientInfo) -> ProducerSession {
        let producer = Arc::new(Producer {
            number: self.numbers.next(),
            info: Arc::new(info),
            messages: AtomicU64::new(0),
            close: Closer::new(),
        });
        self.lock().insert(producer.number, producer.clone());
        ProducerSession {
            producer,
            producers: self.clone(),
        }
    }

    /// The topic of each.
    pub(super) fn topics(&self) -> Vec<Topic> {
        let connected = self.lock();
        let topics = connected.values().map(|producer| &producer.info.topic);
        topics.cloned().collect()
    }
}

/// A producer's place in the list; dropping it leaves.
pub struct ProducerSession {
    producer: Arc<Producer>,
    producers: Arc<Producers>,
}

impl ProducerSession {
    /// The topic that it sends to.
    pub fn topic(&self) -> &Topic {
        &self.producer.info.topic
    }

    /// Who it is.
    pub fn client(&self) -> &ClientInfo {
        &self.producer.info
    }

    /// Tells when the broker asks the session to end.
    pub fn close_signal(&self) -> CloseSignal {
        self.producer.close.signal()
    }

    /// Counts messages that were stored for it.
    pub fn published(&self, messages: usize) {
        self.producer
            .messages
            .fetch_add(messages as u64, Ordering::Relaxed);
    }
}

impl Drop for ProducerSession {
    fn drop(&mut self) {
        self.producers.lock().remove(&self.producer.number);
    }
}
