//! The JSON of the wire contract: field names, status integers, the pushed frame.
//!
//! Used by `http/` and `ws/` only. The contract is `docs/protocol.md`: names,
//! types and their order are fixed by the clients that exist.

mod escape;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};

use crate::message::{Message, Status, StatusKind};

/// A message as every reply and frame shows it (protocol, "Message").
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct WireMessage<'a> {
    /// 40 lower-case hex digits.
    pub message_code: &'a str,
    /// The data as it was sent.
    pub message_data: &'a str,
    /// The topic.
    pub topic: &'a str,
    /// Unix seconds.
    pub create_time: u32,
    /// Unix seconds, 0 until consumed.
    pub consumed_time: u32,
    /// -1, 0 or 1: see [`status_code`].
    pub status: i8,
}

/// The integer of a status: -1 accepted, 0 not consumed, 1 consumed.
pub fn status_code(kind: StatusKind) -> i8 {
    match kind {
        StatusKind::Accepted => -1,
        StatusKind::NotConsumed => 0,
        StatusKind::Consumed => 1,
    }
}

/// The status of an integer; `None` for one that has none.
pub fn status_kind(code: i64) -> Option<StatusKind> {
    match code {
        -1 => Some(StatusKind::Accepted),
        0 => Some(StatusKind::NotConsumed),
        1 => Some(StatusKind::Consumed),
        _ => None,
    }
}

/// The field of a message that has its data.
pub const DATA_FIELD: &str = "MessageData";

/// A stored message as JSON, with its status as it is now and its data left out.
pub fn without_data(message: &Message) -> String {
    let mut out = vec![];
    write(&mut out, message, "", message.status);
    String::from_utf8(out).expect("JSON is UTF-8")
}

/// Appends the frame that is pushed to consumers: the message as it left the queue, which is
/// always status -1 and never consumed, whatever has become of it since.
pub fn write_push_frame(out: &mut Vec<u8>, message: &Message) {
    write(out, message, &message.data, Status::Accepted);
}

/// How long the frame of a message is.
pub fn push_frame_bytes(message: &Message) -> usize {
    let mut around = vec![];
    write(&mut around, message, "", Status::Accepted);
    around.len() + escape::escaped_bytes(message.data.as_bytes())
}

/// The frame that is pushed to consumers, made piece by piece: for a message that is too large to
/// have its frame in one piece beside it.
pub struct PushFrame {
    /// The frame without its data.
    around: Vec<u8>,
    data: ByteString,
}

/// How far a [`PushFrame`] has been made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Place {
    around: usize,
    data: escape::EscapePosition,
}

/// Where in a frame its data begins.
const DATA_AT: usize = r#"{"MessageCode":"","MessageData":""#.len() + 40;

impl PushFrame {
    /// The frame of this message.
    pub fn new(message: &Message) -> PushFrame {
        let mut around = vec![];
        write(&mut around, message, "", Status::Accepted);
        PushFrame {
            around,
            data: message.data.clone(),
        }
    }

    /// Makes what comes next, as much of it as `out` has room for. Returns how many bytes those
    /// are: 0 at the end.
    pub fn fill(&self, place: &mut Place, out: &mut [u8]) -> usize {
        let data = self.data.as_bytes();
        let mut filled = self.copy_around(place, DATA_AT, out);
        if place.around >= DATA_AT {
            filled += escape::fill(data, &mut place.data, &mut out[filled..]);
        }
        if place.data.is_at(data.len()) {
            filled += self.copy_around(place, self.around.len(), &mut out[filled..]);
        }
        filled
    }

    /// Copies what comes next of what is around the data, up to `end`.
    fn copy_around(&self, place: &mut Place, end: usize, out: &mut [u8]) -> usize {
        let rest = self.around.get(place.around..end).unwrap_or_default();
        let bytes = rest.len().min(out.len());
        out[..bytes].copy_from_slice(&rest[..bytes]);
        place.around += bytes;
        bytes
    }
}

fn write(out: &mut Vec<u8>, message: &Message, data: &str, status: Status) {
    let hex = message.code.to_hex();
    let wire = WireMessage {
        message_code: std::str::from_utf8(&hex).expect("hex digits are ASCII"),
        message_data: data,
        topic: message.topic.as_str(),
        create_time: message.created.0,
        consumed_time: match status {
            Status::Consumed { at } => at.0,
            Status::Accepted | Status::NotConsumed => 0,
        },
        status: status_code(status.kind()),
    };
    serde_json::to_writer(out, &wire).expect("a message has only strings and integers");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::{MessageCode, Sequence, UnixSeconds};

    fn message(status: Status) -> Message {
        let code: MessageCode = "d9a624ffa17a6c51fcb2381686dd335161b7252d".parse().unwrap();
        Message {
            sequence: Sequence(1),
            code,
            topic: "test_topic".parse().unwrap(),
            data: "hello".into(),
            created: code.created(),
            status,
        }
    }

    #[test]
    fn a_frame_shows_the_message_as_it_left_the_queue() {
        let at = UnixSeconds(1_639_392_560);
        for status in [Status::Accepted, Status::Consumed { at }] {
            let mut out = vec![];
            write_push_frame(&mut out, &message(status));
            assert_eq!(
                String::from_utf8(out).unwrap(),
                r#"{"MessageCode":"d9a624ffa17a6c51fcb2381686dd335161b7252d","MessageData":"hello","Topic":"test_topic","CreateTime":1639392557,"ConsumedTime":0,"Status":-1}"#
            );
        }
    }

    /// The frame made in pieces of so many bytes.
    fn pieces(message: &Message, bytes: usize) -> Vec<u8> {
        let (frame, mut place, mut made) = (PushFrame::new(message), Place::default(), vec![]);
        let mut piece = vec![0; bytes];
        loop {
            let again = place;
            let filled = frame.fill(&mut place, &mut piece);
            if filled == 0 {
                return made;
            }
            // As much as a socket took of it.
            let taken = filled.div_ceil(2);
            place = again;
            assert_eq!(frame.fill(&mut place, &mut piece[..taken]), taken);
            made.extend_from_slice(&piece[..taken]);
        }
    }

    #[test]
    fn a_frame_in_pieces_is_the_same_frame() {
        let all = (0..=0x2ff_u32).filter_map(char::from_u32);
        let texts = [
            String::new(),
            "plain ".repeat(100),
            "\u{1}".repeat(100),
            "\"a\\b\"\n".repeat(50),
            all.chain("短\u{1f600}".chars()).collect(),
        ];
        for text in texts {
            let mut message = message(Status::Accepted);
            message.data = text.into();
            let mut whole = vec![];
            write_push_frame(&mut whole, &message);
            assert_eq!(push_frame_bytes(&message), whole.len());
            for bytes in [1, 2, 3, 5, 7, 64, 10_000] {
                assert_eq!(pieces(&message, bytes), whole, "{bytes} bytes at a time");
            }
        }
    }

    #[test]
    fn a_listed_message_shows_its_status() {
        let at = UnixSeconds(1_639_392_560);
        let text = without_data(&message(Status::Consumed { at }));
        assert_eq!(
            text,
            r#"{"MessageCode":"d9a624ffa17a6c51fcb2381686dd335161b7252d","MessageData":"","Topic":"test_topic","CreateTime":1639392557,"ConsumedTime":1639392560,"Status":1}"#
        );
    }

    #[test]
    fn every_status_has_its_integer() {
        for kind in StatusKind::ALL {
            assert_eq!(status_kind(status_code(kind).into()), Some(kind));
        }
        assert_eq!(status_kind(3), None);
    }
}
