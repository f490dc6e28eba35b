//! Decides what is logged about refused messages: the first refusal at once, and its end once
//! nothing has been refused for a while. On a nearly full disk, small groups still fit where large
//! ones do not, many times a second.

use std::time::{Duration, Instant};

/// Refusals are over when nothing has been refused for this long.
const CALM: Duration = Duration::from_secs(10);

/// Tracks refused messages. The caller passes the time.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// The number of messages refused since the refusals began.
    messages: usize,
    last: Option<Instant>,
    /// Whether something was stored since the last refusal.
    stored: bool,
}

impl Refusals {
    /// Records refused messages. Returns whether to log it.
    pub(crate) fn refused(&mut self, messages: usize, now: Instant) -> bool {
        let is_news = !self.is_open() || self.stored && self.is_calm(now);
        self.messages += messages;
        self.last = Some(now);
        self.stored = false;
        is_news
    }

    /// Whether messages were refused, and the end of that was not logged.
    pub(crate) fn is_open(&self) -> bool {
        self.last.is_some()
    }

    /// Records that something was stored. Returns the number of messages refused before, if the end
    /// of the refusals is to be logged.
    pub(crate) fn stored(&mut self, now: Instant) -> Option<usize> {
        self.stored = true;
        (self.is_open() && self.is_calm(now)).then(|| std::mem::take(self).messages)
    }

    fn is_calm(&self, now: Instant) -> bool {
        let since = |last| now.saturating_duration_since(last);
        self.last.is_none_or(|last| since(last) >= CALM)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn turns_of_storing_and_refusing_are_one_trouble() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        let at = |ms| start + Duration::from_millis(ms);
        assert_eq!(refusals.stored(at(0)), None);
        assert!(refusals.refused(2, at(0)));
        for turn in 1..=100 {
            assert_eq!(refusals.stored(at(50 * turn)), None);
            assert!(!refusals.refused(3, at(50 * turn + 25)));
        }
        assert!(refusals.is_open());
        assert_eq!(refusals.stored(at(15_024)), None);
        assert_eq!(refusals.stored(at(15_025)), Some(302));
        assert!(!refusals.is_open());
        assert_eq!(refusals.stored(at(40_000)), None);
        assert!(refusals.refused(1, at(15_026)), "the next is news again");
    }

    #[test]
    fn it_is_not_over_while_nothing_is_stored() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        assert!(refusals.refused(1, start));
        assert!(!refusals.refused(1, start + 100 * CALM));
        assert_eq!(refusals.stored(start + 101 * CALM), Some(2));
    }

    #[test]
    fn a_refusal_long_after_something_was_stored_is_news() {
        let (mut refusals, start) = (Refusals::default(), Instant::now());
        assert!(refusals.refused(1, start));
        assert_eq!(refusals.stored(start), None);
        assert!(refusals.refused(1, start + CALM));
        assert_eq!(refusals.stored(start + 2 * CALM), Some(2));
    }
}
