//! GET /api/key: the rights, topics and expiry of the caller's key.

use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::http::api::reply;
use crate::http::api::request::params::NoParams;
use crate::http::routes::caller::Caller;

/// GET /api/key.
pub(in crate::http::api) async fn key(caller: Caller, _: NoParams) -> Response {
    #[derive(Serialize)]
    struct Key<'a> {
        name: &'a str,
        rights: Vec<&'static str>,
        topics: &'a [String],
        expires: Option<u32>,
    }
    let grant = &caller.grant;
    let key = Key {
        name: grant.name(),
        rights: grant.rights().names(),
        topics: grant.topics().patterns(),
        expires: grant.expires().map(|at| at.0),
    };
    reply::of(StatusCode::OK, &key)
}
