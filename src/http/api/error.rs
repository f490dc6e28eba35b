//! Why the console API refuses a request, and its reply.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::access::Denied;
use crate::broker::{PublishError, PushAgainError};
use crate::http::api::reply;
use crate::http::contract::error::ContractError;
use crate::http::places::TooMany;
use crate::http::refusal::{shortened, with_retry_after};
use crate::limits::memory_budget::Busy;
use crate::message::{MessageCode, Topic, TopicError};
use crate::store::StoreError;

/// Why a request is refused: the status of the reply, and its `error`.
#[derive(Debug)]
pub(crate) struct ConsoleError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl ConsoleError {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> ConsoleError {
        ConsoleError {
            status,
            code,
            message: message.into(),
        }
    }

    /// The `secretKey` header is missing or wrong.
    pub(super) fn key() -> ConsoleError {
        let text = "the header secretKey is missing, or is not one of the server's keys";
        ConsoleError::new(StatusCode::UNAUTHORIZED, "wrong_key", text)
    }

    /// There is no such path.
    pub(in crate::http) fn no_such_path(path: &str) -> ConsoleError {
        let text = format!("no such path: {}", shortened(path));
        ConsoleError::new(StatusCode::NOT_FOUND, "no_such_path", text)
    }

    /// The path exists for another method.
    pub(in crate::http) fn wrong_method(method: &str, path: &str) -> ConsoleError {
        let text = format!("{} does not take {}", shortened(path), shortened(method));
        ConsoleError::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", text)
    }

    /// A parameter of path, query or body is invalid.
    pub(super) fn parameter(name: &str, value: &str, expected: &str) -> ConsoleError {
        let text = format!("{name} is {expected}, not {:?}", shortened(value));
        ConsoleError::new(StatusCode::BAD_REQUEST, "bad_parameter", text)
    }

    /// A required parameter is missing or empty.
    pub(super) fn missing(name: &str) -> ConsoleError {
        let text = format!("{name} is missing or empty");
        ConsoleError::new(StatusCode::BAD_REQUEST, "missing_parameter", text)
    }

    /// The path lacks this parameter, or it is given twice.
    pub(super) fn unknown(name: &str, known: &[&str]) -> ConsoleError {
        let name = shortened(name);
        let text = match known {
            [] => format!("{name:?} is not a parameter of this path, which has none"),
            [_, ..] if known.contains(&name) => format!("{name} is given more than once"),
            [_, ..] => format!(
                "{name:?} is not a parameter of this path, which has {}",
                known.join(", ")
            ),
        };
        ConsoleError::new(StatusCode::BAD_REQUEST, "unknown_parameter", text)
    }

    /// The topic is invalid.
    pub(super) fn topic(error: TopicError) -> ConsoleError {
        ConsoleError::new(StatusCode::BAD_REQUEST, "bad_parameter", error.to_string())
    }

    /// The body is not the expected JSON.
    pub(super) fn body(reason: &str) -> ConsoleError {
        let text = format!("the body cannot be used: {}", shortened(reason));
        ConsoleError::new(StatusCode::BAD_REQUEST, "bad_body", text)
    }

    /// The content type is not JSON.
    pub(super) fn content_type() -> ConsoleError {
        let text = "the body has to be JSON, with the content type application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        ConsoleError::new(status, "wrong_content_type", text)
    }

    /// There is no message with this code.
    pub(super) fn no_such_message(code: MessageCode) -> ConsoleError {
        let text = format!("there is no message {code}: it has expired, or was deleted");
        ConsoleError::new(StatusCode::NOT_FOUND, "no_such_message", text)
    }

    /// The topic has neither messages nor clients.
    pub(super) fn no_such_topic(topic: &Topic) -> ConsoleError {
        let topic = shortened(topic.as_str());
        let text = format!("the topic {topic:?} has neither messages nor clients");
        ConsoleError::new(StatusCode::NOT_FOUND, "no_such_topic", text)
    }

    /// No client has this number.
    pub(super) fn no_such_client(number: u64) -> ConsoleError {
        let text = format!("no client has the number {number}: it is gone");
        ConsoleError::new(StatusCode::NOT_FOUND, "no_such_client", text)
    }

    /// The link of an export is used, too old or unknown.
    pub(super) fn no_such_export() -> ConsoleError {
        let text = "this link was used before, or is too old; ask for a new one";
        ConsoleError::new(StatusCode::NOT_FOUND, "no_such_export", text)
    }

    /// The action is confirmed with the wrong topic.
    pub(super) fn not_confirmed(given: &str) -> ConsoleError {
        let text = format!(
            "confirm has to be the name of the topic, not {:?}",
            shortened(given)
        );
        ConsoleError::new(StatusCode::CONFLICT, "not_confirmed", text)
    }

    /// Messages are in memory only, so there is nothing to back up.
    pub(super) fn nothing_on_disk() -> ConsoleError {
        let text =
            "mq.isPersistent is 0: messages are in memory only, and nothing is on disk to back up";
        ConsoleError::new(StatusCode::CONFLICT, "memory_only", text)
    }

    /// An internal failure. Its cause is logged.
    pub(super) fn internal(text: &str) -> ConsoleError {
        ConsoleError::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }

    /// The server is stopping.
    pub(super) fn stopping() -> ConsoleError {
        let text = PublishError::Stopping.to_string();
        ConsoleError::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", text)
    }

    /// The text of the reply's body.
    pub(super) fn text(&self) -> String {
        #[derive(Serialize)]
        struct Failure<'a> {
            error: Reason<'a>,
        }
        #[derive(Serialize)]
        struct Reason<'a> {
            code: &'a str,
            message: &'a str,
        }
        let error = Reason {
            code: self.code,
            message: &self.message,
        };
        reply::text_of(&Failure { error })
    }
}

impl IntoResponse for ConsoleError {
    fn into_response(self) -> Response {
        with_retry_after(reply::json(self.status, self.text()))
    }
}

impl From<Denied> for ConsoleError {
    fn from(denied: Denied) -> ConsoleError {
        let (status, code) = match denied {
            Denied::Expired { .. } => (StatusCode::UNAUTHORIZED, "expired_key"),
            Denied::Revoked { .. } => (StatusCode::UNAUTHORIZED, "wrong_key"),
            Denied::Right { .. } => (StatusCode::FORBIDDEN, "no_right"),
            Denied::Topic { .. } | Denied::Unnamed { .. } | Denied::Whole { .. } => {
                (StatusCode::FORBIDDEN, "other_topics")
            }
        };
        ConsoleError::new(status, code, denied.to_string())
    }
}

impl From<StoreError> for ConsoleError {
    /// Logs the failure with all its causes.
    fn from(error: StoreError) -> ConsoleError {
        if let StoreError::Busy = error {
            return ContractError::Busy(Busy).into();
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        let text = format!("the store failed: {}", error.cause());
        ConsoleError::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", text)
    }
}

impl From<PublishError> for ConsoleError {
    fn from(error: PublishError) -> ConsoleError {
        let code = match error {
            PublishError::QueueFull => "queue_full",
            PublishError::Stopping => "stopping",
            // The store logged the reason once for all messages of the group.
            PublishError::Store(_) => "not_stored",
        };
        ConsoleError::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
    }
}

impl From<PushAgainError> for ConsoleError {
    fn from(error: PushAgainError) -> ConsoleError {
        let (status, code) = match error {
            PushAgainError::Waiting => (StatusCode::CONFLICT, "already_waiting"),
            PushAgainError::Consumed => (StatusCode::CONFLICT, "already_consumed"),
            PushAgainError::Gone => (StatusCode::NOT_FOUND, "no_such_message"),
            PushAgainError::Full => (StatusCode::SERVICE_UNAVAILABLE, "queue_full"),
            PushAgainError::Store(error) => return error.into(),
        };
        ConsoleError::new(status, code, error.to_string())
    }
}

impl From<TooMany> for ConsoleError {
    fn from(error: TooMany) -> ConsoleError {
        ContractError::TooMany(error).into()
    }
}

impl From<ContractError> for ConsoleError {
    /// Maps what the shared parts refuse to a status and a code.
    fn from(error: ContractError) -> ConsoleError {
        let (status, code) = match error {
            ContractError::Key => return ConsoleError::key(),
            ContractError::Denied(denied) => return denied.into(),
            ContractError::Topic(error) => return ConsoleError::topic(error),
            ContractError::Publish(error) => return error.into(),
            ContractError::Store(error) => return error.into(),
            ContractError::NoSuchPath(path) => return ConsoleError::no_such_path(&path),
            ContractError::WrongMethod { method, path } => {
                return ConsoleError::wrong_method(&method, &path);
            }
            ContractError::DataTooLarge { bytes, bytes_max } => {
                let text = format!("data has {bytes} bytes, more than {bytes_max}");
                return ConsoleError::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text);
            }
            ContractError::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            ContractError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            ContractError::TooMany(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many"),
            ContractError::TooManyWrongKeys => {
                (StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys")
            }
            ContractError::Foreign(_) => (StatusCode::FORBIDDEN, "foreign_page"),
            ContractError::Body { .. } => (StatusCode::BAD_REQUEST, "bad_body"),
            ContractError::ContentType(_) | ContractError::ContentCoding(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type")
            }
            ContractError::Required => (StatusCode::BAD_REQUEST, "missing_parameter"),
            ContractError::Field { .. } => (StatusCode::BAD_REQUEST, "bad_parameter"),
        };
        ConsoleError::new(status, code, error.text())
    }
}
