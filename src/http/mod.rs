//! The HTTP side of the wire contract: the route table, CORS and limits, on one screen.
//!
//! The routes of the console API are in `api/`.
//!
//! Called by `server/`, which merges in the WebSocket routes, puts everything behind a
//! [`Gate`] and wraps it in [`for_pages`]. Handlers read fields, ask the [`Broker`] and write a reply; they keep no state.
//!
//! Invariant: a reply to a client is written by `reply.rs`, `view.rs`, `gate.rs`, `pages.rs`, `metrics.rs` or
//! `api/` and by nothing else.

mod api;
mod contract;
mod fields;
mod front;
mod listing;
mod metrics;
mod process;
mod routes;
mod times;
mod view;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use std::ops::Deref;
use std::sync::Arc;

use axum::Router;
use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::access::Access;
use crate::broker::Broker;
use crate::config::{Config, Live};
use crate::connection::connection_stats::ConnectionStats;
use crate::message::UnixSeconds;
use api::{Console, Refusal};
use contract::reply::ApiError;
use front::gate;
pub use front::gate::Gate;
pub use front::pages::for_pages;
pub use routes::Needs;
use routes::{Route, auth, routes, slash};

/// What the handlers of these routes work with; clones are cheap, and made for every request.
#[derive(Clone)]
pub struct HttpState(Arc<Shared>);

/// See [`HttpState`].
pub struct Shared {
    broker: Broker,
    config: Live,
    access: Access,
    /// Cancelled when the server stops: streams then end.
    stop: CancellationToken,
    started: Instant,
    started_at: UnixSeconds,
    connections: Arc<ConnectionStats>,
    console: Arc<Console>,
}

impl Deref for HttpState {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl HttpState {
    /// A state for routes that ask this `broker`; `config` has limits, `access` the keys.
    /// Streams of events end as soon as `stop` is cancelled. Wrong keys are counted in `connections`.
    pub fn new(
        broker: Broker,
        config: Live,
        access: Access,
        stop: CancellationToken,
        connections: Arc<ConnectionStats>,
    ) -> HttpState {
        HttpState(Arc::new(Shared {
            started: Instant::now(),
            started_at: broker.clock().now(),
            connections,
            broker,
            config,
            access,
            stop,
            console: Arc::new(Console::new()),
        }))
    }

    /// The configuration in use now.
    fn config(&self) -> Arc<Config> {
        self.config.get()
    }

    /// What is read of a body with the data of a message: percent-encoding makes three bytes of
    /// one, and the names, the topic and the lines between multipart fields need room too.
    fn data_limits(&self) -> fields::Limits {
        const AROUND_DATA_BYTES: usize = 64 * 1024;
        let server = &self.config().server;
        let data = server.max_message_bytes.saturating_mul(3);
        fields::Limits {
            bytes_max: data.saturating_add(AROUND_DATA_BYTES),
            value_bytes_max: server.max_message_bytes,
            room_wait: server.request_time,
        }
    }
}

/// The page.
#[rustfmt::skip]
const PAGE: &[Route] = routes! {
    GET  "/"                       Nothing => view::page;
    GET  "/view/{*file}"           Nothing => view::file;
};

/// What is measured; refusals are those of the console API.
#[rustfmt::skip]
const METRICS: &[Route] = routes! {
    GET  "/metrics"                Scrape  => metrics::metrics;
};

/// Every route there is, as method, path, and the key that it needs.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str, Needs)> {
    let all = [contract::ROUTES, PAGE, METRICS, api::ROUTES]
        .into_iter()
        .flatten();
    let health = [gate::LIVE, gate::READY].map(|path| ("GET", path, Needs::Nothing));
    all.map(|route| (route.method, route.path, route.needs))
        .chain(health)
}

/// The routes of the contract, the console API, and the page.
///
/// It has a fallback, so a router that is merged with it must have none.
pub fn router(state: HttpState) -> Router {
    let table = contract::ROUTES.iter().chain(PAGE);
    let router = table.fold(Router::new(), |router, route| {
        router.route(route.path, auth::guarded::<ApiError>(route, &state))
    });
    let router = METRICS.iter().fold(router, |router, route| {
        router.route(route.path, auth::guarded::<Refusal>(route, &state))
    });
    router
        .merge(api::router(&state))
        .merge(slash::router(&[contract::ROUTES, METRICS, api::ROUTES]))
        .method_not_allowed_fallback(wrong_method)
        .fallback(no_such_path)
        .with_state(state)
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
