//! Frames of every kind, written to a server as bytes: what is right is stored, whatever is wrong
//! ends that one session, and nobody else notices.

use std::cell::RefCell;
use std::net::Ipv4Addr;
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicU32, Ordering};

use bolero::{TypeGenerator, check, produce};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpSocket;
use tokio::runtime::Runtime;
use tokio::sync::Notify;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::common::{PATIENCE, Setup, Socket, TestServer};
use crate::fuzz::bounded;

/// The largest message of this server.
const MESSAGE_BYTES_MAX: usize = 1000;
/// Acknowledgements are the frames that begin so.
const ACK: &[u8] = b"{\"code\":0";

/// A frame of a client, right or wrong.
#[derive(Clone, Debug, TypeGenerator)]
struct Sent {
    kind: Kind,
    payload: Vec<u8>,
    wrong: Option<Wrong>,
}

#[derive(Clone, Copy, Debug, PartialEq, TypeGenerator)]
enum Kind {
    Text,
    Binary,
    /// Has more of a message before it.
    More {
        last: bool,
    },
    /// Begins a message that has more.
    Begin,
    Ping,
    Large,
}

#[derive(Clone, Debug, TypeGenerator)]
enum Wrong {
    Opcode(u8),
    Reserved(u8),
    Unmasked,
    /// Announces this many bytes.
    Length(u64),
    /// Is none.
    Bytes(Vec<u8>),
}

impl Sent {
    fn payload(&self) -> Vec<u8> {
        match self.kind {
            Kind::Text => b"text".to_vec(),
            Kind::Large => vec![b'x'; MESSAGE_BYTES_MAX + self.payload.len() - 30],
            _ => self.payload.clone(),
        }
    }

    fn bytes(&self) -> Vec<u8> {
        const MASK: [u8; 4] = [1, 2, 3, 4];
        let mut first = match self.kind {
            Kind::Text => 0x81,
            Kind::Binary | Kind::Large => 0x82,
            Kind::More { last: true } => 0x80,
            Kind::More { last: false } => 0,
            Kind::Begin => 0x02,
            Kind::Ping => 0x89,
        };
        let payload = self.payload();
        let (mut length, mut mask) = (payload.len() as u64, 0x80);
        match &self.wrong {
            Some(Wrong::Opcode(code)) => first = 0x80 | 3 | (code & 0x0c),
            Some(Wrong::Reserved(bits)) => first |= 0x10 << (bits % 3),
            Some(Wrong::Unmasked) => mask = 0,
            Some(Wrong::Length(n)) => length = *n | 1 << 40,
            Some(Wrong::Bytes(bytes)) => return bytes.clone(),
            None => {}
        }
        let mut bytes = vec![first];
        match length {
            0..126 => bytes.push(mask | u8::try_from(length).unwrap()),
            126..0x1_0000 => {
                bytes.push(mask | 126);
                bytes.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
            }
            _ => {
                bytes.push(mask | 127);
                bytes.extend_from_slice(&length.to_be_bytes());
            }
        }
        if mask != 0 {
            bytes.extend_from_slice(&MASK);
        }
        let masked = payload.iter().zip(MASK.iter().cycle());
        bytes.extend(masked.map(|(byte, mask)| {
            if length < 1 << 40 && self.wrong.is_none() {
                byte ^ mask
            } else {
                *byte
            }
        }));
        bytes
    }
}

/// How many messages these frames are, up to the first that is wrong; `None` if that cannot be
/// told.
fn messages(frames: &[Sent]) -> Option<usize> {
    let (mut messages, mut begun): (usize, Option<usize>) = (0, None);
    for frame in frames {
        if let Some(wrong) = &frame.wrong {
            return (!matches!(wrong, Wrong::Bytes(_))).then_some(messages);
        }
        let bytes = frame.payload().len();
        let whole = match (frame.kind, begun) {
            (Kind::Ping, _) if bytes > 125 => return Some(messages),
            (Kind::Ping, _) => continue,
            (Kind::More { last: true }, Some(before)) => before + bytes,
            (Kind::More { last: false }, Some(before)) if before + bytes <= MESSAGE_BYTES_MAX => {
                begun = Some(before + bytes);
                continue;
            }
            (Kind::Begin, None) => {
                begun = Some(bytes);
                continue;
            }
            (Kind::Text | Kind::Binary | Kind::Large, None) => bytes,
            (Kind::More { .. } | Kind::Begin | Kind::Text | Kind::Binary | Kind::Large, _) => {
                return Some(messages);
            }
        };
        begun = None;
        if whole > MESSAGE_BYTES_MAX {
            return Some(messages);
        }
        messages += usize::from(whole > 0);
    }
    Some(messages)
}

/// The frames that a server wrote, but for what is cut off at the end.
fn received(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut frames = vec![];
    while let [_, length, rest @ ..] = bytes {
        let (length, rest) = match (length, rest) {
            (126, [a, b, rest @ ..]) => (usize::from(u16::from_be_bytes([*a, *b])), rest),
            (..126, rest) => (usize::from(*length), rest),
            _ => break,
        };
        let Some((frame, rest)) = rest.split_at_checked(length) else {
            break;
        };
        frames.push(frame);
        bytes = rest;
    }
    frames
}

/// How many messages a server has acknowledged.
fn acks(said: &[u8]) -> usize {
    let frames = received(said).into_iter();
    frames.filter(|frame| frame.starts_with(ACK)).count()
}

/// Writes bytes, waits for so many acknowledgements, and ends that side; returns what the server
/// says until it ends its side.
async fn exchange(socket: &mut Socket, bytes: &[u8], wanted: usize) -> Vec<u8> {
    let (mut read, mut write) = socket.stream().split();
    let (mut said, enough) = (vec![], Notify::new());
    let listen = async {
        loop {
            if acks(&said) >= wanted {
                enough.notify_one();
            }
            // A server that has no more to do with it may reset the connection.
            if read.read_buf(&mut said).await.unwrap_or(0) == 0 {
                return enough.notify_one();
            }
        }
    };
    let send = async {
        let _ = write.write_all(bytes).await;
        enough.notified().await;
        let _ = write.shutdown().await;
    };
    let both = async { tokio::join!(listen, send) };
    timeout(PATIENCE, both).await.expect("the server ends it");
    said
}

/// A server, and two clients that are served while others misbehave.
struct Served {
    server: TestServer,
    producer: Socket,
    consumer: Socket,
}

impl Served {
    async fn start() -> Served {
        // Each wrong key takes its time.
        let setup = Setup::new()
            .environment("DPMQ_SERVER_MAXMESSAGEBYTES", MESSAGE_BYTES_MAX.to_string())
            .environment("DPMQ_SERVER_LOGINATTEMPTS", "2");
        let server = setup.start().await;
        Served {
            producer: server.producer_ack("good", "p").await,
            consumer: server.consumer("good", "c").await,
            server,
        }
    }

    async fn check(&mut self) {
        self.producer.send("still there?").await;
        self.producer.ack().await;
        assert_eq!(self.consumer.message().await.data, "still there?");
        let log = self.server.log();
        assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
    }
}

/// Whom the frames are written to.
#[derive(Clone, Copy, Debug, TypeGenerator)]
enum Door {
    BeforeLogin,
    Consumer,
    Producer,
}

impl Door {
    async fn open(self, server: &TestServer) -> Socket {
        match self {
            Door::BeforeLogin => open_from_elsewhere(server).await,
            Door::Consumer => server.consumer("t", "c").await,
            Door::Producer => server.producer_ack("t", "p").await,
        }
    }
}

/// A socket from an address that no wrong key has come from.
async fn open_from_elsewhere(server: &TestServer) -> Socket {
    static OPENED: AtomicU32 = AtomicU32::new(0);
    const BEHIND_LOCALHOST: u32 = 0x7f01_0001;
    let address = BEHIND_LOCALHOST + OPENED.fetch_add(1, Ordering::Relaxed) % 0xffff;
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind((Ipv4Addr::from(address), 0).into()).unwrap();
    let stream = socket.connect(server.address().parse().unwrap()).await;
    let url = format!("ws://{}/Producers/Conn/t/p", server.address());
    let request = url.into_client_request().unwrap();
    let shaken = Socket::shake_hands(request, stream.unwrap()).await;
    shaken.unwrap()
}

#[test]
fn what_is_right_is_stored_and_what_is_wrong_ends_one_session() {
    let runtime = Runtime::new().unwrap();
    let served = RefCell::new(runtime.block_on(Served::start()));
    let shared = AssertUnwindSafe((runtime, served));
    let frames = produce::<Vec<Sent>>().with().len(1..8usize);
    let target = check!().with_generator((produce::<Door>(), frames));
    bounded(target, 300).for_each(|(door, frames)| {
        let (runtime, served) = &*shared;
        let served = &mut *served.borrow_mut();
        runtime.block_on(async {
            let mut socket = door.open(&served.server).await;
            let bytes: Vec<u8> = frames.iter().flat_map(Sent::bytes).collect();
            let expected = match door {
                Door::Producer => messages(frames),
                Door::BeforeLogin | Door::Consumer => Some(0),
            };
            let said = exchange(&mut socket, &bytes, expected.unwrap_or(0)).await;
            if let Some(expected) = expected {
                assert_eq!(acks(&said), expected);
            }
            served.check().await;
        });
    });
}

#[tokio::test]
async fn a_message_in_very_many_pieces_is_one_message() {
    let mut served = Served::start().await;
    let mut producer = served.server.producer_ack("good", "pieces").await;
    let mut pieces: Vec<&[u8]> = vec![b""; 50_000];
    pieces[100] = b"one ";
    pieces[40_000] = b"message";
    producer.send_pieces(&pieces).await;
    producer.ack().await;
    assert_eq!(served.consumer.message().await.data, "one message");
    served.check().await;
}
