//! Exports: everything that matches as a file, streamed. Its link works once and without the
//! key, so that a browser can save what it is shown as a download.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::access::Grant;
use crate::broker::Pieces;
use crate::http::api::error::Refusal;
use crate::http::api::json::message::{Full, status_name};
use crate::http::api::messages::search::text_to_find;
use crate::http::api::reply;
use crate::http::api::request::body::Json;
use crate::http::api::request::params::{self, InPath, NoParams, STATUSES};
use crate::http::api::state::{self, Taken, TooMany};
use crate::http::api::text_search::TextSearch;
use crate::http::routes::auth;
use crate::http::routes::caller::Caller;
use crate::http::{HttpState, listing};
use crate::message::{Message, Status, UnixSeconds};
use crate::store::{Query, StoreError};

/// Links that can be open at once.
pub(in crate::http::api) const LINKS_MAX: usize = 64;
/// How long a link works.
const LINK_LIFE: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Csv,
    Ndjson,
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(in crate::http::api) struct ExportRequest {
    format: Format,
    topic: Option<String>,
    status: Option<String>,
    from: Option<u32>,
    to: Option<u32>,
    text: Option<String>,
}

impl ExportRequest {
    fn export(self, grant: Arc<Grant>) -> Result<Export, Refusal> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let status = given(self.status)
            .map(|name| params::choice("status", Some(&name), &STATUSES))
            .transpose()?;
        let query = Query {
            from: self.from.map(UnixSeconds),
            to: self.to.map(UnixSeconds),
            status,
            topic: given(self.topic)
                .map(|name| params::topic(&name))
                .transpose()?,
            before: None,
        };
        params::in_order(&query)?;
        Ok(Export {
            format: self.format,
            query,
            text_search: text_to_find(self.text.as_deref())?,
            grant,
        })
    }
}

/// An export that is asked for and not fetched yet.
pub(in crate::http::api) struct Export {
    format: Format,
    query: Query,
    text_search: Option<TextSearch>,
    /// That of whoever asked: the link works no longer than it.
    grant: Arc<Grant>,
}

impl Export {
    fn works_until(&self, end: Instant) -> bool {
        end > Instant::now() && self.grant.ended().is_none()
    }
}

/// The links that are open.
#[derive(Default)]
pub(in crate::http::api) struct Links(Mutex<HashMap<String, (Instant, Export)>>);

impl Links {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Export)>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Opens a link; returns its token.
    fn open(&self, export: Export) -> Result<String, Refusal> {
        let token = token()?;
        let mut links = self.lock();
        links.retain(|_, (end, _)| *end > Instant::now());
        let of_key = |(_, open): &&(Instant, Export)| open.grant.name() == export.grant.name();
        let max = state::share(export.grant.name(), LINKS_MAX);
        if links.len() >= LINKS_MAX || links.values().filter(of_key).count() >= max {
            let what = "links of exports";
            return Err(TooMany { what, max }.into());
        }
        links.insert(token.clone(), (Instant::now() + LINK_LIFE, export));
        Ok(token)
    }

    /// The name of the key that opened a link.
    fn key_of(&self, token: &str) -> Option<String> {
        let links = self.lock();
        links
            .get(token)
            .map(|(_, export)| export.grant.name().to_owned())
    }

    /// Uses a link up, if it is open.
    fn take(&self, token: &str) -> Option<Export> {
        let (end, export) = self.lock().remove(token)?;
        export.works_until(end).then_some(export)
    }

    fn is_open(&self, token: &str) -> bool {
        let links = self.lock();
        links
            .get(token)
            .is_some_and(|(end, export)| export.works_until(*end))
    }
}

/// 128 bits that nobody can guess, in hex.
fn token() -> Result<String, Refusal> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).map_err(|error| {
        tracing::error!(%error, "the system gives no random numbers");
        Refusal::internal("the system gives no random numbers")
    })?;
    Ok(const_hex::encode(bytes))
}

/// POST /api/exports.
pub(in crate::http::api) async fn open(
    State(state): State<HttpState>,
    caller: Caller,
    _: NoParams,
    Json(request): Json<ExportRequest>,
) -> Result<Response, Refusal> {
    #[derive(Serialize)]
    struct Reply {
        url: String,
        expires: u32,
    }
    let export = request.export(caller.grant.clone())?;
    caller.may_ask(export.query.topic.as_ref())?;
    let format = export.format;
    let token = state.console.links.open(export)?;
    caller.took(format_args!("opened a link to an export as {format:?}"));
    let now = state.broker.clock().now();
    let reply = Reply {
        url: format!("/api/exports/{token}"),
        expires: now
            .0
            .saturating_add(u32::try_from(LINK_LIFE.as_secs()).unwrap_or(u32::MAX)),
    };
    Ok(reply::of(StatusCode::CREATED, &reply))
}

/// GET /api/exports/{token}.
pub(in crate::http::api) async fn fetch(
    State(state): State<HttpState>,
    method: Method,
    InPath(token): InPath<String>,
    _: NoParams,
) -> Result<Response, Refusal> {
    let links = &state.console.links;
    // A look at the headers alone must not use the link up.
    if method == Method::HEAD {
        return match links.is_open(&token) {
            true => Ok(StatusCode::OK.into_response()),
            false => Err(Refusal::no_such_export()),
        };
    }
    let key = links.key_of(&token).ok_or_else(Refusal::no_such_export)?;
    let permit = state.console.exports.take(&key)?;
    let export = links.take(&token).ok_or_else(Refusal::no_such_export)?;
    let name = file_name(export.format, state.broker.clock().date());
    let file = File {
        format: export.format,
        text_search: export.text_search,
        _permit: permit,
    };
    let response = send(state.broker.list(export.query, &key), file, &name).await?;
    Ok(auth::until_ended(response, export.grant))
}

fn file_name(format: Format, now: DateTime<Utc>) -> String {
    let end = match format {
        Format::Csv => "csv",
        Format::Ndjson => "ndjson",
    };
    format!("dpmq-messages-{}.{end}", now.format("%Y%m%dT%H%M%SZ"))
}

async fn send(pieces: Pieces, file: File, name: &str) -> Result<Response, Refusal> {
    let kind = match file.format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Ndjson => "application/x-ndjson",
    };
    let body = listing::body(pieces, file).await?;
    let disposition = format!("attachment; filename=\"{name}\"");
    let disposition = HeaderValue::from_str(&disposition).expect("the name is ASCII");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        (header::CONTENT_DISPOSITION, disposition),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (
            header::X_CONTENT_TYPE_OPTIONS,
            HeaderValue::from_static("nosniff"),
        ),
    ];
    Ok((headers, body).into_response())
}

/// A file on its way.
struct File {
    format: Format,
    text_search: Option<TextSearch>,
    _permit: Taken,
}

impl listing::Format for File {
    fn begin(&self) -> &'static str {
        self.format.header()
    }

    fn has(&mut self, message: &Message) -> bool {
        let wanted = self.text_search.as_mut();
        wanted.is_none_or(|text_search| text_search.matches(&message.data))
    }

    fn open(&mut self, out: &mut Vec<u8>, message: &Message) -> Vec<u8> {
        match self.format {
            Format::Csv => {
                open_row(out, message);
                [open_cell(out, &message.data), b"\r\n"].concat()
            }
            Format::Ndjson => {
                let json = reply::text_of(&Full::of(message, usize::MAX).without_data()) + "\n";
                listing::open_json(out, &json, "data")
            }
        }
    }

    fn write(&self, out: &mut Vec<u8>, part: &str) {
        match self.format {
            Format::Csv => write_cell(out, part),
            Format::Ndjson => listing::write_json(out, part),
        }
    }

    fn end(&self) -> &'static str {
        ""
    }

    fn broke_off(&self, error: &StoreError) {
        tracing::error!(
            error = error as &dyn std::error::Error,
            "an export broke off"
        );
    }
}

impl Format {
    /// What the file begins with.
    fn header(self) -> &'static str {
        match self {
            Format::Csv => "sequence,code,topic,status,created,consumed,bytes,data\r\n",
            Format::Ndjson => "",
        }
    }
}

/// A row of CSV (RFC 4180), up to the cell of the data.
fn open_row(out: &mut Vec<u8>, message: &Message) {
    let consumed = match message.status {
        Status::Consumed { at } => time(at),
        Status::Accepted | Status::NotConsumed => String::new(),
    };
    let (code, bytes) = (message.code, message.data.len());
    out.extend_from_slice(format!("{},{code},", message.sequence).as_bytes());
    let topic = message.topic.as_str();
    let quote = open_cell(out, topic);
    write_cell(out, topic);
    out.extend_from_slice(quote);
    let status = status_name(message.status.kind());
    let created = time(message.created);
    out.extend_from_slice(format!(",{status},{created},{consumed},{bytes},").as_bytes());
}

/// ISO 8601, in UTC.
fn time(at: UnixSeconds) -> String {
    DateTime::from_timestamp(i64::from(at.0), 0)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Begins a cell for a text, and returns what goes behind it. Programs for tables take one that
/// begins so for a formula, which would run with the rights of whoever opens the file.
fn open_cell(out: &mut Vec<u8>, text: &str) -> &'static [u8] {
    let quote: &[u8] = match text.contains([',', '"', '\r', '\n']) {
        true => b"\"",
        false => b"",
    };
    out.extend_from_slice(quote);
    if text.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        out.push(b'\'');
    }
    quote
}

/// Writes a part of the text of a cell; one that has a quote is between quotes.
fn write_cell(out: &mut Vec<u8>, part: &str) {
    for part in part.split_inclusive('"') {
        out.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;
    use tokio::sync::mpsc;

    use super::*;
    use crate::http::api::json::message::sample;

    fn export() -> Export {
        Export {
            format: Format::Csv,
            query: Query::default(),
            text_search: None,
            grant: Arc::new(Grant::of_secret_key()),
        }
    }

    /// The file of a list that comes in these pieces.
    async fn sent(
        format: Format,
        text_search: Option<&str>,
        pieces: Vec<Result<Vec<Message>, StoreError>>,
    ) -> Result<String, String> {
        let (sender, receiver) = mpsc::channel(pieces.len().max(1));
        for piece in pieces {
            sender.try_send(piece.map(Into::into)).unwrap();
        }
        drop(sender);
        let file = File {
            format,
            text_search: text_search.map(TextSearch::new),
            _permit: state::Console::new().exports.take("key").unwrap(),
        };
        let response = send(receiver, file, "f.csv")
            .await
            .map_err(|refusal| refusal.text())?;
        let body = to_bytes(response.into_body(), usize::MAX).await;
        let body = body.map_err(|error| error.to_string())?;
        Ok(String::from_utf8(body.into()).unwrap())
    }

    #[test]
    fn a_cell_is_no_formula_and_ends_where_it_should() {
        for (text, cell) in [
            ("a b", "a b"),
            ("", ""),
            ("a,b", "\"a,b\""),
            ("a\"b\"", "\"a\"\"b\"\"\""),
            ("a\r\nb", "\"a\r\nb\""),
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@a", "'@a"),
            ("\ta", "'\ta"),
            ("\ra", "\"'\ra\""),
            ("=\"a\"", "\"'=\"\"a\"\"\""),
            ("a=1", "a=1"),
        ] {
            let mut out = vec![];
            let quote = open_cell(&mut out, text);
            write_cell(&mut out, text);
            out.extend_from_slice(quote);
            assert_eq!(out, cell.as_bytes(), "{text:?}");
        }
    }

    #[test]
    fn a_row_has_times_that_people_read() {
        let mut message = sample(3, "x");
        message.status = Status::Consumed {
            at: UnixSeconds(1_795_367_327),
        };
        let mut out = vec![];
        open_row(&mut out, &message);
        let code = message.code;
        let times = "2026-11-22T17:08:46Z,2026-11-22T17:08:47Z";
        assert_eq!(out, format!("3,{code},t,consumed,{times},1,").as_bytes());
    }

    #[tokio::test]
    async fn a_file_is_whole_or_breaks_off() {
        let piece = || Ok(vec![sample(2, "b"), sample(1, "a")]);
        let csv = sent(Format::Csv, None, vec![piece()]).await.unwrap();
        assert_eq!(csv.split("\r\n").count(), 4, "{csv}");
        let lines = sent(Format::Ndjson, Some("B"), vec![piece(), piece()])
            .await
            .unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        let none = sent(Format::Csv, None, vec![]).await.unwrap();
        assert_eq!(none, Format::Csv.header());
        let refused = sent(Format::Csv, None, vec![Err(StoreError::Closed)]).await;
        assert!(refused.unwrap_err().contains("store_failed"));
        let large = Ok(vec![sample(1, &"x".repeat(200_000))]);
        let broken = sent(Format::Csv, None, vec![large, Err(StoreError::Closed)]).await;
        assert!(!broken.unwrap_err().contains("store_failed"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_link_works_once_and_for_a_minute() {
        let links = Links::default();
        let token = links.open(export()).unwrap();
        assert_eq!(token.len(), 32);
        assert!(links.is_open(&token) && links.take(&token).is_some());
        assert!(!links.is_open(&token) && links.take(&token).is_none());
        let token = links.open(export()).unwrap();
        tokio::time::advance(LINK_LIFE).await;
        assert!(!links.is_open(&token) && links.take(&token).is_none());
    }

    #[tokio::test(start_paused = true)]
    async fn there_are_so_many_links_and_no_more() {
        let links = Links::default();
        for _ in 0..LINKS_MAX {
            links.open(export()).unwrap();
        }
        assert!(links.open(export()).is_err());
        tokio::time::advance(LINK_LIFE).await;
        assert!(links.open(export()).is_ok());
    }
}
