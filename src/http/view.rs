//! The page at `/` and the files it loads from `/view/…`, all of them in the binary.

use std::sync::LazyLock;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::reply::ApiError;

/// A file of `view/`.
struct File {
    name: &'static str,
    kind: HeaderValue,
    text: &'static str,
    tag: HeaderValue,
}

impl File {
    fn new(name: &'static str, kind: &'static str, text: &'static str) -> File {
        let tag = format!("\"{:08x}\"", crc32fast::hash(text.as_bytes()));
        File {
            name,
            kind: HeaderValue::from_static(kind),
            text,
            tag: HeaderValue::from_str(&tag).expect("hex digits and quotes are ASCII"),
        }
    }
}

const PAGE: &str = "index.html";

/// Every file there is.
static FILES: LazyLock<[File; 2]> = LazyLock::new(|| {
    let page = include_str!("../../view/index.html");
    let style = include_str!("../../view/page.css");
    [
        File::new(PAGE, "text/html; charset=utf-8", page),
        File::new("page.css", "text/css; charset=utf-8", style),
    ]
});

/// GET /: the page.
pub(super) async fn page(headers: HeaderMap) -> Result<Response, ApiError> {
    serve(PAGE, &headers)
}

/// GET /view/…: a file of the page.
pub(super) async fn file(
    Path(name): Path<String>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    serve(&name, &headers)
}

fn serve(name: &str, headers: &HeaderMap) -> Result<Response, ApiError> {
    const POLICY: &str = "default-src 'none'; style-src 'self'; img-src data:; \
                          base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let Some(file) = FILES.iter().find(|file| file.name == name) else {
        return Err(ApiError::NoSuchPath(format!("/view/{name}")));
    };
    // The names have no version in them, so a browser asks every time, and is told 304.
    let about = [
        (header::ETAG, file.tag.clone()),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
    ];
    if has_current(headers, &file.tag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let content = [
        (header::CONTENT_TYPE, file.kind.clone()),
        (
            header::CONTENT_SECURITY_POLICY,
            HeaderValue::from_static(POLICY),
        ),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
        (
            header::REFERRER_POLICY,
            HeaderValue::from_static("no-referrer"),
        ),
    ];
    Ok((about, content, file.text).into_response())
}

/// Whether If-None-Match names `tag`, among others or weakly.
fn has_current(headers: &HeaderMap, tag: &HeaderValue) -> bool {
    let known = headers.get_all(header::IF_NONE_MATCH);
    known
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .map(|known| known.trim_ascii())
        .any(|known| known.strip_prefix(b"W/").unwrap_or(known) == tag.as_bytes() || known == b"*")
}
