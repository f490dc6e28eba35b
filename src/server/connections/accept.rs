//! Accepts connections and serves each, within bounds: how many there are, how long a client may
//! keep the server waiting, and how large the head of a request may be.
//!
//! `server/` starts it. It does not look at what is asked: requests go to the router.

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::{Body as _, Bytes, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::{Request, Response, header};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::Service;

use crate::access::PresentedKey;
use crate::config::Live;
use crate::connection::connection_stats::{ConnectionStats, Refused};
use crate::connection::line::Line;
use crate::limits::fairness::{FairShare, Unauthenticated};
use crate::limits::memory_budget::{MemoryBudget, RequestBudget};
use crate::server::connections::admission::Admission;
use crate::server::connections::deadlines::{BodyDeadline, Deadlines, Expired, Phase};
use crate::server::connections::forwarded;
use crate::server::connections::host;
use crate::server::connections::lingering_close::{self, Connection};
use crate::server::connections::tls::Tls;

/// The largest head of a request, with all its headers.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// The read buffer: a head, or what is read of a body at a time.
const BUFFER_BYTES_MAX: usize = 32 << 10;
/// The wait after an accept that failed for lack of a file or of memory, until some is freed.
const NO_FILE_WAIT: Duration = Duration::from_millis(200);
/// The first byte of every TLS connection: a record of a handshake.
const TLS_HANDSHAKE: u8 = 0x16;

const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nRetry-After: 5\r\n\
    Content-Type: text/plain\r\nContent-Length: 21\r\n\r\ntoo many connections\n";
const FULL_FOR_ADDRESS: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\
    Retry-After: 5\r\nContent-Type: text/plain\r\nContent-Length: 39\r\n\r\n\
    too many connections from your address\n";
const TOO_LATE: &[u8] = b"HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 26\r\n\r\nthe request took too long\n";
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\
    Content-Type: text/plain\r\nContent-Length: 53\r\n\r\n\
    this port speaks TLS: it is https:// and wss:// here\n";

/// Everything that connections are served with.
pub(in crate::server) struct Acceptor {
    pub(in crate::server) app: Router,
    pub(in crate::server) admission: Arc<Admission>,
    /// The time for the head of a request, and the trusted proxies.
    pub(in crate::server) config: Live,
    /// The memory that large requests share.
    pub(in crate::server) memory: MemoryBudget,
    /// The turns that a client takes until its first request is there.
    pub(in crate::server) fair_share: FairShare,
    /// `None` for plain HTTP.
    pub(in crate::server) tls: Option<Arc<Tls>>,
    pub(in crate::server) stats: Arc<ConnectionStats>,
    /// Cancelled when the server accepts nothing more, and ends what is under way.
    pub(in crate::server) closing: CancellationToken,
}

impl Acceptor {
    /// Serves until `closing` is cancelled and every connection has ended.
    pub(in crate::server) async fn run(self, listener: TcpListener) {
        let connections = TaskTracker::new();
        let acceptor = Arc::new(self);
        let mut fails = false;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                () = acceptor.closing.cancelled() => break,
            };
            match accepted {
                Ok((stream, address)) => {
                    fails = false;
                    // While many wait for their turns, the next ones wait in the system's backlog.
                    let _turn = acceptor.fair_share.turn().await;
                    let serve = acceptor.clone().take(stream, address);
                    if let Some(serve) = serve {
                        connections.spawn(serve);
                    }
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    acceptor.stats.refused(Refused::Files).add(1);
                    if !fails {
                        tracing::error!(%error, "connections cannot be accepted; trying again");
                    }
                    fails = true;
                    tokio::time::sleep(NO_FILE_WAIT).await;
                }
            }
        }
        drop(listener);
        connections.close();
        connections.wait().await;
    }

    fn request_time(&self) -> Duration {
        self.config.get().server.request_time
    }

    /// Takes a connection, or refuses it.
    fn take(
        self: Arc<Acceptor>,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let place = match self.admission.admit(address.ip()) {
            Ok(place) => place,
            Err(refused) => {
                self.stats.refused(refused).add(1);
                if self.tls.is_none() {
                    let answer = match refused {
                        Refused::AddressLimit => FULL_FOR_ADDRESS,
                        _ => FULL,
                    };
                    lingering_close::refuse(stream, answer);
                }
                return None;
            }
        };
        let deadlines = Arc::new(Deadlines::new(Instant::now(), self.request_time()));
        let client = self.fair_share.unauthenticated();
        let connection = Connection::new(
            Line::new(stream),
            place,
            deadlines.clone(),
            self.stats.clone(),
            client.clone(),
        );
        let serve = self.serve(connection, address, deadlines, client.clone());
        Some(client.throttled(serve))
    }

    async fn serve(
        self: Arc<Acceptor>,
        connection: Connection,
        address: SocketAddr,
        deadlines: Arc<Deadlines>,
        client: Unauthenticated,
    ) {
        let line = connection.line().clone();
        let Some(tls) = &self.tls else {
            return self
                .serve_http(connection, line, address, deadlines, client)
                .await;
        };
        let secured = tokio::time::timeout(self.request_time(), secure(tls, connection));
        match secured.await {
            Ok(Ok(stream)) => {
                self.serve_http(stream, line, address, deadlines, client)
                    .await;
            }
            Ok(Err(error)) => {
                self.stats.refused(Refused::Tls).add(1);
                tracing::debug!(%error, %address, "no TLS");
            }
            Err(_) => self.stats.refused(Refused::Slow).add(1),
        }
    }

    async fn serve_http<S>(
        &self,
        stream: S,
        line: Line,
        address: SocketAddr,
        deadlines: Arc<Deadlines>,
        client: Unauthenticated,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shown = PresentedKey::default();
        let service = hyper::service::service_fn(|mut request: Request<Incoming>| {
            client.authenticated();
            request.extensions_mut().insert(shown.clone());
            self.ask(request, &line, address, &deadlines)
        });
        let connection = http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = connection.with_upgrades();
        let mut expired = Expired::new(&deadlines);
        let mut closing = std::pin::pin!(self.closing.cancelled());
        let mut ends = false;
        let ended = poll_fn(|cx| {
            if !ends && closing.as_mut().poll(cx).is_ready() {
                ends = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                return Poll::Ready(Ok(ended));
            }
            expired.poll(&deadlines, cx).map(Err)
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, %address, "a connection has failed"),
            Err(Phase::Idle) => {}
            Err(phase) => {
                self.stats.refused(Refused::Slow).add(1);
                let is_asking = matches!(phase, Phase::Head | Phase::Body);
                if is_asking && let Some(parts) = connection.into_parts() {
                    let mut stream = parts.io.into_inner();
                    // A client that does not take it soon is not waited for.
                    let told = stream.write_all(TOO_LATE);
                    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
                }
            }
        }
    }

    /// Passes one request to the router.
    fn ask(
        &self,
        request: Request<Incoming>,
        line: &Line,
        address: SocketAddr,
        deadlines: &Arc<Deadlines>,
    ) -> impl Future<Output = Result<Response<AnswerBody>, Infallible>> + use<> {
        deadlines.answering();
        let memory = RequestBudget::new(&self.memory);
        let (mut head, body) = request.into_parts();
        let config = self.config.get();
        let client = forwarded::client(address.ip(), &head.headers, &config.server.trusted_proxies);
        let client = SocketAddr::new(client, address.port());
        head.extensions.insert(ConnectInfo(client));
        if head.headers.contains_key(header::UPGRADE) {
            head.extensions.insert(line.clone());
        }
        let body = match body.is_end_stream() {
            true => Body::empty(),
            false => {
                head.extensions.insert(memory.clone());
                Body::new(RequestBody {
                    body,
                    deadline: BodyDeadline::new(deadlines),
                    deadlines: deadlines.clone(),
                })
            }
        };
        let refusal = host::refusal(&head);
        let idle_after = IdleAfter(deadlines.clone());
        let answer = self.app.clone().call(Request::from_parts(head, body));
        async move {
            let answer = match refusal {
                Some(refusal) => refusal,
                None => answer.await?,
            };
            // The answer needs none of the memory that the request reserved.
            drop(memory);
            Ok(answer.map(|body| AnswerBody {
                body,
                _idle_after: idle_after,
            }))
        }
    }
}

/// Whether an accept failed because of one client, so that the next one may succeed.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// Begins TLS on a connection. A client that speaks plain HTTP gets an answer that says so.
async fn secure(
    tls: &Tls,
    mut connection: Connection,
) -> io::Result<impl AsyncRead + AsyncWrite + Send + Unpin + use<>> {
    let mut first = [0];
    let mut peeked = ReadBuf::new(&mut first);
    let line = connection.line();
    poll_fn(|cx| line.with(|stream| stream.poll_peek(cx, &mut peeked))).await?;
    if peeked
        .filled()
        .first()
        .is_some_and(|first| *first != TLS_HANDSHAKE)
    {
        connection.write_all(NOT_TLS).await?;
        return Err(io::Error::other("the first byte is not that of TLS"));
    }
    tls.acceptor().accept(connection).await
}

/// The body of a request, which has to come in time.
struct RequestBody {
    body: Incoming,
    deadline: BodyDeadline,
    deadlines: Arc<Deadlines>,
}

impl hyper::body::Body for RequestBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match &frame {
            Poll::Pending => this.deadline.wait(&this.deadlines),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.deadline.received(bytes, &this.deadlines);
            }
            Poll::Ready(_) => this.deadline.received(0, &this.deadlines),
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body of an answer. When it has left, the connection is idle.
struct AnswerBody {
    body: Body,
    _idle_after: IdleAfter,
}

/// Tells the deadlines when it is dropped that the answer has left.
struct IdleAfter(Arc<Deadlines>);

impl Drop for IdleAfter {
    fn drop(&mut self) {
        self.0.idle();
    }
}

impl hyper::body::Body for AnswerBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.get_mut().body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
