//! Names and values of a form (`application/x-www-form-urlencoded`).

use memchr::{memchr, memchr2};

/// The bytes before the first `at`, and those after it if there is one.
pub(super) fn split(bytes: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match memchr(at, bytes) {
        Some(place) => (&bytes[..place], Some(&bytes[place + 1..])),
        None => (bytes, None),
    }
}

/// A name or a value of a form without its escapes, piece by piece.
pub(super) fn form_parts(escaped: &[u8], mut part: impl FnMut(&[u8])) {
    let mut rest = escaped;
    while let Some(at) = memchr2(b'%', b'+', rest) {
        part(&rest[..at]);
        let after = &rest[at + 1..];
        let digit = |at: usize| char::from(*after.get(at)?).to_digit(16);
        let byte = |high: u32, low: u32| u8::try_from(high * 16 + low).unwrap_or_default();
        let (byte, passed) = match (rest[at], digit(0), digit(1)) {
            (b'%', Some(high), Some(low)) => (byte(high, low), 2),
            (b'+', ..) => (b' ', 0),
            (other, ..) => (other, 0),
        };
        part(&[byte]);
        rest = &after[passed..];
    }
    part(rest);
}

/// A name or a value of a form without its escapes.
pub(super) fn unescaped(escaped: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(escaped.len());
    form_parts(escaped, |part| bytes.extend_from_slice(part));
    bytes
}
