//! The `secretKey` header: nothing behind it is reached, and no body is parsed, without the key.

use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::Next;
use axum::response::Response;

use super::api::Refusal;
use super::reply::ApiError;
use super::{HttpState, fields};
use crate::config::{Metrics, SecretKey};
use crate::edges::Via;

/// Lets a request with the right key through, and refuses any other.
pub(super) async fn require_key(
    State(state): State<HttpState>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    if has_key(request.headers(), &state.config.mq.secret_key) {
        return Ok(next.run(request).await);
    }
    state.edges.logins_refused(Via::Http).add(1);
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

/// Who may read the metrics: `server.metrics` says whether nobody, whoever has the key, or
/// everybody. The key comes as everywhere, or as a bearer's token, which scrapers know to send.
pub(super) fn may_read_metrics(state: &HttpState, headers: &HeaderMap) -> Result<(), Refusal> {
    match state.config.server.metrics {
        Metrics::Off => Err(Refusal::no_such_path("/metrics")),
        Metrics::Open => Ok(()),
        Metrics::WithKey => {
            let key = &state.config.mq.secret_key;
            if has_key(headers, key) || bears_key(headers, key) {
                return Ok(());
            }
            state.edges.logins_refused(Via::Http).add(1);
            Err(ApiError::Key.into())
        }
    }
}

fn bears_key(headers: &HeaderMap, key: &SecretKey) -> bool {
    headers
        .get(header::AUTHORIZATION)
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .and_then(|value| value.split_once(' '))
        .is_some_and(|(scheme, given)| {
            scheme.eq_ignore_ascii_case("bearer") && key.matches(given.trim())
        })
}

/// Header values are bytes: a key beyond ASCII is compared as UTF-8.
fn has_key(headers: &HeaderMap, key: &SecretKey) -> bool {
    headers
        .get("secretKey")
        .and_then(|value| std::str::from_utf8(value.as_bytes()).ok())
        .is_some_and(|given| key.matches(given))
}
