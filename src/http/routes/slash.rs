//! A slash too many at the end of a path: it leads to the path without, as in the original.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use axum::routing::on;

use crate::http::fields;
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

/// 307: method and body stay what they are.
async fn redirect(request: Request) -> Response {
    let place = without_slash(request.uri());
    fields::discard(request).await;
    let place = HeaderValue::try_from(place).expect("what was in a path and a query may be in one");
    (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, place)]).into_response()
}

/// Relative, for a proxy may have the broker under a path of its host.
fn without_slash(uri: &Uri) -> String {
    let path = uri.path().trim_end_matches('/');
    let (_, last) = path.rsplit_once('/').unwrap_or_default();
    match uri.query() {
        Some(query) => format!("../{last}?{query}"),
        None => format!("../{last}"),
    }
}
