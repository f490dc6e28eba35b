//! GET /api/login: what a client may know before it logs in.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;

use crate::http::api::reply;
use crate::http::api::request::params::NoParams;
use crate::http::state::HttpState;

/// Tells whether the key is the published default. That is no secret: anybody could try it.
pub(in crate::http::api) async fn login(State(state): State<HttpState>, _: NoParams) -> Response {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Login {
        key_is_published: bool,
    }
    let login = Login {
        key_is_published: state.config().mq.secret_key.is_default(),
    };
    reply::of(StatusCode::OK, &login)
}
