//! WebSocket as RFC 6455 has it, from the side of a server, written as bytes: framing, pings,
//! reserved bits, opcodes, fragmentation, UTF-8, closing and limits. The cases follow the
//! sections 1 to 7, 9 and 10 of the Autobahn test suite; a producer with acknowledgements stands
//! for its echo server: what was taken whole is acknowledged, stored, and pushed as it was sent.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::raw::{FIN, RawSocket, Received, frame, head, opcode};
use crate::common::{KEY, PATIENCE, Setup, Socket, TestServer};
use opcode::{BINARY, CLOSE, CONTINUE, PING, PONG, TEXT};

const MESSAGE_BYTES_MAX: usize = 1 << 20;
const PRODUCER: &str = "/Producers/Conn/t/p?ack=1";
const CONSUMER: &str = "/Consumers/Conn/t/c";

/// A server, and a consumer that gets what is taken.
struct Echo {
    server: TestServer,
    consumer: Socket,
}

impl Echo {
    async fn start() -> Echo {
        let setup = Setup::new();
        let bytes = MESSAGE_BYTES_MAX.to_string();
        let server = setup.environment("DPMQ_SERVER_MAXMESSAGEBYTES", bytes);
        let server = server.start().await;
        Echo {
            consumer: server.consumer("t", "echo").await,
            server,
        }
    }

    async fn producer(&self) -> RawSocket {
        RawSocket::login(self.server.address(), PRODUCER, KEY).await
    }

    /// Writes bytes in pieces of this size, and expects that they are this one message.
    async fn expect(&mut self, socket: &mut RawSocket, bytes: &[u8], piece: usize, data: &str) {
        for piece in bytes.chunks(piece.max(1)) {
            socket.write(piece).await;
        }
        let answer = socket.text().await;
        assert!(answer.starts_with("{\"code\":0,"), "{answer}");
        assert_eq!(self.consumer.message().await.data, data);
    }

    /// Writes bytes to a producer, and expects that it is closed with this code.
    async fn expect_closed(&self, bytes: &[u8], code: u16) {
        let mut socket = self.producer().await;
        socket.write(bytes).await;
        let closed = socket.closed().await;
        assert_eq!(closed.0, code, "{bytes:x?}: {closed:?}");
        // The same to a consumer, which else sends nothing that counts.
        let mut socket = RawSocket::login(self.server.address(), CONSUMER, KEY).await;
        socket.write(bytes).await;
        let closed = socket.closed().await;
        assert_eq!(closed.0, code, "{bytes:x?} of a consumer: {closed:?}");
    }
}

/// Sections 1 and 9: frames of all lengths, in one piece and in many.
#[tokio::test]
async fn frames_of_every_length_are_messages() {
    let mut echo = Echo::start().await;
    let mut socket = echo.producer().await;
    for opcode in [TEXT, BINARY] {
        for length in [
            1,
            125,
            126,
            127,
            128,
            65_535,
            65_536,
            65_537,
            MESSAGE_BYTES_MAX,
        ] {
            let data = "*".repeat(length);
            let bytes = frame(FIN | opcode, data.as_bytes());
            echo.expect(&mut socket, &bytes, 997, &data).await;
            echo.expect(&mut socket, &bytes, bytes.len(), &data).await;
        }
    }
    // An empty one is no message.
    socket.send(FIN | TEXT, b"").await;
    let last = frame(FIN | BINARY, b"last");
    echo.expect(&mut socket, &last, 1, "last").await;
}

/// A length may be written longer than it has to be: a server that takes it harms nobody.
#[tokio::test]
async fn a_length_in_more_bytes_than_needed_is_read_as_it_is() {
    let mut echo = Echo::start().await;
    let mut socket = echo.producer().await;
    let long = [
        &[FIN | TEXT, 0xff][..],
        &5u64.to_be_bytes(),
        &[0; 4],
        b"hello",
    ]
    .concat();
    echo.expect(&mut socket, &long, 3, "hello").await;
}

/// Section 2: pings and pongs.
#[tokio::test]
async fn pings_are_answered_with_what_they_carry() {
    let mut echo = Echo::start().await;
    for mut socket in [
        echo.producer().await,
        RawSocket::login(echo.server.address(), CONSUMER, KEY).await,
    ] {
        for payload in [&b""[..], b"hello", &[0, 0xff, 0xfe], &[b'x'; 125]] {
            let bytes = frame(FIN | PING, payload);
            for piece in [1, bytes.len()] {
                for piece in bytes.chunks(piece) {
                    socket.write(piece).await;
                }
                let pong = Received {
                    opcode: PONG,
                    payload: payload.to_vec(),
                };
                assert_eq!(socket.next().await, Some(pong));
            }
        }
        // Pongs that nobody asked for are nothing; of many pings the last is answered.
        socket.send(FIN | PONG, b"unasked").await;
        let pings: Vec<u8> = (0..10).flat_map(|n| frame(FIN | PING, &[n])).collect();
        socket.write(&pings).await;
        while socket.next().await.unwrap().payload != [9] {}
    }
    let mut socket = echo.producer().await;
    let between = [
        frame(TEXT, b"a"),
        frame(FIN | PING, b"p"),
        frame(FIN | CONTINUE, b"b"),
    ];
    for part in between {
        socket.write(&part).await;
    }
    let pong = socket.next().await.unwrap();
    assert_eq!((pong.opcode, &pong.payload[..]), (PONG, &b"p"[..]));
    echo.expect(&mut socket, &[], 1, "ab").await;
    echo.expect_closed(&frame(FIN | PING, &[b'x'; 126]), 1002)
        .await;
    echo.expect_closed(&frame(FIN | PONG, &[b'x'; 126]), 1002)
        .await;
}

/// Section 3: reserved bits mean extensions, and none was negotiated.
#[tokio::test]
async fn reserved_bits_are_refused() {
    let echo = Echo::start().await;
    for bits in 1..8u8 {
        for opcode in [TEXT, BINARY, PING, CLOSE] {
            echo.expect_closed(&frame(FIN | bits << 4 | opcode, b"x"), 1002)
                .await;
        }
    }
}

/// Section 4: opcodes that mean nothing.
#[tokio::test]
async fn reserved_opcodes_are_refused() {
    let echo = Echo::start().await;
    for opcode in [3, 4, 5, 6, 7, 11, 12, 13, 14, 15] {
        echo.expect_closed(&frame(FIN | opcode, b""), 1002).await;
        echo.expect_closed(&frame(FIN | opcode, b"x"), 1002).await;
    }
}

/// What came before a mistake counts.
#[tokio::test]
async fn a_message_before_a_mistake_is_stored() {
    let mut echo = Echo::start().await;
    for wrong in [
        frame(FIN | 3, b""),
        head(FIN | TEXT, MESSAGE_BYTES_MAX as u64 + 1),
        frame(FIN | CONTINUE, b""),
    ] {
        let mut socket = echo.producer().await;
        let both = [frame(FIN | TEXT, b"before"), wrong].concat();
        echo.expect(&mut socket, &both, both.len(), "before").await;
        socket.closed().await;
    }
}

/// Section 5: fragmentation.
#[tokio::test]
async fn fragments_are_one_message_and_nothing_comes_between() {
    let mut echo = Echo::start().await;
    let mut socket = echo.producer().await;
    let whole = [
        frame(TEXT, b"one"),
        frame(CONTINUE, b""),
        frame(FIN | PONG, b"between"),
        frame(CONTINUE, b" two"),
        frame(FIN | CONTINUE, b" three"),
    ]
    .concat();
    for piece in [1, 7, whole.len()] {
        echo.expect(&mut socket, &whole, piece, "one two three")
            .await;
    }
    let empty = [frame(BINARY, b""), frame(FIN | CONTINUE, b"end")].concat();
    echo.expect(&mut socket, &empty, 1, "end").await;
    for wrong in [
        frame(PING, b"a piece of a ping"),
        frame(PONG, b"a piece of a pong"),
        frame(CLOSE, b""),
        frame(FIN | CONTINUE, b"continues nothing"),
        frame(CONTINUE, b"continues nothing"),
        [frame(TEXT, b"begun"), frame(FIN | TEXT, b"another")].concat(),
        [frame(TEXT, b"begun"), frame(BINARY, b"another")].concat(),
        [
            frame(FIN | TEXT, b""),
            frame(FIN | CONTINUE, b"ended before"),
        ]
        .concat(),
    ] {
        echo.expect_closed(&wrong, 1002).await;
    }
}

/// Section 6: texts are UTF-8, whatever the pieces are; binary frames may be anything.
#[tokio::test]
async fn texts_are_utf_8() {
    let mut echo = Echo::start().await;
    let mut socket = echo.producer().await;
    let text = "κόσμε \u{0}\u{7f}\u{80}\u{7ff}\u{800}\u{ffff}\u{10000}\u{10ffff}\u{feff} 短い🦀";
    echo.expect(&mut socket, &frame(FIN | TEXT, text.as_bytes()), 1, text)
        .await;
    // A character in two fragments.
    for cut in 0..text.len() {
        let (a, b) = text.as_bytes().split_at(cut);
        let pieces = [frame(TEXT, a), frame(FIN | CONTINUE, b)].concat();
        echo.expect(&mut socket, &pieces, pieces.len(), text).await;
    }
    for wrong in [
        &b"\x80"[..],
        b"\xff",
        b"good \xce",
        b"\xc0\x80",
        b"\xe0\x80\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
        b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    ] {
        echo.expect_closed(&frame(FIN | TEXT, wrong), 1007).await;
        let pieces: Vec<u8> = [frame(TEXT, b"")]
            .into_iter()
            .chain(wrong.iter().map(|byte| frame(CONTINUE, &[*byte])))
            .chain([frame(FIN | CONTINUE, b"")])
            .flatten()
            .collect();
        echo.expect_closed(&pieces, 1007).await;
        let shown = String::from_utf8_lossy(wrong).into_owned();
        let binary = frame(FIN | BINARY, wrong);
        echo.expect(&mut socket, &binary, binary.len(), &shown)
            .await;
    }
}

/// Section 7: closing.
#[tokio::test]
async fn a_close_is_answered_and_ends_it() {
    let echo = Echo::start().await;
    let paths = [PRODUCER, CONSUMER];
    for path in paths {
        for (sent, answered) in [
            (&b""[..], vec![]),
            (&[0x03, 0xe8], vec![0x03, 0xe8]),
            (b"\x03\xe8bye", vec![0x03, 0xe8]),
            (&[0x0b, 0xb8], vec![0x0b, 0xb8]),
            (&[0x13, 0x87], vec![0x13, 0x87]),
        ] {
            let mut socket = RawSocket::login(echo.server.address(), path, KEY).await;
            let both = [frame(FIN | CLOSE, sent), frame(FIN | PING, b"after")].concat();
            socket.write(&both).await;
            let close = socket.next().await.unwrap();
            assert_eq!(close.opcode, CLOSE, "{close:?}");
            assert_eq!(
                close.payload.get(..2).unwrap_or_default(),
                answered,
                "{sent:?}"
            );
            assert_eq!(socket.next().await, None, "{sent:?}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999] {
            let mut socket = RawSocket::login(echo.server.address(), path, KEY).await;
            socket.send(FIN | CLOSE, &u16::to_be_bytes(code)).await;
            assert_eq!(socket.closed().await.0, 1002, "{code}");
        }
    }
    echo.expect_closed(&frame(FIN | CLOSE, b"\x03"), 1002).await;
    echo.expect_closed(&frame(FIN | CLOSE, b"\x03\xe8\xff"), 1007)
        .await;
    let long = [&b"\x03\xe8"[..], &[b'x'; 124]].concat();
    echo.expect_closed(&frame(FIN | CLOSE, &long), 1002).await;
}

/// What a client must do that no server may let pass: mask (RFC 6455, 5.1).
#[tokio::test]
async fn frames_without_a_mask_are_refused() {
    let echo = Echo::start().await;
    echo.expect_closed(b"\x81\x05hello", 1002).await;
}

/// Section 9: limits, in one frame and in many.
#[tokio::test]
async fn a_message_over_the_limit_is_refused_before_it_comes() {
    let mut echo = Echo::start().await;
    let over = MESSAGE_BYTES_MAX as u64 + 1;
    for bytes in [over, 1 << 31, 1 << 32, 1 << 62, u64::MAX >> 1, u64::MAX] {
        echo.expect_closed(&head(FIN | TEXT, bytes), 1009).await;
    }
    let half = vec![b'x'; MESSAGE_BYTES_MAX / 2];
    let halves = [frame(TEXT, &half), frame(CONTINUE, &half)].concat();
    echo.expect_closed(&[&halves[..], &head(CONTINUE, 1)].concat(), 1009)
        .await;
    let mut socket = echo.producer().await;
    let whole = [&halves[..], &frame(FIN | CONTINUE, b"")].concat();
    echo.expect(
        &mut socket,
        &whole,
        whole.len(),
        &"x".repeat(MESSAGE_BYTES_MAX),
    )
    .await;
}

/// Section 10: a message in as many fragments as frames of a network.
#[tokio::test]
async fn a_large_message_in_small_frames_is_whole() {
    let mut echo = Echo::start().await;
    let mut socket = echo.producer().await;
    let data = "0123456789abcdef".repeat(MESSAGE_BYTES_MAX / 16);
    let pieces: Vec<&[u8]> = data.as_bytes().chunks(1300).collect();
    let mut bytes = vec![];
    for (n, piece) in pieces.iter().enumerate() {
        let first = if n == 0 { BINARY } else { CONTINUE };
        let fin = if n + 1 == pieces.len() { FIN } else { 0 };
        bytes.extend(frame(fin | first, piece));
    }
    echo.expect(&mut socket, &bytes, 1460, &data).await;
}

async fn answer(address: &str, request: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let bytes = timeout(PATIENCE, stream.read(&mut answer))
        .await
        .unwrap()
        .unwrap();
    String::from_utf8_lossy(&answer[..bytes]).into_owned()
}

/// The handshake (RFC 6455, 4.2).
#[tokio::test]
async fn a_handshake_has_all_that_it_needs() {
    let server = TestServer::start().await;
    let whole = "GET /Consumers/Conn/t/c HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, Upgrade\r\n\
        Upgrade: WebSocket\r\nSec-WebSocket-Version: 13\r\n\
        Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    let granted = answer(server.address(), whole).await.to_lowercase();
    assert!(granted.starts_with("http/1.1 101 "), "{granted}");
    assert!(
        granted.contains("s3pplmbitxaq9kygzzhzrbk+xoo="),
        "{granted}"
    );
    assert!(
        !granted.contains("extensions"),
        "nothing is compressed: {granted}"
    );
    for (part, instead, status) in [
        ("Connection: keep-alive, Upgrade\r\n", "", "400"),
        ("Upgrade: WebSocket\r\n", "", "400"),
        ("Upgrade: WebSocket", "Upgrade: h2c", "400"),
        ("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", "", "400"),
        ("Version: 13", "Version: 8", "426"),
        ("/t/c ", "/%7C/c ", "400"),
    ] {
        let refused = answer(server.address(), &whole.replace(part, instead)).await;
        let start = format!("HTTP/1.1 {status} ");
        assert!(refused.starts_with(&start), "{part:?}: {refused}");
    }
}

/// A server that pings, and clients that answer or do not: their systems do.
#[tokio::test]
async fn who_answers_no_ping_is_there_all_the_same() {
    let setup = Setup::new().environment("DPMQ_SERVER_PINGSECONDS", "0.1");
    let server = setup.start().await;
    let mut silent = RawSocket::login(server.address(), CONSUMER, KEY).await;
    let mut producer = RawSocket::login(server.address(), PRODUCER, KEY).await;
    let mut answers = RawSocket::login(server.address(), CONSUMER, KEY).await;
    for _ in 0..10 {
        assert_eq!(silent.next().await.unwrap().opcode, PING);
        assert_eq!(producer.next().await.unwrap().opcode, PING);
        let ping = answers.next().await.unwrap();
        assert_eq!(ping.opcode, PING);
        answers.send(FIN | PONG, &ping.payload).await;
    }
    producer.send(FIN | TEXT, b"for both").await;
    for consumer in [&mut silent, &mut answers] {
        let message = loop {
            let frame = consumer.next().await.unwrap();
            if frame.opcode != PING {
                break frame;
            }
        };
        assert!(message.payload.windows(8).any(|part| part == b"for both"));
    }
    let none = Setup::new().environment("DPMQ_SERVER_PINGSECONDS", "0");
    let server = none.start().await;
    let mut consumer = RawSocket::login(server.address(), CONSUMER, KEY).await;
    let quiet = timeout(Duration::from_millis(500), consumer.next()).await;
    assert!(quiet.is_err(), "{quiet:?}");
}
