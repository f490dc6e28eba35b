//! The frames that a client sends, as far as their heads: where each ends, and how large its
//! message has become (RFC 6455, 5.2). Whether they make sense is for the library to say.

const HEAD_BYTES_MAX: usize = 14;
/// The opcode of a ping.
const PING: u8 = 0x9;

/// Where in a stream of frames a client is.
#[derive(Default)]
pub(super) struct FrameParser {
    head: [u8; HEAD_BYTES_MAX],
    head_bytes: usize,
    /// What is still to come of the payload of a frame.
    payload: u64,
    /// The bytes of the message that is coming, with those of the frame that is coming.
    message: u64,
    /// Whether more frames of the message follow.
    is_open: bool,
    had_message: bool,
}

/// The head of one frame.
pub(super) struct IncomingHead {
    pub(super) is_control: bool,
    pub(super) is_ping: bool,
    /// Whether it belongs to the first message of all.
    pub(super) is_first: bool,
    /// Whether it is a message by itself.
    pub(super) is_whole: bool,
    pub(super) bytes: u64,
    /// The bytes of its message so far, with its own.
    pub(super) message_bytes: u64,
}

impl FrameParser {
    /// The next head that ends in `bytes` after the first `at`, which move past it.
    pub(super) fn next(&mut self, bytes: &[u8], at: &mut usize) -> Option<IncomingHead> {
        let rest = (bytes.len() - *at) as u64;
        let skipped = rest.min(self.payload);
        self.payload -= skipped;
        *at += usize::try_from(skipped).expect("at most what there is");
        while let Some(byte) = bytes.get(*at) {
            self.head[self.head_bytes] = *byte;
            self.head_bytes += 1;
            *at += 1;
            if self.head_bytes >= 2 && self.head_bytes == self.expected() {
                return Some(self.end_of_head());
            }
        }
        None
    }

    /// The length of the head, whose first two bytes are there.
    fn expected(&self) -> usize {
        let length = match self.head[1] & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let mask = if self.head[1] & 0x80 == 0 { 0 } else { 4 };
        2 + length + mask
    }

    fn end_of_head(&mut self) -> IncomingHead {
        let [first, second, a, b, c, d, e, f, g, h, ..] = self.head;
        let bytes = match second & 0x7f {
            126 => u64::from(u16::from_be_bytes([a, b])),
            127 => u64::from_be_bytes([a, b, c, d, e, f, g, h]),
            short => u64::from(short),
        };
        (self.head_bytes, self.payload) = (0, bytes);
        let is_last = first & 0x80 != 0;
        let is_control = first & 0x08 != 0;
        let (was_open, is_first) = (self.is_open, !self.had_message);
        if !is_control {
            self.message = match was_open {
                true => self.message.saturating_add(bytes),
                false => bytes,
            };
            self.is_open = !is_last;
            self.had_message |= is_last;
        }
        IncomingHead {
            is_control,
            is_ping: first & 0x0f == PING,
            is_first,
            is_whole: is_last && !was_open,
            bytes,
            message_bytes: self.message,
        }
    }

    /// Whether a message has ended and none has begun.
    pub(super) fn is_between_messages(&self) -> bool {
        self.payload == 0 && self.head_bytes == 0 && !self.is_open
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A masked frame whose length has so many bytes of its own.
    fn frame(first: u8, payload: u16, length_bytes: usize) -> Vec<u8> {
        let mut frame = vec![first];
        match length_bytes {
            0 => frame.push(0x80 | u8::try_from(payload).unwrap()),
            2 => {
                frame.push(0x80 | 126);
                frame.extend(payload.to_be_bytes());
            }
            _ => {
                frame.push(0x80 | 127);
                frame.extend(u64::from(payload).to_be_bytes());
            }
        }
        frame.extend([0; 4]);
        frame.resize(frame.len() + usize::from(payload), 0xff);
        frame
    }

    /// The payload of each frame, and the bytes of its message so far; where its head ends.
    fn heads(bytes: &[u8], cut: usize) -> (Vec<(u64, u64, usize)>, bool) {
        let (mut parser, mut found, mut before) = (FrameParser::default(), vec![], 0);
        for part in bytes.chunks(cut) {
            let mut at = 0;
            while let Some(head) = parser.next(part, &mut at) {
                found.push((head.bytes, head.message_bytes, before + at));
            }
            before += part.len();
        }
        (found, parser.is_between_messages())
    }

    #[test]
    fn heads_are_found_wherever_the_bytes_are_cut() {
        let bytes = [
            frame(0x82, 5, 0),
            frame(0x82, 0, 0),
            frame(0x01, 300, 2),
            frame(0x89, 4, 0),
            frame(0x00, 7, 8),
            frame(0x80, 3, 0),
            frame(0x81, 2, 2),
        ];
        let bytes = bytes.concat();
        let wanted = [
            (5, 5, 6),
            (0, 0, 17),
            (300, 300, 25),
            // A ping between the pieces is no part of their message.
            (4, 300, 331),
            (7, 307, 349),
            (3, 310, 362),
            (2, 2, 373),
        ];
        for cut in 1..=bytes.len() {
            let (found, is_between) = heads(&bytes, cut);
            assert_eq!(found, wanted, "{cut} bytes at a time");
            assert!(is_between);
        }
        for end in [2, bytes.len() - 1, 200, 335] {
            assert!(!heads(&bytes[..end], 1000).1, "{end} bytes");
        }
    }
}
