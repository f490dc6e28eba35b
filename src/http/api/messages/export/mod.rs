//! Exports: all matching messages as a streamed file. Its link works once and without the key, so
//! that a browser can download it.

mod csv;
mod file;
mod format;
pub(in crate::http::api) mod links;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

use crate::access::Grant;
use crate::http::api::error::ConsoleError;
use crate::http::api::json::message::STATUSES;
use crate::http::api::messages::search::text_to_find;
use crate::http::api::reply;
use crate::http::api::request::body::Json;
use crate::http::api::request::filter;
use crate::http::api::request::params::{self, InPath, NoParams};
use crate::http::routes::auth;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::message::UnixSeconds;
use crate::store::Query;
use file::{ExportFile, send};
use format::ExportFormat;
use links::{Export, LINK_LIFE};

/// The request for an export.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct ExportRequest {
    format: ExportFormat,
    topic: Option<String>,
    status: Option<String>,
    from: Option<u32>,
    to: Option<u32>,
    text: Option<String>,
}

impl ExportRequest {
    fn export(self, grant: Arc<Grant>) -> Result<Export, ConsoleError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let status = given(self.status)
            .map(|name| params::choice("status", Some(&name), &STATUSES))
            .transpose()?;
        let query = Query {
            from: self.from.map(UnixSeconds),
            to: self.to.map(UnixSeconds),
            status,
            topic: given(self.topic)
                .map(|name| params::topic(&name))
                .transpose()?,
            before: None,
        };
        filter::in_order(&query)?;
        Ok(Export {
            format: self.format,
            query,
            text_search: text_to_find(self.text.as_deref())?,
            grant,
        })
    }
}

/// POST /api/exports.
pub(in crate::http::api) async fn open(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
    Json(request): Json<ExportRequest>,
) -> Result<Response, ConsoleError> {
    #[derive(Serialize)]
    struct Reply {
        url: String,
        expires: u32,
    }
    let export = request.export(caller.grant.clone())?;
    caller.may_ask(export.query.topic.as_ref())?;
    let format = export.format;
    let token = state.console.links.open(export)?;
    caller.took(format_args!("opened a link to an export as {format:?}"));
    let now = state.broker.clock().now();
    let reply = Reply {
        url: format!("/api/exports/{token}"),
        expires: now
            .0
            .saturating_add(u32::try_from(LINK_LIFE.as_secs()).unwrap_or(u32::MAX)),
    };
    Ok(reply::of(StatusCode::CREATED, &reply))
}

/// GET /api/exports/{token}.
pub(in crate::http::api) async fn fetch(
    State(state): State<HttpState>,
    method: Method,
    InPath(token): InPath<String>,
    _: NoParams,
) -> Result<Response, ConsoleError> {
    let links = &state.console.links;
    // HEAD must not use up the link.
    if method == Method::HEAD {
        return match links.is_open(&token) {
            true => Ok(StatusCode::OK.into_response()),
            false => Err(ConsoleError::no_such_export()),
        };
    }
    let key = links
        .key_of(&token)
        .ok_or_else(ConsoleError::no_such_export)?;
    let place = state.places.exports.take(&key)?;
    let export = links
        .take(&token)
        .ok_or_else(ConsoleError::no_such_export)?;
    let name = export.format.file_name(state.broker.clock().date());
    let file = ExportFile {
        format: export.format,
        text_search: export.text_search,
        _place: place,
    };
    let response = send(state.broker.list(export.query, &key), file, &name).await?;
    Ok(auth::until_ended(response, export.grant))
}
