//! The life of a message as JSON.

use std::net::IpAddr;

use serde::Serialize;

use crate::broker::{Push, Waiting, Whereabouts};
use crate::http::api::json::numbers::rounded;

/// What the broker knows about a message beyond its content.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(in crate::http::api) struct LifeJson<'a> {
    expires: Option<u32>,
    pushes: Vec<PushJson<'a>>,
    /// Unix seconds.
    pushes_since: u64,
    waiting: Option<WaitingJson>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct PushJson<'a> {
    at_ms: u64,
    consumers: Vec<RecipientJson<'a>>,
    consumers_total: usize,
    written: usize,
    failed: usize,
}

#[derive(Serialize)]
struct RecipientJson<'a> {
    number: u64,
    id: &'a str,
    ip: IpAddr,
}

#[derive(Serialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
enum WaitingJson {
    Queued { ahead: u64 },
    Outbox,
    Behind,
    NoConsumer,
    NextCheck { seconds: f64 },
    NoRePush,
}

impl<'a> LifeJson<'a> {
    pub(in crate::http::api) fn of(life: &'a Whereabouts) -> LifeJson<'a> {
        LifeJson {
            expires: life.expires.map(|at| at.0),
            pushes: life.pushes.iter().map(PushJson::of).collect(),
            pushes_since: life.pushes_since_ms / 1000,
            waiting: life.waiting.map(WaitingJson::from),
        }
    }
}

impl<'a> PushJson<'a> {
    fn of(push: &'a Push) -> PushJson<'a> {
        const CONSUMERS_MAX: usize = 16;
        let first = push.recipients.iter().take(CONSUMERS_MAX);
        let consumers = first.map(|recipient| RecipientJson {
            number: recipient.number,
            id: &recipient.id,
            ip: recipient.ip.to_canonical(),
        });
        PushJson {
            at_ms: push.at_ms,
            consumers: consumers.collect(),
            consumers_total: push.recipients_total,
            written: push.written,
            failed: push.failed,
        }
    }
}

impl From<Waiting> for WaitingJson {
    fn from(waiting: Waiting) -> WaitingJson {
        match waiting {
            Waiting::Queued { ahead } => WaitingJson::Queued { ahead },
            Waiting::Outbox => WaitingJson::Outbox,
            Waiting::Behind => WaitingJson::Behind,
            Waiting::NoConsumer => WaitingJson::NoConsumer,
            Waiting::NextCheck(time) => WaitingJson::NextCheck {
                seconds: rounded(time.as_secs_f64()),
            },
            Waiting::NoRePush => WaitingJson::NoRePush,
        }
    }
}
