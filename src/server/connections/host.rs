//! The header `Host`, which HTTP/1.1 requires once (RFC 9112, 3.2): with two of them a proxy may use
//! one and the server the other.

use axum::http::request::Parts;
use axum::http::uri::Authority;
use axum::http::{HeaderValue, StatusCode, Version, header};
use axum::response::{IntoResponse, Response};

/// The answer to a request whose host is not clear; `None` if it is.
pub(super) fn refusal(request: &Parts) -> Option<Response> {
    let mut hosts = request.headers.get_all(header::HOST).iter();
    let is_clear = match (hosts.next(), hosts.next()) {
        (None, _) => request.version != Version::HTTP_11,
        (Some(host), None) => can_be(host),
        (Some(_), Some(_)) => false,
    };
    let close = [(header::CONNECTION, HeaderValue::from_static("close"))];
    let text = "the header Host has to be there once, with a host and perhaps a port\n";
    (!is_clear).then(|| (StatusCode::BAD_REQUEST, close, text).into_response())
}

/// Whether the value is a host, perhaps with a port; or empty, for a target without a host.
fn can_be(host: &HeaderValue) -> bool {
    let bytes = host.as_bytes();
    bytes.is_empty() || !bytes.contains(&b'@') && Authority::try_from(bytes).is_ok()
}
