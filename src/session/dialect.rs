//! A dialect: how a session and its client say things to each other. The loops of the session
//! decide what is said, and when.

use bytestring::ByteString;

use super::ends::{Cause, SessionEnd};
use super::frame::Frame;
use crate::broker::{Encoding, PublishError};
use crate::message::{Message, MessageCode};

/// How a session and its client say things to each other. A clone is the same dialect: a session
/// reads and answers in tasks of their own.
pub trait Dialect: Clone + Send + Sync + Unpin + 'static {
    /// The frame of a large message, which is made piece by piece.
    type LargeFrame: LargeFrame;

    /// What a reply repeats of the frame that it answers.
    type Tag: Send + 'static;

    /// How a pushed message is encoded.
    fn encoding(&self) -> &'static Encoding;

    /// The frame of a large message: the same bytes that [`Dialect::encoding`] gives.
    fn large_frame(&self, message: &Message) -> Self::LargeFrame;

    /// What a client says with a frame that is no [`Frame::Close`]: a message that it publishes,
    /// or nothing that concerns the session. A session of a consumer publishes nothing.
    ///
    /// # Errors
    /// The frame ends the session.
    fn read(&self, frame: Frame) -> Result<Option<Published<Self::Tag>>, SessionEnd>;

    /// Whether a producer is told what becomes of each message. One that is not need not read at
    /// all, and its session ends when a message cannot be stored.
    fn has_replies(&self) -> bool;

    /// What a producer is told of a message: its code once it is stored, or why it is not.
    fn reply(&self, tag: Self::Tag, stored: Result<MessageCode, &PublishError>) -> Frame;

    /// The code of the [`Frame::Close`] with which the server ends a session.
    fn close_code(&self, cause: Cause) -> u16;
}

/// A message that a client publishes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published<T> {
    /// Its data.
    pub data: ByteString,
    /// What the reply to it repeats.
    pub tag: T,
}

/// The frame of a large message, made piece by piece: nothing has all of it in memory.
pub trait LargeFrame: Send + Unpin + 'static {
    /// How far the frame has been made.
    type Place: Copy + Default + Send + Unpin;

    /// Makes what comes next, as much of it as `out` takes, and moves `place` on. Returns how
    /// many bytes those are: 0 at the end.
    fn fill(&self, place: &mut Self::Place, out: &mut [u8]) -> usize;
}
