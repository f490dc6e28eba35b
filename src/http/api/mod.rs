//! The console API under `/api/…`: the route table, and how it replies.
//!
//! It has ordinary HTTP statuses, and one form of failures ([`Refusal`]). What it is made of is
//! described in `docs/openapi.json`, which a test holds equal to [`ROUTES`].
//!
//! Invariant: whatever changes something is in the audit with who asked for it, never with the
//! data of a message; a key sees and changes its own topics only; every stream ends when the server stops.

mod attention;
mod backup;
mod body;
mod clients;
mod config;
mod error;
mod events;
mod export;
mod figures;
mod key;
mod life;
mod login;
mod messages;
mod needle;
mod openapi;
mod overview;
mod params;
mod search;
mod shape;
mod state;
mod topics;

use axum::Router;
use axum::body::Body;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::http::routes::{Route, routes};
use crate::http::{HttpState, auth};
pub(super) use error::Refusal;
pub(super) use overview::Disk;
pub(super) use state::{Console, TooMany};

/// Every route there is.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = routes! {
    GET    "/api/login"                  Nothing => login::login;
    GET    "/api/key"                    AnyKey  => key::key;
    GET    "/api/overview"               Read    => overview::overview;
    GET    "/api/events"                 Read    => events::events;
    GET    "/api/series"                 Read    => figures::series;
    GET    "/api/growth"                 Read    => figures::growth;
    GET    "/api/attention"              Read    => attention::attention;
    GET    "/api/topics"                 Read    => topics::list;
    GET    "/api/topics/{topic}"         Read    => topics::detail;
    POST   "/api/topics/{topic}/purge"   Change  => topics::purge;
    GET    "/api/topics/{topic}/watch"   Read    => events::watch;
    GET    "/api/topic"                  Read    => topics::detail;
    POST   "/api/topic/purge"            Change  => topics::purge;
    GET    "/api/topic/watch"            Read    => events::watch;
    GET    "/api/messages"               Read    => messages::list;
    POST   "/api/messages"               Change  => messages::publish;
    GET    "/api/messages/{code}"        Read    => messages::detail;
    DELETE "/api/messages/{code}"        Change  => messages::delete;
    POST   "/api/messages/{code}/push"   Change  => messages::push;
    GET    "/api/search"                 Read    => search::search;
    POST   "/api/exports"                Read    => export::open;
    GET    "/api/exports/{token}"        Nothing => export::fetch;
    GET    "/api/clients"                Read    => clients::list;
    DELETE "/api/clients/{number}"       Change  => clients::disconnect;
    GET    "/api/config"                 Read    => config::config;
    GET    "/api/backup"                 ReadAll => backup::backup;
    GET    "/api/openapi.json"           Nothing => openapi::description;
};

/// The routes, without a fallback.
pub(super) fn router(state: &HttpState) -> Router<HttpState> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, auth::guarded::<Refusal>(route, state))
    })
}

/// Whether failures at this path are told in the form of this API.
pub(super) fn has(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// A reply of JSON.
fn reply(status: StatusCode, body: &impl Serialize) -> Response {
    json(status, text_of(body))
}

fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("replies are structs of texts and numbers")
}

fn json(status: StatusCode, text: impl Into<Body>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text.into()).into_response()
}

/// A number with as many decimals as anybody reads.
fn rounded(number: f64) -> f64 {
    (number * 1000.0).round() / 1000.0
}

/// Does what may take its time on a thread that may.
async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a question of the console failed");
        Refusal::internal("the question could not be answered; the log says why")
    })
}
