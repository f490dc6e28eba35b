//! A WebSocket as the connection of a session: frames of the library become frames of the
//! session, and what the library reports becomes the reason why the session ends.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::{Sink, Stream};
use tokio_tungstenite::tungstenite::error::ProtocolError;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::intake::Unreadable;
use super::outgoing::Outgoing;
use super::upgrade::WebSocket;
use crate::broker::Ticket;
use crate::connection::line::Line;
use crate::session::{Cause, Connection, Dialect, Farewell, Frame, Liveness, SessionEnd};

/// The WebSocket of a client that speaks the dialect `D`.
pub(super) struct Socket<D: Dialect> {
    stream: WebSocket,
    line: Line,
    dialect: D,
    outgoing: Outgoing<D::LargeFrame>,
}

impl<D: Dialect> Socket<D> {
    pub(super) fn new(stream: WebSocket, line: Line, dialect: D) -> Socket<D> {
        Socket {
            stream,
            line,
            dialect,
            outgoing: Outgoing::default(),
        }
    }
}

impl<D: Dialect> Connection<D> for Socket<D> {
    fn logged_in(&mut self) {
        self.stream.get_mut().logged_in();
    }

    fn liveness(&self) -> Liveness {
        self.stream.get_ref().liveness()
    }

    fn line(&self) -> &Line {
        &self.line
    }

    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        deliveries: &mut Vec<Ticket>,
    ) -> Poll<Result<(), SessionEnd>> {
        let Socket {
            stream,
            dialect,
            outgoing,
            ..
        } = self;
        let written = ready!(outgoing.poll_write(cx, stream, dialect, deliveries));
        Poll::Ready(written.map_err(end_of))
    }

    fn stop_delivering(&mut self, deliveries: &[Ticket]) {
        if let Some(rest) = self.outgoing.take_rest(&self.dialect, deliveries) {
            self.stream.get_mut().set_rest(Box::new(rest));
        }
    }
}

impl<D: Dialect> Stream for Socket<D> {
    type Item = Result<Frame, SessionEnd>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let next = ready!(Pin::new(&mut self.stream).poll_next(cx));
        Poll::Ready(next.map(|read| read.map(frame_of).map_err(end_of)))
    }
}

impl<D: Dialect> Sink<Frame> for Socket<D> {
    type Error = SessionEnd;

    fn poll_ready(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
        Pin::new(&mut self.stream).poll_ready(cx).map_err(end_of)
    }

    fn start_send(mut self: Pin<&mut Self>, frame: Frame) -> Result<(), SessionEnd> {
        let stream = Pin::new(&mut self.stream);
        stream.start_send(message_of(frame)).map_err(end_of)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
        Pin::new(&mut self.stream).poll_flush(cx).map_err(end_of)
    }

    fn poll_close(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
        Pin::new(&mut self.stream).poll_close(cx).map_err(end_of)
    }
}

fn frame_of(message: Message) -> Frame {
    match message {
        Message::Text(text) => {
            let text = ByteString::try_from(Bytes::from(text));
            Frame::Text(text.expect("the library has checked it"))
        }
        Message::Binary(bytes) => Frame::Binary(bytes),
        Message::Ping(_) => Frame::Ping,
        Message::Pong(_) => Frame::Pong,
        Message::Close(frame) => Frame::Close(frame.map(|frame| Farewell {
            code: frame.code.into(),
            reason: frame.reason.as_str().to_owned(),
        })),
        Message::Frame(_) => unreachable!("the library hands out whole messages"),
    }
}

fn message_of(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => {
            let text = Utf8Bytes::try_from(text.into_bytes());
            Message::Text(text.expect("it is a text"))
        }
        Frame::Binary(bytes) => Message::Binary(bytes),
        Frame::Ping => Message::Ping(Bytes::new()),
        Frame::Pong => Message::Pong(Bytes::new()),
        Frame::Close(farewell) => Message::Close(farewell.map(|farewell| CloseFrame {
            code: farewell.code.into(),
            reason: farewell.reason.into(),
        })),
    }
}

/// Whose fault it is that a socket cannot be read or written.
fn end_of(error: tungstenite::Error) -> SessionEnd {
    let text = error.to_string();
    let cause = match error {
        tungstenite::Error::Io(error) => {
            let why = error.get_ref().and_then(|inner| inner.downcast_ref());
            return why.map_or(SessionEnd::ByClient, |why: &Unreadable| (*why).into());
        }
        tungstenite::Error::Capacity(_) => Cause::TooLarge,
        tungstenite::Error::Utf8(_) => Cause::NotUtf8,
        tungstenite::Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => {
            return SessionEnd::ByClient;
        }
        tungstenite::Error::Protocol(_) => Cause::Malformed,
        _ => return SessionEnd::ByClient,
    };
    SessionEnd::by_server(cause, text)
}

impl From<Unreadable> for SessionEnd {
    fn from(why: Unreadable) -> SessionEnd {
        let cause = match why {
            Unreadable::TooLarge { .. } => Cause::TooLarge,
            Unreadable::Control(_) => Cause::Malformed,
            Unreadable::TooSlow | Unreadable::TooMany => Cause::Policy,
        };
        SessionEnd::by_server(cause, why.to_string())
    }
}
