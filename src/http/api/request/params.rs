//! Parameters of path and query. Each is read completely or refused by name.

use std::ops::RangeInclusive;
use std::str::FromStr;

use axum::extract::{FromRequestParts, MatchedPath, Path};
use axum::http::request::Parts;

use crate::http::api::error::ConsoleError;
use crate::message::{MessageCode, Topic};

/// The values of `names` in a query; `None` for a missing or empty one.
///
/// # Errors
/// The query has a name that is not in `names`, or has one twice: a slip must not widen the answer.
pub(in crate::http::api) fn read<const N: usize>(
    query: Option<&str>,
    names: [&str; N],
) -> Result<[Option<String>; N], ConsoleError> {
    let mut values = [const { None }; N];
    for (name, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        let place = names.iter().position(|known| *known == name);
        match place.map(|place| &mut values[place]) {
            Some(slot @ None) => *slot = Some(value.into_owned()),
            Some(Some(_)) | None => return Err(ConsoleError::unknown(&name, &names)),
        }
    }
    Ok(values.map(|value| value.filter(|text| !text.is_empty())))
}

/// A request that takes no query parameters.
pub(in crate::http::api) struct NoParams;

impl<S: Sync> FromRequestParts<S> for NoParams {
    type Rejection = ConsoleError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<NoParams, ConsoleError> {
        read(parts.uri.query(), []).map(|[]| NoParams)
    }
}

/// The one parameter of the path.
pub(in crate::http::api) struct InPath<T>(pub(in crate::http::api) T);

/// A type that can be a parameter of a path.
pub(in crate::http::api) trait PathParameter: Sized {
    /// Reads the decoded text.
    fn parse(text: &str) -> Result<Self, ConsoleError>;
}

impl PathParameter for Topic {
    fn parse(text: &str) -> Result<Topic, ConsoleError> {
        topic(text)
    }
}

impl PathParameter for MessageCode {
    fn parse(text: &str) -> Result<MessageCode, ConsoleError> {
        text.parse()
            .map_err(|_| ConsoleError::parameter("code", text, "40 hex digits"))
    }
}

impl PathParameter for u64 {
    fn parse(text: &str) -> Result<u64, ConsoleError> {
        digits(text)
            .ok_or_else(|| ConsoleError::parameter("number", text, "the number of a client"))
    }
}

impl PathParameter for String {
    fn parse(text: &str) -> Result<String, ConsoleError> {
        Ok(text.to_owned())
    }
}

impl<S: Send + Sync, T: PathParameter> FromRequestParts<S> for InPath<T> {
    type Rejection = ConsoleError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<InPath<T>, ConsoleError> {
        match Path::<String>::from_request_parts(parts, state).await {
            Ok(Path(text)) => T::parse(&text).map(InPath),
            Err(_) => {
                let path = parts.uri.path();
                Err(ConsoleError::parameter(
                    "the path",
                    path,
                    "percent-encoded UTF-8",
                ))
            }
        }
    }
}

/// The topic of a route, which is its only parameter: in the path, or as `topic` in the query
/// because browsers remove `.` and `..` from paths.
pub(in crate::http::api) struct AboutTopic(pub(in crate::http::api) Topic);

impl<S: Send + Sync> FromRequestParts<S> for AboutTopic {
    type Rejection = ConsoleError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<AboutTopic, ConsoleError> {
        let matched = parts.extensions.get::<MatchedPath>();
        if matched.is_some_and(|path| path.as_str().contains("{topic}")) {
            let InPath(topic) = InPath::from_request_parts(parts, state).await?;
            let NoParams = NoParams::from_request_parts(parts, state).await?;
            return Ok(AboutTopic(topic));
        }
        let [name] = read(parts.uri.query(), ["topic"])?;
        let name = name.ok_or_else(|| ConsoleError::missing("topic"))?;
        topic(&name).map(AboutTopic)
    }
}

/// The topic that confirms an action. It is the only parameter.
pub(in crate::http::api) fn confirm(query: Option<&str>) -> Result<String, ConsoleError> {
    let [confirm] = read(query, ["confirm"])?;
    confirm.ok_or_else(|| ConsoleError::missing("confirm"))
}

/// Reads the name of a topic.
pub(in crate::http::api) fn topic(name: &str) -> Result<Topic, ConsoleError> {
    name.parse().map_err(ConsoleError::topic)
}

/// A whole number in `range`; `default` if it is missing.
pub(in crate::http::api) fn whole(
    name: &str,
    text: Option<&str>,
    range: RangeInclusive<usize>,
    default: usize,
) -> Result<usize, ConsoleError> {
    let Some(text) = text else { return Ok(default) };
    digits(text)
        .filter(|number| range.contains(number))
        .ok_or_else(|| {
            let expected = format!("a whole number from {} to {}", range.start(), range.end());
            ConsoleError::parameter(name, text, &expected)
        })
}

/// The choice with this name; the first one if it is missing.
pub(in crate::http::api) fn choice<T: Copy>(
    name: &str,
    text: Option<&str>,
    choices: &[(&str, T)],
) -> Result<T, ConsoleError> {
    let found = match text {
        None => choices.first(),
        Some(text) => choices.iter().find(|(choice, _)| *choice == text),
    };
    found.map(|(_, value)| *value).ok_or_else(|| {
        let all: Vec<_> = choices.iter().map(|(choice, _)| *choice).collect();
        let expected = format!("one of {}", all.join(", "));
        ConsoleError::parameter(name, text.unwrap_or_default(), &expected)
    })
}

/// A cursor that is a number.
pub(in crate::http::api) fn number_cursor(cursor: &str) -> Result<u64, ConsoleError> {
    digits(cursor).ok_or_else(|| ConsoleError::parameter("cursor", cursor, "what came as next"))
}

/// A text of digits only, as a number.
pub(super) fn digits<T: FromStr>(text: &str) -> Option<T> {
    let readable = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| readable)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_has_what_it_may_have_and_once() {
        let read = |query| read(Some(query), ["a", "b"]);
        assert_eq!(read("b=1%2B+2&a=").unwrap(), [None, Some("1+ 2".into())]);
        assert_eq!(read("").unwrap(), [None, None]);
        for wrong in ["c=1", "a=1&a=2", "a=1&A=2", "a%00=1"] {
            assert!(read(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn numbers_are_whole_and_in_their_range() {
        let read = |text| whole("limit", text, 1..=500, 50).ok();
        assert_eq!(
            [read(None), read(Some("1")), read(Some("500"))],
            [Some(50), Some(1), Some(500)]
        );
        for wrong in [
            "0",
            "501",
            "+1",
            "1.0",
            "-1",
            "x",
            "99999999999999999999999",
        ] {
            assert_eq!(read(Some(wrong)), None, "{wrong}");
        }
    }
}
