//! Accepts connections and serves each, within bounds: how many there are, how long one may
//! keep the server waiting, and how much it may say before it is known.
//!
//! `server/` starts it. What is asked is none of its business: requests go to the router.

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

use crate::access::Shown;
use crate::config::Live;
use crate::connection::connection_stats::{ConnectionStats, Refused};
use crate::connection::line::Line;
use crate::limits::fairness::{FairShare, Unauthenticated};
use crate::limits::memory_budget::{MemoryBudget, RequestBudget};
use crate::server::connections::admission::Admission;
use crate::server::connections::deadlines::{BodyTime, Patience, TooLate, Wait};
use crate::server::connections::forwarded;
use crate::server::connections::host;
use crate::server::connections::lingering_close::{self, Connection};
use crate::server::connections::tls::Tls;

/// The head of a request, with all its headers.
const HEAD_BYTES_MAX: usize = 16 << 10;
/// A head, and what is read of a body at once.
const BUFFER_BYTES_MAX: usize = 32 << 10;
/// After an accept that failed for want of something the server waits for it to be given back.
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

/// What connections are served with.
pub(in crate::server) struct Acceptor {
    pub(in crate::server) app: Router,
    pub(in crate::server) admission: Arc<Admission>,
    /// How long the head of a request may take, and which proxies are believed.
    pub(in crate::server) config: Live,
    /// The memory that large requests share.
    pub(in crate::server) memory: MemoryBudget,
    /// Where a client takes turns until its first request is there.
    pub(in crate::server) fair_share: FairShare,
    /// `None`: plain HTTP.
    pub(in crate::server) tls: Option<Arc<Tls>>,
    pub(in crate::server) connections: Arc<ConnectionStats>,
    /// Cancelled when nothing more is accepted, and what is under way is to end.
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
                    // With many who are not known yet, the next wait where they cost nothing.
                    let _turn = acceptor.fair_share.turn().await;
                    let serve = acceptor.clone().take(stream, address);
                    if let Some(serve) = serve {
                        connections.spawn(serve);
                    }
                }
                Err(error) if is_of_the_client(&error) => {}
                Err(error) => {
                    acceptor.connections.refused(Refused::Files).add(1);
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

    /// Takes a connection or refuses it.
    fn take(
        self: Arc<Acceptor>,
        stream: TcpStream,
        address: SocketAddr,
    ) -> Option<impl Future<Output = ()> + use<>> {
        let place = match self.admission.admit(address.ip()) {
            Ok(place) => place,
            Err(refused) => {
                self.connections.refused(refused).add(1);
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
        let patience = Arc::new(Patience::new(Instant::now(), self.request_time()));
        let client = self.fair_share.unauthenticated();
        let connection = Connection::new(
            Line::new(stream),
            place,
            patience.clone(),
            self.connections.clone(),
            client.clone(),
        );
        let serve = self.serve(connection, address, patience, client.clone());
        Some(client.throttled(serve))
    }

    async fn serve(
        self: Arc<Acceptor>,
        connection: Connection,
        address: SocketAddr,
        patience: Arc<Patience>,
        client: Unauthenticated,
    ) {
        let line = connection.line().clone();
        let Some(tls) = &self.tls else {
            return self
                .serve_http(connection, line, address, patience, client)
                .await;
        };
        let secured = tokio::time::timeout(self.request_time(), secure(tls, connection));
        match secured.await {
            Ok(Ok(stream)) => {
                self.serve_http(stream, line, address, patience, client)
                    .await;
            }
            Ok(Err(error)) => {
                self.connections.refused(Refused::Tls).add(1);
                tracing::debug!(%error, %address, "no TLS");
            }
            Err(_) => self.connections.refused(Refused::Slow).add(1),
        }
    }

    async fn serve_http<S>(
        &self,
        stream: S,
        line: Line,
        address: SocketAddr,
        patience: Arc<Patience>,
        client: Unauthenticated,
    ) where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let shown = Shown::default();
        let service = hyper::service::service_fn(|mut request: Request<Incoming>| {
            client.authenticated();
            request.extensions_mut().insert(shown.clone());
            self.ask(request, &line, address, &patience)
        });
        let connection = http1::Builder::new()
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .serve_connection(TokioIo::new(stream), service);
        let mut connection = connection.with_upgrades();
        let mut too_late = TooLate::new(&patience);
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
            too_late.poll(&patience, cx).map(Err)
        });
        match ended.await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::debug!(%error, %address, "a connection has failed"),
            Err(Wait::Request) => {}
            Err(wait) => {
                self.connections.refused(Refused::Slow).add(1);
                let is_asking = matches!(wait, Wait::Head | Wait::Body);
                if is_asking && let Some(parts) = connection.into_parts() {
                    let mut stream = parts.io.into_inner();
                    // Whoever does not take it at once has said as little.
                    let told = stream.write_all(TOO_LATE);
                    let _ = tokio::time::timeout(Duration::from_secs(1), told).await;
                }
            }
        }
    }

    /// Hands one request to the router.
    fn ask(
        &self,
        request: Request<Incoming>,
        line: &Line,
        address: SocketAddr,
        patience: &Arc<Patience>,
    ) -> impl Future<Output = Result<Response<Answer>, Infallible>> + use<> {
        patience.satisfied();
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
                Body::new(Question {
                    body,
                    time: BodyTime::new(patience),
                    patience: patience.clone(),
                })
            }
        };
        let refusal = host::refusal(&head);
        let answered = Answered(patience.clone());
        let answer = self.app.clone().call(Request::from_parts(head, body));
        async move {
            let answer = match refusal {
                Some(refusal) => refusal,
                None => answer.await?,
            };
            // What the request took is not needed for its answer.
            drop(memory);
            Ok(answer.map(|body| Answer {
                body,
                _answered: answered,
            }))
        }
    }
}

/// Whether an accept failed because of who came, and the next one may succeed.
fn is_of_the_client(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::Interrupted
    )
}

/// The TLS of a connection; whoever speaks plain HTTP is told.
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
        return Err(io::Error::other("it does not begin as TLS does"));
    }
    tls.acceptor().accept(connection).await
}

/// The body of a request, which may not take too long.
struct Question {
    body: Incoming,
    time: BodyTime,
    patience: Arc<Patience>,
}

impl hyper::body::Body for Question {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        match &frame {
            Poll::Pending => this.time.wait(&this.patience),
            Poll::Ready(Some(Ok(frame))) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len);
                this.time.came(bytes, &this.patience);
            }
            Poll::Ready(_) => this.time.came(0, &this.patience),
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

/// The body of an answer; when it has left, the next request is waited for.
struct Answer {
    body: Body,
    _answered: Answered,
}

struct Answered(Arc<Patience>);

impl Drop for Answered {
    fn drop(&mut self) {
        self.0.answered();
    }
}

impl hyper::body::Body for Answer {
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
