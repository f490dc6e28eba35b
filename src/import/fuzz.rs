//! Data files of the original that are made up or changed.

use std::collections::BTreeMap;
use std::fs;

use bolero::{TypeGenerator, check, produce};
use serde_json::json;

use super::tests::{data_file, fixture};
use super::*;
use crate::fuzz::{Edit, bounded};

/// A message as the original keeps it.
#[derive(Clone, Debug, TypeGenerator)]
struct MadeEntry {
    digest: u128,
    created: u32,
    topic: u8,
    data: String,
    consumed: Option<u32>,
}

#[test]
fn messages_come_over_as_they_were() {
    let target = check!().with_generator(produce::<Vec<MadeEntry>>().with().len(0..20usize));
    bounded(target, 200).for_each(|entries| {
        let code = |entry: &MadeEntry| format!("{:032x}{:08x}", entry.digest, entry.created);
        let by_code: BTreeMap<_, _> = entries.iter().map(|entry| (code(entry), entry)).collect();
        let file = by_code.iter().map(|(code, entry)| {
            let message = json!({
                "MessageCode": code,
                "MessageData": entry.data,
                "Topic": format!("topic {}", entry.topic),
                "CreateTime": entry.created,
                "ConsumedTime": entry.consumed.unwrap_or(0),
                "Status": i8::from(entry.consumed.is_some()),
            });
            (code.clone(), message)
        });
        let json = serde_json::Value::Object(file.collect()).to_string();
        let import = parse(&data_file(json.as_bytes())).unwrap();
        assert_eq!((import.refused.len(), import.damage), (0, None));
        assert_eq!(import.messages.len(), by_code.len());
        for message in import.messages {
            let entry = by_code[&message.code.to_string()];
            let status = match entry.consumed {
                None => Status::NotConsumed,
                Some(at) => Status::Consumed {
                    at: UnixSeconds(at),
                },
            };
            assert_eq!(
                (&*message.data, message.created),
                (&*entry.data, UnixSeconds(entry.created))
            );
            assert_eq!(message.topic.as_str(), format!("topic {}", entry.topic));
            assert_eq!(message.status, status);
        }
    });
}

#[test]
fn a_file_that_was_changed_is_taken_over_in_order_or_refused_with_a_reason() {
    let good = fs::read(fixture("go-data-small")).unwrap();
    let edits = produce::<Vec<Edit>>().with().len(1..5usize);
    bounded(check!().with_generator(edits), 150).for_each(|edits| {
        let mut file = good.clone();
        edits.iter().for_each(|edit| edit.apply(&mut file));
        match parse(&file) {
            Ok(import) => {
                let order = |message: &ImportedMessage| (message.created, message.code);
                assert!(import.messages.is_sorted_by(|a, b| order(a) < order(b)));
                // A byte becomes three at most.
                let data: usize = import
                    .messages
                    .iter()
                    .map(|message| message.data.len())
                    .sum();
                assert!(data <= 3 * file.len());
                let reasons = import.refused.iter().map(|refused| &refused.reason);
                assert!(
                    reasons
                        .chain(&import.damage)
                        .all(|reason| !reason.is_empty())
                );
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    });
}
