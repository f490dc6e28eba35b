//! Publishing over HTTP: one message a request, answered when it is durable.

use std::time::Duration;

use axum::body::HttpBody;
use axum::extract::{Request, State};
use axum::response::Response;
use bytestring::ByteString;

use crate::broker::{PublishError, Receipt, RefusedFor};
use crate::http::contract::error::ApiError;
use crate::http::contract::reply;
use crate::http::fields;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::message::{DataTooLarge, Draft, MessageCode, Topic};

/// POST /Producer/Send: replies with the code once the message is synced, so a reply of success
/// is a promise. A client that hangs up before has been promised nothing.
pub(in crate::http) async fn send(
    State(state): State<HttpState>,
    caller: Caller,
    request: Request,
) -> Result<Response, ApiError> {
    let names = ["messageData", "topic"];
    let has_body = !request.body().is_end_stream();
    let strange_type = fields::strange_type(request.headers()).filter(|_| has_body);
    let read = fields::read(request, names, state.data_limits()).await;
    let read = read.and_then(|fields| match fields {
        [Some(data), Some(topic)] => Ok((data, topic)),
        _ => Err(strange_type.map_or(ApiError::Required, ApiError::ContentType)),
    });
    let (data, topic) = counted(&state, read)?;
    let code = publish(&state, &caller, &topic, data).await?;
    Ok(reply::msg(&code.to_string()))
}

/// Publishes a message, and returns its code once it is synced. These are the rules and limits
/// of everybody who publishes over HTTP.
pub(in crate::http) async fn publish(
    state: &HttpState,
    caller: &Caller,
    topic: &str,
    data: ByteString,
) -> Result<MessageCode, ApiError> {
    counted(state, store(state, caller, topic, data).await)
}

async fn store(
    state: &HttpState,
    caller: &Caller,
    topic: &str,
    data: ByteString,
) -> Result<MessageCode, ApiError> {
    let topic: Topic = topic.parse()?;
    caller.may_use(&topic)?;
    let config = state.config();
    let server = &config.server;
    let draft = Draft::within(server.max_message_bytes, topic, data);
    let draft = draft
        .map_err(|DataTooLarge { bytes, bytes_max }| ApiError::DataTooLarge { bytes, bytes_max })?;
    let publish = async { Ok(within(server.send_wait, state.broker.publish(vec![draft])).await?) };
    let receipt: Receipt = caller.while_it_holds::<_, ApiError>(publish).await?;
    let codes = receipt.codes().await?;
    Ok(*codes.first().expect("a receipt has a code for each draft"))
}

/// Counts a message that is refused here; what the broker refuses it has counted itself.
fn counted<T>(state: &HttpState, result: Result<T, ApiError>) -> Result<T, ApiError> {
    let why = match &result {
        Ok(_) => None,
        Err(ApiError::DataTooLarge { .. } | ApiError::BodyTooLarge { .. }) => {
            Some(RefusedFor::TooLarge)
        }
        Err(
            ApiError::Required
            | ApiError::Topic(_)
            | ApiError::Body { .. }
            | ApiError::ContentType(_)
            | ApiError::ContentCoding(_)
            | ApiError::Field { .. },
        ) => Some(RefusedFor::Invalid),
        Err(ApiError::Publish(PublishError::QueueFull)) => Some(RefusedFor::QueueFull),
        Err(ApiError::Busy(_)) => Some(RefusedFor::Busy),
        Err(
            ApiError::Publish(PublishError::Stopping | PublishError::Store(_))
            | ApiError::Key
            | ApiError::TooManyWrongKeys
            | ApiError::Denied(_)
            | ApiError::Foreign(_)
            | ApiError::Store(_)
            | ApiError::NoSuchPath(_)
            | ApiError::TooMany(_)
            | ApiError::WrongMethod { .. },
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
