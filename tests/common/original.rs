//! Data files as the original server writes them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

/// A file of `tests/fixtures/import`.
pub fn fixture(name: &str) -> Vec<u8> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/import");
    fs::read(dir.join(name)).unwrap()
}

/// A message to put into a data file of the original, which then has any time and status.
pub struct GoMessage {
    pub data: String,
    pub topic: &'static str,
    pub created: i64,
    pub status: i64,
}

impl GoMessage {
    /// Not consumed yet.
    pub fn new(topic: &'static str, data: impl Into<String>, created: i64) -> GoMessage {
        GoMessage {
            data: data.into(),
            topic,
            created,
            status: 0,
        }
    }

    /// The same with this status.
    pub fn status(self, status: i64) -> GoMessage {
        GoMessage { status, ..self }
    }
}

/// A data file of the original with these messages: the gob of a byte slice that holds JSON.
pub fn go_data(messages: &[GoMessage]) -> Vec<u8> {
    let mut map = serde_json::Map::new();
    for (number, message) in messages.iter().enumerate() {
        let code = format!("{number:032x}{:08x}", message.created);
        let entry = json!({
            "MessageCode": code,
            "MessageData": message.data,
            "Topic": message.topic,
            "CreateTime": message.created,
            "ConsumedTime": if message.status == 1 { message.created } else { 0 },
            "Status": message.status,
        });
        map.insert(code, entry);
    }
    let json = Value::Object(map).to_string();
    let value = [&[0x0a, 0x00], &*gob_unsigned(json.len()), json.as_bytes()].concat();
    [gob_unsigned(value.len()), value].concat()
}

fn gob_unsigned(n: usize) -> Vec<u8> {
    let bytes = n.to_be_bytes();
    let zeros = bytes.iter().take_while(|b| **b == 0).count();
    match u8::try_from(n) {
        Ok(small @ 0..0x80) => vec![small],
        _ => {
            let length = u8::try_from(bytes.len() - zeros).unwrap();
            [&[length.wrapping_neg()], &bytes[zeros..]].concat()
        }
    }
}
