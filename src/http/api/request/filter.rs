//! Filters of messages, and the cursor of their lists.

use crate::http::api::error::ConsoleError;
use crate::http::api::json::message::STATUSES;
use crate::http::api::request::params::{choice, digits, topic};
use crate::message::{Sequence, UnixSeconds};
use crate::store::{Mark, Query};

/// A filter of messages, as the texts of a query.
pub(in crate::http::api) struct Filter<'a> {
    pub(in crate::http::api) topic: Option<&'a str>,
    pub(in crate::http::api) status: Option<&'a str>,
    pub(in crate::http::api) from: Option<&'a str>,
    pub(in crate::http::api) to: Option<&'a str>,
    pub(in crate::http::api) cursor: Option<&'a str>,
}

impl Filter<'_> {
    /// The query that the texts stand for.
    pub(in crate::http::api) fn query(self) -> Result<Query, ConsoleError> {
        let status = self
            .status
            .map(|text| choice("status", Some(text), &STATUSES));
        let query = Query {
            from: seconds("from", self.from)?,
            to: seconds("to", self.to)?,
            status: status.transpose()?,
            topic: self.topic.map(topic).transpose()?,
            before: self.cursor.map(mark).transpose()?,
        };
        in_order(&query)?;
        Ok(query)
    }
}

/// Refuses a span that ends before it starts.
pub(in crate::http::api) fn in_order(query: &Query) -> Result<(), ConsoleError> {
    match query.from.zip(query.to) {
        Some((from, to)) if from > to => Err(ConsoleError::parameter(
            "from",
            &from.0.to_string(),
            "a time that is not after to",
        )),
        Some(_) | None => Ok(()),
    }
}

fn seconds(name: &str, text: Option<&str>) -> Result<Option<UnixSeconds>, ConsoleError> {
    let Some(text) = text else { return Ok(None) };
    match digits(text) {
        Some(seconds) => Ok(Some(UnixSeconds(seconds))),
        None => Err(ConsoleError::parameter(
            name,
            text,
            "a time in Unix seconds",
        )),
    }
}

/// The cursor of a list that continues after this message.
pub(in crate::http::api) fn cursor_of(mark: Mark) -> String {
    format!("{:x}-{:x}", mark.created.0, mark.sequence.0)
}

fn mark(cursor: &str) -> Result<Mark, ConsoleError> {
    let hex = |text: &str| {
        let readable = text.bytes().all(|byte| byte.is_ascii_hexdigit());
        u64::from_str_radix(text, 16).ok().filter(|_| readable)
    };
    let parts = cursor.split_once('-');
    let mark = parts.and_then(|(created, sequence)| {
        Some(Mark {
            created: UnixSeconds(u32::try_from(hex(created)?).ok()?),
            sequence: Sequence(hex(sequence)?),
        })
    });
    mark.ok_or_else(|| ConsoleError::parameter("cursor", cursor, "what came as next"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_comes_back_as_it_went() {
        for (created, sequence) in [(0, 0), (1_795_367_326, 7), (u32::MAX, u64::MAX)] {
            let place = Mark {
                created: UnixSeconds(created),
                sequence: Sequence(sequence),
            };
            assert_eq!(mark(&cursor_of(place)).unwrap(), place);
        }
        for wrong in [
            "",
            "-",
            "1",
            "1-",
            "-1",
            "1-2-3",
            "+1-2",
            "g-1",
            "100000000-1",
            "1--2",
        ] {
            assert!(mark(wrong).is_err(), "{wrong}");
        }
    }
}
