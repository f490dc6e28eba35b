//! Exports: everything that matches as a file, streamed. Its link works once and without the
//! key, so that a browser can save what it is shown as a download.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, SecondsFormat, Utc};
use futures_util::stream::{self, StreamExt};
use serde::{Deserialize, Serialize};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use super::super::caller::Caller;
use super::super::{HttpState, auth};
use super::body::Json;
use super::error::Refusal;
use super::needle::Needle;
use super::params::{self, InPath, NoParams, STATUSES};
use super::search::text_to_find;
use super::shape::{Full, status_name};
use crate::access::Grant;
use crate::message::{Message, Status, UnixSeconds};
use crate::store::{Query, StoreError};

/// Links that can be open at once.
pub(super) const LINKS_MAX: usize = 64;
/// How long a link works.
const LINK_LIFE: Duration = Duration::from_secs(60);
/// Text that is sent at once, if it is not one message.
const TEXT_BYTES: usize = 64 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    Csv,
    Ndjson,
}

/// What is asked for.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ExportRequest {
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
            needle: text_to_find(self.text.as_deref())?,
            grant,
        })
    }
}

/// An export that is asked for and not fetched yet.
pub(super) struct Export {
    format: Format,
    query: Query,
    needle: Option<Needle>,
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
pub(super) struct Links(Mutex<HashMap<String, (Instant, Export)>>);

impl Links {
    fn lock(&self) -> MutexGuard<'_, HashMap<String, (Instant, Export)>> {
        self.0.lock().expect("no holder of this lock panics")
    }

    /// Opens a link; returns its token.
    fn open(&self, export: Export) -> Result<String, Refusal> {
        let token = token()?;
        let mut links = self.lock();
        links.retain(|_, (end, _)| *end > Instant::now());
        if links.len() >= LINKS_MAX {
            return Err(Refusal::too_many("links of exports", LINKS_MAX));
        }
        links.insert(token.clone(), (Instant::now() + LINK_LIFE, export));
        Ok(token)
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
    Ok(format!("{:032x}", u128::from_be_bytes(bytes)))
}

/// POST /api/exports.
pub(super) async fn open(
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
    caller.did(format_args!("opened a link to an export as {format:?}"));
    let now = state.broker.clock().now();
    let reply = Reply {
        url: format!("/api/exports/{token}"),
        expires: now
            .0
            .saturating_add(u32::try_from(LINK_LIFE.as_secs()).unwrap_or(u32::MAX)),
    };
    Ok(super::reply(StatusCode::CREATED, &reply))
}

/// GET /api/exports/{token}.
pub(super) async fn fetch(
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
    let permit = state.console.list_permit()?;
    let export = links.take(&token).ok_or_else(Refusal::no_such_export)?;
    let file = File {
        chunks: state.broker.list(export.query),
        messages: Vec::new().into_iter(),
        format: export.format,
        needle: export.needle,
        complete: false,
        _permit: permit,
    };
    let name = file_name(export.format, state.broker.clock().date());
    let response = send(file, &name).await?;
    Ok(auth::until_ended(response, export.grant))
}

fn file_name(format: Format, now: DateTime<Utc>) -> String {
    let end = match format {
        Format::Csv => "csv",
        Format::Ndjson => "ndjson",
    };
    format!("dpmq-messages-{}.{end}", now.format("%Y%m%dT%H%M%SZ"))
}

/// Sends the whole file. An error before the first text is a reply of its own; one after it
/// breaks the transfer, so that a part is never taken for the whole.
async fn send(mut file: File, name: &str) -> Result<Response, Refusal> {
    let kind = match file.format {
        Format::Csv => "text/csv; charset=utf-8; header=present",
        Format::Ndjson => "application/x-ndjson",
    };
    let first = file.format.header();
    let first = file.text(first).await?;
    let rest = stream::try_unfold(file, async |mut file| {
        if file.complete {
            return Ok(None);
        }
        match file.text("").await {
            Ok(text) => Ok(Some((text, file))),
            Err(error) => {
                tracing::error!(
                    error = &error as &dyn std::error::Error,
                    "an export broke off"
                );
                Err(error)
            }
        }
    });
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
    let body = stream::once(async { Ok(first) }).chain(rest);
    Ok((headers, Body::from_stream(body)).into_response())
}

/// A file on its way.
struct File {
    chunks: mpsc::Receiver<Result<Vec<Message>, StoreError>>,
    messages: std::vec::IntoIter<Message>,
    format: Format,
    needle: Option<Needle>,
    /// Whether the last text has been made.
    complete: bool,
    _permit: OwnedSemaphorePermit,
}

impl File {
    /// The next text, which begins with `start`: as many messages as fit, but at least one.
    async fn text(&mut self, start: &str) -> Result<Bytes, StoreError> {
        let mut text = start.to_owned();
        while text.len() < TEXT_BYTES {
            if let Some(message) = self.messages.next() {
                let wanted = self.needle.as_mut();
                if wanted.is_none_or(|needle| needle.is_in(&message.data)) {
                    self.format.write(&mut text, &message);
                }
            } else if let Some(chunk) = self.chunks.recv().await {
                self.messages = chunk?.into_iter();
            } else {
                self.complete = true;
                break;
            }
        }
        Ok(text.into())
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

    fn write(self, out: &mut String, message: &Message) {
        match self {
            Format::Csv => write_row(out, message),
            Format::Ndjson => {
                out.push_str(&super::text_of(&Full::of(message, usize::MAX)));
                out.push('\n');
            }
        }
    }
}

/// A row of CSV (RFC 4180).
fn write_row(out: &mut String, message: &Message) {
    let consumed = match message.status {
        Status::Consumed { at } => time(at),
        Status::Accepted | Status::NotConsumed => String::new(),
    };
    let (code, bytes) = (message.code, message.data.len());
    let _ = write!(out, "{},{code},", message.sequence);
    write_cell(out, message.topic.as_str());
    let status = status_name(message.status.kind());
    let _ = write!(
        out,
        ",{status},{},{consumed},{bytes},",
        time(message.created)
    );
    write_cell(out, &message.data);
    out.push_str("\r\n");
}

/// ISO 8601, in UTC.
fn time(at: UnixSeconds) -> String {
    DateTime::from_timestamp(i64::from(at.0), 0)
        .unwrap_or_default()
        .to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// A cell with any text. Programs for tables take one that begins so for a formula, which
/// would run with the rights of whoever opens the file.
fn write_cell(out: &mut String, text: &str) {
    let formula = text.starts_with(['=', '+', '-', '@', '\t', '\r']);
    let mark = if formula { "'" } else { "" };
    if text.contains([',', '"', '\r', '\n']) {
        out.push('"');
        out.push_str(mark);
        let mut parts = text.split('"');
        out.push_str(parts.next().unwrap_or_default());
        for part in parts {
            out.push_str("\"\"");
            out.push_str(part);
        }
        out.push('"');
    } else {
        out.push_str(mark);
        out.push_str(text);
    }
}

#[cfg(test)]
mod tests {
    use axum::body::to_bytes;

    use super::super::shape::sample;
    use super::*;

    fn export() -> Export {
        Export {
            format: Format::Csv,
            query: Query::default(),
            needle: None,
            grant: Arc::new(Grant::of_secret_key()),
        }
    }

    /// The file of a list that comes in these chunks.
    async fn sent(
        format: Format,
        needle: Option<&str>,
        chunks: Vec<Result<Vec<Message>, StoreError>>,
    ) -> Result<String, String> {
        let (sender, receiver) = mpsc::channel(chunks.len().max(1));
        for chunk in chunks {
            sender.try_send(chunk).unwrap();
        }
        drop(sender);
        let permits = std::sync::Arc::new(tokio::sync::Semaphore::new(1));
        let file = File {
            chunks: receiver,
            messages: vec![].into_iter(),
            format,
            needle: needle.map(Needle::new),
            complete: false,
            _permit: permits.try_acquire_owned().unwrap(),
        };
        let response = send(file, "f.csv")
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
            let mut out = String::new();
            write_cell(&mut out, text);
            assert_eq!(out, cell, "{text:?}");
        }
    }

    #[test]
    fn a_row_has_times_that_people_read() {
        let mut message = sample(3, "x");
        message.status = Status::Consumed {
            at: UnixSeconds(1_795_367_327),
        };
        let mut out = String::new();
        write_row(&mut out, &message);
        let code = message.code;
        let times = "2026-11-22T17:08:46Z,2026-11-22T17:08:47Z";
        assert_eq!(out, format!("3,{code},t,consumed,{times},1,x\r\n"));
    }

    #[tokio::test]
    async fn a_file_is_whole_or_breaks_off() {
        let chunk = || Ok(vec![sample(2, "b"), sample(1, "a")]);
        let csv = sent(Format::Csv, None, vec![chunk()]).await.unwrap();
        assert_eq!(csv.split("\r\n").count(), 4, "{csv}");
        let lines = sent(Format::Ndjson, Some("B"), vec![chunk(), chunk()])
            .await
            .unwrap();
        assert_eq!(lines.lines().count(), 2, "{lines}");
        let none = sent(Format::Csv, None, vec![]).await.unwrap();
        assert_eq!(none, Format::Csv.header());
        let refused = sent(Format::Csv, None, vec![Err(StoreError::Closed)]).await;
        assert!(refused.unwrap_err().contains("store_failed"));
        let large = Ok(vec![sample(1, &"x".repeat(2 * TEXT_BYTES))]);
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
