//! HTTP: the route tables in one router.
//!
//! The contract's routes are in `contract/`, the console API's in `api/`. Both stand on `routes/`
//! (tables, keys) and `fields/` (bodies); `front/` is in front of all of them.
//!
//! `server/` calls [`router`], merges in the WebSocket routes, puts everything behind a [`Gate`]
//! and wraps it in [`for_pages`]. A handler reads the request, asks the broker and writes a reply.
//! It keeps no state.
//!
//! Invariant: only `contract/`, `api/`, `front/`, `metrics/`, `routes/slash.rs` and `view.rs` reply
//! to a client.

mod api;
mod cached;
mod contract;
mod dialect;
mod fields;
mod front;
mod headers;
mod host;
mod listing;
mod metrics;
mod places;
mod refusal;
mod routes;
mod sse;
mod state;
mod times;
mod view;

#[cfg(test)]
mod fuzz;
#[cfg(test)]
mod tests;

use axum::Router;

use api::error::ConsoleError;
use contract::error::ContractError;
pub use front::gate::Gate;
use front::health;
pub use front::pages::for_pages;
pub use routes::Needs;
use routes::{Route, auth, routes, slash};
pub use state::HttpState;

/// The page.
#[rustfmt::skip]
const PAGE: &[Route] = routes! {
    GET  "/"                       Nothing => view::page;
    GET  "/view/{*file}"           Nothing => view::file;
};

/// The metrics. They refuse in the console API's dialect.
#[rustfmt::skip]
const METRICS: &[Route] = routes! {
    GET  "/metrics"                Scrape  => metrics::metrics;
};

/// All routes as method, path and the key that each needs.
pub fn routes() -> impl Iterator<Item = (&'static str, &'static str, Needs)> {
    let all = [contract::ROUTES, PAGE, METRICS, api::ROUTES]
        .into_iter()
        .flatten();
    let health = [health::LIVE, health::READY].map(|path| ("GET", path, Needs::Nothing));
    all.map(|route| (route.method, route.path, route.needs))
        .chain(health)
}

/// The routes of the contract, the console API, the metrics and the page.
///
/// The router has a fallback, so a router merged with it must not have one.
pub fn router(state: HttpState) -> Router {
    let table = contract::ROUTES.iter().chain(PAGE);
    let router = table.fold(Router::new(), |router, route| {
        router.route(route.path, auth::guarded::<ContractError>(route, &state))
    });
    let router = METRICS.iter().fold(router, |router, route| {
        router.route(route.path, auth::guarded::<ConsoleError>(route, &state))
    });
    router
        .merge(api::router(&state))
        .merge(slash::router(&[contract::ROUTES, METRICS, api::ROUTES]))
        .method_not_allowed_fallback(dialect::wrong_method)
        .fallback(dialect::no_such_path)
        .with_state(state)
}
