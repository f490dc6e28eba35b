//! Headers that replies share.

use axum::http::{HeaderName, HeaderValue, header};

/// The headers of a reply that no cache keeps, and whose type no browser guesses.
pub(in crate::http) fn uncached(kind: &'static str) -> [(HeaderName, HeaderValue); 3] {
    let fixed = HeaderValue::from_static;
    [
        (header::CONTENT_TYPE, fixed(kind)),
        (header::CACHE_CONTROL, fixed("no-store")),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
    ]
}

/// The header that makes a browser save a reply as a file of this name, which is ASCII.
pub(in crate::http) fn attachment(name: &str) -> (HeaderName, HeaderValue) {
    let disposition = format!("attachment; filename=\"{name}\"");
    let disposition = HeaderValue::from_str(&disposition).expect("the name is ASCII");
    (header::CONTENT_DISPOSITION, disposition)
}
