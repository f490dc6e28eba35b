//! The TCP connection below a client, and what the system knows of its other end.
//!
//! `server/` makes one for each connection and reads and writes through it. `session/` asks it
//! about clients that read slowly, or not at all. A blocked write says little about a client: the
//! system's buffer may hold megabytes, and shows no progress until a third of it is free. So the
//! buffer is kept small, and the system is asked what the other end has acknowledged.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rustix::net::sockopt;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// The system's send buffer for the last words, beside what it holds already.
const LAST_BYTES: usize = 512 << 10;

/// What the system knows of the other end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signs {
    /// Something that was written is not acknowledged yet.
    pub is_owing: bool,
    /// Bytes that the other end has acknowledged.
    pub acknowledged: u64,
    /// The time since the last acknowledgement, even if that said that it has no room.
    pub silent: Duration,
    /// Retransmissions without an answer since then.
    pub tries: u8,
    /// The other end has closed its side: nothing more comes.
    pub has_ended: bool,
}

/// One TCP connection. Clones are the same connection.
#[derive(Clone)]
pub struct Line(Arc<Shared>);

struct Shared {
    /// Locked for one system call at a time, mostly by the task of the connection alone.
    stream: Mutex<TcpStream>,
    has_last_words: AtomicBool,
}

impl Line {
    /// A connection that was accepted.
    pub fn new(stream: TcpStream) -> Line {
        // A frame waits for nothing; without this the last of a burst may wait 40 ms.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "a socket keeps its delay");
        }
        system::bound_unsent(&stream);
        system::retry_within(&stream, system::RETRY);
        Line(Arc::new(Shared {
            stream: Mutex::new(stream),
            has_last_words: AtomicBool::new(false),
        }))
    }

    /// Calls something on the socket that does not block.
    pub fn with<T>(&self, ask: impl FnOnce(Pin<&mut TcpStream>) -> T) -> T {
        let stream = self.0.stream.lock();
        let mut stream = stream.expect("nothing panics while it is held");
        ask(Pin::new(&mut *stream))
    }

    /// What the system knows of the other end; `None` where it does not tell.
    pub fn signs(&self) -> Option<Signs> {
        self.with(|stream| system::signs(&stream))
    }

    /// Lets the system take what is written from now on even if the client reads nothing: these are
    /// its last words.
    pub fn begin_last_words(&self) {
        self.0.has_last_words.store(true, Ordering::Relaxed);
        self.with(|stream| {
            system::unbound_unsent(&stream);
            system::retry_within(&stream, system::RETRY_UNWATCHED);
            let room = sockopt::socket_send_buffer_size(&*stream);
            if room.is_ok_and(|room| room < LAST_BYTES) {
                // Less may be allowed, and then less is told.
                let _ = sockopt::set_socket_send_buffer_size(&*stream, LAST_BYTES);
            }
        });
    }

    /// Whether last words were written, so that the client needs time to read them.
    pub fn has_last_words(&self) -> bool {
        self.0.has_last_words.load(Ordering::Relaxed)
    }
}

impl AsyncRead for Line {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Line {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write(cx, buf))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with(|stream| stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        self.with(|stream| stream.is_write_vectored())
    }
}

#[cfg(target_os = "linux")]
mod system {
    //! What Linux is told and tells (tcp(7)).

    use std::mem::{offset_of, size_of, zeroed};
    use std::os::fd::AsRawFd;
    use std::time::Duration;

    use libc::{IPPROTO_TCP, c_int, socklen_t, tcp_info};
    use tokio::net::TcpStream;

    use super::Signs;

    /// Bytes that the system takes for a client beyond those that are on their way to it.
    const UNSENT_BYTES_MAX: c_int = 128 << 10;
    /// The system's own: no bound.
    const UNBOUND: c_int = 0;
    /// The longest time until a client is tried again: with the system's own it would be told too
    /// late that a client is gone.
    pub(super) const RETRY: Duration = Duration::from_secs(10);
    /// The system's own.
    pub(super) const RETRY_UNWATCHED: Duration = Duration::from_secs(120);

    /// Since Linux 6.15; in no header yet.
    const TCP_RTO_MAX_MS: c_int = 44;
    /// The other end has closed its side (`include/net/tcp_states.h`).
    const CLOSE_WAIT: u8 = 8;
    /// What is looked at is before it; since Linux 4.6.
    const KNOWN_BYTES: usize = offset_of!(tcp_info, tcpi_min_rtt);

    pub(super) fn bound_unsent(stream: &TcpStream) {
        set(stream, libc::TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX);
    }

    pub(super) fn unbound_unsent(stream: &TcpStream) {
        set(stream, libc::TCP_NOTSENT_LOWAT, UNBOUND);
    }

    pub(super) fn retry_within(stream: &TcpStream, time: Duration) {
        let millis = c_int::try_from(time.as_millis()).expect("it is a constant");
        set(stream, TCP_RTO_MAX_MS, millis);
    }

    fn length_of<T>() -> socklen_t {
        socklen_t::try_from(size_of::<T>()).expect("it has a few bytes")
    }

    /// Sets an option; a system that does not know it goes on as it does by itself.
    fn set(stream: &TcpStream, option: c_int, value: c_int) {
        let bytes = length_of::<c_int>();
        let value = (&raw const value).cast();
        // SAFETY: the socket is open as long as it is borrowed, and of `value` as many bytes are
        // read as it has.
        #[expect(unsafe_code, reason = "no crate sets the second of these options")]
        let set =
            unsafe { libc::setsockopt(stream.as_raw_fd(), IPPROTO_TCP, option, value, bytes) };
        if set != 0 {
            let error = std::io::Error::last_os_error();
            tracing::debug!(%error, option, "a socket keeps an option");
        }
    }

    pub(super) fn signs(stream: &TcpStream) -> Option<Signs> {
        let mut bytes = length_of::<tcp_info>();
        // SAFETY: `info` is numbers only, of which zeros are some and so is whatever is written.
        // The socket is open as long as it is borrowed, and no more is written than there is.
        #[expect(unsafe_code, reason = "no crate asks for it")]
        let (asked, info) = unsafe {
            let mut info: tcp_info = zeroed();
            let (level, option) = (IPPROTO_TCP, libc::TCP_INFO);
            let into = (&raw mut info).cast();
            let asked = libc::getsockopt(stream.as_raw_fd(), level, option, into, &raw mut bytes);
            (asked, info)
        };
        (asked == 0 && bytes as usize >= KNOWN_BYTES).then(|| Signs {
            is_owing: info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0,
            acknowledged: info.tcpi_bytes_acked,
            silent: Duration::from_millis(info.tcpi_last_ack_recv.into()),
            tries: info.tcpi_retransmits.max(info.tcpi_probes),
            has_ended: info.tcpi_state == CLOSE_WAIT,
        })
    }
}

#[cfg(not(target_os = "linux"))]
mod system {
    //! A system that is not asked: its clients are judged by their pongs alone.

    use std::time::Duration;

    use tokio::net::TcpStream;

    use super::Signs;

    pub(super) const RETRY: Duration = Duration::ZERO;
    pub(super) const RETRY_UNWATCHED: Duration = Duration::ZERO;

    pub(super) fn bound_unsent(_: &TcpStream) {}

    pub(super) fn unbound_unsent(_: &TcpStream) {}

    pub(super) fn retry_within(_: &TcpStream, _: Duration) {}

    pub(super) fn signs(_: &TcpStream) -> Option<Signs> {
        None
    }
}
