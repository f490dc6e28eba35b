//! What a client sends, before the library takes it for frames: a large message waits here for
//! memory, one that is too large is refused before it takes any, a ping waits until the client
//! reads its answers, and a client that has not logged in may send little.
//!
//! Only the heads of frames are looked at. A frame is held back by the last byte of its head.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::frame::RestOfFrame;
use super::heads::FrameParser;
use crate::limits::memory_budget::{MemoryBudget, Reservation, SMALL_BYTES};
use crate::limits::pace::ReceivePace;
use crate::session::Liveness;

/// What a client may send before it has logged in.
const LOGIN_BYTES_MAX: usize = 64 << 10;
/// Frames that a client may send before it has logged in besides a whole key: pings, and pieces of
/// a key. Each costs as much as a message, and no client needs more.
const LOGIN_FRAMES_MAX: u32 = 16;
/// How long a large message that has its memory may rest.
const REST: Duration = Duration::from_secs(8);
/// The longest payload of a ping, a pong or a close.
const CONTROL_BYTES_MAX: u64 = 125;

/// What a client may send.
#[derive(Clone)]
pub(super) struct Limits {
    /// The largest message.
    pub(super) message_bytes: usize,
    /// The memory that large messages share.
    pub(super) memory: MemoryBudget,
}

/// Why the session stops reading a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// A message is too large.
    #[error("a message is too long: {bytes} > {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: usize },
    /// A ping, pong or close is too large.
    #[error("a control frame has {0} bytes")]
    Control(u64),
    /// A large message has its memory, and does not come.
    #[error("a large message comes too slowly")]
    TooSlow,
    /// A client that has not logged in sends too many frames.
    #[error("more than {LOGIN_FRAMES_MAX} pings or pieces before a key")]
    TooMany,
}

/// A connection whose incoming frames are let through within limits.
pub(super) struct Intake<S> {
    io: S,
    limits: Limits,
    frames: FrameParser,
    liveness: Liveness,
    /// `None` once the client has logged in.
    login: Option<LoginBudget>,
    /// What was read and may not pass yet.
    held: VecDeque<u8>,
    /// Whether the parser has seen the first byte that is held.
    looked_at: bool,
    blocked: Option<Blocked>,
    /// Whether the socket takes nothing at the moment.
    is_stuck: bool,
    /// The reader that waits for the socket to take something.
    reader: Option<Waker>,
    /// What is left of a frame that the library does not know of.
    rest: Option<Box<dyn RestOfFrame>>,
    /// The memory of the message that is coming.
    taken: Option<Taking>,
}

/// What a client that has not logged in may still send.
struct LoginBudget {
    bytes: usize,
    frames: u32,
}

/// What a frame waits for.
enum Blocked {
    /// Nothing: it never passes.
    Refused(Unreadable),
    /// Memory.
    Memory(Pin<Box<dyn Future<Output = Reservation> + Send>>),
    /// The client to read its answers.
    Answers,
    /// The client to log in; then for this much memory.
    Login { bytes: usize },
}

/// A large message that comes.
struct Taking {
    _memory: Reservation,
    pace: ReceivePace,
    too_late: Pin<Box<Sleep>>,
}

impl<S> Intake<S> {
    pub(super) fn new(io: S, limits: Limits) -> Intake<S> {
        Intake {
            io,
            limits,
            frames: FrameParser::default(),
            liveness: Liveness::default(),
            login: Some(LoginBudget {
                bytes: LOGIN_BYTES_MAX,
                frames: LOGIN_FRAMES_MAX,
            }),
            held: VecDeque::new(),
            looked_at: false,
            blocked: None,
            is_stuck: false,
            reader: None,
            rest: None,
            taken: None,
        }
    }

    /// The client has logged in: it may send messages.
    pub(super) fn logged_in(&mut self) {
        self.login = None;
        if let Some(Blocked::Login { bytes }) = self.blocked {
            self.block(bytes);
        }
    }

    /// Where the client's signs of life are noted.
    pub(super) fn liveness(&self) -> Liveness {
        self.liveness.clone()
    }

    fn block(&mut self, bytes: usize) {
        let memory = self.limits.memory.clone();
        self.blocked = Some(match self.login {
            None => Blocked::Memory(Box::pin(async move { memory.reserve(bytes).await })),
            Some(_) => Blocked::Login { bytes },
        });
    }

    /// How many of these bytes may pass. If not all of them, the parser has seen the next one.
    fn look_at(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(head) = self.frames.next(bytes, &mut at) {
            if let Some(login) = &mut self.login
                && head.is_first
                && (head.is_control || !head.is_whole)
            {
                let Some(left) = login.frames.checked_sub(1) else {
                    self.blocked = Some(Blocked::Refused(Unreadable::TooMany));
                    return at - 1;
                };
                login.frames = left;
            }
            let message_bytes = self.limits.message_bytes;
            if head.is_control {
                if head.bytes > CONTROL_BYTES_MAX {
                    self.blocked = Some(Blocked::Refused(Unreadable::Control(head.bytes)));
                    return at - 1;
                }
                if head.is_ping && self.is_stuck {
                    self.liveness.set_waiting(true);
                    self.blocked = Some(Blocked::Answers);
                    return at - 1;
                }
                continue;
            }
            let is_key = self.login.is_some() && head.is_first;
            let bytes_max = match is_key {
                true => message_bytes.min(SMALL_BYTES),
                false => message_bytes,
            };
            let is_too_large = usize::try_from(head.message_bytes).map_or(true, |n| n > bytes_max);
            if is_too_large {
                self.blocked = Some(Blocked::Refused(Unreadable::TooLarge {
                    bytes: head.message_bytes,
                    bytes_max,
                }));
                return at - 1;
            }
            if head.message_bytes > SMALL_BYTES as u64 && self.taken.is_none() {
                // The length of a message in pieces is unknown, and the library copies its pieces
                // together while it still has them.
                let needed = match head.is_whole {
                    true => usize::try_from(head.bytes).unwrap_or(usize::MAX),
                    false => message_bytes.saturating_mul(2),
                };
                self.block(needed);
                return at - 1;
            }
        }
        bytes.len()
    }

    /// Gives back the memory of a message that has passed.
    fn settle(&mut self) {
        if self.taken.is_some() && self.held.is_empty() && self.frames.is_between_messages() {
            self.taken = None;
        }
    }

    fn poll_unblocked(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut self.blocked {
            None => Poll::Ready(Ok(())),
            Some(Blocked::Refused(why)) => Poll::Ready(Err(io::Error::other(*why))),
            Some(Blocked::Answers) if self.is_stuck => {
                self.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Some(Blocked::Answers) => {
                self.liveness.set_waiting(false);
                self.blocked = None;
                Poll::Ready(Ok(()))
            }
            // The session reads again after the login.
            Some(Blocked::Login { .. }) => Poll::Pending,
            Some(Blocked::Memory(memory)) => {
                // While it waits, the server itself keeps the client silent.
                self.liveness.note();
                let memory = ready!(memory.as_mut().poll(cx));
                self.blocked = None;
                self.taken = Some(Taking {
                    _memory: memory,
                    pace: ReceivePace::new(REST),
                    too_late: Box::pin(tokio::time::sleep(REST)),
                });
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Hands out what may pass of what is held.
    fn release(&mut self, buf: &mut ReadBuf<'_>) -> usize {
        let len = buf.remaining().min(self.held.len());
        let bytes: Vec<u8> = self.held.iter().take(len).copied().collect();
        let skip = usize::from(self.looked_at);
        let passed = skip + self.look_at(&bytes[skip..]);
        self.looked_at = passed < len;
        buf.put_slice(&bytes[..passed]);
        self.held.drain(..passed);
        passed
    }
}

impl<S: AsyncRead + Unpin> Intake<S> {
    /// Reads from the socket what may be read.
    fn poll_socket(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let before = buf.filled().len();
        let most = self.login.as_ref().map_or(usize::MAX, |left| left.bytes);
        if most == 0 {
            return Poll::Pending;
        }
        let read = if buf.remaining() <= most {
            Pin::new(&mut self.io).poll_read(cx, buf)
        } else {
            let mut part = ReadBuf::new(buf.initialize_unfilled_to(most));
            let read = Pin::new(&mut self.io).poll_read(cx, &mut part);
            let bytes = part.filled().len();
            buf.advance(bytes);
            read
        };
        if read.is_pending() {
            return self.poll_too_late(cx);
        }
        ready!(read)?;
        self.liveness.note();
        let bytes = buf.filled().len() - before;
        if let Some(login) = &mut self.login {
            login.bytes -= bytes;
        }
        if let Some(taking) = &mut self.taken {
            taking.pace.received(bytes);
        }
        let passed = self.look_at(&buf.filled()[before..]);
        if passed < bytes {
            self.held.extend(&buf.filled()[before + passed..]);
            self.looked_at = true;
            buf.set_filled(before + passed);
        }
        Poll::Ready(Ok(match bytes {
            // The end passes.
            0 => usize::MAX,
            _ => passed,
        }))
    }

    fn poll_too_late(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let Some(Taking { pace, too_late, .. }) = &mut self.taken else {
            return Poll::Pending;
        };
        let due = pace.wait();
        if too_late.deadline() != due {
            too_late.as_mut().reset(due);
        }
        ready!(too_late.as_mut().poll(cx));
        Poll::Ready(Err(io::Error::other(Unreadable::TooSlow)))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Intake<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.poll_unblocked(cx))?;
            this.settle();
            let passed = match this.held.is_empty() {
                true => ready!(this.poll_socket(cx, buf))?,
                false => this.release(buf),
            };
            if passed > 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> Intake<S> {
    /// Writes a part of a frame past the library.
    pub(super) fn poll_write_part(
        &mut self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.is_stuck = written.is_pending();
        if !self.is_stuck
            && let Some(reader) = self.reader.take()
        {
            reader.wake();
        }
        written
    }

    /// A frame that was written past the library has this rest: it is written before anything of
    /// the library is.
    pub(super) fn set_rest(&mut self, rest: Box<dyn RestOfFrame>) {
        self.rest = Some(rest);
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Intake<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        if let Some(rest) = &mut this.rest {
            ready!(rest.poll_write(cx, &mut this.io))?;
            this.rest = None;
        }
        this.poll_write_part(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().io).poll_shutdown(cx)
    }
}

impl<S> fmt::Debug for Intake<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Intake").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const MESSAGE_BYTES: usize = 1 << 20;

    fn intake(memory: &MemoryBudget) -> (Intake<DuplexStream>, DuplexStream) {
        let (client, server) = duplex(4 << 20);
        let limits = Limits {
            message_bytes: MESSAGE_BYTES,
            memory: memory.clone(),
        };
        (Intake::new(server, limits), client)
    }

    /// A frame without its payload.
    fn head(first: u8, bytes: u64) -> Vec<u8> {
        [&[first, 0xff][..], &bytes.to_be_bytes(), &[0; 4]].concat()
    }

    fn frame(first: u8, bytes: usize) -> Vec<u8> {
        [head(first, bytes as u64), vec![b'x'; bytes]].concat()
    }

    /// What comes of it at once, and how it ends.
    async fn read(intake: &mut Intake<DuplexStream>) -> (usize, Option<Unreadable>) {
        let (mut passed, mut buffer) = (0, vec![0; 8192]);
        loop {
            match tokio::task::unconstrained(intake.read(&mut buffer)).now_or_never() {
                None | Some(Ok(0)) => return (passed, None),
                Some(Ok(bytes)) => passed += bytes,
                Some(Err(error)) => {
                    let why = error.downcast::<Unreadable>().unwrap();
                    return (passed, Some(why));
                }
            }
        }
    }

    #[tokio::test]
    async fn small_messages_pass_and_large_ones_wait_for_memory() {
        let memory = MemoryBudget::new(1 << 20);
        let (mut intake, mut client) = intake(&memory);
        intake.logged_in();
        let small = [frame(0x82, SMALL_BYTES), frame(0x01, 10), frame(0x80, 10)].concat();
        client.write_all(&small).await.unwrap();
        let all = memory.reserve(1 << 20).await;
        assert_eq!(read(&mut intake).await, (small.len(), None));

        let large = frame(0x82, SMALL_BYTES + 1);
        client.write_all(&large).await.unwrap();
        client.write_all(&small).await.unwrap();
        let head = 2 + 8 + 4;
        assert_eq!(read(&mut intake).await, (head - 1, None));
        drop(all);
        let rest = large.len() + small.len() - (head - 1);
        assert_eq!(read(&mut intake).await, (rest, None));
        assert!(
            memory.reserve(1 << 20).now_or_never().is_some(),
            "it is given back"
        );
    }

    #[tokio::test]
    async fn a_message_in_pieces_takes_its_memory_once() {
        let memory = MemoryBudget::new(2 << 20);
        let (mut intake, mut client) = intake(&memory);
        intake.logged_in();
        let first = frame(0x02, 40_000);
        let pieces = [
            &first[..],
            &frame(0x89, 5),
            &frame(0, 40_000),
            &frame(0, 90_000),
        ]
        .concat();
        client.write_all(&pieces).await.unwrap();
        let taken = memory.reserve(1).await;
        let before = first.len() + frame(0x89, 5).len() + head(0, 0).len() - 1;
        assert_eq!(read(&mut intake).await, (before, None));
        drop(taken);
        assert_eq!(read(&mut intake).await, (pieces.len() - before, None));
        assert!(memory.reserve(1).now_or_never().is_none());
        client.write_all(&frame(0x80, 0)).await.unwrap();
        assert_eq!(read(&mut intake).await, (head(0, 0).len(), None));
        assert!(memory.reserve(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_too_large_does_not_pass_and_what_came_before_does() {
        for (first, bytes) in [(0x82, 1 << 20 | 1), (0x82, u64::MAX), (0x89, 126)] {
            let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
            intake.logged_in();
            let good = frame(0x82, 100);
            client.write_all(&good).await.unwrap();
            client.write_all(&head(first, bytes)).await.unwrap();
            let why = match first {
                0x89 => Unreadable::Control(bytes),
                _ => Unreadable::TooLarge {
                    bytes,
                    bytes_max: MESSAGE_BYTES,
                },
            };
            let passed = good.len() + head(0, 0).len() - 1;
            assert_eq!(read(&mut intake).await, (passed, Some(why)));
        }
        let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
        intake.logged_in();
        let pieces = [head(2, 0), frame(0, MESSAGE_BYTES), head(0, 1)].concat();
        client.write_all(&pieces).await.unwrap();
        let why = Unreadable::TooLarge {
            bytes: MESSAGE_BYTES as u64 + 1,
            bytes_max: MESSAGE_BYTES,
        };
        assert_eq!(read(&mut intake).await, (pieces.len() - 1, Some(why)));
    }

    #[tokio::test]
    async fn before_the_login_a_client_may_send_little() {
        let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
        let flood = frame(0x81, 0).repeat(10_000);
        client.write_all(&flood).await.unwrap();
        assert_eq!(read(&mut intake).await, (LOGIN_BYTES_MAX, None));

        for (first, then) in [(0x01, 0x00), (0x00, 0x00), (0x89, 0x89), (0x01, 0x89)] {
            let (mut intake, mut client) = self::intake(&MemoryBudget::new(1 << 20));
            let most = frame(then, 1).repeat(LOGIN_FRAMES_MAX as usize - 1);
            let good = [frame(first, 1), most].concat();
            client.write_all(&good).await.unwrap();
            assert_eq!(read(&mut intake).await, (good.len(), None));
            client.write_all(&frame(then, 1)).await.unwrap();
            let end = (head(0, 0).len() - 1, Some(Unreadable::TooMany));
            assert_eq!(read(&mut intake).await, end);
        }

        let (mut intake, mut client) = self::intake(&MemoryBudget::new(1 << 20));
        let key = frame(0x81, SMALL_BYTES + 1);
        client.write_all(&key).await.unwrap();
        let why = read(&mut intake).await.1.unwrap();
        assert!(matches!(why, Unreadable::TooLarge { .. }));

        // One that sends a message before it is told that it is logged in.
        let (mut intake, mut client) = self::intake(&MemoryBudget::new(1 << 20));
        let (key, message) = (frame(0x81, 4), frame(0x82, SMALL_BYTES + 1));
        client
            .write_all(&[&key[..], &message].concat())
            .await
            .unwrap();
        let before = key.len() + head(0, 0).len() - 1;
        assert_eq!(read(&mut intake).await, (before, None));
        intake.logged_in();
        let rest = key.len() + message.len() - before;
        assert_eq!(read(&mut intake).await, (rest, None));
    }

    #[tokio::test]
    async fn a_ping_waits_for_a_client_that_does_not_read() {
        let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
        intake.logged_in();
        while intake.write(&[0; 1 << 20]).now_or_never().is_some() {}
        let message = frame(0x82, 10);
        let sent = [&message[..], &frame(0x89, 5), &message].concat();
        client.write_all(&sent).await.unwrap();
        let before = message.len() + head(0, 0).len() - 1;
        assert_eq!(read(&mut intake).await, (before, None));
        let rest = sent.len() - before;
        let (mut reader, mut writer) = tokio::io::split(intake);
        let reads = tokio::spawn(async move { reader.read_exact(&mut vec![0; rest]).await });
        tokio::task::yield_now().await;
        assert!(!reads.is_finished());
        client.read_exact(&mut vec![0; 1 << 20]).await.unwrap();
        writer.write_all(b"pong").await.unwrap();
        assert_eq!(reads.await.unwrap().unwrap(), rest);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_not_for_those_who_do_not_use_it() {
        let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
        intake.logged_in();
        client.write_all(&head(0x82, 1 << 20)).await.unwrap();
        read(&mut intake).await;
        let begin = tokio::time::Instant::now();
        let error = intake.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.downcast::<Unreadable>().unwrap(), Unreadable::TooSlow);
        assert_eq!(begin.elapsed(), REST);
    }
}
