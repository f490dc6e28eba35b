//! Replies that come bit by bit have to pass proxies as they come.

use axum::body::HttpBody;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;

/// nginx and those who follow it keep nothing of a reply back.
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Tells proxies to neither gather a reply whose end is not known yet nor pack it.
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
