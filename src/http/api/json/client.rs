//! Clients as JSON.

use std::net::IpAddr;

use serde::Serialize;

use crate::broker::{Client, Role};

/// A connected client.
#[derive(Serialize)]
pub(in crate::http::api) struct ClientJson<'a> {
    number: u64,
    role: &'static str,
    id: &'a str,
    topic: &'a str,
    ip: IpAddr,
    since: u32,
    key: &'a str,
    messages: u64,
    outbox: Option<OutboxJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct OutboxJson {
    messages: usize,
    messages_max: usize,
    bytes: usize,
    bytes_max: usize,
}

impl<'a> ClientJson<'a> {
    pub(in crate::http::api) fn of(client: &'a Client) -> ClientJson<'a> {
        ClientJson {
            number: client.number,
            role: match client.role {
                Role::Consumer => "consumer",
                Role::Producer => "producer",
            },
            id: &client.info.id,
            topic: client.info.topic.as_str(),
            ip: client.info.ip.to_canonical(),
            since: client.info.since.0,
            key: &client.info.key,
            messages: client.messages,
            outbox: client.outbox.map(|outbox| OutboxJson {
                messages: outbox.messages,
                messages_max: outbox.limits.messages,
                bytes: outbox.bytes,
                bytes_max: outbox.limits.bytes,
            }),
        }
    }
}
