//! A frame on its way to a socket, piece by piece: its head, how far it is written, and the rest
//! of one that is begun.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use tokio::io::AsyncWrite;

use crate::session::LargeFrame;

/// What is put together for a write.
const PIECE_BYTES: usize = 64 << 10;
/// The head of a whole message of text (RFC 6455, 5.2).
const WHOLE_TEXT: u8 = 0x81;

thread_local! {
    /// The buffer in which all sessions of a thread put their pieces together, in turn.
    pub(super) static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
}

/// The end of what was written; `P` is how far a large message is.
#[derive(Clone, Copy, Default)]
pub(super) struct WritePlace<P> {
    pub(super) ticket: usize,
    /// Whole frames of the ticket.
    pub(super) frame: usize,
    /// Bytes of the frame, its head included.
    pub(super) at: usize,
    /// The same for a large message.
    large: P,
}

/// The head of a frame.
#[derive(Clone, Copy)]
pub(super) struct FrameHead {
    bytes: [u8; 10],
    pub(super) len: usize,
}

impl FrameHead {
    /// The head of a whole message of text.
    pub(super) fn new(payload: usize) -> FrameHead {
        let mut bytes = [0; 10];
        bytes[0] = WHOLE_TEXT;
        let len = match (u8::try_from(payload), u16::try_from(payload)) {
            (Ok(short), _) if short < 126 => {
                bytes[1] = short;
                2
            }
            (_, Ok(long)) => {
                bytes[1] = 126;
                bytes[2..4].copy_from_slice(&long.to_be_bytes());
                4
            }
            _ => {
                bytes[1] = 127;
                bytes[2..].copy_from_slice(&(payload as u64).to_be_bytes());
                10
            }
        };
        FrameHead { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl<P: Copy + Default> WritePlace<P> {
    /// The beginning of a ticket.
    pub(super) fn of(ticket: usize) -> WritePlace<P> {
        WritePlace {
            ticket,
            ..WritePlace::default()
        }
    }

    /// Moves on by `bytes` of a frame that has `frame` bytes.
    pub(super) fn passed(&mut self, bytes: usize, frame: usize) {
        self.at += bytes;
        if self.at == frame {
            self.at = 0;
            self.frame += 1;
        }
    }
}

/// The rest of a frame that is begun, which is written before anything else is.
pub(super) trait RestOfFrame: Send {
    /// Writes all of it.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (dyn AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>>;
}

/// The rest of a frame of a delivery.
pub(super) struct Rest<L: LargeFrame> {
    pub(super) head: FrameHead,
    pub(super) body: Body<L>,
    pub(super) place: WritePlace<L::Place>,
}

/// What a frame holds.
pub(super) enum Body<L> {
    Whole(Bytes),
    Large(L),
}

impl<L: LargeFrame> RestOfFrame for Rest<L> {
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (dyn AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        loop {
            let some: Poll<io::Result<usize>> = PIECE.with_borrow_mut(|piece| {
                let (bytes, _) = self.fill(piece);
                if bytes == 0 {
                    return Poll::Ready(Ok(0));
                }
                let written = ready!(Pin::new(&mut *io).poll_write(cx, &piece[..bytes]))?;
                if written == 0 {
                    return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
                }
                self.place = self.fill(&mut piece[..written]).1;
                Poll::Ready(Ok(written))
            });
            if ready!(some)? == 0 {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<L: LargeFrame> Rest<L> {
    fn fill(&self, piece: &mut [u8]) -> (usize, WritePlace<L::Place>) {
        let mut place = self.place;
        let filled = match &self.body {
            Body::Whole(frame) => fill_whole(&self.head, frame, place.at, piece),
            Body::Large(frame) => fill_large(&self.head, frame, &mut place, piece),
        };
        place.at += filled;
        (filled, place)
    }
}

/// Puts a frame into `piece` from `at` on.
pub(super) fn fill_whole(head: &FrameHead, frame: &[u8], at: usize, piece: &mut [u8]) -> usize {
    let filled = copy(head.bytes(), at, piece);
    let at = (at + filled).saturating_sub(head.len);
    filled + copy(frame, at, &mut piece[filled..])
}

/// Puts a large message into `piece` from `place` on.
pub(super) fn fill_large<L: LargeFrame>(
    head: &FrameHead,
    frame: &L,
    place: &mut WritePlace<L::Place>,
    piece: &mut [u8],
) -> usize {
    let filled = copy(head.bytes(), place.at, piece);
    filled + frame.fill(&mut place.large, &mut piece[filled..])
}

/// Copies what `from` has from `at` on, as much of it as fits into `to`; returns how much that is.
fn copy(from: &[u8], at: usize, to: &mut [u8]) -> usize {
    let rest = from.get(at..).unwrap_or_default();
    let bytes = rest.len().min(to.len());
    to[..bytes].copy_from_slice(&rest[..bytes]);
    bytes
}
