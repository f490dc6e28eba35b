//! The classic dialect: the frames of the wire contract (protocol, "WebSocket"), and the codes
//! with which it closes.

use bytes::Bytes;
use bytestring::ByteString;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::broker::{Encoding, PublishError};
use crate::message::{Message, MessageCode};
use crate::session::{Cause, Dialect, Frame, LargeFrame, Published, SessionEnd};
use crate::wire::{self, PushFrame};

/// Messages are pushed as the JSON of the contract.
const ENCODING: Encoding = Encoding {
    name: "classic",
    write: wire::write_push_frame,
    frame_bytes: wire::push_frame_bytes,
};

/// What a client of the contract says and is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Classic {
    /// Each of its frames is a message.
    Producer {
        /// Whether each message is answered once it is synced.
        acks: bool,
    },
    /// Nothing that it sends matters.
    Consumer,
}

impl Dialect for Classic {
    type LargeFrame = PushFrame;
    type Tag = ();

    fn encoding(&self) -> &'static Encoding {
        &ENCODING
    }

    fn large_frame(&self, message: &Message) -> PushFrame {
        PushFrame::new(message)
    }

    fn read(&self, frame: Frame) -> Result<Option<Published<()>>, SessionEnd> {
        let data = match self {
            Classic::Producer { .. } => data_of(frame),
            Classic::Consumer => None,
        };
        Ok(data.map(|data| Published { data, tag: () }))
    }

    fn has_replies(&self) -> bool {
        *self == Classic::Producer { acks: true }
    }

    fn reply(&self, (): (), stored: Result<MessageCode, &PublishError>) -> Frame {
        Frame::Text(match stored {
            Ok(code) => ack(code),
            Err(error) => nack(error),
        })
    }

    fn close_code(&self, cause: Cause) -> u16 {
        let code = match cause {
            Cause::Stopping => CloseCode::Away,
            Cause::Malformed => CloseCode::Protocol,
            Cause::NotUtf8 => CloseCode::Invalid,
            Cause::TooLarge => CloseCode::Size,
            Cause::Policy => CloseCode::Policy,
            Cause::TooSlow | Cause::Silent => CloseCode::Again,
            Cause::Failed => CloseCode::Error,
        };
        code.into()
    }
}

impl LargeFrame for PushFrame {
    type Place = wire::Place;

    fn fill(&self, place: &mut wire::Place, out: &mut [u8]) -> usize {
        PushFrame::fill(self, place, out)
    }
}

/// The data of a frame that is a message. An empty frame is no message.
fn data_of(frame: Frame) -> Option<ByteString> {
    let data = match frame {
        Frame::Text(text) => text,
        Frame::Binary(bytes) => text_of(bytes),
        Frame::Ping | Frame::Pong | Frame::Close(_) => return None,
    };
    (!data.is_empty()).then_some(data)
}

fn text_of(bytes: Bytes) -> ByteString {
    match ByteString::try_from(bytes.clone()) {
        Ok(text) => text,
        Err(_) => String::from_utf8_lossy(&bytes).into_owned().into(),
    }
}

/// The frame of a message that is synced.
fn ack(code: MessageCode) -> ByteString {
    let code = code.to_hex();
    let code = std::str::from_utf8(&code).expect("hex digits are ASCII");
    let mut frame = String::with_capacity(64);
    frame.push_str(r#"{"code":0,"msg":""#);
    frame.push_str(code);
    frame.push_str(r#""}"#);
    frame.into()
}

/// The frame of a message that is not stored.
fn nack(error: &PublishError) -> ByteString {
    let reason = serde_json::Value::from(error.to_string());
    format!(r#"{{"code":-1,"msg":{reason}}}"#).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_frame_with_data_is_a_message() {
        let text = |frame| data_of(frame).map(|data| data.to_string());
        let binary = |bytes: &'static [u8]| Frame::Binary(Bytes::from_static(bytes));
        assert_eq!(text(Frame::text("a")), Some("a".into()));
        assert_eq!(text(binary(b"a\xff")), Some("a\u{fffd}".into()));
        assert_eq!(text(Frame::text("")), None);
        assert_eq!(text(binary(b"")), None);
        assert_eq!(text(Frame::Ping), None);
    }

    #[test]
    fn a_consumer_publishes_nothing() {
        assert_eq!(Classic::Consumer.read(Frame::text("a")), Ok(None));
    }

    #[test]
    fn answers_are_json() {
        let code: MessageCode = "d9a624ffa17a6c51fcb2381686dd335161b7252d".parse().unwrap();
        assert_eq!(
            ack(code),
            r#"{"code":0,"msg":"d9a624ffa17a6c51fcb2381686dd335161b7252d"}"#
        );
        assert_eq!(
            nack(&PublishError::QueueFull),
            r#"{"code":-1,"msg":"the queue is full, try again later"}"#
        );
    }
}
