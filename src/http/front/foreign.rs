//! Which pages may use the server.

use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, Method, header};

use crate::config::Pages;
use crate::http::front::health;

/// Why a page may not use the server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http) enum ForeignPage {
    /// It is not of the list.
    #[error("this server is not for pages of this origin: see server.origins")]
    Page,
    /// It is not of this machine, and everybody knows the key.
    #[error(
        "while mq.secretKey is the published default, pages of other machines may not use this \
         server: set mq.secretKey to a key of your own, or add the page's origin to server.origins"
    )]
    PageWithKey,
    /// Somebody's name may lead here, and everybody knows the key.
    #[error(
        "while mq.secretKey is the published default, this server does not answer to this name: \
         set mq.secretKey to a key of your own, or add the name's origin to server.origins"
    )]
    NameWithKey,
}

/// Whether whoever sent this may: programs that are no browsers send no `Origin`, and notice
/// nothing. A browser leaves it out where it reads what it takes for the page's own server, so
/// then the name has to be one of this server; of every other request it names the page.
///
/// A list of pages is for sockets: what answers a page may read is for the browser to see to.
/// While everybody knows the key all routes are kept from pages; the health tells nothing.
pub(in crate::http::front) fn look_at(
    pages: Pages<'_>,
    request: &Request,
) -> Result<(), ForeignPage> {
    let headers = request.headers();
    let (is_guarded, is_socket) = (pages.are_guarded(), headers.contains_key(header::UPGRADE));
    let is_harmless = [health::LIVE, health::READY].contains(&request.uri().path());
    if is_harmless || !is_guarded && !is_socket {
        return Ok(());
    }
    let host = text(headers, header::HOST);
    if headers.contains_key(header::ORIGIN) {
        let origin = text(headers, header::ORIGIN).unwrap_or_default();
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

/// A header that is text.
pub(in crate::http::front) fn text(headers: &HeaderMap, name: HeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
