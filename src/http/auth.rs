//! The `secretKey` header: nothing behind it is reached, and no body is parsed, without the key.

use axum::extract::{Request, State};
use axum::http::HeaderMap;
use axum::middleware::Next;
use axum::response::Response;

use super::api::Refusal;
use super::reply::ApiError;
use super::{HttpState, fields};
use crate::config::SecretKey;

/// Lets a request with the right key through, and refuses any other.
pub(super) async fn require_key(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if has_key(request.headers(), &state.config.mq.secret_key) {
        return Ok(next.run(request).await);
    }
    fields::discard(request).await;
    Err(ApiError::Key)
}

/// The same, for the console API, which refuses in its own form.
pub(super) async fn require_key_of_api(
    state: State<HttpState>,
    request: Request,
    next: Next,
) -> Result<Response, Refusal> {
    Ok(require_key(state, request, next).await?)
}

/// Header values are bytes: a key beyond ASCII is compared as UTF-8.
fn has_key(headers: &HeaderMap, key: &SecretKey) -> bool {
    headers
        .get("secretKey")
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .is_some_and(|given| key.matches(given))
}
