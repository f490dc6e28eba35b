//! The server's local days, by which messages are counted.

use chrono::{DateTime, Datelike, Local, NaiveDate, NaiveTime, TimeDelta};

use crate::clock;
use crate::message::UnixSeconds;

/// A day of the server's local time, as days since 1970-01-01.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Day(pub i32);

impl Day {
    /// The date.
    pub fn date(self) -> NaiveDate {
        NaiveDate::from_epoch_days(self.0).unwrap_or_default()
    }

    /// The last day whose messages are not dated ahead of a clock that says `now`: tomorrow.
    pub(crate) fn last_not_ahead(now: UnixSeconds) -> Day {
        Day(Calendar::default().day(now).0 + 1)
    }

    fn of_date(date: NaiveDate) -> Day {
        Day(date.num_days_from_ce() - NaiveDate::default().num_days_from_ce())
    }
}

/// Tells the day of a time; remembers the day it told last, since the next time is nearly
/// always in it.
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
        // Where midnight does not exist, or twice, only the time itself is remembered.
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
