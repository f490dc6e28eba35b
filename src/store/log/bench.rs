//! Encodes and decodes frames of the log without the writer, for `benches/` alone.

use crate::message::Message;
use crate::store::log::encode::encode_messages;
use crate::store::log::frame::{FrameError, HEAD_BYTES, Head};

/// Any seed will do: it changes the checksums, not the time they take.
const SEED: u32 = 7;

/// Appends `messages`, which have consecutive sequences, to `out` as frames of the log.
pub fn encode(out: &mut Vec<u8>, messages: &[Message]) {
    encode_messages(out, SEED, messages);
}

/// Checks and decodes frames that [`encode`] wrote. Returns the number of their messages, or `None`
/// if a frame is damaged.
pub fn decode(bytes: &[u8]) -> Option<usize> {
    frames(bytes).ok()
}

fn frames(mut bytes: &[u8]) -> Result<usize, FrameError> {
    let mut messages = 0;
    while !bytes.is_empty() {
        let head = Head::parse(bytes)?;
        let (frame, rest) = bytes
            .split_at_checked(head.frame_len())
            .ok_or(FrameError::Cut)?;
        messages += head.meta(SEED, frame)?.entries.len();
        head.check_data(SEED, &frame[HEAD_BYTES + head.meta_len..])?;
        bytes = rest;
    }
    Ok(messages)
}
