//! Messages as JSON.

use serde::Serialize;

use crate::message::{Message, Status, StatusKind};

/// The characters of data that a row shows.
const PREVIEW_CHARS: usize = 256;

/// The names of the statuses in this API.
pub(in crate::http::api) const STATUSES: [(&str, StatusKind); 3] = [
    ("accepted", StatusKind::Accepted),
    ("not_consumed", StatusKind::NotConsumed),
    ("consumed", StatusKind::Consumed),
];

/// The name of a status.
pub(in crate::http::api) fn status_name(kind: StatusKind) -> &'static str {
    let named = STATUSES.iter().find(|(_, named)| *named == kind);
    named.map_or("", |(name, _)| name)
}

fn consumed_at(status: Status) -> Option<u32> {
    match status {
        Status::Consumed { at } => Some(at.0),
        Status::Accepted | Status::NotConsumed => None,
    }
}

/// The fields that all views of a message share.
#[derive(Serialize)]
pub(in crate::http::api) struct MessageHead<'a> {
    sequence: u64,
    code: String,
    topic: &'a str,
    status: &'static str,
    created: u32,
    consumed: Option<u32>,
    bytes: usize,
}

impl<'a> MessageHead<'a> {
    fn of(message: &'a Message) -> MessageHead<'a> {
        MessageHead {
            sequence: message.sequence.0,
            code: message.code.to_string(),
            topic: message.topic.as_str(),
            status: status_name(message.status.kind()),
            created: message.created.0,
            consumed: consumed_at(message.status),
            bytes: message.data.len(),
        }
    }
}

/// A message in a list, with the start of its data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct MessageRow<'a> {
    #[serde(flatten)]
    head: MessageHead<'a>,
    preview: &'a str,
    preview_complete: bool,
}

impl<'a> MessageRow<'a> {
    pub(in crate::http::api) fn of(message: &'a Message) -> MessageRow<'a> {
        let data: &str = &message.data;
        let end = data.char_indices().nth(PREVIEW_CHARS);
        let preview = &data[..end.map_or(data.len(), |(end, _)| end)];
        MessageRow {
            head: MessageHead::of(message),
            preview,
            preview_complete: end.is_none(),
        }
    }
}

/// A message with its data.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct FullMessage<'a> {
    #[serde(flatten)]
    head: MessageHead<'a>,
    data: &'a str,
    data_complete: bool,
}

impl<'a> FullMessage<'a> {
    /// The message with at most `bytes_max` bytes of its data, cut between two characters.
    pub(in crate::http::api) fn of(message: &'a Message, bytes_max: usize) -> FullMessage<'a> {
        let data = &message.data[..message.data.floor_char_boundary(bytes_max)];
        FullMessage {
            head: MessageHead::of(message),
            data,
            data_complete: data.len() == message.data.len(),
        }
    }

    /// The same message without its data, which the caller writes part by part.
    pub(in crate::http::api) fn without_data(self) -> FullMessage<'a> {
        FullMessage { data: "", ..self }
    }
}

#[cfg(test)]
pub(in crate::http::api) fn sample(sequence: u64, data: &str) -> Message {
    use crate::message::{MessageCode, Sequence, UnixSeconds};
    Message {
        sequence: Sequence(sequence),
        code: MessageCode::from_bytes([7; 20]),
        topic: "t".parse().unwrap(),
        data: data.to_owned().into(),
        created: UnixSeconds(1_795_367_326),
        status: Status::NotConsumed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_preview_has_whole_characters() {
        for (data, chars, complete) in [
            ("é".repeat(255), 255, true),
            ("é".repeat(256), 256, true),
            ("短".repeat(257), 256, false),
            (String::new(), 0, true),
        ] {
            let message = sample(1, &data);
            let row = MessageRow::of(&message);
            assert_eq!(row.preview.chars().count(), chars);
            assert_eq!(row.preview_complete, complete);
            assert!(data.starts_with(row.preview));
        }
    }

    #[test]
    fn data_is_cut_between_characters() {
        let message = sample(1, "aé");
        for (bytes_max, data, complete) in [(3, "aé", true), (2, "a", false), (0, "", false)] {
            let full = FullMessage::of(&message, bytes_max);
            assert_eq!((full.data, full.data_complete), (data, complete));
        }
    }

    #[test]
    fn every_status_has_its_name() {
        for kind in StatusKind::ALL {
            assert!(STATUSES.contains(&(status_name(kind), kind)));
        }
    }
}
