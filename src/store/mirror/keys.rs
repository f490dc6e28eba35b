//! The keys of the trees. They are big-endian, so that they sort as numbers.

use crate::message::StatusKind;
use crate::store::growth::Day;

/// A day as a key, with its sign bit flipped.
pub(super) fn day_key(day: Day) -> [u8; 4] {
    (day.0 ^ i32::MIN).to_be_bytes()
}

/// The day of such a key.
pub(super) fn key_day(bytes: &[u8]) -> Option<Day> {
    Some(Day(i32::from_be_bytes(bytes.try_into().ok()?) ^ i32::MIN))
}

/// The byte for a status in keys.
pub(super) fn kind_byte(kind: StatusKind) -> u8 {
    match kind {
        StatusKind::Accepted => 0,
        StatusKind::NotConsumed => 1,
        StatusKind::Consumed => 2,
    }
}

/// The key in `count`.
pub(super) fn count_key(kind: StatusKind, day: Day) -> Vec<u8> {
    [&[kind_byte(kind)][..], &day_key(day)].concat()
}

/// The key in `status`.
pub(super) fn status_key(kind: StatusKind, day: Day, block: u64) -> Vec<u8> {
    [&[kind_byte(kind)][..], &day_key(day), &block.to_be_bytes()].concat()
}

/// Status, day and block of a key in `status`.
pub(super) fn parse_status_key(key: &[u8]) -> Option<(StatusKind, Day, u64)> {
    let (kind, rest) = key.split_first()?;
    let kind = StatusKind::ALL
        .into_iter()
        .find(|candidate| kind_byte(*candidate) == *kind)?;
    let (day, block) = rest.split_at_checked(4)?;
    Some((kind, key_day(day)?, parse_u64(block)?))
}

pub(super) fn parse_u32(bytes: &[u8]) -> Option<u32> {
    Some(u32::from_be_bytes(bytes.try_into().ok()?))
}

pub(super) fn parse_u64(bytes: &[u8]) -> Option<u64> {
    Some(u64::from_be_bytes(bytes.try_into().ok()?))
}
