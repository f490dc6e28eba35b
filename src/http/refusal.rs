//! The parts that refusals of both dialects share.

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;

/// Seconds after which a client may try again.
const SOON: HeaderValue = HeaderValue::from_static("1");

/// Adds `Retry-After` to a refusal whose status says that the same request may succeed later.
pub(in crate::http) fn with_retry_after(mut response: Response) -> Response {
    if let StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS = response.status() {
        response.headers_mut().insert(header::RETRY_AFTER, SOON);
    }
    response
}

/// The start of a text that a client sent, short enough for a reply.
pub(in crate::http) fn shortened(text: &str) -> &str {
    const BYTES_MAX: usize = 200;
    &text[..text.floor_char_boundary(BYTES_MAX)]
}
