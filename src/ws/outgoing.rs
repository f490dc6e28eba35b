//! What a consumer is told, on its way to the socket: frames are written from the one encoding
//! that all consumers share, and nothing of them is kept for one consumer alone.
//!
//! A frame goes to the socket in pieces. Each is put together when the socket may take it, in a
//! buffer that all sessions of a thread use in turn; a large message is escaped there as well. So
//! a consumer that does not read holds its place in a message, and no copy of it. Pings, pongs and
//! closes are written by the library, between frames.

use std::cell::RefCell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use futures_util::Sink;
use tokio::io::AsyncWrite;
use tokio_tungstenite::tungstenite;

use super::upgrade::WebSocket;
use crate::broker::Ticket;
use crate::wire::{self, PushFrame};

/// What is put together for a write.
const PIECE_BYTES: usize = 64 << 10;
/// The head of a whole message of text (RFC 6455, 5.2).
const WHOLE_TEXT: u8 = 0x81;

thread_local! {
    static PIECE: RefCell<Vec<u8>> = RefCell::new(vec![0; PIECE_BYTES]);
}

/// See the module.
pub(super) struct Outgoing {
    /// Deliveries to be written; those before `place` are, and are reported.
    tickets: Vec<Ticket>,
    place: Place,
    /// The large message that is being written.
    large: Option<(Head, PushFrame)>,
}

/// The end of what was written.
#[derive(Clone, Copy, Default)]
struct Place {
    ticket: usize,
    /// Whole frames of the ticket.
    frame: usize,
    /// Bytes of the frame, its head included.
    at: usize,
    /// The same for a large message.
    large: wire::Place,
}

/// The head of a frame.
#[derive(Clone, Copy)]
struct Head {
    bytes: [u8; 10],
    len: usize,
}

impl Head {
    fn new(payload: usize) -> Head {
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
        Head { bytes, len }
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

impl Place {
    /// The beginning of a ticket.
    fn of(ticket: usize) -> Place {
        Place {
            ticket,
            ..Place::default()
        }
    }

    /// So many bytes more of a frame of `frame` bytes.
    fn passed(&mut self, bytes: usize, frame: usize) {
        self.at += bytes;
        if self.at == frame {
            self.at = 0;
            self.frame += 1;
        }
    }
}

impl Outgoing {
    /// Nothing to be written; there is memory for so many deliveries.
    pub(super) fn new(tickets: usize) -> Outgoing {
        Outgoing {
            tickets: Vec::with_capacity(tickets),
            place: Place::default(),
            large: None,
        }
    }

    /// Where deliveries are put that are to be written.
    pub(super) fn tickets(&mut self) -> &mut Vec<Ticket> {
        &mut self.tickets
    }

    /// Whether everything is written.
    pub(super) fn is_empty(&self) -> bool {
        self.tickets.is_empty()
    }

    /// The rest of the frame that is begun, if one is.
    pub(super) fn rest(&mut self) -> Option<Rest> {
        if self.place.at == 0 {
            return None;
        }
        let (head, body) = match self.large.take() {
            Some((head, frame)) => (head, Body::Large(frame)),
            None => {
                let ticket = &self.tickets[self.place.ticket];
                let frame = &ticket.frames(wire::write_push_frame)[self.place.frame];
                (Head::new(frame.len()), Body::Whole(frame.clone()))
            }
        };
        let place = self.place;
        Some(Rest { head, body, place })
    }

    /// Writes what the socket takes at once, and reports the deliveries that are written with it.
    /// Waits while it takes nothing; may be called off.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut WebSocket,
    ) -> Poll<Result<(), tungstenite::Error>> {
        if self.place.at == 0 {
            // What the library has begun to write comes to its end first.
            ready!(Pin::new(&mut *socket).poll_flush(cx))?;
        }
        let written = PIECE.with_borrow_mut(|piece| {
            let (bytes, end) = self.fill(piece);
            let written = match bytes {
                0 => 0,
                _ => ready!(socket.get_mut().poll_write_part(cx, &piece[..bytes]))?,
            };
            self.place = match written {
                _ if written == bytes => end,
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                _ => self.fill(&mut piece[..written]).1,
            };
            Poll::Ready(Ok(()))
        });
        ready!(written).map_err(tungstenite::Error::Io)?;
        if self.place.at == 0 {
            self.large = None;
        }
        if self.place.ticket > 0 {
            ready!(Pin::new(&mut *socket).poll_flush(cx))?;
            for ticket in self.tickets.drain(..self.place.ticket) {
                ticket.written();
            }
            self.place.ticket = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what is to be written next into `piece`. Returns how many bytes that are, and where
    /// they end. A large message is alone in its pieces.
    fn fill(&mut self, piece: &mut [u8]) -> (usize, Place) {
        let (mut filled, mut place) = (0, self.place);
        while let Some(ticket) = self.tickets.get(place.ticket) {
            if let Some((message, bytes)) = ticket.large(wire::push_frame_bytes) {
                if filled == 0 {
                    let new = || (Head::new(bytes), PushFrame::new(message));
                    let (head, frame) = self.large.get_or_insert_with(new);
                    filled = fill_large(head, frame, &mut place, piece);
                    place.passed(filled, head.len + bytes);
                    if place.at == 0 {
                        place = Place::of(place.ticket + 1);
                    }
                }
                return (filled, place);
            }
            for frame in &ticket.frames(wire::write_push_frame)[place.frame..] {
                let head = Head::new(frame.len());
                let bytes = fill_whole(&head, frame, place.at, &mut piece[filled..]);
                filled += bytes;
                place.passed(bytes, head.len + frame.len());
                if place.at > 0 || filled == piece.len() {
                    return (filled, place);
                }
            }
            place = Place::of(place.ticket + 1);
        }
        (filled, place)
    }
}

/// The rest of a frame, which is written before anything else is.
pub(super) struct Rest {
    head: Head,
    body: Body,
    place: Place,
}

enum Body {
    Whole(Bytes),
    Large(PushFrame),
}

impl Rest {
    /// Writes all of it.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        io: &mut (impl AsyncWrite + Unpin),
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

    fn fill(&self, piece: &mut [u8]) -> (usize, Place) {
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
fn fill_whole(head: &Head, frame: &[u8], at: usize, piece: &mut [u8]) -> usize {
    let filled = copy(head.bytes(), at, piece);
    let at = (at + filled).saturating_sub(head.len);
    filled + copy(frame, at, &mut piece[filled..])
}

fn fill_large(head: &Head, frame: &PushFrame, place: &mut Place, piece: &mut [u8]) -> usize {
    let filled = copy(head.bytes(), place.at, piece);
    filled + frame.fill(&mut place.large, &mut piece[filled..])
}

/// Copies what `from` has from `at` on, as much as `to` has room for; returns how much that is.
fn copy(from: &[u8], at: usize, to: &mut [u8]) -> usize {
    let rest = from.get(at..).unwrap_or_default();
    let bytes = rest.len().min(to.len());
    to[..bytes].copy_from_slice(&rest[..bytes]);
    bytes
}
