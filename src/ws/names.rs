//! The topic and the id with which a client asks for a WebSocket.

use std::convert::Infallible;

use axum::extract::{FromRequestParts, MatchedPath, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;

/// Topic and id as the client wrote them, or why they cannot be read.
pub(super) struct Names(pub(super) Result<(String, String), &'static str>);

impl<S: Send + Sync> FromRequestParts<S> for Names {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Names, Infallible> {
        #[derive(Deserialize)]
        struct InQuery {
            topic: String,
            id: String,
        }
        let matched = parts.extensions.get::<MatchedPath>();
        if matched.is_some_and(|path| path.as_str().contains("{topic}")) {
            let path = Path::from_request_parts(parts, state).await;
            let names = path.map(|Path(names)| names);
            return Ok(Names(names.map_err(|_| "the topic or the id is not UTF-8")));
        }
        Ok(Names(match Query::from_request_parts(parts, state).await {
            Ok(Query(InQuery { topic, id })) if !id.is_empty() => Ok((topic, id)),
            _ => Err("the query must have topic and id, as ?topic=…&id=…"),
        }))
    }
}
