//! What a client sends, before it is taken for frames: a large message waits here until there
//! is room for it, one that is too large is refused before it takes memory, a ping that has to be
//! answered waits until the client reads its answers, and a client that is not logged in is not
//! listened to for long.
//!
//! Only the heads of frames are looked at, and only as far as their lengths; whether they make
//! sense is for the library to say. A frame is held back by the last byte of its head.

use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

use super::frame::Rest;
use crate::limits::memory_budget::{MemoryBudget, Reservation, SMALL_BYTES};
use crate::limits::pace::ReceivePace;

/// What a client may say before it has logged in.
const STRANGER_BYTES_MAX: usize = 64 << 10;
/// What it may send besides a whole key: pings, and the pieces of one. Each costs as much as a
/// message, and nobody needs more.
const STRANGER_FRAMES_MAX: u32 = 16;
/// How long a large message that has its room may rest.
const REST: Duration = Duration::from_secs(8);
const HEAD_BYTES_MAX: usize = 14;
/// The opcode of a ping.
const PING: u8 = 0x9;
/// The longest payload of a ping, a pong or a close.
const CONTROL_BYTES_MAX: u64 = 125;

/// What a client may send.
#[derive(Clone)]
pub(super) struct Limits {
    /// The largest message.
    pub(super) message_bytes: usize,
    /// What large messages share.
    pub(super) room: MemoryBudget,
}

/// Why a client is not read any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Unreadable {
    /// A message is too large.
    #[error("a message is too long: {bytes} > {bytes_max}")]
    TooLarge { bytes: u64, bytes_max: usize },
    /// A ping, pong or close with more than it may have.
    #[error("a control frame has {0} bytes")]
    Control(u64),
    /// A large message has its room, and does not come.
    #[error("a large message comes too slowly")]
    TooSlow,
    /// A client that has not logged in keeps the server busy.
    #[error("more than {STRANGER_FRAMES_MAX} pings or pieces before a key")]
    TooMany,
}

/// Whether anything has come from the client lately; clones are for the same client.
#[derive(Clone, Default)]
pub(super) struct Heard(Arc<Signals>);

#[derive(Default)]
struct Signals {
    lately: AtomicBool,
    /// It has sent pings that are not read until it reads.
    is_waiting: AtomicBool,
}

impl Heard {
    /// Something has come, or the client has shown otherwise that it is there.
    pub(super) fn note(&self) {
        self.0.lately.store(true, Ordering::Relaxed);
    }

    /// Whether something has come since this was last asked.
    pub(super) fn lately(&self) -> bool {
        self.0.lately.swap(false, Ordering::Relaxed)
    }

    /// Whether it has sent pings that are not read until it reads.
    pub(super) fn is_waiting(&self) -> bool {
        self.0.is_waiting.load(Ordering::Relaxed)
    }

    fn wait(&self, is: bool) {
        self.0.is_waiting.store(is, Ordering::Relaxed);
    }
}

/// See the module.
pub(super) struct Intake<S> {
    io: S,
    limits: Limits,
    frames: Frames,
    heard: Heard,
    /// `None` once the client has logged in.
    stranger: Option<Stranger>,
    /// What was read and may not pass yet.
    held: VecDeque<u8>,
    /// Whether the first byte that is held was looked at.
    looked_at: bool,
    blocked: Option<Blocked>,
    /// Whether the socket takes nothing at the moment.
    is_stuck: bool,
    /// Who waits for it to take something.
    reader: Option<Waker>,
    /// What is left of a frame that the library does not know of.
    rest: Option<Rest>,
    /// The room of the message that is coming.
    taken: Option<Taking>,
}

/// What a client that has not logged in may still say.
struct Stranger {
    bytes: usize,
    frames: u32,
}

/// What a frame waits for.
enum Blocked {
    /// It will not pass.
    Refused(Unreadable),
    Room(Pin<Box<dyn Future<Output = Reservation> + Send>>),
    /// The client has to read.
    Answers,
    Login {
        bytes: usize,
    },
}

struct Taking {
    _room: Reservation,
    pace: ReceivePace,
    too_late: Pin<Box<Sleep>>,
}

impl<S> Intake<S> {
    pub(super) fn new(io: S, limits: Limits) -> Intake<S> {
        Intake {
            io,
            limits,
            frames: Frames::default(),
            heard: Heard::default(),
            stranger: Some(Stranger {
                bytes: STRANGER_BYTES_MAX,
                frames: STRANGER_FRAMES_MAX,
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
    pub(super) fn welcome(&mut self) {
        self.stranger = None;
        if let Some(Blocked::Login { bytes }) = self.blocked {
            self.block(bytes);
        }
    }

    /// Tells whether anything comes.
    pub(super) fn heard(&self) -> Heard {
        self.heard.clone()
    }

    fn block(&mut self, bytes: usize) {
        let room = self.limits.room.clone();
        self.blocked = Some(match self.stranger {
            None => Blocked::Room(Box::pin(async move { room.reserve(bytes).await })),
            Some(_) => Blocked::Login { bytes },
        });
    }

    /// How many of these bytes may pass. If it is not all of them, the next has been looked at.
    fn look_at(&mut self, bytes: &[u8]) -> usize {
        let mut at = 0;
        while let Some(head) = self.frames.next(bytes, &mut at) {
            if let Some(stranger) = &mut self.stranger
                && head.is_first
                && (head.is_control || !head.is_whole)
            {
                let Some(left) = stranger.frames.checked_sub(1) else {
                    self.blocked = Some(Blocked::Refused(Unreadable::TooMany));
                    return at - 1;
                };
                stranger.frames = left;
            }
            let message_bytes = self.limits.message_bytes;
            if head.is_control {
                if head.bytes > CONTROL_BYTES_MAX {
                    self.blocked = Some(Blocked::Refused(Unreadable::Control(head.bytes)));
                    return at - 1;
                }
                if head.is_ping && self.is_stuck {
                    self.heard.wait(true);
                    self.blocked = Some(Blocked::Answers);
                    return at - 1;
                }
                continue;
            }
            let is_key = self.stranger.is_some() && head.is_first;
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
                // Of a message in pieces nobody knows how long it becomes, and its pieces are
                // put together beside each other.
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

    /// Takes back the room of a message that has passed.
    fn settle(&mut self) {
        if self.taken.is_some() && self.held.is_empty() && self.frames.are_between_messages() {
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
                self.heard.wait(false);
                self.blocked = None;
                Poll::Ready(Ok(()))
            }
            // Whoever says welcome asks again.
            Some(Blocked::Login { .. }) => Poll::Pending,
            Some(Blocked::Room(room)) => {
                // It cannot be heard because of us.
                self.heard.note();
                let room = ready!(room.as_mut().poll(cx));
                self.blocked = None;
                self.taken = Some(Taking {
                    _room: room,
                    pace: ReceivePace::new(REST),
                    too_late: Box::pin(tokio::time::sleep(REST)),
                });
                Poll::Ready(Ok(()))
            }
        }
    }

    /// Hands out of what is held what may pass.
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
        let most = self.stranger.as_ref().map_or(usize::MAX, |left| left.bytes);
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
        self.heard.note();
        let bytes = buf.filled().len() - before;
        if let Some(stranger) = &mut self.stranger {
            stranger.bytes -= bytes;
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

    /// Of a frame that was written past the library this is left: it is written before anything
    /// of the library is.
    pub(super) fn set_rest(&mut self, rest: Option<Rest>) {
        self.rest = rest;
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

/// Where in a stream of frames it is.
#[derive(Default)]
struct Frames {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// What is to come of the payload of a frame.
    payload: u64,
    /// What the message has that is coming, with the frame that is coming.
    message: u64,
    /// Whether more frames of the message are to come.
    is_open: bool,
    had_message: bool,
}

/// The head of one frame.
struct Head {
    is_control: bool,
    is_ping: bool,
    /// Whether it belongs to the first message of all.
    is_first: bool,
    /// Whether it is a message by itself.
    is_whole: bool,
    bytes: u64,
    message_bytes: u64,
}

impl Frames {
    /// The next head that ends in `bytes`, of which `at` are done.
    fn next(&mut self, bytes: &[u8], at: &mut usize) -> Option<Head> {
        let rest = (bytes.len() - *at) as u64;
        let skipped = rest.min(self.payload);
        self.payload -= skipped;
        *at += usize::try_from(skipped).expect("at most what there is");
        while let Some(byte) = bytes.get(*at) {
            self.head[self.head_bytes] = *byte;
            self.head_bytes += 1;
            *at += 1;
            if self.head_bytes >= 2 && self.head_bytes == self.expected() {
                return Some(self.end_of_head());
            }
        }
        None
    }

    /// How long the head is, of which there are two bytes.
    fn expected(&self) -> usize {
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    fn end_of_head(&mut self) -> Head {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.head;
        let bytes = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        (self.head_bytes, self.payload) = (0, bytes);
        let is_last = first & 0x80 != 0;
        let is_control = first & 0x08 != 0;
        let (was_open, is_first) = (self.is_open, !self.had_message);
        if !is_control {
            self.message = match was_open {
                true => self.message.saturating_add(bytes),
                false => bytes,
            };
            self.is_open = !is_last;
            self.had_message |= is_last;
        }
        Head {
            is_control,
            is_ping: first & 0x0f == PING,
            is_first,
            is_whole: is_last && !was_open,
            bytes,
            message_bytes: self.message,
        }
    }

    fn are_between_messages(&self) -> bool {
        self.payload == 0 && self.head_bytes == 0 && !self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

    const MESSAGE_BYTES: usize = 1 << 20;

    fn intake(room: &MemoryBudget) -> (Intake<DuplexStream>, DuplexStream) {
        let (client, server) = duplex(4 << 20);
        let limits = Limits {
            message_bytes: MESSAGE_BYTES,
            room: room.clone(),
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
    async fn small_messages_pass_and_large_ones_wait_for_room() {
        let room = MemoryBudget::new(1 << 20);
        let (mut intake, mut client) = intake(&room);
        intake.welcome();
        let small = [frame(0x82, SMALL_BYTES), frame(0x01, 10), frame(0x80, 10)].concat();
        client.write_all(&small).await.unwrap();
        let all = room.reserve(1 << 20).await;
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
            room.reserve(1 << 20).now_or_never().is_some(),
            "it is given back"
        );
    }

    #[tokio::test]
    async fn a_message_in_pieces_takes_its_room_once() {
        let room = MemoryBudget::new(2 << 20);
        let (mut intake, mut client) = intake(&room);
        intake.welcome();
        let first = frame(0x02, 40_000);
        let pieces = [
            &first[..],
            &frame(0x89, 5),
            &frame(0, 40_000),
            &frame(0, 90_000),
        ]
        .concat();
        client.write_all(&pieces).await.unwrap();
        let taken = room.reserve(1).await;
        let before = first.len() + frame(0x89, 5).len() + head(0, 0).len() - 1;
        assert_eq!(read(&mut intake).await, (before, None));
        drop(taken);
        assert_eq!(read(&mut intake).await, (pieces.len() - before, None));
        assert!(room.reserve(1).now_or_never().is_none());
        client.write_all(&frame(0x80, 0)).await.unwrap();
        assert_eq!(read(&mut intake).await, (head(0, 0).len(), None));
        assert!(room.reserve(1).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_is_too_large_does_not_pass_and_what_came_before_does() {
        for (first, bytes) in [(0x82, 1 << 20 | 1), (0x82, u64::MAX), (0x89, 126)] {
            let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
            intake.welcome();
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
        intake.welcome();
        let pieces = [head(2, 0), frame(0, MESSAGE_BYTES), head(0, 1)].concat();
        client.write_all(&pieces).await.unwrap();
        let why = Unreadable::TooLarge {
            bytes: MESSAGE_BYTES as u64 + 1,
            bytes_max: MESSAGE_BYTES,
        };
        assert_eq!(read(&mut intake).await, (pieces.len() - 1, Some(why)));
    }

    #[tokio::test]
    async fn a_stranger_is_not_listened_to_for_long() {
        let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
        let flood = frame(0x81, 0).repeat(10_000);
        client.write_all(&flood).await.unwrap();
        assert_eq!(read(&mut intake).await, (STRANGER_BYTES_MAX, None));

        for (first, then) in [(0x01, 0x00), (0x00, 0x00), (0x89, 0x89), (0x01, 0x89)] {
            let (mut intake, mut client) = self::intake(&MemoryBudget::new(1 << 20));
            let most = frame(then, 1).repeat(STRANGER_FRAMES_MAX as usize - 1);
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
        intake.welcome();
        let rest = key.len() + message.len() - before;
        assert_eq!(read(&mut intake).await, (rest, None));
    }

    #[tokio::test]
    async fn a_ping_waits_for_a_client_that_does_not_read() {
        let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
        intake.welcome();
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
    async fn room_is_not_for_those_who_do_not_use_it() {
        let (mut intake, mut client) = intake(&MemoryBudget::new(1 << 20));
        intake.welcome();
        client.write_all(&head(0x82, 1 << 20)).await.unwrap();
        read(&mut intake).await;
        let begin = tokio::time::Instant::now();
        let error = intake.read(&mut [0; 10]).await.unwrap_err();
        assert_eq!(error.downcast::<Unreadable>().unwrap(), Unreadable::TooSlow);
        assert_eq!(begin.elapsed(), REST);
    }
}
