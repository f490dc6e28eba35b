//! Producers and consumers as the broker lists them, and how an operator ends their sessions:
//! the sessions are the real ones, in this process, so that the broker can be asked.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use crate::common::{KEY, Socket, eventually};
use dpmq::access::{Access, KeysFile};
use dpmq::broker::{Blocking, Broker, Client, Inbox, OutboxLimits, Pace, Role, Settings, Tasks};
use dpmq::clock::Clock;
use dpmq::config::{Config, Live, SecretKey};
use dpmq::connection::line::Line;
use dpmq::limits::fairness::FairShare;
use dpmq::limits::memory_budget::MemoryBudget;
use dpmq::message::UnixSeconds;
use dpmq::session::Services;
use dpmq::store::MemoryStore;
use dpmq::ws::{self, WsState};
use tokio::net::TcpSocket;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// When all of this happens.
const NOW: UnixSeconds = UnixSeconds(1_700_000_000);
/// What the sockets' buffers take, so that a client which reads nothing is noticed soon.
const BUFFER_BYTES: u32 = 4096;

/// A broker over a store in memory, and its sessions.
struct Served {
    broker: Broker,
    address: SocketAddr,
    _tasks: Tasks,
}

async fn serve() -> Served {
    let inbox = Inbox::new(100_000, 64 << 20);
    let clock = Clock::manual(NOW);
    let store = MemoryStore::new(clock.clone(), inbox.committed());
    let settings = Settings {
        pace: Pace {
            batch_messages: 100,
            pause: Duration::ZERO,
        },
        retries: 1,
        outbox: OutboxLimits {
            messages: 1000,
            bytes: 1 << 20,
        },
        re_push: true,
        clean_after_seconds: None,
        check_every: Duration::from_millis(20),
        clock,
        blocking: Blocking::Threads,
    };
    let (broker, tasks) = Broker::start(Arc::new(store), inbox, settings);
    let mut config = Config::default();
    config.mq.secret_key = SecretKey::new(KEY);
    let app = ws::router(WsState {
        memory: MemoryBudget::new(1 << 20),
        services: Services {
            fair_share: FairShare::new(&tokio::runtime::Handle::current()),
            broker: broker.clone(),
            config: Live::new(config),
            access: Access::open(
                SecretKey::new(KEY),
                KeysFile::at("/nowhere"),
                Clock::system(),
            )
            .unwrap(),
            stop: CancellationToken::new(),
            tracker: TaskTracker::new(),
            connections: Arc::default(),
        },
    });
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_send_buffer_size(BUFFER_BYTES).unwrap();
    socket.bind((Ipv4Addr::LOCALHOST, 0).into()).unwrap();
    let listener = socket.listen(16).unwrap();
    let address = listener.local_addr().unwrap();
    // Of all sessions it tells that their clients are there.
    let line = Line::new(tokio::net::TcpStream::connect(address).await.unwrap());
    let app = app.layer(axum::Extension(line));
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    tokio::spawn(axum::serve(listener, app).into_future());
    Served {
        broker,
        address,
        _tasks: tasks,
    }
}

impl Served {
    /// A client that is logged in.
    async fn connect(&self, path: &str) -> Socket {
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(BUFFER_BYTES).unwrap();
        let stream = socket.connect(self.address).await.unwrap();
        let url = format!("ws://{}{path}", self.address);
        let (stream, _) = client_async(url, stream).await.unwrap();
        let mut client = Socket::new(stream);
        client.login(KEY).await;
        client
    }

    /// Role, id, topic and messages of each client.
    fn list(&self) -> Vec<(Role, String, String, u64)> {
        let line = |client: Client| {
            let topic = client.info.topic.to_string();
            (client.role, client.info.id.clone(), topic, client.messages)
        };
        self.broker.clients().into_iter().map(line).collect()
    }

    /// The number of the client that is connected.
    fn only(&self) -> u64 {
        let clients = self.broker.clients();
        assert_eq!(clients.len(), 1, "{clients:?}");
        clients[0].number
    }

    async fn until_nobody_is_left(&self) {
        let nobody = async || self.broker.clients().is_empty();
        eventually("nobody is left", nobody).await;
    }
}

#[tokio::test]
async fn both_roles_are_on_one_list_longest_first() {
    let served = serve().await;
    let first = served.connect("/Consumers/Conn/a/c1").await;
    let producer = served.connect("/Producers/Conn/a/p").await;
    let _second = served.connect("/Consumers/Conn/b/c2").await;
    let line = |role, id: &str, topic: &str| (role, id.to_owned(), topic.to_owned(), 0);
    let expected = [
        line(Role::Consumer, "c1", "a"),
        line(Role::Producer, "p", "a"),
        line(Role::Consumer, "c2", "b"),
    ];
    assert_eq!(served.list(), expected);
    let clients = served.broker.clients();
    let numbers: Vec<u64> = clients.iter().map(|client| client.number).collect();
    assert_eq!(numbers, [1, 2, 3]);
    for client in &clients {
        let found = served.broker.client(client.number).unwrap();
        assert_eq!((found.role, &found.info), (client.role, &client.info));
        assert_eq!(client.info.ip, IpAddr::V4(Ipv4Addr::LOCALHOST));
        assert_eq!(client.info.since, NOW);
        assert_eq!(client.outbox.is_some(), client.role == Role::Consumer);
    }
    assert!(served.broker.client(4).is_none());

    first.close().await;
    producer.close().await;
    let left = async || served.list() == expected[2..];
    eventually("those who closed are off the list", left).await;
    // Their numbers are not given to others.
    let _next = served.connect("/Producers/Conn/a/p").await;
    assert_eq!(served.broker.clients()[1].number, 4);
    assert!(served.broker.client(1).is_none());
}

#[tokio::test]
async fn who_is_not_logged_in_is_not_on_the_list() {
    let served = serve().await;
    let stream = tokio::net::TcpStream::connect(served.address)
        .await
        .unwrap();
    let url = format!("ws://{}/Producers/Conn/a/p", served.address);
    let (stream, _) = client_async(url, stream).await.unwrap();
    let mut producer = Socket::new(stream);
    assert_eq!(producer.recv().await, "Please enter the secret key");
    assert_eq!(served.list(), []);
    producer.send("wrong").await;
    assert_eq!(producer.recv().await, "Secret key matching error");
    assert_eq!(served.list(), []);
}

#[tokio::test]
async fn messages_are_counted_at_both_ends() {
    let served = serve().await;
    let mut consumer = served.connect("/Consumers/Conn/a/c").await;
    let mut producer = served.connect("/Producers/Conn/a/p?ack=1").await;
    producer.send_all((0..30).map(|n| n.to_string())).await;
    for _ in 0..30 {
        producer.ack().await;
    }
    // Counted before the ack is sent.
    let counts = |n: usize| served.broker.clients()[n].messages;
    assert_eq!(counts(1), 30);
    consumer.data(30).await;
    eventually("what was written is counted", async || counts(0) == 30).await;
    let outbox = async || {
        let outbox = served.broker.clients()[0].outbox.unwrap();
        (outbox.messages, outbox.bytes, outbox.limits.messages) == (0, 0, 1000)
    };
    eventually("the outbox is empty", outbox).await;
}

#[tokio::test]
async fn a_client_that_is_disconnected_is_told_so() {
    let served = serve().await;
    for path in ["/Consumers/Conn/a/c", "/Producers/Conn/a/p"] {
        let mut client = served.connect(path).await;
        let number = served.only();
        assert!(!served.broker.disconnect(number + 1));
        assert!(served.broker.disconnect(number));
        let close = client.closed().await;
        assert_eq!(u16::from(close.code), 1008, "{path}");
        assert_eq!(close.reason, "disconnected by the operator", "{path}");
        served.until_nobody_is_left().await;
        assert!(!served.broker.disconnect(number));
    }
}

#[tokio::test]
async fn what_a_producer_had_published_is_answered_before_it_is_disconnected() {
    let served = serve().await;
    let mut producer = served.connect("/Producers/Conn/a/p?ack=1").await;
    producer.send_all((0..300).map(|n| n.to_string())).await;
    let stored = async || served.broker.counts().all() > 0;
    eventually("something is stored", stored).await;
    served.broker.disconnect(served.only());
    let mut acks = 0;
    loop {
        match producer.frame().await {
            Some(Ok(Message::Text(_))) => acks += 1,
            Some(Ok(Message::Close(Some(close)))) => break assert_eq!(u16::from(close.code), 1008),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(acks, served.broker.counts().all());
}

#[tokio::test]
async fn a_producer_that_reads_no_answers_is_disconnected_all_the_same() {
    let served = serve().await;
    let mut producer = served.connect("/Producers/Conn/a/p?ack=1").await;
    let number = served.only();
    let sending = tokio::spawn(async move {
        for n in 0_u64.. {
            if producer.try_send(&n.to_string()).await.is_err() {
                return;
            }
        }
    });
    let stuck = async || {
        let client = served.broker.client(number);
        let answered = client.map_or(0, |client| client.messages);
        served.broker.counts().all() > answered + 1000
    };
    eventually("answers are not read", stuck).await;
    assert!(served.broker.disconnect(number));
    served.until_nobody_is_left().await;
    let ended = tokio::time::timeout(crate::common::PATIENCE, sending).await;
    assert!(ended.is_ok(), "the connection is still there");
}
