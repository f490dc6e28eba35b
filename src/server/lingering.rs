//! Connections whose last words are heard.
//!
//! A socket that is closed while something its client sent is unread is reset, and a reset takes
//! away what the client has not read yet: above all why it was refused. So a connection that
//! ends is closed for writing only at first, and what still comes is thrown away for a while.
//!
//! The server accepts nothing but through [`Lingering`].

use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;

use crate::edges::Edges;

/// The longest that a client is listened to in vain.
const LINGER: Duration = Duration::from_secs(5);
/// What is thrown away at once.
const READ_BYTES: usize = 16 << 10;

/// A listener whose connections linger when they are dropped, and are counted.
pub(super) struct Lingering {
    listener: TcpListener,
    edges: Arc<Edges>,
}

impl Lingering {
    /// Accepts from `listener`, and counts in `edges`.
    pub(super) fn new(listener: TcpListener, edges: Arc<Edges>) -> Lingering {
        Lingering { listener, edges }
    }
}

impl Listener for Lingering {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let (stream, address) = Listener::accept(&mut self.listener).await;
        self.edges.accepted.add(1);
        let connection = Connection {
            stream: Some(stream),
            edges: self.edges.clone(),
        };
        (connection, address)
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// See the module.
pub(super) struct Connection {
    stream: Option<TcpStream>,
    edges: Arc<Edges>,
}

impl Connection {
    /// The socket.
    pub(super) fn socket(&self) -> &TcpStream {
        self.stream.as_ref().expect("only a drop takes it away")
    }

    fn stream(self: Pin<&mut Self>) -> Pin<&mut TcpStream> {
        Pin::new(
            self.get_mut()
                .stream
                .as_mut()
                .expect("only a drop takes it away"),
        )
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.edges.over.add(1);
        let Some(stream) = self.stream.take() else {
            return;
        };
        let has_ended = match stream.try_read(&mut [0; 1]) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        if !has_ended && let Ok(runtime) = Handle::try_current() {
            runtime.spawn(tokio::time::timeout(LINGER, linger(stream)));
        }
    }
}

/// Ends this side, and reads until the other side has ended too.
async fn linger(mut stream: TcpStream) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unheard = vec![0; READ_BYTES];
    while stream.read(&mut unheard).await? > 0 {}
    Ok(())
}

impl AsyncRead for Connection {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream().poll_read(cx, buf)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream().poll_shutdown(cx)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream().poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket().is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    #[tokio::test]
    async fn what_was_said_last_is_heard_by_a_client_that_is_still_sending() {
        const SENT: usize = 32 << 20;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut listener = Lingering::new(listener, Arc::default());
        let mut client = TcpStream::connect(address).await.unwrap();
        let (mut connection, _) = listener.accept().await;
        let refuse = async {
            connection.read_exact(&mut [0; 4]).await.unwrap();
            connection.write_all(b"no more than 4 bytes").await.unwrap();
            drop(connection);
        };
        let send = async {
            client.write_all(&vec![0; SENT]).await.unwrap();
            let mut said = String::new();
            client.read_to_string(&mut said).await.unwrap();
            said
        };
        let (said, ()) = tokio::join!(send, refuse);
        assert_eq!(said, "no more than 4 bytes");
    }
}
