//! Replies of JSON.

use axum::body::Body;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::headers::uncached;

/// A reply with this value.
pub(in crate::http::api) fn of(status: StatusCode, value: &impl Serialize) -> Response {
    json(status, text_of(value))
}

/// The value as JSON.
pub(in crate::http::api) fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("replies are structs of texts and numbers")
}

/// A reply with a body that is JSON already.
pub(in crate::http::api) fn json(status: StatusCode, text: impl Into<Body>) -> Response {
    let headers = uncached("application/json; charset=utf-8");
    (status, headers, text.into()).into_response()
}
