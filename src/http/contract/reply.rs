//! The envelope of the contract: code, msg and data.

use axum::body::Body;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

/// The envelope (protocol, "HTTP"). A field that is `None` is left out.
#[derive(Serialize)]
struct Envelope<'a, T> {
    code: i8,
    #[serde(skip_serializing_if = "Option::is_none")]
    msg: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<T>,
}

/// Success without a text: `{"code":0}`.
pub(in crate::http) fn done() -> Response {
    envelope(0, None, None::<()>)
}

/// Success with a text: `{"code":0,"msg":"…"}`.
pub(in crate::http) fn msg(text: &str) -> Response {
    envelope(0, Some(text), None::<()>)
}

/// Success with data: `{"code":0,"data":…}`.
pub(in crate::http) fn data(data: impl Serialize) -> Response {
    envelope(0, None, Some(data))
}

/// A failure with its text: `{"code":-1,"msg":"…"}`.
pub(in crate::http) fn failed(text: &str) -> Response {
    envelope(-1, Some(text), None::<()>)
}

/// Success with a body that is JSON already.
pub(in crate::http) fn json(body: Body) -> Response {
    const TYPE: HeaderValue = HeaderValue::from_static("application/json; charset=utf-8");
    ([(header::CONTENT_TYPE, TYPE)], body).into_response()
}

fn envelope(code: i8, msg: Option<&str>, data: Option<impl Serialize>) -> Response {
    let text = serde_json::to_vec(&Envelope { code, msg, data })
        .expect("replies are structs of strings and numbers");
    json(text.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn text(response: Response) -> String {
        let body = axum::body::to_bytes(response.into_body(), 4096).await;
        String::from_utf8(body.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn what_there_is_not_is_left_out() {
        assert_eq!(text(done()).await, r#"{"code":0}"#);
        assert_eq!(text(msg("a\"b")).await, r#"{"code":0,"msg":"a\"b"}"#);
        let none: [u8; 0] = [];
        assert_eq!(text(data(none)).await, r#"{"code":0,"data":[]}"#);
    }
}
