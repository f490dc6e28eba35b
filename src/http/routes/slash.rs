//! Redirects a path with a trailing slash to the path without it, as the original does.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;

use crate::http::fields::body;
use crate::http::routes::Route;
use crate::http::state::HttpState;

/// A redirect for every route of these tables.
pub(in crate::http) fn router(tables: &[&[Route]]) -> Router<HttpState> {
    let routes = tables.iter().copied().flatten();
    routes.fold(Router::new(), |router, route| {
        let path = format!("{}/", route.path);
        router.route(&path, on(route.filter, redirect))
    })
}

/// 307: the client repeats method and body.
async fn redirect(request: Request) -> Response {
    let place = without_slash(request.uri());
    body::discard(request).await;
    let place = HeaderValue::try_from(place).expect("what was in a path and a query may be in one");
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response()
}

/// The path without its slash. It is relative, because a proxy may serve the broker below a path.
fn without_slash(uri: &Uri) -> String {
    let path = uri.path().trim_end_matches('/');
    let (_, last) = path.rsplit_once('/').unwrap_or_default();
    match uri.query() {
        Some(query) => format!("../{last}?{query}"),
        None => format!("../{last}"),
    }
}
