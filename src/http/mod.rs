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
mod dialect;
mod disk;
mod fields;
mod front;
mod listing;
mod metrics;
mod places;
mod process;
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
    let health = [health::LIVE, health::READY].map(|path| ("GET", path, Needs::Nothing));
    all.map(|route| (route.method, route.path, route.needs))
        .chain(health)
}

/// The routes of the contract, the console API, and the page.
///
/// It has a fallback, so a router that is merged with it must have none.
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
