//! Bodies of JSON: of the right type, within the limit, and with known fields only.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use super::super::{HttpState, fields};
use super::error::Refusal;

/// The body of a request, as JSON of this type.
pub(super) struct Json<T>(pub(super) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for Json<T> {
    type Rejection = Refusal;

    async fn from_request(request: Request, state: &HttpState) -> Result<Json<T>, Refusal> {
        if !is_json(request.headers()) {
            fields::discard(request).await;
            return Err(Refusal::content_type());
        }
        let body = fields::whole_body(request, state.body_bytes_max()).await?;
        match serde_json::from_slice(&body) {
            Ok(value) => Ok(Json(value)),
            Err(error) => Err(Refusal::body(&error.to_string())),
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
