//! The console's questions (protocol, "HTTP").

use std::net::IpAddr;

use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use bytestring::ByteString;
use futures_util::stream::{self, StreamExt};
use serde::Serialize;
use tokio::sync::mpsc;

use super::HttpState;
use super::caller::Caller;
use super::fields::{self, Limits};
use super::reply::{self, ApiError};
use super::times::{self, Side};
use crate::broker::ClientInfo;
use crate::message::{Message, StatusKind, Topic, UnixSeconds};
use crate::store::{Query, StoreError};
use crate::wire;

/// POST /Console/Ping: the key is right.
pub(super) async fn ping() -> Response {
    reply::done()
}

/// POST /Console/GetConsumers: who is connected now, to topics that the key is for.
pub(super) async fn get_consumers(State(state): State<HttpState>, caller: Caller) -> Response {
    let mut clients = state.broker.consumers();
    clients.retain(|client| caller.sees(&client.topic));
    consumers(&clients)
}

fn consumers(clients: &[ClientInfo]) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Consumer<'a> {
        consumer_id: &'a str,
        topic: &'a str,
        consumer_ip: IpAddr,
        join_time: u32,
    }
    let list: Vec<_> = clients
        .iter()
        .map(|client| Consumer {
            consumer_id: &client.id,
            topic: client.topic.as_str(),
            consumer_ip: client.ip.to_canonical(),
            join_time: client.since.0,
        })
        .collect();
    reply::data(list)
}

/// POST /Console/GetConfig: `mq` of the configuration, without the key.
pub(super) async fn get_config(State(state): State<HttpState>) -> Response {
    reply::data(state.config().legacy_view())
}

/// POST /Console/CountMessage: how many messages there are, by status.
pub(super) async fn count_message(State(state): State<HttpState>) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Count {
        all: u64,
        consumed: u64,
        not_consumed: u64,
        stateless: u64,
    }
    let counts = state.broker.counts();
    reply::data(Count {
        all: counts.all(),
        consumed: counts.consumed,
        not_consumed: counts.not_consumed,
        stateless: counts.accepted,
    })
}

/// POST /Console/GetMessageList: everything that matches, newest first, streamed.
pub(super) async fn get_message_list(
    State(state): State<HttpState>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let names = ["startTime", "endTime", "status", "topic"];
    let fields = fields::read(request, names, Limits::SMALL).await?;
    let messages = match query(fields)? {
        Some(query) => {
            caller.may_ask(query.topic.as_ref())?;
            state.broker.list(query)
        }
        None => mpsc::channel(1).1,
    };
    list(messages).await
}

/// What is asked for; `None` if nothing can match it.
fn query(fields: [Option<ByteString>; 4]) -> Result<Option<Query>, ApiError> {
    let [start, end, status, topic] = fields;
    let from = time("startTime", start, Side::Start)?;
    let to = time("endTime", end, Side::End)?;
    let status = status_kind(status)?;
    let topic = match topic.map(|name| name.parse::<Topic>()).transpose() {
        Ok(topic) => topic,
        Err(_) => return Ok(None),
    };
    if from.zip(to).is_some_and(|(from, to)| from > to) {
        return Ok(None);
    }
    Ok(Some(Query {
        from,
        to,
        status,
        topic,
        before: None,
    }))
}

fn time(
    name: &'static str,
    text: Option<ByteString>,
    side: Side,
) -> Result<Option<UnixSeconds>, ApiError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let time = times::read(&text, side).ok_or_else(|| ApiError::Field {
        name,
        value: text.into(),
        expected: "a time as in 2006-01-02 15:04:05",
    })?;
    Ok(Some(time))
}

fn status_kind(text: Option<ByteString>) -> Result<Option<StatusKind>, ApiError> {
    const ALL: i64 = 3;
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let code = text.trim().parse().ok();
    match (code, code.and_then(wire::status_kind)) {
        (_, Some(kind)) => Ok(Some(kind)),
        (Some(ALL), None) => Ok(None),
        (_, None) => Err(ApiError::Field {
            name: "status",
            value: text.into(),
            expected: "-1, 0, 1, or 3 for all",
        }),
    }
}

type Chunks = mpsc::Receiver<Result<Vec<Message>, StoreError>>;

/// Replies with all of `messages`. An error before the first text is a reply of its own; one
/// after it breaks the transfer, so that a part is never taken for the whole.
async fn list(messages: Chunks) -> Result<Response, ApiError> {
    let mut list = MessageList {
        chunks: messages,
        messages: Vec::new().into_iter(),
        separator: b"",
        complete: false,
    };
    let first = list.text(br#"{"code":0,"data":["#).await?;
    if list.complete {
        return Ok(reply::json(first.into()));
    }
    let rest = stream::try_unfold(list, async |mut list| {
        if list.complete {
            return Ok(None);
        }
        match list.text(b"").await {
            Ok(text) => Ok(Some((text, list))),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "a list of messages broke off"
                );
                Err(error)
            }
        }
    });
    let first = stream::once(async { Ok(first) });
    Ok(reply::json(Body::from_stream(first.chain(rest))))
}

/// A list of messages on its way into JSON text.
struct MessageList {
    chunks: Chunks,
    messages: std::vec::IntoIter<Message>,
    /// What goes before the next message.
    separator: &'static [u8],
    /// Whether the last text has been made.
    complete: bool,
}

impl MessageList {
    /// The next text, which begins with `start`: as many messages as fit, but at least one.
    async fn text(&mut self, start: &[u8]) -> Result<Bytes, StoreError> {
        const BYTES: usize = 64 * 1024;
        let mut text = start.to_vec();
        while text.len() < BYTES {
            if let Some(message) = self.messages.next() {
                text.extend_from_slice(self.separator);
                self.separator = b",";
                wire::write_message(&mut text, &message);
            } else if let Some(chunk) = self.chunks.recv().await {
                self.messages = chunk?.into_iter();
            } else {
                text.extend_from_slice(b"]}");
                self.complete = true;
                break;
            }
        }
        Ok(text.into())
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::message::{MessageCode, Sequence, Status};

    fn message(data: &str) -> Message {
        Message {
            sequence: Sequence(1),
            code: MessageCode::from_bytes([0; 20]),
            topic: "t".parse().unwrap(),
            data: data.into(),
            created: UnixSeconds(0),
            status: Status::NotConsumed,
        }
    }

    fn failure() -> StoreError {
        StoreError::Closed
    }

    /// The body of the reply to a list that comes in these chunks.
    async fn listed(chunks: Vec<Result<Vec<Message>, StoreError>>) -> Result<String, axum::Error> {
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        for chunk in chunks {
            sender.try_send(chunk).unwrap();
        }
        drop(sender);
        let body = list(receiver).await.unwrap().into_body();
        let text = to_bytes(body, usize::MAX).await?;
        Ok(String::from_utf8(text.into()).unwrap())
    }

    #[tokio::test]
    async fn a_list_is_whole_however_it_comes() {
        let empty = r#"{"code":0,"data":[]}"#;
        assert_eq!(listed(vec![]).await.unwrap(), empty);
        assert_eq!(listed(vec![Ok(vec![])]).await.unwrap(), empty);
        let large = "x".repeat(50_000);
        let chunks = vec![
            Ok(vec![message("a"), message(&large)]),
            Ok(vec![]),
            Ok(vec![message(&large), message("b"), message(&large)]),
            Ok(vec![message("c")]),
        ];
        let text = listed(chunks).await.unwrap();
        let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
        let data = reply["data"].as_array().unwrap();
        let data = data.iter().map(|message| message["MessageData"].as_str());
        let expected = ["a", &large, &large, "b", &large, "c"];
        assert!(data.eq(expected.into_iter().map(Some)));
    }

    #[tokio::test]
    async fn a_list_that_fails_at_once_is_a_failure() {
        let (sender, receiver) = mpsc::channel(2);
        sender.try_send(Ok(vec![message("a")])).unwrap();
        sender.try_send(Err(failure())).unwrap();
        assert!(matches!(list(receiver).await, Err(ApiError::Store(_))));
    }

    #[tokio::test]
    async fn a_list_that_fails_later_breaks_off() {
        let large = "x".repeat(100_000);
        let chunks = vec![Ok(vec![message(&large)]), Err(failure())];
        assert!(listed(chunks).await.is_err());
    }

    #[tokio::test]
    async fn a_list_is_read_no_further_than_it_is_sent() {
        let (sender, receiver) = mpsc::channel(1);
        sender
            .try_send(Ok(vec![message(&"x".repeat(100_000))]))
            .unwrap();
        let reply = list(receiver).await.unwrap();
        sender.try_send(Ok(vec![message("b")])).unwrap();
        assert!(sender.try_send(Ok(vec![])).is_err(), "the next chunk waits");
        drop(reply);
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn get_consumers_shows_who_where_and_since_when() {
        let client = |id: &str, ip: &str| ClientInfo {
            id: id.into(),
            topic: "t".parse().unwrap(),
            ip: ip.parse().unwrap(),
            since: UnixSeconds(1_795_367_326),
            key: "secretKey".into(),
        };
        let reply = consumers(&[client("c1", "127.0.0.1"), client("c\"2", "::ffff:10.0.0.1")]);
        let text = to_bytes(reply.into_body(), 4096).await.unwrap();
        assert_eq!(
            String::from_utf8(text.into()).unwrap(),
            concat!(
                r#"{"code":0,"data":[{"ConsumerId":"c1","Topic":"t","ConsumerIp":"127.0.0.1","#,
                r#""JoinTime":1795367326},{"ConsumerId":"c\"2","Topic":"t","#,
                r#""ConsumerIp":"10.0.0.1","JoinTime":1795367326}]}"#
            )
        );
    }
}
