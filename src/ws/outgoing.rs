//! Deliveries on their way to the socket: frames are written from the one encoding that all
//! consumers of a dialect share, and nothing of them is kept for one consumer alone.
//!
//! A frame goes to the socket in pieces. Each is put together when the socket may take it, in a
//! buffer that all sessions of a thread use in turn; a large message is encoded there as well. So
//! a consumer that does not read holds its place in a message, and no copy of it. Pings, pongs and
//! closes are written by the library, between frames.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use futures_util::Sink;
use tokio_tungstenite::tungstenite;

use super::frame::{Body, FrameHead, PIECE, Rest, WritePlace, fill_large, fill_whole};
use super::upgrade::WebSocket;
use crate::broker::Ticket;
use crate::session::{Dialect, LargeFrame};

/// How far the deliveries of a session are written. The session keeps them itself; those before
/// `place` are written.
pub(super) struct Outgoing<L: LargeFrame> {
    place: WritePlace<L::Place>,
    /// The large message that is being written.
    large: Option<(FrameHead, L)>,
}

impl<L: LargeFrame> Default for Outgoing<L> {
    fn default() -> Outgoing<L> {
        Outgoing {
            place: WritePlace::default(),
            large: None,
        }
    }
}

impl<L: LargeFrame> Outgoing<L> {
    /// The rest of the frame that is begun, if one is.
    pub(super) fn take_rest(
        &mut self,
        dialect: &impl Dialect<LargeFrame = L>,
        tickets: &[Ticket],
    ) -> Option<Rest<L>> {
        let place = std::mem::take(&mut self.place);
        if place.at == 0 {
            return None;
        }
        let (head, body) = match self.large.take() {
            Some((head, frame)) => (head, Body::Large(frame)),
            None => {
                let ticket = &tickets[place.ticket];
                let frame = &ticket.frames(dialect.encoding())[place.frame];
                (FrameHead::new(frame.len()), Body::Whole(frame.clone()))
            }
        };
        Some(Rest { head, body, place })
    }

    /// Writes what the socket takes at once, and reports the deliveries that are written with it,
    /// which leave `tickets`. Pends while the socket takes nothing; may be called off.
    pub(super) fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        socket: &mut WebSocket,
        dialect: &impl Dialect<LargeFrame = L>,
        tickets: &mut Vec<Ticket>,
    ) -> Poll<Result<(), tungstenite::Error>> {
        if self.place.at == 0 {
            // What the library has begun to write comes to its end first.
            ready!(Pin::new(&mut *socket).poll_flush(cx))?;
        }
        let written = PIECE.with_borrow_mut(|piece| {
            let (bytes, end) = self.fill(dialect, tickets, piece);
            let written = match bytes {
                0 => 0,
                _ => ready!(socket.get_mut().poll_write_part(cx, &piece[..bytes]))?,
            };
            self.place = match written {
                _ if written == bytes => end,
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                _ => self.fill(dialect, tickets, &mut piece[..written]).1,
            };
            Poll::Ready(Ok(()))
        });
        ready!(written).map_err(tungstenite::Error::Io)?;
        if self.place.at == 0 {
            self.large = None;
        }
        if self.place.ticket > 0 {
            ready!(Pin::new(&mut *socket).poll_flush(cx))?;
            for ticket in tickets.drain(..self.place.ticket) {
                ticket.written();
            }
            self.place.ticket = 0;
        }
        Poll::Ready(Ok(()))
    }

    /// Puts what is to be written next into `piece`. Returns how many bytes that are, and where
    /// they end. A large message is alone in its pieces.
    fn fill(
        &mut self,
        dialect: &impl Dialect<LargeFrame = L>,
        tickets: &[Ticket],
        piece: &mut [u8],
    ) -> (usize, WritePlace<L::Place>) {
        let encoding = dialect.encoding();
        let (mut filled, mut place) = (0, self.place);
        while let Some(ticket) = tickets.get(place.ticket) {
            if let Some((message, bytes)) = ticket.large(encoding) {
                if filled == 0 {
                    let new = || (FrameHead::new(bytes), dialect.large_frame(message));
                    let (head, frame) = self.large.get_or_insert_with(new);
                    filled = fill_large(head, frame, &mut place, piece);
                    place.passed(filled, head.len + bytes);
                    if place.at == 0 {
                        place = WritePlace::of(place.ticket + 1);
                    }
                }
                return (filled, place);
            }
            for frame in &ticket.frames(encoding)[place.frame..] {
                let head = FrameHead::new(frame.len());
                let bytes = fill_whole(&head, frame, place.at, &mut piece[filled..]);
                filled += bytes;
                place.passed(bytes, head.len + frame.len());
                if place.at > 0 || filled == piece.len() {
                    return (filled, place);
                }
            }
            place = WritePlace::of(place.ticket + 1);
        }
        (filled, place)
    }
}
