//! Streamed replies have to pass proxies without delay.

use axum::body::HttpBody;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// Tells nginx, and proxies that follow it, not to buffer a reply.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Tells proxies neither to buffer nor to compress a reply of unknown length.
pub(in crate::http) fn pass_on(reply: &mut Response) {
    if reply.body().size_hint().exact().is_some() {
        return;
    }
    let headers = reply.headers_mut();
    headers.insert(ACCEL_BUFFERING, HeaderValue::from_static("no"));
    headers.append(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-transform"),
    );
}
