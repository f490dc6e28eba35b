//! Messages: listed, searched, exported, shown, published, deleted, pushed again.

pub(in crate::http::api) mod export;
pub(in crate::http::api) mod search;

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::broker::{Broker, Held, Pieces};
use crate::http::api::error::ConsoleError;
use crate::http::api::json::life::LifeJson;
use crate::http::api::json::message::{FullMessage, MessageRow};
use crate::http::api::reply;
use crate::http::api::request::body::JsonWithData;
use crate::http::api::request::filter::{Filter, cursor_of};
use crate::http::api::request::params::{self, InPath, NoParams};
use crate::http::contract::producer;
use crate::http::listing;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::message::{Message, MessageCode};
use crate::store::StoreError;

const LIMIT_MAX: usize = 500;
const LIMIT: usize = 50;

/// A page of messages.
#[derive(Serialize)]
struct MessagePage {
    messages: Vec<Box<RawValue>>,
    next: Option<String>,
}

/// GET /api/messages: newest first, a page at a time.
pub(super) async fn list(
    State(state): State<HttpState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    let names = ["topic", "status", "from", "to", "limit", "cursor"];
    let values = params::read(query.as_deref(), names)?;
    let [topic, status, from, to, limit, cursor] = values.each_ref().map(Option::as_deref);
    let filter = Filter {
        topic,
        status,
        from,
        to,
        cursor,
    };
    let limit = params::whole("limit", limit, 1..=LIMIT_MAX, LIMIT)?;
    let query = filter.query()?;
    caller.may_ask(query.topic.as_ref())?;
    let list = page(state.broker.list(query, caller.key()), limit).await?;
    Ok(reply::of(StatusCode::OK, &list))
}

/// Reads a page. It keeps only what it shows, since messages can be large.
async fn page(mut pieces: Pieces, limit: usize) -> Result<MessagePage, ConsoleError> {
    let (mut messages, mut last) = (vec![], None);
    while let Some(piece) = pieces.recv().await {
        for message in piece? {
            if messages.len() == limit {
                let next = last.map(cursor_of);
                return Ok(MessagePage { messages, next });
            }
            let row = serde_json::value::to_raw_value(&MessageRow::of(&message));
            messages.push(row.expect("a row is texts and numbers"));
            last = Some(message.mark());
        }
    }
    let next = None;
    Ok(MessagePage { messages, next })
}

/// GET /api/messages/{code}: everything that is known about a message.
pub(super) async fn detail(
    State(state): State<HttpState>,
    caller: Caller,
    InPath(code): InPath<MessageCode>,
    _: NoParams,
) -> Result<Response, ConsoleError> {
    let message = find(&state, &caller, code).await?;
    let body = listing::body_of(message, Detail(state.broker.clone())).await?;
    Ok(reply::json(StatusCode::OK, body))
}

/// A message with its data and its life.
struct Detail(Broker);

impl listing::ListFormat for Detail {
    fn begin(&self) -> &'static str {
        ""
    }

    fn includes(&mut self, _: &Message) -> bool {
        true
    }

    fn open(&mut self, out: &mut Vec<u8>, message: &Message) -> Vec<u8> {
        #[derive(Serialize)]
        struct WithLife<'a> {
            #[serde(flatten)]
            message: FullMessage<'a>,
            life: LifeJson<'a>,
        }
        let life = self.0.whereabouts(message);
        let json = reply::text_of(&WithLife {
            message: FullMessage::of(message, usize::MAX).without_data(),
            life: LifeJson::of(&life),
        });
        listing::open_json(out, &json, "data")
    }

    fn write(&self, out: &mut Vec<u8>, part: &str) {
        listing::write_json(out, part);
    }

    fn end(&self) -> &'static str {
        ""
    }

    fn broke_off(&self, _: &StoreError) {
        unreachable!("a message that is held needs no store")
    }
}

/// The message, if it exists and the key is for its topic.
async fn find(state: &HttpState, caller: &Caller, code: MessageCode) -> Result<Held, ConsoleError> {
    let found = state.broker.find(code, caller.key()).await?;
    let message = found.ok_or_else(|| ConsoleError::no_such_message(code))?;
    caller.may_use(&message.topic)?;
    Ok(message)
}

/// A message to publish.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PublishRequest {
    topic: String,
    data: String,
}

/// POST /api/messages: replies once the message is synced. The rules are those of POST
/// /Producer/Send.
pub(super) async fn publish(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
    JsonWithData(request): JsonWithData<PublishRequest>,
) -> Result<Response, ConsoleError> {
    #[derive(Serialize)]
    struct Reply {
        code: String,
    }
    for (name, text) in [("topic", &request.topic), ("data", &request.data)] {
        if text.is_empty() {
            return Err(ConsoleError::missing(name));
        }
    }
    let code = producer::publish(&state, &caller, &request.topic, request.data.into()).await?;
    let topic = request.topic;
    caller.did(format_args!("published message {code} to topic {topic:?}"));
    let reply = Reply {
        code: code.to_string(),
    };
    Ok(reply::of(StatusCode::CREATED, &reply))
}

/// DELETE /api/messages/{code}.
pub(super) async fn delete(
    State(state): State<HttpState>,
    caller: Caller,
    InPath(code): InPath<MessageCode>,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    let confirm = params::confirm(query.as_deref())?;
    let message = find(&state, &caller, code).await?;
    if confirm != message.topic.as_str() {
        return Err(ConsoleError::not_confirmed(&confirm));
    }
    if !state.broker.delete(&message).await? {
        return Err(ConsoleError::no_such_message(code));
    }
    let topic = message.topic.as_str();
    caller.did(format_args!("deleted message {code} of topic {topic:?}"));
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// POST /api/messages/{code}/push: puts a message that is not consumed back into the queue.
pub(super) async fn push(
    State(state): State<HttpState>,
    caller: Caller,
    InPath(code): InPath<MessageCode>,
    _: NoParams,
) -> Result<Response, ConsoleError> {
    let message = find(&state, &caller, code).await?;
    state.broker.push_again(&message).await?;
    let topic = message.topic.as_str();
    caller.did(format_args!(
        "queued message {code} of topic {topic:?} again"
    ));
    Ok(StatusCode::ACCEPTED.into_response())
}

#[cfg(test)]
mod tests {
    use tokio::sync::mpsc;

    use super::*;
    use crate::http::api::json::message::sample;
    use crate::store::StoreError;

    /// How many messages a page of two shows, and its cursor, when the list comes in `pieces`.
    async fn page_of_two(pieces: &[u64]) -> (usize, Option<String>) {
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for messages in pieces {
            let piece: Vec<_> = (0..*messages).map(|n| sample(9 - n, "x")).collect();
            sender.try_send(Ok(piece.into())).unwrap();
        }
        drop(sender);
        let page = page(receiver, 2).await.unwrap();
        (page.messages.len(), page.next)
    }

    #[tokio::test]
    async fn a_page_knows_whether_there_is_more() {
        assert_eq!(page_of_two(&[]).await, (0, None));
        assert_eq!(page_of_two(&[1, 0]).await, (1, None));
        assert_eq!(page_of_two(&[1, 1]).await, (2, None));
        let next = Some(cursor_of(sample(8, "x").mark()));
        assert_eq!(page_of_two(&[3]).await, (2, next.clone()));
        assert_eq!(page_of_two(&[2, 1]).await, (2, next));
    }

    #[tokio::test]
    async fn a_page_that_cannot_be_read_is_a_failure() {
        let (sender, receiver) = mpsc::channel(2);
        sender.try_send(Ok(vec![sample(1, "x")].into())).unwrap();
        sender.try_send(Err(StoreError::Closed)).unwrap();
        assert!(page(receiver, 2).await.is_err());
    }
}
