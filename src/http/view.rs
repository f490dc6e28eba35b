//! The page at `/` and its files at `/view/…`. They are embedded in the binary; a debug build reads
//! them from the disk, so that a change shows at once.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::sync::{LazyLock, Mutex};

use axum::body::Bytes;
use axum::extract::Path;
use axum::extract::rejection::PathRejection;
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use flate2::Compression;
use flate2::write::GzEncoder;
use rust_embed::{Embed, EmbeddedFile};

use crate::http::contract::error::ContractError;

/// The files of `view/` that a browser needs.
#[derive(Embed)]
#[folder = "view/"]
#[include = "*.html"]
#[include = "*.css"]
#[include = "*.js"]
#[include = "*.svg"]
#[include = "*.txt"]
struct Files;

const PAGE: &str = "index.html";

/// `'self'` includes WebSockets of the same host and port.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; connect-src 'self'; \
                      base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
                      object-src 'none'";

/// GET /: the page.
pub(super) async fn page(headers: HeaderMap) -> Result<Response, ContractError> {
    send(PAGE.to_owned(), headers).await
}

/// GET /view/…: a file of the page.
pub(super) async fn file(
    name: Result<Path<String>, PathRejection>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, ContractError> {
    match name {
        Ok(Path(name)) => send(name, headers).await,
        // No file has a name that is not UTF-8.
        Err(_) => Err(ContractError::NoSuchPath(uri.path().to_owned())),
    }
}

async fn send(name: String, headers: HeaderMap) -> Result<Response, ContractError> {
    // The first request compresses the file, and a debug build reads the disk. Both block.
    let served = tokio::task::spawn_blocking(move || serve(&name, &headers)).await;
    served.unwrap_or_else(|error| {
        tracing::error!(%error, "a file of the page could not be served");
        Ok(StatusCode::INTERNAL_SERVER_ERROR.into_response())
    })
}

fn serve(name: &str, headers: &HeaderMap) -> Result<Response, ContractError> {
    let no_such_path = || ContractError::NoSuchPath(format!("/view/{name}"));
    let kind = content_type(name).ok_or_else(no_such_path)?;
    let file = Files::get(name).ok_or_else(no_such_path)?;
    let packed = takes_gzip(headers);
    let hash = file.metadata.sha256_hash();
    let tag = tag(&hash, packed);
    // The names carry no version, so browsers ask each time and get a 304.
    let about = [
        (header::ETAG, tag.clone()),
        (header::CACHE_CONTROL, fixed("no-cache")),
        (header::VARY, fixed("Accept-Encoding")),
        (header::CONTENT_SECURITY_POLICY, fixed(POLICY)),
        (header::X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
        (header::REFERRER_POLICY, fixed("no-referrer")),
    ];
    if has_current(headers, &tag) {
        return Ok((StatusCode::NOT_MODIFIED, about).into_response());
    }
    let kind = [(header::CONTENT_TYPE, fixed(kind))];
    if packed {
        let encoding = [(header::CONTENT_ENCODING, fixed("gzip"))];
        let body = gzipped(name, hash, &file);
        return Ok((about, kind, encoding, body).into_response());
    }
    let body = match file.data {
        Cow::Borrowed(bytes) => Bytes::from_static(bytes),
        Cow::Owned(bytes) => bytes.into(),
    };
    Ok((about, kind, body).into_response())
}

fn fixed(text: &'static str) -> HeaderValue {
    HeaderValue::from_static(text)
}

/// The content type by the extension; `None` for files that are not served.
fn content_type(name: &str) -> Option<&'static str> {
    let (_, end) = name.rsplit_once('.')?;
    match end {
        "html" => Some("text/html; charset=utf-8"),
        "css" => Some("text/css; charset=utf-8"),
        "js" => Some("text/javascript; charset=utf-8"),
        "svg" => Some("image/svg+xml"),
        "txt" => Some("text/plain; charset=utf-8"),
        _ => None,
    }
}

/// The ETag of the content. Compressed bytes differ, so they have a tag of their own.
fn tag(hash: &[u8; 32], packed: bool) -> HeaderValue {
    let hex = const_hex::encode(&hash[..16]);
    let end = if packed { "-gzip" } else { "" };
    let tag = format!("\"{hex}{end}\"");
    HeaderValue::from_str(&tag).expect("hex digits and quotes are ASCII")
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

/// Whether Accept-Encoding names gzip with a weight above zero.
fn takes_gzip(headers: &HeaderMap) -> bool {
    let accepted = headers.get_all(header::ACCEPT_ENCODING);
    accepted
        .iter()
        .filter_map(|value: &HeaderValue| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|coding| {
            let mut parts = coding.split(';').map(str::trim);
            let gzip = parts
                .next()
                .is_some_and(|name| name.eq_ignore_ascii_case("gzip"));
            let weight = parts.find_map(|part| part.strip_prefix("q="));
            gzip && weight.is_none_or(|weight| weight.parse().is_ok_and(|weight: f32| weight > 0.0))
        })
}

/// The compressed bytes of each file, with the hash of the original.
type Packed = HashMap<String, ([u8; 32], Bytes)>;

/// A compressed file. Each file is compressed once and kept.
fn gzipped(name: &str, hash: [u8; 32], file: &EmbeddedFile) -> Bytes {
    static PACKED: LazyLock<Mutex<Packed>> = LazyLock::new(Mutex::default);
    let lock = || PACKED.lock().expect("no holder of this lock panics");
    if let Some((of, bytes)) = lock().get(name)
        && *of == hash
    {
        return bytes.clone();
    }
    let mut encoder = GzEncoder::new(vec![], Compression::best());
    let packed = encoder
        .write_all(&file.data)
        .and_then(|()| encoder.finish());
    let bytes = Bytes::from(packed.expect("memory takes what is written"));
    lock().insert(name.to_owned(), (hash, bytes.clone()));
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gzip_is_for_those_who_take_it() {
        for (accepted, takes) in [
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("br,gzip ; q=1", true),
            ("gzip;q=0", false),
            ("gzip;q=0.000", false),
            ("gzip;q=x", false),
            ("identity", false),
            ("", false),
            ("xgzip", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::ACCEPT_ENCODING, accepted.parse().unwrap());
            assert_eq!(takes_gzip(&headers), takes, "{accepted}");
        }
        assert!(!takes_gzip(&HeaderMap::new()));
    }

    #[test]
    fn only_what_a_browser_needs_is_served() {
        assert!(Files::iter().any(|name| name == PAGE));
        for name in Files::iter() {
            assert!(content_type(&name).is_some(), "{name}");
        }
        for name in [
            "tsconfig.json",
            "js/api.d.ts",
            "vendor/update",
            "../Cargo.toml",
            "",
        ] {
            assert!(serve(name, &HeaderMap::new()).is_err(), "{name}");
        }
    }
}
