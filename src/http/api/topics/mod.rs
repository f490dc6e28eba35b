//! Topics: listed, shown, purged, watched.

pub(in crate::http::api) mod attention;
pub(in crate::http::api) mod list;
pub(in crate::http::api) mod survey;
pub(in crate::http::api) mod watch;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::{Deserialize, Serialize};

use crate::http::api::blocking::off_thread;
use crate::http::api::error::ConsoleError;
use crate::http::api::json::client::ClientJson;
use crate::http::api::json::topic::TopicRow;
use crate::http::api::reply;
use crate::http::api::request::body::Json;
use crate::http::api::request::params::AboutTopic;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::message::StatusKind;

/// The most clients that a topic's detail shows.
const CLIENTS_MAX: usize = 50;

/// GET /api/topics/{topic}: a topic and its clients.
pub(super) async fn detail(
    State(state): State<HttpState>,
    caller: Caller,
    AboutTopic(topic): AboutTopic,
) -> Result<Response, ConsoleError> {
    #[derive(Serialize)]
    struct Detail<'a> {
        #[serde(flatten)]
        row: TopicRow<'a>,
        clients: Vec<ClientJson<'a>>,
    }
    caller.may_use(&topic)?;
    let found = state.broker.topic(&topic);
    let found = found.ok_or_else(|| ConsoleError::no_such_topic(&topic))?;
    let oldest = state.broker.oldest_waiting_of(vec![topic.clone()]).await?;
    let broker = state.broker.clone();
    let _place = state.places.surveys.take(caller.key())?;
    let clients = off_thread(move || {
        let mut clients = broker.clients();
        clients.retain(|client| client.info.topic == topic);
        clients.truncate(CLIENTS_MAX);
        clients
    })
    .await?;
    let detail = Detail {
        row: TopicRow::of(&found, oldest.into_iter().next().flatten()),
        clients: clients.iter().map(ClientJson::of).collect(),
    };
    Ok(reply::of(StatusCode::OK, &detail))
}

/// Which messages of the topic to purge.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PurgeRequest {
    confirm: String,
    what: PurgeKind,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
enum PurgeKind {
    Waiting,
    Consumed,
    All,
}

impl PurgeKind {
    fn kinds(self) -> &'static [StatusKind] {
        match self {
            PurgeKind::Waiting => &[StatusKind::Accepted, StatusKind::NotConsumed],
            PurgeKind::Consumed => &[StatusKind::Consumed],
            PurgeKind::All => &StatusKind::ALL,
        }
    }

    fn words(self) -> &'static str {
        match self {
            PurgeKind::Waiting => "those that waited",
            PurgeKind::Consumed => "those that were consumed",
            PurgeKind::All => "all messages",
        }
    }
}

/// POST /api/topics/{topic}/purge: deletes messages. They are gone for good when it replies.
pub(super) async fn purge(
    State(state): State<HttpState>,
    caller: Caller,
    AboutTopic(topic): AboutTopic,
    Json(request): Json<PurgeRequest>,
) -> Result<Response, ConsoleError> {
    #[derive(Serialize)]
    struct Reply {
        deleted: u64,
    }
    caller.may_use(&topic)?;
    if request.confirm != topic.as_str() {
        return Err(ConsoleError::not_confirmed(&request.confirm));
    }
    let kinds = request.what.kinds();
    let deleted = state.broker.purge(topic.clone(), kinds).await?;
    let (topic, what) = (topic.as_str(), request.what.words());
    caller.did(format_args!(
        "purged topic {topic:?}: {deleted} deleted of {what}"
    ));
    Ok(reply::of(StatusCode::OK, &Reply { deleted }))
}
