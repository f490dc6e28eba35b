//! The console API under `/api/…`: the route table, and how it replies.
//!
//! It has ordinary HTTP statuses, and one form of failures ([`Refusal`]). What it is made of is
//! described in `docs/openapi.json`, which a test holds equal to [`ROUTES`].
//!
//! Invariant: whatever changes something is logged with who asked for it, never with the data
//! of a message; every stream ends when the server stops.

mod backup;
mod body;
mod caller;
mod clients;
mod config;
mod error;
mod events;
mod export;
mod figures;
mod life;
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
use axum::http::{StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodFilter, MethodRouter, on};
use serde::Serialize;

use super::{HttpState, auth};
pub(super) use error::Refusal;
pub(super) use overview::Disk;
pub(super) use state::Console;

/// A method of a path.
struct Route {
    method: MethodFilter,
    path: &'static str,
    access: Access,
    handler: fn(MethodFilter) -> MethodRouter<HttpState>,
}

/// Who may use a route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Access {
    /// Whoever has the key.
    Key,
    /// Everybody.
    Open,
}

/// A table of routes: `METHOD "path" access => handler`.
macro_rules! routes {
    ($($method:ident $path:literal $access:ident => $handler:path;)*) => {
        &[$(Route {
            method: MethodFilter::$method,
            path: $path,
            access: Access::$access,
            handler: |method| on(method, $handler),
        }),*]
    };
}

/// Every route there is.
#[rustfmt::skip]
const ROUTES: &[Route] = routes! {
    GET    "/api/overview"              Key  => overview::overview;
    GET    "/api/events"                Key  => events::events;
    GET    "/api/series"                Key  => figures::series;
    GET    "/api/growth"                Key  => figures::growth;
    GET    "/api/topics"                Key  => topics::list;
    GET    "/api/topics/{topic}"        Key  => topics::detail;
    POST   "/api/topics/{topic}/purge"  Key  => topics::purge;
    GET    "/api/topics/{topic}/watch"  Key  => events::watch;
    GET    "/api/messages"              Key  => messages::list;
    POST   "/api/messages"              Key  => messages::publish;
    GET    "/api/messages/{code}"       Key  => messages::detail;
    DELETE "/api/messages/{code}"       Key  => messages::delete;
    POST   "/api/messages/{code}/push"  Key  => messages::push;
    GET    "/api/search"                Key  => search::search;
    POST   "/api/exports"               Key  => export::open;
    GET    "/api/exports/{token}"       Open => export::fetch;
    GET    "/api/clients"               Key  => clients::list;
    DELETE "/api/clients/{number}"      Key  => clients::disconnect;
    GET    "/api/config"                Key  => config::config;
    GET    "/api/backup"                Key  => backup::backup;
    GET    "/api/openapi.json"          Open => openapi::description;
};

/// The routes, without a fallback.
pub(super) fn router(state: &HttpState) -> Router<HttpState> {
    let key = middleware::from_fn_with_state(state.clone(), auth::require_key_of_api);
    ROUTES.iter().fold(Router::new(), |router, route| {
        let handler = (route.handler)(route.method);
        let handler = match route.access {
            Access::Key => handler.route_layer(key.clone()),
            Access::Open => handler,
        };
        router.route(route.path, handler)
    })
}

/// Whether failures at this path are told in the form of this API.
pub(super) fn has(path: &str) -> bool {
    path == "/api" || path.starts_with("/api/")
}

/// A reply of JSON.
fn reply(status: StatusCode, body: &impl Serialize) -> Response {
    json(status, &text_of(body))
}

fn text_of(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("replies are structs of texts and numbers")
}

fn json(status: StatusCode, text: &str) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "application/json; charset=utf-8"),
        (header::CACHE_CONTROL, "no-store"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (status, headers, text.to_owned()).into_response()
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
