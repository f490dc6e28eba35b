//! Where the time comes from, so that tests can move it, and the zone that it is told in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::{
    DateTime, Days, FixedOffset, Local, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Utc,
};

use crate::message::UnixSeconds;

/// A wall clock: the system's, or one that a test moves by hand.
#[derive(Clone, Debug, Default)]
pub struct Clock(Source);

#[derive(Clone, Debug, Default)]
enum Source {
    #[default]
    System,
    Manual(Arc<AtomicU32>),
}

impl Clock {
    /// The system's clock.
    pub fn system() -> Clock {
        Clock(Source::System)
    }

    /// A clock that stands at `now` until [`Clock::set`] moves it; clones move together.
    pub fn manual(now: UnixSeconds) -> Clock {
        Clock(Source::Manual(Arc::new(AtomicU32::new(now.0))))
    }

    /// The time of day. It may jump in either direction.
    pub fn now(&self) -> UnixSeconds {
        match &self.0 {
            Source::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                UnixSeconds(u32::try_from(since.as_secs()).unwrap_or(u32::MAX))
            }
            Source::Manual(now) => UnixSeconds(now.load(Ordering::Relaxed)),
        }
    }

    /// The time of day in Unix milliseconds; a manual clock knows whole seconds only.
    pub fn now_ms(&self) -> u64 {
        match &self.0 {
            Source::System => {
                let since = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default();
                u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
            }
            Source::Manual(_) => u64::from(self.now().0) * 1000,
        }
    }

    /// The time of day as a date. Before 1970 it is 1970, as it is for everybody who asks here.
    pub fn date(&self) -> DateTime<Utc> {
        date_of(self.now_ms())
    }

    /// Moves a manual clock; the system's clock is not moved.
    pub fn set(&self, now: UnixSeconds) {
        if let Source::Manual(cell) = &self.0 {
            cell.store(now.0, Ordering::Relaxed);
        }
    }
}

/// The offset from UTC while clocks of this zone show `local`: none where it is skipped, as they
/// are set forward, and two where it comes twice, the earlier time first, as they are set back.
pub fn offset_of(local: NaiveDateTime) -> MappedLocalTime<FixedOffset> {
    offset_in(local, |utc| Local.offset_from_utc_datetime(&utc).fix())
}

/// The library's own answer takes the first second after a time that comes twice for one of it.
/// An offset is one of `local` if, at the time that it makes of it, it is the zone's.
fn offset_in(
    local: NaiveDateTime,
    at: impl Fn(NaiveDateTime) -> FixedOffset,
) -> MappedLocalTime<FixedOffset> {
    let day = Days::new(1);
    let around = [local.checked_sub_days(day), local.checked_add_days(day)];
    let [before, after] = around.map(|utc| at(utc.unwrap_or(local)));
    let holds = |offset| {
        let utc = local.checked_sub_offset(offset);
        utc.is_some_and(|utc| at(utc) == offset)
    };
    match (holds(before), before != after && holds(after)) {
        (true, true) => MappedLocalTime::Ambiguous(before, after),
        (true, false) => MappedLocalTime::Single(before),
        (false, true) => MappedLocalTime::Single(after),
        (false, false) => MappedLocalTime::None,
    }
}

/// A clock is not followed when it steps back by less than this.
const STEP_SECONDS: u64 = 60;

/// The time `now`, or `before` if the clock has stepped back from it. One that is further back was
/// set, or was ahead.
pub(crate) fn without_step_back(now: UnixSeconds, before: UnixSeconds) -> UnixSeconds {
    match before.saturating_sub(STEP_SECONDS) <= now {
        true => now.max(before),
        false => now,
    }
}

/// What has no date is 1970.
fn date_of(unix_ms: u64) -> DateTime<Utc> {
    let date = i64::try_from(unix_ms).map(DateTime::from_timestamp_millis);
    date.ok().flatten().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use chrono::TimeDelta;

    use super::*;

    #[test]
    fn every_time_has_a_date() {
        let clock = Clock::manual(UnixSeconds(1_795_367_326));
        assert_eq!(clock.date().to_rfc3339(), "2026-11-22T17:08:46+00:00");
        for (ms, date) in [
            (1, "1970-01-01T00:00:00.001+00:00"),
            (4_294_967_296_000, "2106-02-07T06:28:16+00:00"),
            (u64::MAX, "1970-01-01T00:00:00+00:00"),
            (i64::MAX as u64, "1970-01-01T00:00:00+00:00"),
        ] {
            assert_eq!(date_of(ms).to_rfc3339(), date, "{ms}");
        }
    }

    /// A change of a zone's clocks: when, in UTC, and the minutes ahead of UTC before and after.
    struct Change(&'static str, &'static str, i32, i32);

    const CHANGES: [Change; 11] = [
        Change("New York, autumn", "2026-11-01 06:00:00", -240, -300),
        Change("New York, spring", "2026-03-08 07:00:00", -300, -240),
        Change("Berlin, autumn", "2026-10-25 01:00:00", 120, 60),
        Change("Berlin, spring", "2026-03-29 01:00:00", 60, 120),
        // The hour before midnight comes twice, and the day begins once.
        Change("Santiago, autumn", "2026-04-05 03:00:00", -180, -240),
        Change("Santiago, spring", "2026-09-06 04:00:00", -240, -180),
        // Midnight comes twice.
        Change("Havana, autumn", "2026-11-01 05:00:00", -240, -300),
        Change("Lord Howe, autumn", "2026-04-04 15:00:00", 660, 630),
        Change("Lord Howe, spring", "2026-10-03 15:30:00", 630, 660),
        // A day of the calendar that never was, and one that was twice.
        Change("Apia, over the date line", "2011-12-30 10:00:00", -600, 840),
        Change(
            "Manila, over it the other way",
            "1844-12-31 00:00:00",
            840,
            -600,
        ),
    ];

    #[test]
    fn an_offset_is_one_that_leads_back_to_the_local_time() {
        let east = |minutes: i32| FixedOffset::east_opt(minutes * 60).unwrap();
        for Change(zone, utc, before, after) in CHANGES {
            let change = NaiveDateTime::parse_from_str(utc, "%Y-%m-%d %H:%M:%S").unwrap();
            let at = |utc: NaiveDateTime| east(if utc < change { before } else { after });
            // Each quarter of an hour of so many hours around it, and the seconds beside it.
            let around = |hours: i64| {
                let quarters = (-4 * hours..4 * hours).map(|n| change + TimeDelta::minutes(15 * n));
                quarters.flat_map(|time| [-1, 0, 1].map(|n| time + TimeDelta::seconds(n)))
            };
            let mut shown: HashMap<NaiveDateTime, Vec<FixedOffset>> = HashMap::new();
            for utc in around(72) {
                shown.entry(utc + at(utc)).or_default().push(at(utc));
            }
            for local in around(36) {
                let expected = match shown.get(&local).map_or(&[][..], Vec::as_slice) {
                    [] => MappedLocalTime::None,
                    [one] => MappedLocalTime::Single(*one),
                    [one, other] => MappedLocalTime::Ambiguous(*one, *other),
                    _ => unreachable!("there are two offsets"),
                };
                assert_eq!(offset_in(local, at), expected, "{zone} {local}");
            }
        }
    }
}
