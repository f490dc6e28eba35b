//! Times of day as the original's console writes them, in the server's time zone (protocol,
//! "HTTP").

use chrono::{Days, FixedOffset, MappedLocalTime, NaiveDate, NaiveDateTime, NaiveTime};

use crate::clock;
use crate::message::UnixSeconds;

/// Which end of a span a time is. When clocks are set back, a local time comes twice; the span then
/// takes the wider reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// The first second of the span.
    Start,
    /// The last second of the span.
    End,
}

/// Reads a local time as in `2006-01-02 15:04:05`; leading zeros are optional. Returns `None` for
/// any other text. A time before 1970 or after 2106 becomes the nearest valid one.
pub(super) fn read(text: &str, side: Side) -> Option<UnixSeconds> {
    let local = parse(text)?;
    Some(resolve(local, side, clock::offset_of))
}

/// The first second of a local day.
pub(super) fn day_begin(date: NaiveDate) -> UnixSeconds {
    resolve(date.and_time(NaiveTime::MIN), Side::Start, clock::offset_of)
}

fn parse(text: &str) -> Option<NaiveDateTime> {
    let (date, time) = text.trim().split_once(' ')?;
    let [year, month, day] = numbers(date, '-')?;
    let [hour, minute, second] = numbers(time.trim_start(), ':')?;
    NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, month, day)?
        .and_hms_opt(hour, minute, second)
}

/// Three numbers of one to four digits.
fn numbers(text: &str, between: char) -> Option<[u32; 3]> {
    let mut parts = text.split(between).map(|digits| {
        let readable = digits.len() <= 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
        digits.parse().ok().filter(|_| readable)
    });
    let three = [parts.next()??, parts.next()??, parts.next()??];
    parts.next().is_none().then_some(three)
}

/// Clocks that are set forward skip local times. A skipped time is read with the offset of the day
/// before.
fn resolve(
    local: NaiveDateTime,
    side: Side,
    offset_at: impl Fn(NaiveDateTime) -> MappedLocalTime<FixedOffset>,
) -> UnixSeconds {
    let seconds =
        |offset: FixedOffset| local.and_utc().timestamp() - i64::from(offset.local_minus_utc());
    let seconds = match offset_at(local) {
        MappedLocalTime::Single(offset) => seconds(offset),
        MappedLocalTime::Ambiguous(one, other) => match side {
            Side::Start => seconds(one).min(seconds(other)),
            Side::End => seconds(one).max(seconds(other)),
        },
        MappedLocalTime::None => {
            let before = local.checked_sub_days(Days::new(1)).unwrap_or(local);
            let utc = FixedOffset::east_opt(0).expect("0 is an offset");
            seconds(offset_at(before).latest().unwrap_or(utc))
        }
    };
    UnixSeconds::saturating_from(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn local(text: &str) -> NaiveDateTime {
        parse(text).unwrap_or_else(|| panic!("{text:?} is a time"))
    }

    fn hours(hours: i32) -> FixedOffset {
        FixedOffset::east_opt(hours * 3600).unwrap()
    }

    /// A zone at +1, where on 2026-03-29 the hour from 2:00 is skipped, and on 2026-10-25 the
    /// hour from 2:00 comes twice.
    fn offset_at(at: NaiveDateTime) -> MappedLocalTime<FixedOffset> {
        let (spring, autumn) = (local("2026-3-29 2:0:0"), local("2026-10-25 2:0:0"));
        let hour = chrono::TimeDelta::hours(1);
        if (spring..spring + hour).contains(&at) {
            MappedLocalTime::None
        } else if (autumn..autumn + hour).contains(&at) {
            MappedLocalTime::Ambiguous(hours(2), hours(1))
        } else if (spring..autumn).contains(&at) {
            MappedLocalTime::Single(hours(2))
        } else {
            MappedLocalTime::Single(hours(1))
        }
    }

    fn seconds(text: &str, side: Side) -> u32 {
        resolve(local(text), side, offset_at).0
    }

    #[test]
    fn zeros_in_front_are_optional() {
        let padded = parse("2027-01-08 00:00:00");
        assert!(padded.is_some());
        assert_eq!(parse("2027-1-8 00:00:00"), padded);
        assert_eq!(parse(" 2027-1-8 0:0:0\n"), padded);
    }

    #[test]
    fn what_is_no_time_is_not_read() {
        for text in [
            "",
            "now",
            "2027-01-08",
            "2027-01-08 00:00",
            "2027-01-08T00:00:00",
            "2027-13-08 00:00:00",
            "2027-02-29 00:00:00",
            "2027-01-08 24:00:00",
            "2027-01-08 00:00:60",
            "2027-01-08 00:00:00 1",
            "2027-01-08 00:00:00Z",
            "-2027-01-08 00:00:00",
            "+2027-01-08 00:00:00",
            "20270-01-08 00:00:00",
            "2027--08 00:00:00",
            "2027-01-08-01 00:00:00",
            "２０２７-01-08 00:00:00",
        ] {
            assert_eq!(parse(text), None, "{text:?}");
        }
    }

    #[test]
    fn a_time_is_read_in_the_zone() {
        let winter = local("2026-1-1 1:0:0").and_utc().timestamp() - 3600;
        assert_eq!(i64::from(seconds("2026-1-1 1:0:0", Side::Start)), winter);
    }

    #[test]
    fn a_time_that_comes_twice_makes_the_span_wider() {
        let first = seconds("2026-10-25 2:30:0", Side::Start);
        assert_eq!(seconds("2026-10-25 2:30:0", Side::End), first + 3600);
        assert_eq!(first, seconds("2026-10-25 1:59:59", Side::End) + 1801);
    }

    #[test]
    fn a_time_that_was_skipped_is_moved_forward() {
        let skipped = seconds("2026-3-29 2:30:0", Side::Start);
        assert_eq!(skipped, seconds("2026-3-29 3:30:0", Side::Start));
    }

    #[test]
    fn a_time_out_of_range_becomes_the_nearest() {
        assert_eq!(read("1-1-1 0:0:0", Side::Start), Some(UnixSeconds::MIN));
        assert_eq!(read("0000-1-1 0:0:0", Side::Start), Some(UnixSeconds::MIN));
        assert_eq!(
            read("9999-12-31 23:59:59", Side::End),
            Some(UnixSeconds::MAX)
        );
    }
}
