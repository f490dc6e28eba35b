//! Which pages may use the server.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, header};

use crate::config::Pages;
use crate::http::front::health;

/// Why a page may not use the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum ForeignPage {
    /// Its origin is not in the list.
    #[error("this server is not for pages of this origin: see server.origins")]
    Page,
    /// The page is not from this machine, and the key is the published default.
    #[error(
        "while mq.secretKey is the published default, pages of other machines may not use this \
         server: set mq.secretKey to a key of your own, or add the page's origin to server.origins"
    )]
    PageWithKey,
    /// The host name may be an attacker's, and the key is the published default.
    #[error(
        "while mq.secretKey is the published default, this server does not answer to this name: \
         set mq.secretKey to a key of your own, or add the name's origin to server.origins"
    )]
    NameWithKey,
}

/// Checks the page that sent a request. Programs other than browsers send no `Origin` and pass. A
/// browser omits it only when it reads from what it takes for the page's own server, so the host
/// name must then be one of this server's. In all other requests the browser names the page.
///
/// A list of origins guards WebSockets only: browsers themselves keep other replies from foreign
/// pages. While the key is the published default, all routes are guarded but the health, which
/// tells nothing.
pub(in crate::http::front) fn check(
    pages: Pages<'_>,
    request: &Request,
) -> Result<(), ForeignPage> {
    let headers = request.headers();
    let (is_guarded, is_socket) = (pages.are_guarded(), headers.contains_key(header::UPGRADE));
    let is_harmless = [health::LIVE, health::READY].contains(&request.uri().path());
    if is_harmless || !is_guarded && !is_socket {
        return Ok(());
    }
    let host = text_header(headers, header::HOST);
    if headers.contains_key(header::ORIGIN) {
        let origin = text_header(headers, header::ORIGIN).unwrap_or_default();
        return match (pages.allow(origin, host), is_guarded) {
            (true, _) => Ok(()),
            (false, true) => Err(ForeignPage::PageWithKey),
            (false, false) => Err(ForeignPage::Page),
        };
    }
    let reads = [Method::GET, Method::HEAD].contains(request.method()) && !is_socket;
    match is_guarded && reads && !host.is_none_or(|host| pages.know(host)) {
        true => Err(ForeignPage::NameWithKey),
        false => Ok(()),
    }
}

/// A header as text; `None` if it is missing or not text.
pub(in crate::http::front) fn text_header(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
