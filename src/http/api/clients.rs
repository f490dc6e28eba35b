//! Clients: listed, and disconnected.

use axum::extract::{RawQuery, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::broker::{Client, Role};
use crate::http::api::blocking::off_thread;
use crate::http::api::error::ConsoleError;
use crate::http::api::json::client::ClientJson;
use crate::http::api::reply;
use crate::http::api::request::params::{self, InPath};
use crate::http::api::text_search::TextSearch;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;

const LIMIT_MAX: usize = 500;
const LIMIT: usize = 50;

/// GET /api/clients: longest connected first, a page at a time. The cursor is the number of the
/// last client. Numbers only grow, so it stays right when clients leave.
pub(super) async fn list(
    State(state): State<HttpState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    let names = ["role", "topic", "search", "limit", "cursor"];
    let values = params::read(query.as_deref(), names)?;
    let [role, topic, search, limit, cursor] = values.each_ref().map(Option::as_deref);
    let roles = [
        ("", None),
        ("consumer", Some(Role::Consumer)),
        ("producer", Some(Role::Producer)),
    ];
    let role = params::choice("role", role, &roles)?;
    let topic = topic.map(params::topic).transpose()?;
    let mut text_search = search.map(TextSearch::new);
    let limit = params::whole("limit", limit, 1..=LIMIT_MAX, LIMIT)?;
    let after = cursor.map(params::number_cursor).transpose()?;
    let broker = state.broker.clone();
    let place = state.places.surveys.take(caller.key())?;
    let text = off_thread(move || {
        let _place = place;
        let mut clients = broker.clients();
        clients.retain(|client| {
            caller.sees(&client.info.topic)
                && role.is_none_or(|role| client.role == role)
                && topic
                    .as_ref()
                    .is_none_or(|topic| client.info.topic == *topic)
                && text_search.as_mut().is_none_or(|text_search| {
                    text_search.matches(&client.info.id)
                        || text_search.matches(&client.info.ip.to_canonical().to_string())
                })
        });
        page(&clients, after, limit)
    })
    .await?;
    Ok(reply::json(StatusCode::OK, text))
}

fn page(clients: &[Client], after: Option<u64>, limit: usize) -> String {
    #[derive(Serialize)]
    struct List<'a> {
        clients: Vec<ClientJson<'a>>,
        total: usize,
        next: Option<String>,
    }
    let rest = clients
        .iter()
        .filter(|client| after.is_none_or(|after| client.number > after));
    let mut page: Vec<_> = rest.take(limit + 1).collect();
    let more = page.len() > limit;
    page.truncate(limit);
    let last = page.last().filter(|_| more);
    reply::text_of(&List {
        next: last.map(|client| client.number.to_string()),
        clients: page.into_iter().map(ClientJson::of).collect(),
        total: clients.len(),
    })
}

/// DELETE /api/clients/{number}: closes its connection.
pub(super) async fn disconnect(
    State(state): State<HttpState>,
    caller: Caller,
    InPath(number): InPath<u64>,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    let confirm = params::confirm(query.as_deref())?;
    let gone = || ConsoleError::no_such_client(number);
    let client = state.broker.client(number).ok_or_else(gone)?;
    // Numbers can be guessed, so a key for other topics must not learn which are in use.
    caller.may_use(&client.info.topic).map_err(|_| gone())?;
    let topic = client.info.topic.as_str();
    if confirm != topic {
        return Err(ConsoleError::not_confirmed(&confirm));
    }
    if !state.broker.disconnect(number) {
        return Err(gone());
    }
    let ip = client.info.ip;
    caller.did(format_args!(
        "disconnected client {number} of topic {topic:?} at {ip}"
    ));
    Ok(StatusCode::NO_CONTENT.into_response())
}
