//! Browsers: refuses foreign pages, and adds the headers that browsers obey (protocol, "CORS").

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};

use crate::config::{Live, Pages};
use crate::connection::connection_stats::{ConnectionStats, Refused};
use crate::http::contract::error::ContractError;
use crate::http::dialect::Dialect;
use crate::http::front::foreign::{check, text_header};
use crate::http::front::streams;

/// The headers on every reply.
pub(in crate::http) const CORS: [(HeaderName, &str); 4] = [
    (header::ACCESS_CONTROL_ALLOW_ORIGIN, "*"),
    (header::ACCESS_CONTROL_ALLOW_METHODS, "POST, GET, OPTIONS"),
    (
        header::ACCESS_CONTROL_ALLOW_HEADERS,
        "Content-Type, AccessToken, X-CSRF-Token, Authorization, Token, secretKey",
    ),
    (
        header::ACCESS_CONTROL_EXPOSE_HEADERS,
        "Content-Length, Access-Control-Allow-Origin, Access-Control-Allow-Headers, Content-Type",
    ),
];

/// How long a browser uses only TLS for this host after a reply over TLS: 30 days.
const TLS_ONLY: HeaderValue = HeaderValue::from_static("max-age=2592000");

/// Wraps every route, refusal and unknown path of `router`. Refuses pages that may not use the
/// server and counts them in `connections`, adds the CORS headers, and answers OPTIONS with 204.
/// With TLS it tells browsers to keep to TLS (RFC 6797). It tells proxies to pass streams on.
pub fn for_pages(router: Router, config: Live, connections: Arc<ConnectionStats>) -> Router {
    router.layer(middleware::from_fn_with_state((config, connections), pass))
}

async fn pass(
    State((config, connections)): State<(Live, Arc<ConnectionStats>)>,
    request: Request,
    next: Next,
) -> Response {
    let config = config.get();
    let pages = config.pages();
    let origin = (!pages.are_all()).then(|| allowed_origin(pages, request.headers()));
    let (mut response, is_refused) = match (check(pages, &request), request.method()) {
        (Err(foreign), _) => {
            connections.refused(Refused::Handshake).add(1);
            let refusal = Dialect::of(request.uri()).refuse(ContractError::Foreign(foreign));
            (refusal, true)
        }
        (Ok(()), &Method::OPTIONS) => (StatusCode::NO_CONTENT.into_response(), false),
        (Ok(()), _) => (next.run(request).await, false),
    };
    streams::pass_on(&mut response);
    let headers = response.headers_mut();
    for (name, value) in CORS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if config.server.tls.is_some() {
        headers.insert(header::STRICT_TRANSPORT_SECURITY, TLS_ONLY);
    }
    if let Some(origin) = origin {
        headers.insert(header::VARY, HeaderValue::from_static("Origin"));
        match origin {
            Some(origin) => headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin),
            None => headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN),
        };
    } else if is_refused {
        headers.remove(header::ACCESS_CONTROL_ALLOW_ORIGIN);
    }
    response
}

/// The page's origin if it may use the server.
fn allowed_origin(pages: Pages<'_>, headers: &HeaderMap) -> Option<HeaderValue> {
    let is_allowed = pages.allow(
        text_header(headers, header::ORIGIN)?,
        text_header(headers, header::HOST),
    );
    headers.get(header::ORIGIN).filter(|_| is_allowed).cloned()
}
