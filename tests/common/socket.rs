//! A client's side of a WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::handshake::client::Request;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Bytes, Message, Utf8Bytes};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::{PATIENCE, QUIET};

/// A message as the console lists it and as a consumer gets it.
#[derive(Clone, Debug, Deserialize, PartialEq)]
pub struct Listed {
    #[serde(rename = "MessageCode")]
    pub code: String,
    #[serde(rename = "MessageData")]
    pub data: String,
    #[serde(rename = "Topic")]
    pub topic: String,
    #[serde(rename = "CreateTime")]
    pub created: i64,
    #[serde(rename = "ConsumedTime")]
    pub consumed: i64,
    #[serde(rename = "Status")]
    pub status: i64,
}

/// A client's side of a WebSocket.
pub struct Socket(WebSocketStream<TcpStream>);

impl Socket {
    /// A client's side of this connection; nothing is read or sent yet.
    pub fn new(stream: WebSocketStream<TcpStream>) -> Socket {
        Socket(stream)
    }

    /// Asks for an upgrade of the connection. The client takes frames of any size, and little
    /// memory while there are none.
    pub async fn shake_hands(
        request: Request,
        stream: TcpStream,
    ) -> Result<Socket, tungstenite::Error> {
        const READ_BYTES: usize = 8 << 10;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BYTES)
            .max_message_size(None)
            .max_frame_size(None);
        let shaken = client_async_with_config(request, stream, Some(config));
        let (socket, _) = timeout(PATIENCE, shaken)
            .await
            .expect("the handshake is answered")?;
        Ok(Socket(socket))
    }

    /// Goes through the login with the right key.
    pub async fn login(&mut self, key: &str) {
        assert_eq!(self.recv().await, "Please enter the secret key");
        self.send(key).await;
        assert_eq!(self.recv().await, "Secret key matching succeeded");
    }

    /// Sends a text frame.
    pub async fn send(&mut self, text: &str) {
        self.send_frame(Message::text(text)).await;
    }

    /// Sends a binary frame.
    pub async fn send_binary(&mut self, bytes: &[u8]) {
        self.send_frame(Message::binary(bytes.to_vec())).await;
    }

    /// Sends one message as frames of these bytes, of which all but the first continue it.
    pub async fn send_pieces(&mut self, pieces: &[&[u8]]) {
        for (n, piece) in pieces.iter().enumerate() {
            let code = match n {
                0 => OpCode::Data(Data::Binary),
                _ => OpCode::Data(Data::Continue),
            };
            let last = n + 1 == pieces.len();
            let frame = Frame::message(piece.to_vec(), code, last);
            self.send_frame(Message::Frame(frame)).await;
        }
    }

    /// Sends a frame.
    pub async fn send_frame(&mut self, frame: Message) {
        let sent = timeout(PATIENCE, self.0.send(frame)).await;
        sent.expect("the server reads").unwrap();
    }

    /// Sends a text frame; an error if the connection has ended.
    pub async fn try_send(&mut self, text: &str) -> Result<(), tungstenite::Error> {
        self.0.send(Message::text(text)).await
    }

    /// Sends text frames with one flush at the end.
    pub async fn send_all(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.0.feed(Message::text(text)).await.unwrap();
        }
        self.0.flush().await.unwrap();
    }

    /// The next frame, pings and pongs included; `None` at the end of the stream.
    pub async fn frame(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        let next = timeout(PATIENCE, self.0.next()).await;
        next.expect("a frame within the patience of the test")
    }

    /// The same, however long it takes.
    pub async fn next_frame(&mut self) -> Option<Result<Message, tungstenite::Error>> {
        self.0.next().await
    }

    /// The next text frame.
    pub async fn recv(&mut self) -> Utf8Bytes {
        loop {
            match self.frame().await {
                Some(Ok(Message::Text(text))) => return text,
                Some(Ok(Message::Ping(_))) => {}
                other => panic!("not a text frame: {other:?}"),
            }
        }
    }

    /// The next text frame, as JSON.
    pub async fn recv_json(&mut self) -> Value {
        serde_json::from_str(&self.recv().await).unwrap()
    }

    /// The next message.
    pub async fn message(&mut self) -> Listed {
        serde_json::from_str(&self.recv().await).unwrap()
    }

    /// The data of the next messages, as many as `count`.
    pub async fn data(&mut self, count: usize) -> Vec<String> {
        let mut data = Vec::with_capacity(count);
        while data.len() < count {
            data.push(self.message().await.data);
        }
        data
    }

    /// The code in the next answer to a producer.
    pub async fn ack(&mut self) -> String {
        let text = self.recv().await;
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(reply["code"], 0, "{text}");
        reply["msg"].as_str().unwrap().to_owned()
    }

    /// Sends a ping and expects that its pong is the next frame: nothing else was under way.
    pub async fn expect_nothing_but_pong(&mut self) {
        let payload = Bytes::from_static(b"still there?");
        self.send_frame(Message::Ping(payload.clone())).await;
        loop {
            match self.frame().await {
                Some(Ok(Message::Ping(_))) => {}
                Some(Ok(Message::Pong(pong))) => return assert_eq!(pong, payload),
                other => panic!("not the pong: {other:?}"),
            }
        }
    }

    /// Listens for [`QUIET`] and fails when anything but a ping comes.
    pub async fn expect_quiet(&mut self) {
        let quiet = async {
            loop {
                match self.0.next().await {
                    Some(Ok(Message::Ping(_))) => {}
                    other => panic!("not quiet: {other:?}"),
                }
            }
        };
        let _ = timeout(QUIET, quiet).await;
    }

    /// The close frame that ends the stream; what comes before is skipped.
    pub async fn closed(&mut self) -> CloseFrame {
        loop {
            match self.frame().await {
                Some(Ok(Message::Close(Some(close)))) => return close,
                Some(Ok(Message::Close(None))) => panic!("closed without a reason"),
                Some(Ok(_)) => {}
                end => panic!("ended without a close frame: {end:?}"),
            }
        }
    }

    /// Closes in order: sends a close frame, and waits for the end.
    pub async fn close(mut self) {
        self.0.close(None).await.unwrap();
        while let Some(Ok(_)) = self.frame().await {}
    }

    /// The connection without its frames.
    pub fn stream(&mut self) -> &mut TcpStream {
        self.0.get_mut()
    }
}
