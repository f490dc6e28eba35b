//! A WebSocket as bytes, for a client that does what no library would.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::PATIENCE;

const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

/// The kinds of frames.
pub mod opcode {
    pub const CONTINUE: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// The bit of a frame that is the last of its message.
pub const FIN: u8 = 0x80;

/// The head of a masked frame, which announces so many bytes.
pub fn head(first: u8, bytes: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(bytes @ ..126), _) => head.push(0x80 | bytes),
        (_, Ok(bytes)) => {
            head.push(0x80 | 126);
            head.extend_from_slice(&bytes.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend_from_slice(&bytes.to_be_bytes());
        }
    }
    head.extend_from_slice(&MASK);
    head
}

/// A masked frame.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = head(first, payload.len() as u64);
    let masked = payload.iter().zip(MASK.iter().cycle());
    bytes.extend(masked.map(|(byte, mask)| byte ^ mask));
    bytes
}

/// The request for a WebSocket at `path`.
pub fn handshake(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A frame that a server has sent.
#[derive(Debug, PartialEq)]
pub struct Received {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Received {
    /// The code of a close frame, and its reason.
    pub fn close(&self) -> (u16, String) {
        assert_eq!(self.opcode, opcode::CLOSE, "{self:?}");
        let [a, b, reason @ ..] = &self.payload[..] else {
            return (1005, String::new());
        };
        let reason = String::from_utf8(reason.to_vec()).unwrap();
        (u16::from_be_bytes([*a, *b]), reason)
    }
}

/// See the module.
pub struct RawSocket {
    pub stream: TcpStream,
    unread: Vec<u8>,
}

impl RawSocket {
    /// After the handshake at `path`.
    pub async fn open(address: &str, path: &str) -> RawSocket {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(handshake(path).as_bytes()).await.unwrap();
        let mut socket = RawSocket {
            stream,
            unread: vec![],
        };
        let head = loop {
            let end = socket.unread.windows(4).position(|w| w == b"\r\n\r\n");
            if let Some(end) = end {
                break socket.unread.drain(..end + 4).collect::<Vec<_>>();
            }
            assert!(socket.read_more().await, "no answer to the handshake");
        };
        let head = String::from_utf8(head).unwrap();
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        socket
    }

    /// Logged in with `key`.
    pub async fn login(address: &str, path: &str, key: &str) -> RawSocket {
        let mut socket = RawSocket::open(address, path).await;
        assert_eq!(socket.text().await, "Please enter the secret key");
        socket.send(FIN | opcode::TEXT, key.as_bytes()).await;
        assert_eq!(socket.text().await, "Secret key matching succeeded");
        socket
    }

    /// Sends a frame.
    pub async fn send(&mut self, first: u8, payload: &[u8]) {
        self.write(&frame(first, payload)).await;
    }

    /// Sends bytes.
    pub async fn write(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    async fn read_more(&mut self) -> bool {
        let read = timeout(PATIENCE, self.stream.read_buf(&mut self.unread)).await;
        // A server that has been sent more than it reads may reset the connection at the end.
        read.expect("something within the patience of the test")
            .is_ok_and(|bytes| bytes > 0)
    }

    /// The next frame; `None` at the end.
    pub async fn next(&mut self) -> Option<Received> {
        loop {
            if let Some(frame) = self.take() {
                return Some(frame);
            }
            if !self.read_more().await {
                return None;
            }
        }
    }

    fn take(&mut self) -> Option<Received> {
        let [first, second, rest @ ..] = &self.unread[..] else {
            return None;
        };
        assert_eq!(
            first & 0xf0,
            FIN,
            "the server sends whole frames without reserved bits"
        );
        assert_eq!(second & 0x80, 0, "the server masks nothing");
        let (start, bytes) = match (second, rest) {
            (126, [a, b, ..]) => (4, usize::from(u16::from_be_bytes([*a, *b]))),
            (127, [a, b, c, d, e, f, g, h, ..]) => {
                let bytes = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
                (10, usize::try_from(bytes).unwrap())
            }
            (126 | 127, _) => return None,
            (short, _) => (2, usize::from(*short)),
        };
        let payload = self.unread.get(start..start + bytes)?.to_vec();
        let opcode = first & 0x0f;
        self.unread.drain(..start + bytes);
        Some(Received { opcode, payload })
    }

    /// The next frame, which is a text.
    pub async fn text(&mut self) -> String {
        let frame = self.next().await.expect("a frame");
        assert_eq!(frame.opcode, opcode::TEXT, "{frame:?}");
        String::from_utf8(frame.payload).unwrap()
    }

    /// The code and reason of the close frame that comes, after which nothing comes.
    pub async fn closed(&mut self) -> (u16, String) {
        loop {
            let frame = self.next().await.expect("a close frame");
            if frame.opcode == opcode::CLOSE {
                // A client that answers is let go at once.
                let _ = self.stream.write_all(&frame_of_close(&frame)).await;
                let after = self.next().await;
                assert_eq!(after, None, "after the close frame");
                return frame.close();
            }
        }
    }
}

fn frame_of_close(close: &Received) -> Vec<u8> {
    let code = &close.payload[..close.payload.len().min(2)];
    frame(FIN | opcode::CLOSE, code)
}
