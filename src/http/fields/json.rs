//! The fields of a JSON object, whose texts need not be UTF-8. Unwanted fields are not copied, and
//! a text is copied only once its length is known.

use std::fmt;

use memchr::{memchr, memchr2};
use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FieldValue<'a> {
    /// The text between the quotes.
    Text(Raw<'a>),
    /// A number as written.
    Number(&'a [u8]),
    Null,
    /// An object, a list, true or false.
    Other,
}

/// A text as written, with its escapes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Raw<'a>(&'a [u8]);

/// The fields of an object, in order.
///
/// # Errors
///
/// The body is not a JSON object.
pub(super) fn fields(
    body: &[u8],
) -> serde_json::Result<impl Iterator<Item = (Raw<'_>, FieldValue<'_>)>> {
    serde_json::from_slice::<Checked>(body)?;
    let mut scan = Scan { rest: body };
    scan.skip(b"{");
    Ok(std::iter::from_fn(move || {
        scan.skip(b",");
        let name = scan.text()?;
        scan.skip(b":");
        Some((name, scan.value()?))
    }))
}

impl Raw<'_> {
    /// The text without escapes. Bytes that are not UTF-8 stay; half a surrogate pair becomes
    /// U+FFFD.
    pub(super) fn unescaped(self) -> Vec<u8> {
        let mut text = Vec::with_capacity(self.bytes());
        self.parts(|part| text.extend_from_slice(part));
        text
    }

    /// The length of the text.
    pub(super) fn bytes(self) -> usize {
        let mut bytes = 0;
        self.parts(|part| bytes += part.len());
        bytes
    }

    fn parts(self, mut part: impl FnMut(&[u8])) {
        let mut rest = self.0;
        while let Some(at) = memchr(b'\\', rest) {
            part(&rest[..at]);
            let (letter, after) = (rest.get(at + 1), rest.get(at + 2..).unwrap_or_default());
            let (character, after) = match letter {
                Some(b'u') => character(after).unwrap_or(('u', after)),
                Some(b'b') => ('\u{8}', after),
                Some(b'f') => ('\u{c}', after),
                Some(b'n') => ('\n', after),
                Some(b'r') => ('\r', after),
                Some(b't') => ('\t', after),
                other => (other.copied().unwrap_or(b'\\').into(), after),
            };
            part(character.encode_utf8(&mut [0; 4]).as_bytes());
            rest = after;
        }
        part(rest);
    }
}

/// Replaces each half of a surrogate pair with U+FFFD, so that a strict parser reads the body as
/// [`fields`] does.
pub(in crate::http) fn replace_lone_surrogates(body: &mut [u8]) {
    let mut from = 0;
    while let Some(at) = memchr(b'\\', body.get(from..).unwrap_or_default()) {
        let digits = from + at + 2;
        from = digits;
        if body.get(digits - 1) != Some(&b'u') {
            continue;
        }
        if let Some((character, after)) = character(&body[digits..]) {
            from = body.len() - after.len();
            if character == char::REPLACEMENT_CHARACTER {
                body[digits..digits + 4].copy_from_slice(b"fffd");
            }
        }
    }
}

/// The character of the four hex digits, together with a second escape if it is half a pair, and
/// the rest. A lone half becomes U+FFFD. Returns `None` if there are no digits.
fn character(digits: &[u8]) -> Option<(char, &[u8])> {
    let unit = |digits: &[u8]| {
        let digits = std::str::from_utf8(digits.get(..4)?).ok()?;
        u16::from_str_radix(digits, 16).ok()
    };
    let first = unit(digits)?;
    if let Some(character) = char::from_u32(first.into()) {
        return Some((character, &digits[4..]));
    }
    let second = digits[4..].strip_prefix(br"\u").and_then(unit);
    match char::decode_utf16([first, second.unwrap_or_default()]).next() {
        Some(Ok(character)) => Some((character, &digits[10..])),
        _ => Some((char::REPLACEMENT_CHARACTER, &digits[4..])),
    }
}

/// A walk over valid JSON. Invalid JSON ends it early.
struct Scan<'a> {
    rest: &'a [u8],
}

impl<'a> Scan<'a> {
    /// Skips `token` if it is next.
    fn skip(&mut self, token: &[u8]) {
        self.rest = self.rest.trim_ascii_start();
        self.rest = self.rest.strip_prefix(token).unwrap_or(self.rest);
        self.rest = self.rest.trim_ascii_start();
    }

    fn split(&mut self, at: usize) -> &'a [u8] {
        let (before, rest) = self.rest.split_at(at);
        self.rest = rest;
        before
    }

    fn text(&mut self) -> Option<Raw<'a>> {
        self.rest = self.rest.strip_prefix(b"\"")?;
        let mut end = 0;
        loop {
            end += memchr2(b'"', b'\\', self.rest.get(end..)?)?;
            if self.rest[end] == b'"' {
                break;
            }
            end += 2;
        }
        let text = self.split(end);
        self.split(1);
        Some(Raw(text))
    }

    fn value(&mut self) -> Option<FieldValue<'a>> {
        let first = *self.rest.first()?;
        Some(match first {
            b'"' => FieldValue::Text(self.text()?),
            b'{' | b'[' => {
                self.nested()?;
                FieldValue::Other
            }
            _ => {
                let is_end = |byte: &u8| matches!(byte, b',' | b'}') || byte.is_ascii_whitespace();
                let end = self.rest.iter().position(is_end)?;
                match (first, self.split(end)) {
                    (b'n', _) => FieldValue::Null,
                    (b'-' | b'0'..=b'9', number) => FieldValue::Number(number),
                    _ => FieldValue::Other,
                }
            }
        })
    }

    fn nested(&mut self) -> Option<()> {
        let mut depth = 0_usize;
        loop {
            match self.rest.first()? {
                b'"' => {
                    self.text()?;
                    continue;
                }
                b'{' | b'[' => depth += 1,
                b'}' | b']' => depth -= 1,
                _ => {}
            }
            self.split(1);
            if depth == 0 {
                return Some(());
            }
        }
    }
}

/// Checks an object without keeping anything.
struct Checked;

/// Checks a text without keeping it.
struct CheckedText;

impl<'de> Deserialize<'de> for Checked {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Checked, D::Error> {
        deserializer.deserialize_map(Checked)
    }
}

impl<'de> Visitor<'de> for Checked {
    type Value = Checked;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut object: A) -> Result<Checked, A::Error> {
        while object.next_key::<CheckedText>()?.is_some() {
            object.next_value::<IgnoredAny>()?;
        }
        Ok(self)
    }
}

impl<'de> Deserialize<'de> for CheckedText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<CheckedText, D::Error> {
        deserializer.deserialize_bytes(CheckedText)
    }
}

impl<'de> Visitor<'de> for CheckedText {
    type Value = CheckedText;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text")
    }

    fn visit_bytes<E>(self, _: &[u8]) -> Result<CheckedText, E> {
        Ok(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(body: &[u8]) -> Vec<u8> {
        let body = [b"\"", body, b"\""].concat();
        let raw = Scan { rest: &body }.text().unwrap();
        let text = raw.unescaped();
        assert_eq!(raw.bytes(), text.len());
        text
    }

    #[test]
    fn a_text_is_what_serde_json_takes_it_for() {
        for escaped in [
            r"",
            r"plain 短",
            r#"\"\\\/\b\f\n\r\t"#,
            r"\u0000\u001f\u00e9\uFFFD\ud83d\ude00",
            r"a\u0041b",
        ] {
            let expected: String = serde_json::from_str(&format!("\"{escaped}\"")).unwrap();
            assert_eq!(text(escaped.as_bytes()), expected.as_bytes());
        }
        assert_eq!(text(b"\xffa\\n\xc3"), b"\xffa\n\xc3");
    }

    #[test]
    fn half_a_surrogate_pair_is_the_replacement_character_at_every_door() {
        for (escaped, expected) in [
            (r"\ud83d", "\u{fffd}"),
            (r"\ud83dx", "\u{fffd}x"),
            (r"\ude00\n", "\u{fffd}\n"),
            (r"\ud83d\u0041", "\u{fffd}A"),
            (r"\ud83d\ud83d\ude00", "\u{fffd}\u{1f600}"),
            (r"\ud83d\\ude00", "\u{fffd}\\ude00"),
            (r"\\ud83d", r"\ud83d"),
            (r"\ud83d\ude00", "\u{1f600}"),
        ] {
            assert_eq!(text(escaped.as_bytes()), expected.as_bytes(), "{escaped}");
            let mut body = format!("\"{escaped}\"").into_bytes();
            replace_lone_surrogates(&mut body);
            let parsed: String = serde_json::from_slice(&body).unwrap();
            assert_eq!(parsed, expected, "{escaped}");
        }
        for wrong in [r#""\ud8"#, r#""\u"#, r#""\"#, r#""\uzzzz""#] {
            let mut body = wrong.as_bytes().to_vec();
            replace_lone_surrogates(&mut body);
            assert_eq!(body, wrong.as_bytes(), "what is no escape stays");
        }
    }

    #[test]
    fn an_object_has_fields() {
        let body = br#" {"a" : "x\"" , "b":-1.5e3,"c":[{"d":"]}\\"},[]],"":null, "t":true,"n":0} "#;
        let found: Vec<_> = fields(body).unwrap().map(|(_, value)| value).collect();
        let expected = [
            FieldValue::Text(Raw(br#"x\""#)),
            FieldValue::Number(b"-1.5e3"),
            FieldValue::Other,
            FieldValue::Null,
            FieldValue::Other,
            FieldValue::Number(b"0"),
        ];
        assert_eq!(found, expected);
        assert_eq!(fields(b"{}").unwrap().count(), 0);
        for wrong in ["", "[]", "{\"a\":}", "{} x", "{\"a\":1,}", "1"] {
            assert!(fields(wrong.as_bytes()).is_err(), "{wrong}");
        }
    }
}
