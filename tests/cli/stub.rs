//! A server as small as the clients of the command line need: login, acknowledgements, pushes.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread::JoinHandle;

use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::http::StatusCode;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocket};
use tokio_tungstenite::tungstenite::{Message, accept_hdr};

/// What the stub does with its one client.
#[derive(Clone, Default)]
pub(crate) struct Script {
    /// Answer the handshake with 400.
    pub(crate) refuse: bool,
    /// Push these frames after the login.
    pub(crate) push: Vec<&'static str>,
    /// Close after the pushes.
    pub(crate) leave: bool,
}

/// What the stub saw of its client.
#[derive(Default)]
pub(crate) struct Seen {
    /// Path and query of the handshake.
    pub(crate) path: String,
    /// The key that was sent.
    pub(crate) key: String,
    /// How many messages came, and the last one.
    pub(crate) messages: usize,
    pub(crate) last: Vec<u8>,
}

/// A server for one client.
pub(crate) struct Stub {
    /// Where it listens, as `http://HOST:PORT`.
    pub(crate) url: String,
    thread: JoinHandle<Seen>,
}

impl Stub {
    /// Listens on any free port. Its key is whatever is not `wrong`.
    pub(crate) fn start(script: Script) -> Stub {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let thread = std::thread::spawn(move || {
            loop {
                let stream = listener.accept().unwrap().0;
                // It has no other routes.
                if asks_for_a_socket(&stream) {
                    return serve(stream, &script);
                }
            }
        });
        Stub { url, thread }
    }

    /// What it saw, when its client has gone.
    pub(crate) fn seen(self) -> Seen {
        self.thread.join().unwrap()
    }
}

fn asks_for_a_socket(stream: &TcpStream) -> bool {
    let mut head = [0; 4096];
    loop {
        let len = stream.peek(&mut head).unwrap();
        let text = String::from_utf8_lossy(&head[..len]).to_lowercase();
        if len == 0 || text.contains("\r\n\r\n") {
            return text.contains("upgrade: websocket");
        }
    }
}

fn serve(stream: TcpStream, script: &Script) -> Seen {
    let mut seen = Seen::default();
    #[expect(clippy::result_large_err, reason = "the signature of the library")]
    let handshake = |request: &Request, response: Response| {
        seen.path = request.uri().to_string();
        if script.refuse {
            let mut refusal = ErrorResponse::new(Some("no such topic".to_owned()));
            *refusal.status_mut() = StatusCode::BAD_REQUEST;
            return Err(refusal);
        }
        Ok(response)
    };
    let Ok(mut socket) = accept_hdr(stream, handshake) else {
        return seen;
    };
    seen.key = log_in(&mut socket);
    for frame in &script.push {
        socket.send(Message::text(*frame)).unwrap();
    }
    if script.leave {
        leave(&mut socket);
    }
    while let Ok(frame) = socket.read() {
        match frame {
            Message::Text(data) if data.as_str() == "leave" => leave(&mut socket),
            Message::Text(data) => {
                seen.messages += 1;
                seen.last = data.as_bytes().to_vec();
                acknowledge(&mut socket, &data);
            }
            Message::Binary(data) => {
                seen.messages += 1;
                seen.last = data.to_vec();
                acknowledge(&mut socket, "bytes");
            }
            _ => {}
        }
    }
    seen
}

pub(crate) fn log_in(socket: &mut WebSocket<TcpStream>) -> String {
    let prompt = || Message::text("Please enter the secret key");
    socket.send(prompt()).unwrap();
    let key = socket.read().unwrap().into_text().unwrap().to_string();
    if key == "wrong" {
        socket
            .send(Message::text("Secret key matching error"))
            .unwrap();
        socket.send(prompt()).unwrap();
    } else {
        socket
            .send(Message::text("Secret key matching succeeded"))
            .unwrap();
    }
    key
}

fn acknowledge(socket: &mut WebSocket<TcpStream>, data: &str) {
    let answer = match data {
        "refuse" => r#"{"code":-1,"msg":"not today"}"#.to_owned(),
        _ => serde_json::json!({"code": 0, "msg": format!("code-of-{data}")}).to_string(),
    };
    socket.send(Message::text(answer)).unwrap();
}

fn leave(socket: &mut WebSocket<TcpStream>) {
    let frame = CloseFrame {
        code: CloseCode::Policy,
        reason: "enough".into(),
    };
    socket.close(Some(frame)).unwrap();
}
