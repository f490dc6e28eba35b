//! The HTTP side of the wire contract: the route table, CORS and limits, on one screen.
//!
//! The routes of the console API are in `api/`.
//!
//! Called by `server.rs`, which merges in the WebSocket routes, puts everything behind a
//! [`Gate`] and wraps it in [`with_cors`]. Handlers read fields, ask the [`Broker`] and write a reply; they keep no state.
//!
//! Invariant: a reply to a client is written by `reply.rs`, `view.rs`, `gate.rs`, `metrics.rs` or
//! `api/` and by nothing else.

mod api;
mod auth;
mod console;
mod fields;
mod gate;
mod metrics;
mod process;
mod producer;
mod reply;
mod times;
mod view;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, Uri, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::Broker;
use crate::config::Config;
use crate::edges::Edges;
use crate::message::UnixSeconds;
use api::{Console, Refusal};
pub use gate::Gate;
use reply::ApiError;

/// What the handlers of these routes work with; clones are cheap, and made for every request.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

/// See [`HttpState`].
pub struct Shared {
    broker: Broker,
    config: Arc<Config>,
    /// Cancelled when the server stops: streams then end.
    stop: CancellationToken,
    started: Instant,
    started_at: UnixSeconds,
    edges: Arc<Edges>,
    console: Arc<Console>,
}

impl Deref for HttpState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl HttpState {
    /// A state for routes that ask this `broker`; `config` has key and limits. Streams of
    /// events end as soon as `stop` is cancelled. Wrong keys are counted in `edges`.
    pub fn new(
        broker: Broker,
        config: Arc<Config>,
        stop: CancellationToken,
        edges: Arc<Edges>,
    ) -> HttpState {
        HttpState(Arc::new(Shared {
            started: Instant::now(),
            started_at: broker.clock().now(),
            edges,
            broker,
            config,
            stop,
            console: Arc::new(Console::new()),
        }))
    }

    /// The most bytes of body that are read: percent-encoding makes three bytes of one, and the
    /// names, the topic and the lines between multipart fields need room too.
    fn body_bytes_max(&self) -> usize {
        const AROUND_DATA_BYTES: usize = 64 * 1024;
        let data = self.config.server.max_message_bytes;
        data.saturating_mul(3).saturating_add(AROUND_DATA_BYTES)
    }
}

/// The routes of the contract (protocol, "HTTP"), the console API, and the page.
///
/// It has a fallback, so a router that is merged with it must have none.
pub fn router(state: HttpState) -> Router {
    let with_key = Router::new()
        .route("/Producer/Send", post(producer::send))
        .route("/Console/Ping", post(console::ping))
        .route("/Console/GetConsumers", post(console::get_consumers))
        .route("/Console/GetConfig", post(console::get_config))
        .route("/Console/GetMessageList", post(console::get_message_list))
        .route("/Console/CountMessage", post(console::count_message))
        .route_layer(middleware::from_fn_with_state(
            state.clone(),
            auth::require_key,
        ));
    Router::new()
        .route("/", get(view::page))
        .route("/view/{*file}", get(view::file))
        .route("/metrics", get(metrics::metrics))
        .merge(with_key)
        .merge(api::router(&state))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .with_state(state)
}

/// The headers on every reply, whatever was asked and from where (protocol, "CORS").
const CORS: [(HeaderName, &str); 4] = [
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

/// Wraps every route, refusal and unknown path of `router`: adds the CORS headers, and answers
/// OPTIONS with 204.
pub fn with_cors(router: Router) -> Router {
    router.layer(middleware::from_fn(cors))
}

async fn cors(request: Request, next: Next) -> Response {
    let mut response = match *request.method() {
        Method::OPTIONS => StatusCode::NO_CONTENT.into_response(),
        _ => next.run(request).await,
    };
    for (name, value) in CORS {
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(value));
    }
    response
}

async fn wrong_method(method: Method, uri: Uri) -> Response {
    refused_at(
        uri.path(),
        ApiError::WrongMethod {
            method: method.to_string(),
            path: uri.path().to_owned(),
        },
    )
}

async fn no_such_path(uri: Uri) -> Response {
    refused_at(uri.path(), ApiError::NoSuchPath(uri.path().to_owned()))
}

/// The reply in the form of the API that the path belongs to.
fn refused_at(path: &str, error: ApiError) -> Response {
    match api::has(path) {
        true => Refusal::from(error).into_response(),
        false => error.into_response(),
    }
}
