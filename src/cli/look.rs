//! `dpmq topics`, `peek` and `watch`: show topics and their messages without consuming any.

use anyhow::{Context, anyhow};
use chrono::{DateTime, Local};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::cli::Failure;
use crate::cli::args::{Peek, Topics, Watch};
use crate::cli::client::request;
use crate::cli::client::route;
use crate::cli::client::url::ServerUrl;
use crate::cli::failure::complain;
use crate::cli::terminal::interrupt::Interrupt;
use crate::cli::terminal::output::{Output, counted};
use crate::config::Config;

/// The longest event: the data of a watched message is cut, and each of its bytes may be escaped.
const EVENT_BYTES_MAX: usize = 1 << 20;

/// What is shown of a message.
#[derive(Deserialize)]
struct Row {
    code: String,
    status: String,
    created: u32,
    bytes: u64,
    preview: String,
    #[serde(rename = "previewComplete")]
    is_complete: bool,
}

/// Lists the topics, by name.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn topics(config: &Config, args: &Topics) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct List {
        topics: Vec<Topic>,
        next: Option<String>,
    }
    #[derive(Deserialize)]
    struct Topic {
        topic: String,
        waiting: u64,
        consumers: u64,
    }
    let url = args.server.address.server(config)?;
    let key = config.mq.secret_key.expose();
    let mut out = Output::open();
    let mut next = None;
    loop {
        let mut query = vec![("sort", "name"), ("limit", "500")];
        query.extend(next.as_deref().map(|cursor| ("cursor", cursor)));
        let list: List = request::json(&url, key, &route("/api/topics", &query)).await?;
        for row in &list.topics {
            let name = one_line(&row.topic);
            let line = match args.names {
                true => name,
                false => format!("{name}\t{}\t{}", row.waiting, row.consumers),
            };
            out.line(line.as_bytes())?;
        }
        next = list.next;
        if next.is_none() {
            return Ok(());
        }
    }
}

/// Shows the newest messages.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn peek(config: &Config, args: &Peek) -> Result<(), Failure> {
    #[derive(Deserialize)]
    struct List {
        messages: Vec<Box<RawValue>>,
    }
    let url = args.server.address.server(config)?;
    let count = args.count.to_string();
    let mut query = vec![("topic", args.topic.as_str()), ("limit", &count)];
    query.extend(args.status.as_deref().map(|status| ("status", status)));
    let key = config.mq.secret_key.expose();
    let list: List = request::json(&url, key, &route("/api/messages", &query)).await?;
    let mut out = Output::open();
    for message in &list.messages {
        if args.json {
            out.line(message.get().as_bytes())?;
        } else {
            let row: Row = serde_json::from_str(message.get()).context("a message")?;
            out.line(line(&row).as_bytes())?;
        }
    }
    Ok(())
}

/// Time, status, code and the beginning of the data, between tabs.
fn line(row: &Row) -> String {
    let at = DateTime::from_timestamp(i64::from(row.created), 0).unwrap_or_default();
    let at = at.with_timezone(&Local).format("%Y-%m-%d %H:%M:%S");
    let mut data: String = one_line(&row.preview);
    if !row.is_complete {
        data += &format!("… ({})", counted(row.bytes, "byte"));
    }
    format!("{at}\t{}\t{}\t{data}", row.status, row.code)
}

/// `text` without characters that would break its line.
fn one_line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for c in text.chars() {
        match c.is_control() {
            true => line.extend(c.escape_default()),
            false => line.push(c),
        }
    }
    line
}

/// Shows what is published from now on, until Ctrl-C, or `--count` messages.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn watch(config: &Config, args: &Watch) -> Result<(), Failure> {
    let url = args.server.address.server(config)?;
    let mut interrupt = Interrupt::listen()?;
    tokio::select! {
        () = interrupt.next() => Ok(()),
        watched = follow(&url, config.mq.secret_key.expose(), args) => watched,
    }
}

async fn follow(url: &ServerUrl, key: &str, args: &Watch) -> Result<(), Failure> {
    let route = route("/api/topic/watch", &[("topic", args.topic.as_str())]);
    let mut stream = request::get(url, key, &route).await?;
    if !args.quiet {
        complain(&format!("watching {}", args.topic.as_str()));
    }
    let (mut out, mut shown) = (Output::open(), 0);
    let mut pending = Vec::new();
    while args.count.is_none_or(|count| shown < count.get()) {
        let Some(event) = next_event(&mut pending)? else {
            let bytes = stream.next().await?;
            let bytes = bytes.ok_or_else(|| anyhow!("the server has ended the watch"))?;
            pending.extend_from_slice(&bytes);
            continue;
        };
        match parse(&event)? {
            Event::Message(json) if args.json => out.line(json.as_bytes())?,
            Event::Message(json) => out.line(&data(json)?)?,
            Event::Missed(count) => {
                complain(&format!("missed {}", counted(count, "message")));
                continue;
            }
            Event::Other => continue,
        }
        shown += 1;
    }
    Ok(())
}

enum Event<'a> {
    /// The JSON of a message.
    Message(&'a str),
    /// The number of messages that were skipped, because this client was too slow.
    Missed(u64),
    /// A comment.
    Other,
}

/// Takes the first event from `pending`, if it is complete.
fn next_event(pending: &mut Vec<u8>) -> anyhow::Result<Option<String>> {
    let Some(end) = pending.windows(2).position(|pair| pair == b"\n\n") else {
        anyhow::ensure!(pending.len() <= EVENT_BYTES_MAX, "an event is too long");
        return Ok(None);
    };
    let event: Vec<u8> = pending.drain(..end + 2).collect();
    Ok(Some(String::from_utf8(event).context("an event")?))
}

fn parse(event: &str) -> anyhow::Result<Event<'_>> {
    #[derive(Deserialize)]
    struct Missed {
        missed: u64,
    }
    let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name));
    Ok(match (field("event: "), field("data: ")) {
        (Some("message"), Some(json)) => Event::Message(json),
        (Some("missed"), Some(json)) => {
            let Missed { missed } = serde_json::from_str(json).context("an event")?;
            Event::Missed(missed)
        }
        _ => Event::Other,
    })
}

/// The data of a message, as far as the server shows it.
fn data(json: &str) -> anyhow::Result<Vec<u8>> {
    #[derive(Deserialize)]
    struct Watched {
        data: String,
        bytes: u64,
        #[serde(rename = "dataComplete")]
        is_complete: bool,
    }
    let watched: Watched = serde_json::from_str(json).context("a message")?;
    let mut data = watched.data;
    if !watched.is_complete {
        data += &format!("… ({})", counted(watched.bytes, "byte"));
    }
    Ok(data.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_one_line_whatever_its_data_is() {
        let row = |preview: &str, is_complete| Row {
            code: "c0de".into(),
            status: "not_consumed".into(),
            created: 0,
            bytes: 1000,
            preview: preview.into(),
            is_complete,
        };
        let line_of = |row: &Row| line(row).split_once('\t').unwrap().1.to_owned();
        let whole = line_of(&row("a\tb\r\n\u{1b}[2Jü", true));
        assert_eq!(whole, "not_consumed\tc0de\ta\\tb\\r\\n\\u{1b}[2Jü");
        let cut = line_of(&row("abc", false));
        assert_eq!(cut, "not_consumed\tc0de\tabc… (1000 bytes)");
    }

    #[test]
    fn events_come_in_any_pieces() {
        let text =
            "event: message\ndata: {\"a\":1}\n\n:\n\nevent: missed\ndata: {\"missed\":7}\n\n";
        let (mut pending, mut seen) = (vec![], vec![]);
        for byte in text.bytes() {
            pending.push(byte);
            while let Some(event) = next_event(&mut pending).unwrap() {
                seen.push(match parse(&event).unwrap() {
                    Event::Message(json) => json.to_owned(),
                    Event::Missed(count) => count.to_string(),
                    Event::Other => "other".to_owned(),
                });
            }
        }
        assert_eq!(seen, ["{\"a\":1}", "other", "7"]);
        assert!(pending.is_empty());
    }
}
