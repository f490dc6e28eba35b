//! The JSON of the wire contract: field names, status integers, the pushed frame.
//!
//! Used by the edges only. The contract is `docs/protocol.md`: names,
//! types and their order are fixed by the clients that exist.

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
