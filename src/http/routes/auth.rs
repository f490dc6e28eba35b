//! The `secretKey` header. Without a sufficient key no handler runs and no body is parsed, and a
//! reply that is being sent ends with the key.

use std::io;
use std::sync::Arc;

use axum::body::{Body, HttpBody};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::MethodRouter;
use futures_util::StreamExt;
use futures_util::stream;

use crate::access::{Grant, PresentedKey, RequestSource};
use crate::config::Metrics;
use crate::connection::connection_stats::Transport;
use crate::http::contract::error::ContractError;
use crate::http::fields::body;
use crate::http::routes::caller::{self, Caller};
use crate::http::routes::{Needs, Route};
use crate::http::state::HttpState;

/// The guard of a route.
#[derive(Clone)]
struct Guard {
    state: HttpState,
    method: &'static str,
    path: &'static str,
    needs: Needs,
}

impl Guard {
    fn of(route: &Route, state: &HttpState) -> Guard {
        Guard {
            state: state.clone(),
            method: route.method,
            path: route.path,
            needs: route.needs,
        }
    }

    /// The source of a request, and the key that it shows, if any.
    fn source_and_key(&self, request: &Request) -> (RequestSource, String) {
        let place = RequestSource {
            address: caller::address(request),
            method: self.method,
            path: self.path,
        };
        let headers = request.headers();
        let key = match self.needs {
            Needs::Scrape => key_of(headers).or_else(|| bearer(headers)),
            _ => key_of(headers),
        };
        (place, key.unwrap_or_default().to_owned())
    }

    /// The caller, if the key is sufficient for this route.
    async fn admit(
        &self,
        place: RequestSource,
        key: String,
        shown: PresentedKey,
    ) -> Result<Caller, ContractError> {
        let access = self.state.access.clone();
        let grant = access
            .present(&key, &place, &shown)
            .await
            .inspect_err(|_| {
                self.state
                    .connections
                    .logins_refused(Transport::Http)
                    .add(1);
            })?;
        let caller = Caller {
            access,
            grant,
            place,
        };
        if let Some(right) = self.needs.right() {
            caller.told(caller.grant.may(right))?;
        }
        if self.needs == Needs::ReadAll {
            caller.told(caller.grant.may_use_all())?;
        }
        Ok(caller)
    }

    async fn pass(self, mut request: Request, next: Next) -> Result<Response, ContractError> {
        match (self.needs, self.state.config().server.metrics) {
            (Needs::Scrape, Metrics::Off) => {
                return Err(ContractError::NoSuchPath(self.path.to_owned()));
            }
            (Needs::Scrape, Metrics::Open) => return Ok(next.run(request).await),
            _ => {}
        }
        let (place, key) = self.source_and_key(&request);
        let shown = request.extensions().get::<PresentedKey>().cloned();
        match self.admit(place, key, shown.unwrap_or_default()).await {
            Ok(caller) => {
                request.extensions_mut().insert(caller.clone());
                let answer = async { Ok(next.run(request).await) };
                let response: Result<Response, ContractError> = match self.needs.changes() {
                    // A change that is made stays made: its handler checks the key before.
                    true => answer.await,
                    false => caller.while_it_holds(answer).await,
                };
                Ok(until_ended(response?, caller.grant))
            }
            Err(error) => {
                body::discard(request).await;
                Err(error)
            }
        }
    }
}

/// Header values are bytes. A key beyond ASCII is compared as UTF-8.
fn key_of(headers: &HeaderMap) -> Option<&str> {
    std::str::from_utf8(headers.get("secretKey")?.as_bytes()).ok()
}

/// The key as a bearer token, which scrapers can send.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?;
    let (scheme, key) = std::str::from_utf8(value.as_bytes())
        .ok()?
        .split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| key.trim())
}

/// The handler of a route behind its guard. `E` is the error of the route's dialect.
pub(in crate::http) fn guarded<E>(route: &Route, state: &HttpState) -> MethodRouter<HttpState>
where
    E: From<ContractError> + IntoResponse + Send + 'static,
{
    let handler = (route.handler)(route.filter);
    if route.needs == Needs::Nothing {
        return handler;
    }
    let guard = Guard::of(route, state);
    handler.route_layer(middleware::from_fn_with_state(
        guard,
        async |State(guard): State<Guard>, request: Request, next: Next| {
            guard.pass(request, next).await.map_err(E::from)
        },
    ))
}

/// The same reply. A body that is still being sent breaks off when the grant ends, so that no
/// client takes a part for the whole.
pub(in crate::http) fn until_ended(response: Response, grant: Arc<Grant>) -> Response {
    let is_whole = response.body().size_hint().exact().is_some();
    if is_whole {
        return response;
    }
    response.map(|body| {
        let ended = Box::pin(async move { grant.until_ended().await });
        let rest = stream::unfold(Some((body.into_data_stream(), ended)), async |rest| {
            let (mut pieces, mut ended) = rest?;
            tokio::select! {
                biased;
                () = &mut ended => {
                    let over = io::Error::other("the key is revoked or has expired");
                    Some((Err(axum::Error::new(over)), None))
                }
                piece = pieces.next() => Some((piece?, Some((pieces, ended)))),
            }
        });
        Body::from_stream(rest)
    })
}
