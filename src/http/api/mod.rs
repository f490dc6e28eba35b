//! The console API under `/api/…`: its route table.
//!
//! It has ordinary HTTP statuses and one form of refusal ([`ConsoleError`]). `docs/openapi.json`
//! describes it, and a test holds that equal to [`ROUTES`].
//!
//! Invariant: the audit has every change with its caller, never with the data of a message. A key
//! sees and changes its own topics only. Every stream ends when the server stops.

mod about;
mod backup;
mod blocking;
mod clients;
pub(super) mod error;
mod figures;
mod json;
mod messages;
mod overview;
mod reply;
mod request;
pub(super) mod state;
mod text_search;
mod topics;

use axum::Router;

use crate::http::routes::auth;
use crate::http::routes::{Route, routes};
use crate::http::state::HttpState;
use error::ConsoleError;

/// The routes of the console API.
#[rustfmt::skip]
pub(super) const ROUTES: &[Route] = routes! {
    GET    "/api/login"                  Nothing => about::login::login;
    GET    "/api/key"                    AnyKey  => about::key::key;
    GET    "/api/overview"               Read    => overview::overview;
    GET    "/api/events"                 Read    => overview::events::events;
    GET    "/api/series"                 Read    => figures::series;
    GET    "/api/growth"                 Read    => figures::growth;
    GET    "/api/attention"              Read    => topics::attention::attention;
    GET    "/api/topics"                 Read    => topics::list::list;
    GET    "/api/topics/{topic}"         Read    => topics::detail;
    POST   "/api/topics/{topic}/purge"   Change  => topics::purge;
    GET    "/api/topics/{topic}/watch"   Read    => topics::watch::watch;
    GET    "/api/topic"                  Read    => topics::detail;
    POST   "/api/topic/purge"            Change  => topics::purge;
    GET    "/api/topic/watch"            Read    => topics::watch::watch;
    GET    "/api/messages"               Read    => messages::list;
    POST   "/api/messages"               Change  => messages::publish;
    GET    "/api/messages/{code}"        Read    => messages::detail;
    DELETE "/api/messages/{code}"        Change  => messages::delete;
    POST   "/api/messages/{code}/push"   Change  => messages::push;
    GET    "/api/search"                 Read    => messages::search::search;
    POST   "/api/exports"                Read    => messages::export::open;
    GET    "/api/exports/{token}"        Nothing => messages::export::fetch;
    GET    "/api/clients"                Read    => clients::list;
    DELETE "/api/clients/{number}"       Change  => clients::disconnect;
    GET    "/api/config"                 Read    => about::config::config;
    GET    "/api/backup"                 ReadAll => backup::backup;
    GET    "/api/openapi.json"           Nothing => about::openapi::description;
};

/// The routes, without a fallback.
pub(super) fn router(state: &HttpState) -> Router<HttpState> {
    ROUTES.iter().fold(Router::new(), |router, route| {
        router.route(route.path, auth::guarded::<ConsoleError>(route, state))
    })
}
