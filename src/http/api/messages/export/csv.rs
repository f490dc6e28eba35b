//! Rows and cells of CSV (RFC 4180).

use chrono::{DateTime, SecondsFormat};

use crate::http::api::json::message::status_name;
use crate::message::{Message, Status, UnixSeconds};

/// Writes a row up to the cell with the data.
pub(super) fn open_row(out: &mut Vec<u8>, message: &Message) {
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

/// Starts a cell for a text. Returns what goes after the text. A spreadsheet takes a text that
/// starts like a formula for one, and runs it with the user's rights, so such a text gets a `'`.
pub(super) fn open_cell(out: &mut Vec<u8>, text: &str) -> &'static [u8] {
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

/// Writes a part of the text of a cell, with its quotes doubled.
pub(super) fn write_cell(out: &mut Vec<u8>, part: &str) {
    for part in part.split_inclusive('"') {
        out.extend_from_slice(part.as_bytes());
        if part.ends_with('"') {
            out.push(b'"');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::http::api::json::message::sample;

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
}
