//! GET /metrics: the metrics in the text of OpenMetrics or Prometheus. `docs/metrics.md` says what
//! each number means, and a test holds both equal.
//!
//! Nothing is kept here. Broker, store and connections keep the counters and histograms; everything
//! else is asked for at each scrape.

mod accept;
mod clients;
mod families;
mod messages;
mod process;
mod scrape;
mod store;
mod text;
mod topics;

use axum::Extension;
use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse, Response};

use crate::http::api::error::ConsoleError;
use crate::http::headers::uncached;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use accept::MetricsFormat;
use scrape::scrape;

/// GET /metrics. A key for some topics gets the numbers of its own topics only.
pub(super) async fn metrics(
    State(state): State<HttpState>,
    caller: Option<Extension<Caller>>,
    headers: HeaderMap,
) -> Result<Response, ConsoleError> {
    let key = caller.as_ref().map_or("", |Extension(caller)| caller.key());
    let _place = state.places.scrapes.take(key)?;
    let format = MetricsFormat::preferred(&headers);
    let mut scrape = scrape(&state).await;
    if let Some(Extension(caller)) = &caller {
        let told = &mut scrape.told_topics.topics;
        told.retain(|told| caller.sees(&told.topic));
    }
    let text = text::encode(scrape, format);
    let headers = uncached(format.content_type());
    Ok((headers, [(header::VARY, "Accept")], text).into_response())
}
