//! Connections whose last words are heard.
//!
//! A socket that is closed while something its client sent is unread is reset, and a reset takes
//! away what the client has not read yet: above all why it was refused. So a connection that
//! ends is closed for writing only at first, and what still comes is thrown away for a while.
//!
//! One that has last words on its [`Line`] has longer: its client may read them only after
//! what it was sent before, and when it is done with that.
//!
//! It keeps its place among the connections until it is over, and notes for its
//! [`Patience`] when something came and when nothing leaves.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;

use crate::connection::connection_stats::ConnectionStats;
use crate::connection::line::Line;
use crate::limits::fairness::Unauthenticated;
use crate::server::connections::admission::Place;
use crate::server::connections::deadlines::Patience;

/// The longest that a client is listened to in vain.
const LINGER: Duration = Duration::from_secs(5);
/// The same, for one that may not have read its last words yet.
const LINGER_UNTOLD: Duration = Duration::from_secs(300);
/// The same, for one that was refused before it was heard.
const LINGER_REFUSED: Duration = Duration::from_secs(1);
/// Refused clients that are listened to at the same time; the others are cut off.
const REFUSED_MAX: usize = 64;
/// What is thrown away at once.
const READ_BYTES: usize = 4 << 10;

static REFUSED: Semaphore = Semaphore::const_new(REFUSED_MAX);

/// Tells a client that there is no place for it, as far as that costs next to nothing.
pub(super) fn refuse(stream: TcpStream, answer: &[u8]) {
    // What is not taken at once is not worth more.
    let told = stream.try_write(answer).is_ok();
    if told && let Ok(permit) = REFUSED.try_acquire() {
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LINGER_REFUSED, linger(stream)).await;
            drop(permit);
        });
    }
}

/// See the module.
pub(super) struct Connection {
    line: Line,
    place: Option<Place>,
    patience: Arc<Patience>,
    connections: Arc<ConnectionStats>,
    client: Unauthenticated,
}

impl Connection {
    /// A connection that was accepted, and is counted in `connections` as long as it is there.
    pub(super) fn new(
        line: Line,
        place: Place,
        patience: Arc<Patience>,
        connections: Arc<ConnectionStats>,
        client: Unauthenticated,
    ) -> Connection {
        connections.accepted.add(1);
        Connection {
            line,
            place: Some(place),
            patience,
            connections,
            client,
        }
    }

    /// What it is a connection on.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    fn written(
        &mut self,
        write: impl FnOnce(Pin<&mut Line>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(&mut self.line));
        self.patience.stuck(written.is_pending());
        written
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.connections.closed.add(1);
        let has_ended = match self.line.with(|stream| stream.try_read(&mut [0; 1])) {
            Ok(bytes) => bytes == 0,
            Err(error) => error.kind() != io::ErrorKind::WouldBlock,
        };
        let (line, place) = (self.line.clone(), self.place.take());
        if !has_ended && let Ok(runtime) = Handle::try_current() {
            let time = match line.has_last_words() {
                true => LINGER_UNTOLD,
                false => LINGER,
            };
            runtime.spawn(self.client.throttled(async move {
                let _ = tokio::time::timeout(time, linger(line)).await;
                drop(place);
            }));
        }
    }
}

/// Ends this side, and reads until the other side has ended too.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    let mut unheard = vec![0; READ_BYTES];
    while stream.read(&mut unheard).await? > 0 {}
    Ok(())
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.line).poll_read(cx, buf);
        if read.is_ready() {
            self.patience.heard();
        }
        read
    }
}

impl AsyncWrite for Connection {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.written(|line| line.poll_write(cx, buf))
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.line).poll_shutdown(cx)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.written(|line| line.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.line.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::fairness::FairShare;
    use crate::server::connections::admission::{Admission, Limits};
    use std::net::Ipv4Addr;
    use tokio::net::TcpListener;
    use tokio::time::Instant;

    #[tokio::test]
    async fn what_was_said_last_is_heard_by_a_client_that_is_still_sending() {
        const SENT: usize = 32 << 20;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let admission = Admission::new(Limits::new(1, 0, None));
        let place = admission.admit(peer.ip()).unwrap();
        let patience = Patience::new(Instant::now(), Duration::from_secs(8));
        let mut connection = Connection::new(
            Line::new(stream),
            place,
            Arc::new(patience),
            Arc::default(),
            FairShare::new(&Handle::current()).unauthenticated(),
        );
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
