//! A frame: what a client and its session say to each other at a time, however it is carried.

use bytes::Bytes;
use bytestring::ByteString;

/// A frame, in either direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Text.
    Text(ByteString),
    /// Bytes.
    Binary(Bytes),
    /// Asks the other side for a [`Frame::Pong`], which the connection sends by itself.
    Ping,
    /// The answer to a ping.
    Pong,
    /// The end of what this side says.
    Close(Option<Farewell>),
}

/// Why a side closes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Farewell {
    /// The code of the dialect.
    pub code: u16,
    /// The reason, for people.
    pub reason: String,
}

impl Frame {
    /// A frame of text that does not change.
    pub fn text(text: &'static str) -> Frame {
        Frame::Text(ByteString::from_static(text))
    }
}
