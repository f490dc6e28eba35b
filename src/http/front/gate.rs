//! The gate in front of all routes: it answers for the health, and lets requests in only while the
//! server serves.
//!
//! A start with much to recover is slow. Requests wait meanwhile and are served once the store is
//! open, so clients of the protocol see a slow reply and never a strange one. Only the health
//! replies at once. During a stop new requests are refused, and running ones finish.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use axum::routing::get;
use serde::Serialize;
use tokio::sync::SetOnce;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use crate::broker::{Broker, PublishError};
use crate::http::contract::error::ContractError;
use crate::http::contract::reply;
use crate::http::dialect::{self, Dialect};
use crate::http::front::health::{LIVE, READY, Unready, unready};

/// Keeps requests waiting until the server serves. Clones are the same gate.
#[derive(Clone)]
pub struct Gate(Arc<Inner>);

struct Inner {
    open: SetOnce<Serving>,
    /// Cancelled when the server stops.
    stop: CancellationToken,
}

struct Serving {
    app: Router,
    broker: Broker,
}

impl Gate {
    /// A gate that is closed until [`Gate::open`], and again once `stop` is cancelled.
    pub fn new(stop: CancellationToken) -> Gate {
        Gate(Arc::new(Inner {
            open: SetOnce::new(),
            stop,
        }))
    }

    /// Lets requests through to `app`, whose routes ask this `broker`. Only the first call counts.
    pub fn open(&self, app: Router, broker: Broker) {
        // An open gate stays as it is.
        let _ = self.0.open.set(Serving { app, broker });
    }

    /// The routes of the health, then all others.
    pub fn router(&self) -> Router {
        Router::new()
            .route(LIVE, get(live))
            .route(READY, get(ready))
            .method_not_allowed_fallback(dialect::wrong_method)
            .fallback(pass)
            .with_state(self.clone())
    }

    fn unready(&self) -> Option<Unready> {
        match self.0.open.get() {
            Some(Serving { broker, .. }) => unready(broker, &self.0.stop),
            None => Some(Unready::Starting),
        }
    }
}

/// GET /health/live: 200 unless the process has to be restarted.
async fn live(State(gate): State<Gate>) -> Response {
    #[derive(Serialize)]
    struct Live {
        live: bool,
    }
    let open = gate.0.open.get();
    let live = open.is_none_or(|open| open.broker.is_alive());
    health(live, &Live { live })
}

/// GET /health/ready: 200 if messages are accepted and stored.
async fn ready(State(gate): State<Gate>) -> Response {
    #[derive(Serialize)]
    struct Ready {
        ready: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<Unready>,
    }
    let reason = gate.unready();
    let ready = reason.is_none();
    health(ready, &Ready { ready, reason })
}

fn health(good: bool, body: &impl Serialize) -> Response {
    let text = serde_json::to_vec(body).expect("a struct of flags and names");
    let mut response = reply::json(text.into());
    if !good {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

async fn pass(State(gate): State<Gate>, request: Request) -> Response {
    let open = gate.0.open.wait().await;
    if gate.0.stop.is_cancelled() {
        return stopping(request.method(), request.uri());
    }
    match open.app.clone().oneshot(request).await {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// Refuses in the dialect of the path.
fn stopping(method: &Method, uri: &Uri) -> Response {
    let error = ContractError::Publish(PublishError::Stopping);
    let dialect = Dialect::of(uri);
    let mut response = dialect.refuse(error);
    // The contract's routes are all POST, and refuse with status 200.
    if method != Method::POST && dialect == Dialect::Contract {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, Live};
    use crate::http::for_pages;
    use crate::http::tests;
    use crate::store::Store;
    use axum::body::Body;

    async fn get(app: &Router, path: &str) -> (u16, String) {
        let request = Request::get(path).body(Body::empty()).unwrap();
        let reply = tests::ask(app, request).await;
        (reply.status.as_u16(), reply.text)
    }

    fn told(status: u16, text: &str) -> (u16, String) {
        (status, text.to_owned())
    }

    #[tokio::test]
    async fn a_store_that_does_not_serve_any_more_is_neither_live_nor_ready() {
        let (broker, store) = tests::broker();
        let gate = Gate::new(CancellationToken::new());
        let app = for_pages(gate.router(), Live::new(Config::default()), Arc::default());
        let starting = r#"{"ready":false,"reason":"starting"}"#;
        assert_eq!(get(&app, "/health/ready").await, told(503, starting));
        assert_eq!(get(&app, "/health/live").await.0, 200);
        gate.open(Router::new(), broker);
        assert_eq!(
            get(&app, "/health/ready").await,
            told(200, r#"{"ready":true}"#)
        );
        store.close().unwrap();
        let unready = r#"{"ready":false,"reason":"storage"}"#;
        assert_eq!(get(&app, "/health/ready").await, told(503, unready));
        assert_eq!(
            get(&app, "/health/live").await,
            told(503, r#"{"live":false}"#)
        );
    }

    #[tokio::test]
    async fn a_request_that_comes_too_early_is_served_later() {
        let (broker, _) = tests::broker();
        let gate = Gate::new(CancellationToken::new());
        let app = for_pages(gate.router(), Live::new(Config::default()), Arc::default());
        let early = async { get(&app, "/page").await };
        let open = async {
            // Until the other request waits.
            tokio::task::yield_now().await;
            let page = Router::new().route("/page", axum::routing::get(async || "there"));
            gate.open(page, broker);
        };
        let (early, ()) = tokio::join!(early, open);
        assert_eq!(early, told(200, "there"));
    }
}
