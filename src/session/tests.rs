//! The loops of producers and consumers with a second dialect, over a connection in memory.

use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{Sink, Stream};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::*;
use crate::access::{Access, KeysFile};
use crate::broker::{Broker, Encoding, Inbox, PublishError, Settings, Tasks, Ticket, fixture};
use crate::clock::Clock;
use crate::config::{Config, Live};
use crate::connection::line::Line;
use crate::limits::fairness::FairShare;
use crate::limits::memory_budget::SMALL_BYTES;
use crate::message::{Draft, Message, MessageCode};
use crate::store::MemoryStore;

const PROMPT: &str = "Please enter the secret key";
const WRONG: &str = "Secret key matching error";
const SUCCEEDED: &str = "Secret key matching succeeded";

/// A message is `tag=data`, its reply `tag:code`; a push is `>data` in bytes.
#[derive(Clone, Copy)]
struct Tagged;

const ENCODING: Encoding = Encoding {
    name: "tagged",
    write: |out, message| {
        out.push(b'>');
        out.extend_from_slice(message.data.as_bytes());
    },
    frame_bytes: |message| 1 + message.data.len(),
};

/// A large push, which has its bytes.
struct Whole(Vec<u8>);

impl LargeFrame for Whole {
    type Place = usize;

    fn fill(&self, place: &mut usize, out: &mut [u8]) -> usize {
        let bytes = out.len().min(self.0.len() - *place);
        out[..bytes].copy_from_slice(&self.0[*place..*place + bytes]);
        *place += bytes;
        bytes
    }
}

impl Dialect for Tagged {
    type LargeFrame = Whole;
    type Tag = String;

    fn encoding(&self) -> &'static Encoding {
        &ENCODING
    }

    fn large_frame(&self, message: &Message) -> Whole {
        let mut frame = vec![];
        (ENCODING.write)(&mut frame, message);
        Whole(frame)
    }

    fn read(&self, frame: Frame) -> Result<Option<Published<String>>, SessionEnd> {
        let Frame::Text(text) = frame else {
            return Ok(None);
        };
        let Some((tag, data)) = text.split_once('=') else {
            return Err(SessionEnd::by_server(Cause::Malformed, "a frame has no ="));
        };
        let (tag, data) = (tag.to_owned(), ByteString::from(data));
        Ok(Some(Published { data, tag }))
    }

    fn has_replies(&self) -> bool {
        true
    }

    fn reply(&self, tag: String, stored: Result<MessageCode, &PublishError>) -> Frame {
        let what = stored.map_or_else(ToString::to_string, |code| code.to_string());
        Frame::Text(format!("{tag}:{what}").into())
    }

    fn close_code(&self, cause: Cause) -> u16 {
        match cause {
            Cause::Stopping => 4001,
            Cause::Malformed => 4400,
            Cause::TooLarge => 4413,
            _ => 4000,
        }
    }
}

/// The server's end of a connection in memory.
struct Pipe {
    incoming: UnboundedReceiver<Frame>,
    outgoing: UnboundedSender<Frame>,
    line: Line,
    liveness: Liveness,
}

impl Pipe {
    fn send(&self, frame: Frame) -> Result<(), SessionEnd> {
        let sent = self.outgoing.send(frame);
        sent.map_err(|_| SessionEnd::ByClient)
    }
}

impl Connection<Tagged> for Pipe {
    fn logged_in(&mut self) {}

    fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    fn line(&self) -> &Line {
        &self.line
    }

    fn poll_deliver(
        &mut self,
        _: &mut Context<'_>,
        deliveries: &mut Vec<Ticket>,
    ) -> Poll<Result<(), SessionEnd>> {
        for ticket in deliveries.drain(..) {
            if let Some((message, bytes)) = ticket.large(Tagged.encoding()) {
                let (frame, mut place) = (Tagged.large_frame(message), usize::default());
                let (mut made, mut piece) = (vec![], [0; 1000]);
                while let filled @ 1.. = frame.fill(&mut place, &mut piece) {
                    made.extend_from_slice(&piece[..filled]);
                }
                assert_eq!(made.len(), bytes);
                self.send(Frame::Binary(made.into()))?;
            } else {
                for frame in ticket.frames(Tagged.encoding()) {
                    self.send(Frame::Binary(frame.clone()))?;
                }
            }
            ticket.written();
        }
        Poll::Ready(Ok(()))
    }

    fn stop_delivering(&mut self, _: &[Ticket]) {}
}

impl Stream for Pipe {
    type Item = Result<Frame, SessionEnd>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.incoming.poll_recv(cx).map(|frame| frame.map(Ok))
    }
}

impl Sink<Frame> for Pipe {
    type Error = SessionEnd;

    fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
        Poll::Ready(Ok(()))
    }

    fn start_send(self: Pin<&mut Self>, frame: Frame) -> Result<(), SessionEnd> {
        self.send(frame)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
        Poll::Ready(Ok(()))
    }
}

/// The client's end.
struct Client {
    to_server: UnboundedSender<Frame>,
    from_server: UnboundedReceiver<Frame>,
}

impl Client {
    fn say(&self, text: &str) {
        self.to_server.send(Frame::Text(text.into())).unwrap();
    }

    async fn hear(&mut self) -> Frame {
        let heard = tokio::time::timeout(Duration::from_secs(30), self.from_server.recv());
        heard.await.unwrap().expect("the session has ended")
    }

    async fn hears(&mut self, text: &'static str) {
        assert_eq!(self.hear().await, Frame::text(text));
    }

    /// The next reply: its tag, and whether it is a code.
    async fn reply(&mut self) -> (String, bool) {
        let Frame::Text(text) = self.hear().await else {
            panic!("a reply is text");
        };
        let (tag, what) = text.split_once(':').unwrap();
        (tag.to_owned(), what.parse::<MessageCode>().is_ok())
    }

    async fn is_closed(&mut self, code: u16, reason: &str) {
        let reason = reason.to_owned();
        let farewell = Farewell { code, reason };
        assert_eq!(self.hear().await, Frame::Close(Some(farewell)));
    }
}

struct Server {
    services: Services,
    line: Line,
    _tasks: Tasks,
}

impl Server {
    async fn start() -> Server {
        let inbox = Inbox::new(1000, 1 << 20);
        let store = Arc::new(MemoryStore::new(Clock::system(), inbox.committed()));
        let settings = Settings {
            re_push: false,
            clock: Clock::system(),
            ..fixture::settings()
        };
        let (broker, tasks) = Broker::start(store, inbox, settings);
        let mut config = Config::default();
        config.server.max_message_bytes = 2 * SMALL_BYTES;
        let secret = config.mq.secret_key.clone();
        let access = Access::open(secret, KeysFile::at("/nowhere"), Clock::system()).unwrap();
        let services = Services {
            broker,
            config: Live::new(config),
            access,
            fair_share: FairShare::new(&Handle::current()),
            stop: Default::default(),
            tracker: Default::default(),
            connections: Arc::default(),
        };
        // What the system tells of it holds for every client: its end is there.
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await;
        Server {
            services,
            line: Line::new(stream.unwrap()),
            _tasks: tasks,
        }
    }

    fn connect(&self, role: Role) -> Client {
        let (to_server, incoming) = unbounded_channel();
        let (outgoing, from_server) = unbounded_channel();
        let pipe = Pipe {
            incoming,
            outgoing,
            line: self.line.clone(),
            liveness: Liveness::default(),
        };
        let scope = LoginScope {
            role,
            topic: "t".parse().unwrap(),
            id: "c".into(),
            address: Ipv4Addr::LOCALHOST.into(),
            path: "/",
        };
        tokio::spawn(run(pipe, Tagged, scope, self.services.clone()));
        Client {
            to_server,
            from_server,
        }
    }

    async fn log_in(&self, role: Role) -> Client {
        let mut client = self.connect(role);
        client.hears(PROMPT).await;
        client.say("dpmq");
        client.hears(SUCCEEDED).await;
        client
    }

    /// Publishes as another edge does.
    async fn publish(&self, data: &str) {
        let draft = Draft::new("t".parse().unwrap(), data.into());
        let receipt = self.services.broker.publish(vec![draft]).await.unwrap();
        receipt.codes().await.unwrap();
    }
}

#[tokio::test]
async fn every_dialect_has_the_login_of_the_contract() {
    let server = Server::start().await;
    let mut client = server.connect(Role::Consumer);
    client.hears(PROMPT).await;
    client.say("qqq");
    client.hears(WRONG).await;
    client.hears(PROMPT).await;
    assert!(server.services.broker.consumers().is_empty());
    client.say("dpmq");
    client.hears(SUCCEEDED).await;
    assert_eq!(server.services.broker.consumers().len(), 1);
}

#[tokio::test]
async fn a_producer_is_read_and_answered_in_its_dialect() {
    let server = Server::start().await;
    let mut producer = server.log_in(Role::Producer).await;
    for text in ["first=a", "second=b", "third=c"] {
        producer.say(text);
    }
    for tag in ["first", "second", "third"] {
        assert_eq!(producer.reply().await, (tag.to_owned(), true));
    }
    let accepted = server.services.broker.counts();
    assert_eq!(accepted.accepted + accepted.not_consumed, 3);
}

#[tokio::test]
async fn a_consumer_gets_the_frames_of_its_dialect() {
    let server = Server::start().await;
    let mut consumer = server.log_in(Role::Consumer).await;
    let large = "x".repeat(SMALL_BYTES + 1);
    for data in ["a", &large, "b"] {
        server.publish(data).await;
        let frame = Bytes::from(format!(">{data}"));
        assert_eq!(consumer.hear().await, Frame::Binary(frame));
    }
    // A frame that the dialect reads does not disturb, and publishes nothing.
    consumer.say("tag=c");
    server.publish("d").await;
    let frame = Bytes::from_static(b">d");
    assert_eq!(consumer.hear().await, Frame::Binary(frame));
}

#[tokio::test]
async fn what_a_dialect_cannot_read_ends_the_session_with_its_code() {
    let server = Server::start().await;
    for role in [Role::Producer, Role::Consumer] {
        let mut client = server.log_in(role).await;
        client.say("no tag");
        client.is_closed(4400, "a frame has no =").await;
    }
}

#[tokio::test]
async fn what_came_before_the_end_is_answered() {
    let server = Server::start().await;
    let mut producer = server.log_in(Role::Producer).await;
    let (bytes, bytes_max) = (2 * SMALL_BYTES + 1, 2 * SMALL_BYTES);
    producer.say("first=a");
    producer.say(&format!("second={}", "x".repeat(bytes)));
    producer.say("third=c");
    assert_eq!(producer.reply().await, ("first".to_owned(), true));
    let reason = format!("a message of {bytes} bytes as UTF-8 is too long: {bytes} > {bytes_max}");
    producer.is_closed(4413, &reason).await;
}

#[tokio::test]
async fn a_stop_ends_every_session_with_the_code_of_its_dialect() {
    let server = Server::start().await;
    let mut clients = [
        server.log_in(Role::Producer).await,
        server.log_in(Role::Consumer).await,
        server.connect(Role::Consumer),
    ];
    clients[2].hears(PROMPT).await;
    server.services.stop.cancel();
    for mut client in clients {
        client.is_closed(4001, "the server is stopping").await;
        drop(client);
    }
    server.services.tracker.close();
    server.services.tracker.wait().await;
}
