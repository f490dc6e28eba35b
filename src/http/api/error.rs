//! What the console API answers when it does not do what it was asked for.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::access::Denied;
use crate::broker::{PublishError, PushAgainError};
use crate::http::api::reply;
use crate::http::contract::error::ApiError;
use crate::http::places::TooMany;
use crate::http::refusal::{shortened, with_retry_after};
use crate::limits::memory_budget::Busy;
use crate::message::{MessageCode, Topic, TopicError};
use crate::store::StoreError;

/// Why a request is refused: the status of the reply, and its `error`.
#[derive(Debug)]
pub(crate) struct Refusal {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl Refusal {
    fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Refusal {
        Refusal {
            status,
            code,
            message: message.into(),
        }
    }

    /// The `secretKey` header is missing or wrong.
    pub(super) fn key() -> Refusal {
        let text = "the header secretKey is missing, or is none of the server's keys";
        Refusal::new(StatusCode::UNAUTHORIZED, "wrong_key", text)
    }

    /// There is no such path.
    pub(in crate::http) fn no_such_path(path: &str) -> Refusal {
        let text = format!("no such path: {}", shortened(path));
        Refusal::new(StatusCode::NOT_FOUND, "no_such_path", text)
    }

    /// There is such a path, for another method.
    pub(in crate::http) fn wrong_method(method: &str, path: &str) -> Refusal {
        let text = format!("{} does not take {}", shortened(path), shortened(method));
        Refusal::new(StatusCode::METHOD_NOT_ALLOWED, "wrong_method", text)
    }

    /// A parameter of path, query or body means nothing.
    pub(super) fn parameter(name: &str, value: &str, expected: &str) -> Refusal {
        let text = format!("{name} is {expected}, not {:?}", shortened(value));
        Refusal::new(StatusCode::BAD_REQUEST, "bad_parameter", text)
    }

    /// A parameter that is needed is not there, or is empty.
    pub(super) fn missing(name: &str) -> Refusal {
        let text = format!("{name} is missing or empty");
        Refusal::new(StatusCode::BAD_REQUEST, "missing_parameter", text)
    }

    /// A parameter that this path does not have, or that is given twice.
    pub(super) fn unknown(name: &str, known: &[&str]) -> Refusal {
        let name = shortened(name);
        let text = match known {
            [] => format!("{name:?} is no parameter here: there are none"),
            [_, ..] if known.contains(&name) => format!("{name} is given more than once"),
            [_, ..] => format!(
                "{name:?} is no parameter here; there are {}",
                known.join(", ")
            ),
        };
        Refusal::new(StatusCode::BAD_REQUEST, "unknown_parameter", text)
    }

    /// The topic is none.
    pub(super) fn topic(error: TopicError) -> Refusal {
        Refusal::new(StatusCode::BAD_REQUEST, "bad_parameter", error.to_string())
    }

    /// The body is not the JSON that is wanted.
    pub(super) fn body(reason: &str) -> Refusal {
        let text = format!("the body cannot be used: {}", shortened(reason));
        Refusal::new(StatusCode::BAD_REQUEST, "bad_body", text)
    }

    /// The body is not JSON by its content type.
    pub(super) fn content_type() -> Refusal {
        let text = "the body has to be JSON, with the content type application/json";
        let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
        Refusal::new(status, "wrong_content_type", text)
    }

    /// There is no message with this code.
    pub(super) fn no_such_message(code: MessageCode) -> Refusal {
        let text = format!("there is no message {code}: it has expired, or was deleted");
        Refusal::new(StatusCode::NOT_FOUND, "no_such_message", text)
    }

    /// There is nothing of this topic.
    pub(super) fn no_such_topic(topic: &Topic) -> Refusal {
        let topic = shortened(topic.as_str());
        let text = format!("the topic {topic:?} has neither messages nor clients");
        Refusal::new(StatusCode::NOT_FOUND, "no_such_topic", text)
    }

    /// No client has this number.
    pub(super) fn no_such_client(number: u64) -> Refusal {
        let text = format!("no client has the number {number}: it is gone");
        Refusal::new(StatusCode::NOT_FOUND, "no_such_client", text)
    }

    /// The link of an export is used, too old, or was never there.
    pub(super) fn no_such_export() -> Refusal {
        let text = "this link was used before, or is too old; ask for a new one";
        Refusal::new(StatusCode::NOT_FOUND, "no_such_export", text)
    }

    /// The topic that confirms an action is another one.
    pub(super) fn not_confirmed(given: &str) -> Refusal {
        let text = format!(
            "confirm has to be the name of the topic, not {:?}",
            shortened(given)
        );
        Refusal::new(StatusCode::CONFLICT, "not_confirmed", text)
    }

    /// Messages are in memory only.
    pub(super) fn nothing_on_disk() -> Refusal {
        let text =
            "mq.isPersistent is 0: messages are in memory only, and nothing is on disk to back up";
        Refusal::new(StatusCode::CONFLICT, "memory_only", text)
    }

    /// Something inside does not work; what, is logged.
    pub(super) fn internal(text: &str) -> Refusal {
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "internal", text)
    }

    /// The server goes down.
    pub(super) fn stopping() -> Refusal {
        let text = PublishError::Stopping.to_string();
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, "stopping", text)
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

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        with_retry_after(reply::json(self.status, self.text()))
    }
}

impl From<Denied> for Refusal {
    fn from(denied: Denied) -> Refusal {
        let (status, code) = match denied {
            Denied::Expired { .. } => (StatusCode::UNAUTHORIZED, "expired_key"),
            Denied::Revoked { .. } => (StatusCode::UNAUTHORIZED, "wrong_key"),
            Denied::Right { .. } => (StatusCode::FORBIDDEN, "no_right"),
            Denied::Topic { .. } | Denied::Unnamed { .. } | Denied::Whole { .. } => {
                (StatusCode::FORBIDDEN, "other_topics")
            }
        };
        Refusal::new(status, code, denied.to_string())
    }
}

impl From<StoreError> for Refusal {
    /// What is wrong inside is logged, not sent.
    fn from(error: StoreError) -> Refusal {
        if let StoreError::Busy = error {
            return ApiError::Busy(Busy).into();
        }
        tracing::error!(error = &error as &dyn std::error::Error, "the store failed");
        let text = format!("the store failed: {}", error.cause());
        Refusal::new(StatusCode::INTERNAL_SERVER_ERROR, "store_failed", text)
    }
}

impl From<PublishError> for Refusal {
    fn from(error: PublishError) -> Refusal {
        let code = match error {
            PublishError::QueueFull => "queue_full",
            PublishError::Stopping => "stopping",
            // The store has logged why it failed, once for all messages of the group.
            PublishError::Store(_) => "not_stored",
        };
        Refusal::new(StatusCode::SERVICE_UNAVAILABLE, code, error.to_string())
    }
}

impl From<PushAgainError> for Refusal {
    fn from(error: PushAgainError) -> Refusal {
        let (status, code) = match error {
            PushAgainError::Waiting => (StatusCode::CONFLICT, "already_waiting"),
            PushAgainError::Consumed => (StatusCode::CONFLICT, "already_consumed"),
            PushAgainError::Gone => (StatusCode::NOT_FOUND, "no_such_message"),
            PushAgainError::Full => (StatusCode::SERVICE_UNAVAILABLE, "queue_full"),
            PushAgainError::Store(error) => return error.into(),
        };
        Refusal::new(status, code, error.to_string())
    }
}

impl From<TooMany> for Refusal {
    fn from(error: TooMany) -> Refusal {
        ApiError::TooMany(error).into()
    }
}

impl From<ApiError> for Refusal {
    /// The status of what the other HTTP routes refuse for the same reason.
    fn from(error: ApiError) -> Refusal {
        let (status, code) = match error {
            ApiError::Key => return Refusal::key(),
            ApiError::Denied(denied) => return denied.into(),
            ApiError::Topic(error) => return Refusal::topic(error),
            ApiError::Publish(error) => return error.into(),
            ApiError::Store(error) => return error.into(),
            ApiError::NoSuchPath(path) => return Refusal::no_such_path(&path),
            ApiError::WrongMethod { method, path } => {
                return Refusal::wrong_method(&method, &path);
            }
            ApiError::DataTooLarge { bytes, bytes_max } => {
                let text = format!("data has {bytes} bytes, more than {bytes_max}");
                return Refusal::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", text);
            }
            ApiError::BodyTooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "too_large"),
            ApiError::Busy(_) => (StatusCode::SERVICE_UNAVAILABLE, "busy"),
            ApiError::TooMany(_) => (StatusCode::SERVICE_UNAVAILABLE, "too_many"),
            ApiError::TooManyWrongKeys => (StatusCode::TOO_MANY_REQUESTS, "too_many_wrong_keys"),
            ApiError::Foreign(_) => (StatusCode::FORBIDDEN, "foreign_page"),
            ApiError::Body { .. } => (StatusCode::BAD_REQUEST, "bad_body"),
            ApiError::ContentType(_) | ApiError::ContentCoding(_) => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "wrong_content_type")
            }
            ApiError::Required => (StatusCode::BAD_REQUEST, "missing_parameter"),
            ApiError::Field { .. } => (StatusCode::BAD_REQUEST, "bad_parameter"),
        };
        Refusal::new(status, code, error.text())
    }
}
