//! GET /api/search: searches the data of messages for a text, newest first, and reports its
//! progress. Each find is sent at once. The search is the body of the reply, so it ends when the
//! client leaves.

use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::Serialize;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::broker::{Piece, Pieces};
use crate::http::api::error::ConsoleError;
use crate::http::api::json::message::MessageRow;
use crate::http::api::request::filter::{Filter, cursor_of};
use crate::http::api::request::params;
use crate::http::api::text_search::TextSearch;
use crate::http::headers::uncached;
use crate::http::places::HeldPlace;
use crate::http::routes::caller::Caller;
use crate::http::state::HttpState;
use crate::message::Message;
use crate::store::Mark;

const LIMIT_MAX: usize = 500;
const LIMIT: usize = 50;
const LOOK_MAX: usize = 1_000_000_000;
const LOOK: usize = 1_000_000;
const TEXT_BYTES_MAX: usize = 4096;
/// A progress line comes after at most this many messages, and at least this often.
const PROGRESS_MESSAGES: u64 = 50_000;
const PROGRESS_EVERY: Duration = Duration::from_millis(300);

/// GET /api/search.
pub(in crate::http::api) async fn search(
    State(state): State<HttpState>,
    caller: Caller,
    RawQuery(query): RawQuery,
) -> Result<Response, ConsoleError> {
    let names = [
        "text", "topic", "status", "from", "to", "limit", "look", "cursor",
    ];
    let values = params::read(query.as_deref(), names)?;
    let [text, topic, status, from, to, limit, look, cursor] =
        values.each_ref().map(Option::as_deref);
    let filter = Filter {
        topic,
        status,
        from,
        to,
        cursor,
    };
    let query = filter.query()?;
    caller.may_ask(query.topic.as_ref())?;
    let text_search = text_to_find(text)?.ok_or_else(|| ConsoleError::missing("text"))?;
    let limit = params::whole("limit", limit, 1..=LIMIT_MAX, LIMIT)?;
    let look = params::whole("look", look, 1..=LOOK_MAX, LOOK)?;
    let place = state.places.searches.take(caller.key())?;
    let search = Search {
        pieces: state.broker.list(query, caller.key()),
        progress_at: Instant::now() + PROGRESS_EVERY,
        told: 0,
        findings: Some(Findings {
            text_search,
            limit,
            look: look as u64,
            looked: 0,
            found: 0,
            last: None,
            lines: vec![],
        }),
        stop: state.stop.clone(),
        _place: place,
    };
    let body = stream::unfold(search, async |mut search| {
        let lines = search.next().await?;
        Some((Ok::<_, std::convert::Infallible>(lines), search))
    });
    let headers = uncached("application/x-ndjson");
    Ok((headers, Body::from_stream(body)).into_response())
}

/// The text to search for, if there is one.
pub(in crate::http::api) fn text_to_find(
    text: Option<&str>,
) -> Result<Option<TextSearch>, ConsoleError> {
    match text {
        Some(text) if text.len() > TEXT_BYTES_MAX => {
            let expected = format!("at most {TEXT_BYTES_MAX} bytes long");
            Err(ConsoleError::parameter("text", text, &expected))
        }
        Some(text) if !text.is_empty() => Ok(Some(TextSearch::new(text))),
        Some(_) | None => Ok(None),
    }
}

/// A line of the reply.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Line<'a> {
    Message(MessageRow<'a>),
    Progress(Progress),
    End {
        #[serde(flatten)]
        progress: Progress,
        reason: Reason,
        next: Option<String>,
    },
}

#[derive(Clone, Copy, Serialize)]
struct Progress {
    looked: u64,
    found: usize,
    /// The creation time of the message that was searched last.
    reached: Option<u32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Reason {
    End,
    Limit,
    Look,
}

/// A running search.
struct Search {
    pieces: Pieces,
    progress_at: Instant,
    /// The messages searched at the last progress line.
    told: u64,
    /// `None` once it has ended.
    findings: Option<Findings>,
    stop: CancellationToken,
    _place: HeldPlace,
}

impl Search {
    /// The next lines; `None` after the last ones.
    async fn next(&mut self) -> Option<Bytes> {
        let mut findings = self.findings.take()?;
        loop {
            let piece = tokio::select! {
                biased;
                () = self.stop.cancelled() => return Some(failure(&ConsoleError::stopping())),
                piece = self.pieces.recv() => piece,
                () = tokio::time::sleep_until(self.progress_at) => {
                    let lines = self.tell(&mut findings);
                    self.findings = Some(findings);
                    return Some(lines);
                }
            };
            let ended = match piece {
                None => Some(Reason::End),
                Some(Err(error)) => return Some(failure(&error.into())),
                Some(Ok(piece)) => {
                    let looked = findings.search_piece(piece).await?;
                    findings = looked.0;
                    looked.1
                }
            };
            if let Some(reason) = ended {
                return Some(findings.end(reason));
            }
            let due = findings.looked - self.told >= PROGRESS_MESSAGES
                || Instant::now() >= self.progress_at;
            if due || !findings.lines.is_empty() {
                let lines = match due {
                    true => self.tell(&mut findings),
                    false => std::mem::take(&mut findings.lines).into(),
                };
                self.findings = Some(findings);
                return Some(lines);
            }
        }
    }

    /// The finds since the last lines, and a progress line.
    fn tell(&mut self, findings: &mut Findings) -> Bytes {
        self.progress_at = Instant::now() + PROGRESS_EVERY;
        self.told = findings.looked;
        let progress = findings.progress();
        findings.line(&Line::Progress(progress));
        std::mem::take(&mut findings.lines).into()
    }
}

/// What was searched and found so far.
struct Findings {
    text_search: TextSearch,
    limit: usize,
    look: u64,
    looked: u64,
    found: usize,
    last: Option<Mark>,
    /// Lines that are still to be sent.
    lines: Vec<u8>,
}

impl Findings {
    /// Searches a piece. A large one is searched on a thread that may block; `None` if that
    /// panicked.
    async fn search_piece(mut self, piece: Piece) -> Option<(Findings, Option<Reason>)> {
        let is_large = piece.is_large();
        let look = move || {
            let ended = self.search_messages(piece);
            (self, ended)
        };
        match is_large {
            false => Some(look()),
            true => tokio::task::spawn_blocking(look).await.ok(),
        }
    }

    fn search_messages(&mut self, piece: impl IntoIterator<Item = Message>) -> Option<Reason> {
        for message in piece {
            self.looked += 1;
            self.last = Some(message.mark());
            if self.text_search.matches(&message.data) {
                self.found += 1;
                self.line(&Line::Message(MessageRow::of(&message)));
                if self.found == self.limit {
                    return Some(Reason::Limit);
                }
            }
            if self.looked == self.look {
                return Some(Reason::Look);
            }
        }
        None
    }

    fn progress(&self) -> Progress {
        Progress {
            looked: self.looked,
            found: self.found,
            reached: self.last.map(|mark| mark.created.0),
        }
    }

    fn line(&mut self, line: &Line<'_>) {
        serde_json::to_writer(&mut self.lines, line).expect("a line is texts and numbers");
        self.lines.push(b'\n');
    }

    /// The last lines.
    fn end(mut self, reason: Reason) -> Bytes {
        let progress = self.progress();
        self.line(&Line::Progress(progress));
        let next = self.last.filter(|_| reason != Reason::End);
        self.line(&Line::End {
            progress,
            reason,
            next: next.map(cursor_of),
        });
        self.lines.into()
    }
}

/// A failure as the last line, because the status is already sent.
fn failure(refusal: &ConsoleError) -> Bytes {
    (refusal.text() + "\n").into()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tokio::sync::mpsc;

    use super::*;
    use crate::http::api::json::message::sample;
    use crate::store::StoreError;

    type Read = Result<Piece, StoreError>;

    fn search(
        text: &str,
        limit: usize,
        look: u64,
    ) -> (mpsc::Sender<Read>, Search, CancellationToken) {
        let (sender, pieces) = mpsc::channel(2);
        let stop = CancellationToken::new();
        let search = Search {
            pieces,
            progress_at: Instant::now() + PROGRESS_EVERY,
            told: 0,
            findings: Some(Findings {
                text_search: TextSearch::new(text),
                limit,
                look,
                looked: 0,
                found: 0,
                last: None,
                lines: vec![],
            }),
            stop: stop.clone(),
            _place: crate::http::places::Places::new()
                .searches
                .take("key")
                .unwrap(),
        };
        (sender, search, stop)
    }

    fn lines(bytes: &Bytes) -> Vec<Value> {
        let text = std::str::from_utf8(bytes).unwrap();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    }

    fn piece(from: u64, data: &[&str]) -> Read {
        let messages = (from..)
            .zip(data)
            .map(|(sequence, data)| sample(sequence, data));
        Ok(messages.collect::<Vec<_>>().into())
    }

    #[tokio::test]
    async fn what_is_found_is_told_at_once_and_the_end_says_why() {
        let (sender, mut search, _) = search("b", 9, 99);
        sender.send(piece(5, &["a", "xB", "c"])).await.unwrap();
        let found = lines(&search.next().await.unwrap());
        assert_eq!(found.len(), 1);
        assert_eq!(found[0]["message"]["sequence"], 6);
        drop(sender);
        let end = lines(&search.next().await.unwrap());
        assert_eq!(end[0]["progress"]["looked"], 3);
        assert_eq!(end[1]["end"]["reason"], "end");
        assert_eq!(end[1]["end"]["found"], 1);
        assert_eq!(end[1]["end"]["next"], Value::Null);
        assert!(search.next().await.is_none());
    }

    #[tokio::test]
    async fn it_stops_at_the_limit_and_goes_on_behind_the_last_message_looked_at() {
        for (limit, look, reason) in [(1, 99, "limit"), (9, 2, "look")] {
            let (sender, mut search, _) = search("b", limit, look);
            sender.send(piece(5, &["a", "b", "b"])).await.unwrap();
            let end = lines(&search.next().await.unwrap()).pop().unwrap();
            assert_eq!(end["end"]["reason"], reason);
            assert_eq!(end["end"]["looked"], 2);
            let last = sample(6, "b").mark();
            assert_eq!(end["end"]["next"], cursor_of(last));
            assert!(search.next().await.is_none());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn progress_comes_when_nothing_is_found() {
        let (sender, mut search, _) = search("b", 9, u64::MAX);
        let begin = Instant::now();
        let none = lines(&search.next().await.unwrap());
        assert_eq!(begin.elapsed(), PROGRESS_EVERY);
        assert_eq!(none[0]["progress"]["reached"], Value::Null);
        let many = vec!["a"; 30_000];
        sender.send(piece(1, &many)).await.unwrap();
        sender.send(piece(1, &many)).await.unwrap();
        let begin = Instant::now();
        let progress = lines(&search.next().await.unwrap());
        assert_eq!(progress[0]["progress"]["looked"], 60_000);
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }

    #[tokio::test]
    async fn it_ends_when_nobody_reads_on() {
        let (sender, mut search, _) = search("b", 9, 99);
        sender.send(piece(1, &["b"])).await.unwrap();
        assert!(search.next().await.is_some() && !sender.is_closed());
        drop(search);
        assert!(sender.is_closed(), "the store reads no further");
    }

    #[tokio::test]
    async fn a_failure_is_the_last_line() {
        let (sender, mut failed, _) = search("b", 9, 99);
        sender.send(Err(StoreError::Closed)).await.unwrap();
        let last = lines(&failed.next().await.unwrap());
        assert_eq!(last[0]["error"]["code"], "store_failed");
        assert!(failed.next().await.is_none());
        let (_sender, mut stopped, stop) = search("b", 9, 99);
        stop.cancel();
        let last = lines(&stopped.next().await.unwrap());
        assert_eq!(last[0]["error"]["code"], "stopping");
        assert!(stopped.next().await.is_none());
    }
}
