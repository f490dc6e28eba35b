//! JSON bodies: with the right content type, within the limit, with known fields only.

use axum::extract::{FromRequest, Request};
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::http::api::error::ConsoleError;
use crate::http::contract::error::ContractError;
use crate::http::fields::body::{self, BodyLimits};
use crate::http::fields::json::replace_lone_surrogates;
use crate::http::state::HttpState;

/// The JSON body of a request.
pub(in crate::http::api) struct Json<T>(pub(in crate::http::api) T);

/// A JSON body that carries the data of a message, and may be as large.
pub(in crate::http::api) struct JsonWithData<T>(pub(in crate::http::api) T);

impl<T: DeserializeOwned> FromRequest<HttpState> for Json<T> {
    type Rejection = ConsoleError;

    async fn from_request(request: Request, _: &HttpState) -> Result<Json<T>, ConsoleError> {
        parsed(request, BodyLimits::SMALL).await.map(Json)
    }
}

impl<T: DeserializeOwned> FromRequest<HttpState> for JsonWithData<T> {
    type Rejection = ConsoleError;

    async fn from_request(
        request: Request,
        state: &HttpState,
    ) -> Result<JsonWithData<T>, ConsoleError> {
        let limits = state.data_limits();
        parsed(request, limits).await.map(JsonWithData)
    }
}

async fn parsed<T: DeserializeOwned>(
    request: Request,
    limits: BodyLimits,
) -> Result<T, ConsoleError> {
    if !is_json(request.headers()) {
        body::discard(request).await;
        return Err(ConsoleError::content_type());
    }
    if let Some(coding) = body::content_coding(request.headers()) {
        body::discard(request).await;
        return Err(ContractError::ContentCoding(coding).into());
    }
    let mut body = body::whole_body(request, limits).await?;
    replace_lone_surrogates(&mut body);
    let parsed = serde_json::from_slice(&body);
    let value = parsed.map_err(|error| ConsoleError::body(&error.to_string()))?;
    // serde would read a list as the fields in order: a slip must not purge.
    match body.trim_ascii_start().first() {
        Some(b'{') => Ok(value),
        _ => Err(ConsoleError::body("it is not an object")),
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
        .and_then(|kind| kind.split(';').next())
        .is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json"))
}
