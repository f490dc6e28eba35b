//! Counts accepted messages by the server's local days and by quarters of an hour.

use std::collections::BTreeMap;

use chrono::{DateTime, Datelike, Local, NaiveDate, NaiveTime, TimeDelta};

use crate::clock;
use crate::message::UnixSeconds;

/// Growth is kept for this many days that had messages …
const DAYS: usize = 400;
/// … and for this many quarters of an hour.
pub(crate) const QUARTERS: usize = 31 * 96;
/// Quarters of an hour begin at multiples of this, as the days of every time zone do.
const QUARTER_SECONDS: u32 = 900;

/// A day of the server's local time, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The date.
    pub fn date(self) -> NaiveDate {
        NaiveDate::from_epoch_days(self.0).unwrap_or_default()
    }

    /// The last day whose messages are not dated ahead of a clock that shows `now`: tomorrow.
    pub(crate) fn last_not_ahead(now: UnixSeconds) -> Day {
        Day(Calendar::default().day(now).0 + 1)
    }

    fn of_date(date: NaiveDate) -> Day {
        Day(date.num_days_from_ce() - NaiveDate::default().num_days_from_ce())
    }
}

/// Tells the day of a time. Remembers the last day, since the next time is nearly always in it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calendar {
    last: Option<(UnixSeconds, UnixSeconds, Day)>,
}

impl Calendar {
    pub(crate) fn day(&mut self, time: UnixSeconds) -> Day {
        if let Some((first, last, day)) = self.last
            && first <= time
            && time <= last
        {
            return day;
        }
        let date = DateTime::from_timestamp(i64::from(time.0), 0)
            .unwrap_or_default()
            .with_timezone(&Local)
            .date_naive();
        let day = Day::of_date(date);
        // Where midnight does not exist, or comes twice, only this time is remembered.
        let midnight = |date: NaiveDate| {
            let local = date.and_time(NaiveTime::MIN);
            let offset = clock::offset_of(local).single()?;
            Some(local.checked_sub_offset(offset)?.and_utc().timestamp())
        };
        self.last = match (midnight(date), midnight(date + TimeDelta::days(1))) {
            (Some(first), Some(next)) => Some((
                UnixSeconds::saturating_from(first),
                UnixSeconds::saturating_from(next - 1),
                day,
            )),
            _ => Some((time, time, day)),
        };
        day
    }
}

/// The number of messages accepted, including deleted ones.
#[derive(Clone, Debug, Default)]
pub(crate) struct Growth {
    pub(crate) days: BTreeMap<Day, u64>,
    /// By the time divided by [`QUARTER_SECONDS`].
    pub(crate) quarters: BTreeMap<u32, u64>,
}

impl Growth {
    /// Counts messages created at `created`, on `day`. Returns the key of their quarter.
    pub(crate) fn add(&mut self, day: Day, created: UnixSeconds, count: u64) -> u32 {
        let quarter = created.0 / QUARTER_SECONDS;
        *self.days.entry(day).or_default() += count;
        *self.quarters.entry(quarter).or_default() += count;
        quarter
    }

    /// The days that are kept.
    pub(crate) fn by_day(&self) -> Vec<(Day, u64)> {
        let days = last(&self.days, DAYS);
        days.map(|(day, n)| (*day, *n)).collect()
    }

    /// The quarters that are kept, each by its beginning.
    pub(crate) fn by_quarter(&self) -> Vec<(UnixSeconds, u64)> {
        last(&self.quarters, QUARTERS)
            .map(|(quarter, n)| (UnixSeconds(quarter * QUARTER_SECONDS), *n))
            .collect()
    }

    /// Drops the days and quarters that are too old to be kept. Returns their keys.
    pub(crate) fn forget(&mut self) -> (Vec<Day>, Vec<u32>) {
        let days = forget(&mut self.days, DAYS);
        (days, forget(&mut self.quarters, QUARTERS))
    }
}

/// When a quarter of an hour ends, which [`Growth::quarters`] has under this key.
pub(crate) fn end_of_quarter(quarter: u32) -> UnixSeconds {
    UnixSeconds(quarter.saturating_add(1).saturating_mul(QUARTER_SECONDS))
}

/// The last `len` entries.
fn last<K, V>(map: &BTreeMap<K, V>, len: usize) -> impl Iterator<Item = (&K, &V)> {
    map.iter().skip(map.len().saturating_sub(len))
}

/// Drops all but the last `len` entries. Returns their keys.
fn forget<K: Ord + Copy>(map: &mut BTreeMap<K, u64>, len: usize) -> Vec<K> {
    let first = last(map, len).next().map(|(key, _)| *key);
    let kept = first.map(|first| map.split_off(&first)).unwrap_or_default();
    std::mem::replace(map, kept).into_keys().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_is_the_local_date() {
        let mut calendar = Calendar::default();
        for time in [0, 86_399, 86_400, 1_800_000_000, 1_799_990_000, u32::MAX] {
            let expected = DateTime::from_timestamp(i64::from(time), 0)
                .unwrap()
                .with_timezone(&Local)
                .date_naive();
            assert_eq!(calendar.day(UnixSeconds(time)).date(), expected, "{time}");
        }
    }
}
