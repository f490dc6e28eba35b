//! Encodes messages as frames.

use crate::message::Message;
use crate::store::log::frame::{self, FRAME_DATA_TARGET, FRAME_MESSAGES_MAX, Frame, NewMessage};

/// A frame of messages in the buffer of a group: where it begins, and which messages it has.
pub(crate) struct Written {
    pub(in crate::store) offset: usize,
    pub(in crate::store) messages: std::ops::Range<usize>,
}

/// Appends `messages`, which have consecutive sequences, to `out` as frames. Returns where each
/// frame is.
pub(crate) fn encode_messages(out: &mut Vec<u8>, seed: u32, messages: &[Message]) -> Vec<Written> {
    let mut frames = vec![];
    for range in frame_ranges(messages) {
        let offset = out.len();
        let of_frame = &messages[range.clone()];
        let new_messages: Vec<NewMessage<'_>> = of_frame.iter().map(new_message).collect();
        let frame = Frame {
            first: of_frame[0].sequence,
            new_messages: &new_messages,
            ..Frame::default()
        };
        frame::encode(out, seed, &frame);
        frames.push(Written {
            offset,
            messages: range,
        });
    }
    frames
}

/// Borrows a message in the form that a frame takes.
pub(crate) fn new_message(message: &Message) -> NewMessage<'_> {
    NewMessage {
        code: message.code,
        created: message.created,
        topic: &message.topic,
        data: message.data.as_bytes(),
    }
}

/// Splits messages into frames of limited size.
pub(crate) fn frame_ranges(messages: &[Message]) -> Vec<std::ops::Range<usize>> {
    let mut ranges = vec![];
    let (mut start, mut bytes) = (0, 0);
    for (at, message) in messages.iter().enumerate() {
        let full = at - start >= FRAME_MESSAGES_MAX || bytes >= FRAME_DATA_TARGET;
        // A large message has a frame of its own, so that its neighbours can be read without it.
        let large = message.data.len() >= FRAME_DATA_TARGET && at > start;
        if full || large {
            ranges.push(start..at);
            (start, bytes) = (at, 0);
        }
        bytes += message.data.len();
    }
    if start < messages.len() {
        ranges.push(start..messages.len());
    }
    ranges
}
