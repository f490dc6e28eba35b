//! A lingering close, so that a client hears the last words.
//!
//! The system resets a socket that is closed while bytes of its client are unread, and a reset
//! discards what the client has not read yet: above all, why it was refused. So a [`Connection`]
//! that ends is closed for writing only at first, and what still comes is discarded for a while.
//!
//! A connection with last words on its [`Line`] lingers longer: its client reads them after
//! everything that it was sent before.
//!
//! A lingering connection keeps its place among the connections. While it is served, it tells
//! its [`Deadlines`] when bytes come and when none leave.

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
use crate::server::connections::deadlines::Deadlines;

/// The longest that a connection lingers.
const LINGER: Duration = Duration::from_secs(5);
/// The same, for one whose client may not have read its last words yet.
const LINGER_UNTOLD: Duration = Duration::from_secs(300);
/// The same, for one that was refused unread.
const LINGER_REFUSED: Duration = Duration::from_secs(1);
/// The most refused connections that linger at a time; the others are cut off.
const REFUSED_MAX: usize = 64;
/// Bytes that are discarded at a time.
const READ_BYTES: usize = 4 << 10;

static REFUSED: Semaphore = Semaphore::const_new(REFUSED_MAX);

/// Sends `answer` to a client that has no place, as far as that costs next to nothing.
pub(super) fn refuse(stream: TcpStream, answer: &[u8]) {
    // What the system does not take at once is not worth more.
    let told = stream.try_write(answer).is_ok();
    if told && let Ok(permit) = REFUSED.try_acquire() {
        tokio::spawn(async move {
            let _ = tokio::time::timeout(LINGER_REFUSED, linger(stream)).await;
            drop(permit);
        });
    }
}

/// A connection with its place, which lingers when it is dropped.
pub(super) struct Connection {
    line: Line,
    place: Option<Place>,
    deadlines: Arc<Deadlines>,
    stats: Arc<ConnectionStats>,
    client: Unauthenticated,
}

impl Connection {
    /// A connection that was accepted. `stats` count it as open until it is dropped.
    pub(super) fn new(
        line: Line,
        place: Place,
        deadlines: Arc<Deadlines>,
        stats: Arc<ConnectionStats>,
        client: Unauthenticated,
    ) -> Connection {
        stats.accepted.add(1);
        Connection {
            line,
            place: Some(place),
            deadlines,
            stats,
            client,
        }
    }

    /// The socket, and what the system knows of it.
    pub(super) fn line(&self) -> &Line {
        &self.line
    }

    fn written(
        &mut self,
        write: impl FnOnce(Pin<&mut Line>) -> Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        let written = write(Pin::new(&mut self.line));
        self.deadlines.writing(written.is_pending());
        written
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.stats.closed.add(1);
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

/// Closes this side, and reads until the client has closed its side.
async fn linger(mut stream: impl AsyncRead + AsyncWrite + Unpin) -> io::Result<()> {
    stream.shutdown().await?;
    let mut discarded = vec![0; READ_BYTES];
    while stream.read(&mut discarded).await? > 0 {}
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
            self.deadlines.reading_head();
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
    async fn a_client_that_is_still_sending_hears_the_last_words() {
        const SENT: usize = 32 << 20;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut client = TcpStream::connect(address).await.unwrap();
        let (stream, peer) = listener.accept().await.unwrap();
        let admission = Admission::new(Limits::new(1, 0, None));
        let place = admission.admit(peer.ip()).unwrap();
        let deadlines = Deadlines::new(Instant::now(), Duration::from_secs(8));
        let mut connection = Connection::new(
            Line::new(stream),
            place,
            Arc::new(deadlines),
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
