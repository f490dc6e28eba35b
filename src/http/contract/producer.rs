//! Publishing over HTTP: one message per request, answered once it is durable.

use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::response::Response;
use bytestring::ByteString;

use crate::broker::{PublishError, Receipt, RefusedFor};
use crate::http::contract::error::ContractError;
use crate::http::contract::reply;
use crate::http::fields;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::message::{DataTooLarge, Draft, MessageCode, Topic};

/// POST /Producer/Send: replies with the code once the message is synced, so success is a promise.
/// A client that hangs up earlier has no promise.
pub(in crate::http) async fn send(
    State(state): State<HttpState>,
    caller: Caller,
    request: Request,
) -> Result<Response, ContractError> {
    let names = ["messageData", "topic"];
    let has_body = !request.body().is_end_stream();
    let type_without_fields = fields::type_without_fields(request.headers()).filter(|_| has_body);
    let read = fields::read(request, names, state.data_limits()).await;
    let read = read.and_then(|fields| match fields {
        [Some(data), Some(topic)] => Ok((data, topic)),
        _ => Err(type_without_fields.map_or(ContractError::Required, ContractError::ContentType)),
    });
    let (data, topic) = counted(&state, read)?;
    let code = publish(&state, &caller, &topic, data).await?;
    Ok(reply::msg(&code.to_string()))
}

/// Publishes a message, and returns its code once it is synced. All publishing over HTTP goes
/// through here and obeys the same rules and limits.
pub(in crate::http) async fn publish(
    state: &HttpState,
    caller: &Caller,
    topic: &str,
    data: ByteString,
) -> Result<MessageCode, ContractError> {
    counted(state, store(state, caller, topic, data).await)
}

async fn store(
    state: &HttpState,
    caller: &Caller,
    topic: &str,
    data: ByteString,
) -> Result<MessageCode, ContractError> {
    let topic: Topic = topic.parse()?;
    caller.may_use(&topic)?;
    let config = state.config();
    let server = &config.server;
    let draft = Draft::within(server.max_message_bytes, topic, data);
    let draft = draft.map_err(
        |DataTooLarge { bytes, bytes_max }| ContractError::DataTooLarge { bytes, bytes_max },
    )?;
    let publish = async { Ok(within(server.send_wait, state.broker.publish(vec![draft])).await?) };
    let receipt: Receipt = caller.while_it_holds::<_, ContractError>(publish).await?;
    let codes = receipt.codes().await?;
    Ok(*codes.first().expect("a receipt has a code for each draft"))
}

/// Counts a message that is refused here. The broker counts its own refusals.
fn counted<T>(state: &HttpState, result: Result<T, ContractError>) -> Result<T, ContractError> {
    let why = match &result {
        Ok(_) => None,
        Err(ContractError::DataTooLarge { .. } | ContractError::BodyTooLarge { .. }) => {
            Some(RefusedFor::TooLarge)
        }
        Err(
            ContractError::Required
            | ContractError::Topic(_)
            | ContractError::Body { .. }
            | ContractError::ContentType(_)
            | ContractError::ContentCoding(_)
            | ContractError::Field { .. },
        ) => Some(RefusedFor::Invalid),
        Err(ContractError::Publish(PublishError::QueueFull)) => Some(RefusedFor::QueueFull),
        Err(ContractError::Busy(_)) => Some(RefusedFor::Busy),
        Err(
            ContractError::Publish(PublishError::Stopping | PublishError::Store(_))
            | ContractError::Key
            | ContractError::TooManyWrongKeys
            | ContractError::Denied(_)
            | ContractError::Foreign(_)
            | ContractError::Store(_)
            | ContractError::NoSuchPath(_)
            | ContractError::TooMany(_)
            | ContractError::WrongMethod { .. },
        ) => None,
    };
    if let Some(why) = why {
        state.broker.count_refused(why, 1);
    }
    result
}

/// Waits for room in the queue, but not longer than `limit`.
async fn within(
    limit: Duration,
    publish: impl Future<Output = Result<Receipt, PublishError>>,
) -> Result<Receipt, PublishError> {
    tokio::time::timeout(limit, publish)
        .await
        .unwrap_or(Err(PublishError::QueueFull))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_full_queue_is_waited_for_and_then_refused() {
        let begin = tokio::time::Instant::now();
        let limit = Duration::from_secs(5);
        let refused = within(limit, std::future::pending()).await;
        assert!(matches!(refused, Err(PublishError::QueueFull)));
        assert_eq!(begin.elapsed(), limit);
    }
}
