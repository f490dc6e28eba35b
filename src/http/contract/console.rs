//! The routes that the original's console calls (protocol, "HTTP").

use std::convert::Infallible;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytestring::ByteString;
use futures_util::stream;
use serde::Serialize;
use tokio::sync::mpsc;

use crate::broker::ClientInfo;
use crate::http::contract::error::ContractError;
use crate::http::contract::reply;
use crate::http::fields;
use crate::http::fields::body::BodyLimits;
use crate::http::listing::{self, ListFormat};
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::http::times::{self, Side};
use crate::message::{Message, StatusKind, Topic, UnixSeconds};
use crate::store::{Query, StoreError};
use crate::wire;

/// POST /Console/Ping: replies if the key is right.
pub(in crate::http) async fn ping() -> Response {
    reply::done()
}

/// POST /Console/GetConsumers: the connected consumers of the key's topics.
pub(in crate::http) async fn get_consumers(
    State(state): State<HttpState>,
    caller: Caller,
) -> Result<Response, ContractError> {
    let place = state.places.surveys.take(caller.key())?;
    let mut clients = state.broker.consumers();
    clients.retain(|client| caller.sees(&client.topic));
    Ok(consumers(clients, place))
}

/// The list in pieces of limited size. It keeps `place` until it is sent.
fn consumers(clients: Vec<Arc<ClientInfo>>, place: impl Send + 'static) -> Response {
    const TEXT_BYTES: usize = 16 << 10;
    let mut clients = clients.into_iter().peekable();
    let mut text = br#"{"code":0,"data":["#.to_vec();
    let mut is_over = false;
    let texts = std::iter::from_fn(move || {
        let _held = &place;
        if is_over {
            return None;
        }
        while text.len() < TEXT_BYTES
            && let Some(client) = clients.next()
        {
            write_consumer(&mut text, &client);
            if clients.peek().is_some() {
                text.push(b',');
            }
        }
        is_over = clients.peek().is_none();
        if is_over {
            text.extend_from_slice(b"]}");
        }
        Some(Ok::<_, Infallible>(std::mem::take(&mut text)))
    });
    reply::json(Body::from_stream(stream::iter(texts)))
}

fn write_consumer(out: &mut Vec<u8>, client: &ClientInfo) {
    #[derive(Serialize)]
    #[serde(rename_all = "PascalCase")]
    struct Consumer<'a> {
        consumer_id: &'a str,
        topic: &'a str,
        consumer_ip: IpAddr,
        join_time: u32,
    }
    let consumer = Consumer {
        consumer_id: &client.id,
        topic: client.topic.as_str(),
        consumer_ip: client.ip.to_canonical(),
        join_time: client.since.0,
    };
    serde_json::to_writer(out, &consumer).expect("a client can be written to memory");
}

/// POST /Console/GetConfig: the section `mq` of the configuration, without the key.
pub(in crate::http) async fn get_config(State(state): State<HttpState>) -> Response {
    reply::data(state.config().legacy_view())
}

/// POST /Console/CountMessage: the number of messages by status.
pub(in crate::http) async fn count_message(State(state): State<HttpState>) -> Response {
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

/// POST /Console/GetMessageList: all matching messages, newest first, streamed.
pub(in crate::http) async fn get_message_list(
    State(state): State<HttpState>,
    caller: Caller,
    request: Request,
) -> Result<Response, ContractError> {
    let names = ["startTime", "endTime", "status", "topic"];
    let fields = fields::read(request, names, BodyLimits::SMALL).await?;
    let pieces = match query(fields)? {
        Some(query) => {
            caller.may_ask(query.topic.as_ref())?;
            state.broker.list(query, caller.key())
        }
        None => mpsc::channel(1).1,
    };
    let body = listing::body(pieces, MessageList::default()).await?;
    Ok(reply::json(body))
}

/// The query of these fields; `None` if nothing can match.
fn query(fields: [Option<ByteString>; 4]) -> Result<Option<Query>, ContractError> {
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
) -> Result<Option<UnixSeconds>, ContractError> {
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let time = times::read(&text, side).ok_or_else(|| ContractError::Field {
        name,
        value: text.into(),
        expected: "a time as in 2006-01-02 15:04:05",
    })?;
    Ok(Some(time))
}

fn status_kind(text: Option<ByteString>) -> Result<Option<StatusKind>, ContractError> {
    const ALL: i64 = 3;
    let Some(text) = text.filter(|text| !text.trim().is_empty()) else {
        return Ok(None);
    };
    let code = text.trim().parse().ok();
    match (code, code.and_then(wire::status_kind)) {
        (_, Some(kind)) => Ok(Some(kind)),
        (Some(ALL), None) => Ok(None),
        (_, None) => Err(ContractError::Field {
            name: "status",
            value: text.into(),
            expected: "-1, 0, 1, or 3 for all",
        }),
    }
}

/// A list of messages as JSON text.
#[derive(Default)]
struct MessageList {
    /// The text before the next message.
    separator: &'static str,
}

impl ListFormat for MessageList {
    fn begin(&self) -> &'static str {
        r#"{"code":0,"data":["#
    }

    fn includes(&mut self, _: &Message) -> bool {
        true
    }

    fn open(&mut self, out: &mut Vec<u8>, message: &Message) -> Vec<u8> {
        out.extend_from_slice(self.separator.as_bytes());
        self.separator = ",";
        listing::open_json(out, &wire::without_data(message), wire::DATA_FIELD)
    }

    fn write(&self, out: &mut Vec<u8>, part: &str) {
        listing::write_json(out, part);
    }

    fn end(&self) -> &'static str {
        "]}"
    }

    fn broke_off(&self, error: &StoreError) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "a list of messages broke off"
        );
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::*;
    use crate::broker::Piece;
    use crate::http::contract::console::listing::body;
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

    /// The body of the reply to a list that comes in these pieces.
    async fn listed(pieces: Vec<Result<Vec<Message>, StoreError>>) -> Result<String, axum::Error> {
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            sender.try_send(piece.map(Piece::from)).unwrap();
        }
        drop(sender);
        let body = body(receiver, MessageList::default()).await.unwrap();
        let text = to_bytes(body, usize::MAX).await?;
        Ok(String::from_utf8(text.into()).unwrap())
    }

    #[tokio::test]
    async fn a_list_is_whole_however_it_comes() {
        let empty = r#"{"code":0,"data":[]}"#;
        assert_eq!(listed(vec![]).await.unwrap(), empty);
        assert_eq!(listed(vec![Ok(vec![])]).await.unwrap(), empty);
        let large = "\u{0}\"\\\n短".repeat(9_000);
        let pieces = vec![
            Ok(vec![message("a"), message(&large)]),
            Ok(vec![]),
            Ok(vec![message(&large), message("b"), message(&large)]),
            Ok(vec![message("c")]),
        ];
        let text = listed(pieces).await.unwrap();
        let reply: serde_json::Value = serde_json::from_str(&text).unwrap();
        let data = reply["data"].as_array().unwrap();
        let data = data.iter().map(|message| message["MessageData"].as_str());
        let expected = ["a", &large, &large, "b", &large, "c"];
        assert!(data.eq(expected.into_iter().map(Some)));
    }

    #[tokio::test]
    async fn a_list_that_fails_at_once_is_a_failure() {
        let (sender, receiver) = mpsc::channel(2);
        sender.try_send(Ok(vec![message("a")].into())).unwrap();
        sender.try_send(Err(failure())).unwrap();
        assert!(body(receiver, MessageList::default()).await.is_err());
    }

    #[tokio::test]
    async fn a_list_that_fails_later_breaks_off() {
        let large = "x".repeat(100_000);
        let pieces = vec![Ok(vec![message(&large)]), Err(failure())];
        assert!(listed(pieces).await.is_err());
    }

    #[tokio::test]
    async fn a_list_is_read_no_further_than_it_is_sent() {
        let (sender, receiver) = mpsc::channel(1);
        sender
            .try_send(Ok(vec![message(&"x".repeat(100_000))].into()))
            .unwrap();
        let reply = body(receiver, MessageList::default()).await.unwrap();
        sender.try_send(Ok(vec![message("b")].into())).unwrap();
        assert!(
            sender.try_send(Ok(vec![].into())).is_err(),
            "the next piece waits"
        );
        drop(reply);
        assert!(sender.is_closed());
    }

    #[tokio::test]
    async fn get_consumers_shows_who_where_and_since_when() {
        let client = |id: &str, ip: &str| {
            Arc::new(ClientInfo {
                id: id.into(),
                topic: "t".parse().unwrap(),
                ip: ip.parse().unwrap(),
                since: UnixSeconds(1_795_367_326),
                key: "secretKey".into(),
            })
        };
        let reply = consumers(
            vec![client("c1", "127.0.0.1"), client("c\"2", "::ffff:10.0.0.1")],
            (),
        );
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
