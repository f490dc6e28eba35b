//! Why a request is refused, and the contract's reply: one `match` from error to text.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use crate::access::{Denied, Refused};
use crate::broker::PublishError;
use crate::http::contract::reply;
use crate::http::front::foreign::ForeignPage;
use crate::http::places::TooMany;
use crate::http::refusal::{shortened, with_retry_after};
use crate::limits::memory_budget::Busy;
use crate::message::TopicError;
use crate::store::StoreError;

/// Why a request is refused. The console API maps it to its own error.
#[derive(Debug)]
pub(in crate::http) enum ContractError {
    /// The `secretKey` header is missing or wrong.
    Key,
    /// Too many wrong keys came from the address, so this one was not checked.
    TooManyWrongKeys,
    /// The key is known but lacks what this needs.
    Denied(Denied),
    /// The page may not use the server.
    Foreign(ForeignPage),
    /// A required field is missing or empty.
    Required,
    /// The topic is invalid.
    Topic(TopicError),
    /// The data is larger than the limit.
    DataTooLarge { bytes: usize, bytes_max: usize },
    /// The body is larger than the limit.
    BodyTooLarge { bytes_max: usize },
    /// There is no memory for the body now.
    Busy(Busy),
    /// Too much work of this kind is running.
    TooMany(TooMany),
    /// The connection broke, or the body is not what its content type says.
    Body { kind: &'static str, reason: String },
    /// The value of a field is invalid.
    Field {
        name: &'static str,
        value: String,
        expected: &'static str,
    },
    /// A body of this content type has no fields. It is empty if the request has none.
    ContentType(String),
    /// The body is compressed.
    ContentCoding(String),
    /// The broker refused the message.
    Publish(PublishError),
    /// The store failed to answer.
    Store(StoreError),
    /// There is no such path.
    NoSuchPath(String),
    /// There is such a path, for another method.
    WrongMethod { method: String, path: String },
}

impl ContractError {
    /// The status of the reply.
    fn status(&self) -> StatusCode {
        match self {
            ContractError::NoSuchPath(_) => StatusCode::NOT_FOUND,
            ContractError::WrongMethod { .. } => StatusCode::METHOD_NOT_ALLOWED,
            ContractError::Busy(_) | ContractError::TooMany(_) => StatusCode::SERVICE_UNAVAILABLE,
            ContractError::Foreign(_) => StatusCode::FORBIDDEN,
            ContractError::TooManyWrongKeys => StatusCode::TOO_MANY_REQUESTS,
            _ => StatusCode::OK,
        }
    }

    /// The `msg` of the reply. A failure of the store is logged.
    pub(in crate::http) fn text(&self) -> String {
        match self {
            ContractError::Key => "Secret key matching error".into(),
            ContractError::TooManyWrongKeys => {
                "too many wrong keys from your address: try later".into()
            }
            ContractError::Denied(denied) => denied.to_string(),
            ContractError::Foreign(foreign) => foreign.to_string(),
            ContractError::Required => "Required data cannot be empty".into(),
            ContractError::Topic(error) => error.to_string(),
            ContractError::DataTooLarge { bytes, bytes_max } => {
                format!("messageData has {bytes} bytes, more than {bytes_max}")
            }
            ContractError::BodyTooLarge { bytes_max } => {
                format!("the body has more than {bytes_max} bytes")
            }
            ContractError::Busy(busy) => busy.to_string(),
            ContractError::TooMany(many) => many.to_string(),
            ContractError::Body { kind, reason } => format!("the body is not {kind}: {reason}"),
            ContractError::Field {
                name,
                value,
                expected,
            } => {
                format!("{name} is {expected}, not {:?}", shortened(value))
            }
            ContractError::ContentType(kind) => {
                let kind = match kind.as_str() {
                    "" => "no Content-Type".into(),
                    kind => format!("the Content-Type {:?}", shortened(kind)),
                };
                format!(
                    "the body has {kind}: it has to be application/json, \
                     application/x-www-form-urlencoded or multipart/form-data"
                )
            }
            ContractError::ContentCoding(coding) => {
                let coding = shortened(coding);
                format!("the body has the Content-Encoding {coding:?}: send it as it is")
            }
            ContractError::Store(error) => {
                tracing::error!(error = error as &dyn std::error::Error, "the store failed");
                format!("the store failed: {}", error.cause())
            }
            // The store logged the reason once for all messages of the group.
            ContractError::Publish(error) => error.to_string(),
            ContractError::NoSuchPath(path) => format!("no such path: {}", shortened(path)),
            ContractError::WrongMethod { method, path } => {
                format!("{} does not take {method}", shortened(path))
            }
        }
    }
}

impl IntoResponse for ContractError {
    fn into_response(self) -> Response {
        let mut response = reply::failed(&self.text());
        *response.status_mut() = self.status();
        with_retry_after(response)
    }
}

impl From<Denied> for ContractError {
    fn from(denied: Denied) -> ContractError {
        ContractError::Denied(denied)
    }
}

impl From<Refused> for ContractError {
    fn from(refused: Refused) -> ContractError {
        match refused {
            Refused::Wrong => ContractError::Key,
            Refused::TooMany => ContractError::TooManyWrongKeys,
            Refused::Expired(denied) => ContractError::Denied(denied),
        }
    }
}

impl From<Busy> for ContractError {
    fn from(busy: Busy) -> ContractError {
        ContractError::Busy(busy)
    }
}

impl From<TopicError> for ContractError {
    fn from(error: TopicError) -> ContractError {
        ContractError::Topic(error)
    }
}

impl From<PublishError> for ContractError {
    fn from(error: PublishError) -> ContractError {
        ContractError::Publish(error)
    }
}

impl From<TooMany> for ContractError {
    fn from(many: TooMany) -> ContractError {
        ContractError::TooMany(many)
    }
}

impl From<StoreError> for ContractError {
    fn from(error: StoreError) -> ContractError {
        match error {
            StoreError::Busy => ContractError::Busy(Busy),
            error => ContractError::Store(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 4096).await;
        String::from_utf8(body.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn a_failure_is_status_200_and_code_minus_1() {
        let response = ContractError::from(PublishError::QueueFull).into_response();
        assert_eq!(response.status(), StatusCode::OK);
        assert!(text(response).await.starts_with(r#"{"code":-1,"msg":"#));
    }

    #[tokio::test]
    async fn a_reply_repeats_little_of_what_was_sent() {
        let error = ContractError::NoSuchPath("/é".repeat(10_000));
        let response = error.into_response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND);
        assert!(text(response).await.len() < 300);
    }
}
