//! What a consumer is told, on its way to the socket: frames are written from the one encoding
//! that all consumers share, and nothing of them is kept for one consumer alone.
//!
//! A frame goes to the socket in pieces. Each is put together when the socket may take it, in a
//! buffer that all sessions of a thread use in turn; a large message is escaped there as well. So
//! a consumer that does not read holds its place in a message, and no copy of it. Pings, pongs and
//! closes are written by the library, between frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Sink;
use tokio_tungstenite::tungstenite;

use super::frame::{Body, Head, PIECE, Place, Rest, fill_large, fill_whole};
use super::upgrade::WebSocket;
use crate::broker::{Encoding, Ticket};
use crate::wire::{self, PushFrame};

/// The frames of the wire contract.
const CLASSIC: Encoding = Encoding {
    name: "classic",
    write: wire::write_push_frame,
    frame_bytes: wire::push_frame_bytes,
};

/// See the module.
pub(super) struct Outgoing {
    /// Deliveries to be written; those before `place` are, and are reported.
    tickets: Vec<Ticket>,
    place: Place,
    /// The large message that is being written.
    large: Option<(Head, PushFrame)>,
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
                let frame = &ticket.frames(&CLASSIC)[self.place.frame];
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
            if let Some((message, bytes)) = ticket.large(&CLASSIC) {
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
            for frame in &ticket.frames(&CLASSIC)[place.frame..] {
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
