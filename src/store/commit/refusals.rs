//! What is said of messages that cannot be stored: the first at once, and that it is over when
//! it has been for a while. On a disk that is nearly full small groups still fit where large ones
//! do not, many times a second.

use std::time::{Duration, Instant};

/// Nothing is refused for so long when it is over.
const CALM: Duration = Duration::from_secs(10);

/// See the module. The caller says what time it is.
#[derive(Debug, Default)]
pub(crate) struct Refusals {
    /// How many messages were refused since that was said.
    messages: usize,
    last: Option<Instant>,
    /// Whether something was stored since the last one.
    stored: bool,
}

impl Refusals {
    /// So many messages were refused; whether that is to be said.
    pub(crate) fn refused(&mut self, messages: usize, now: Instant) -> bool {
        let is_news = !self.is_open() || self.stored && self.is_calm(now);
        self.messages += messages;
        self.last = Some(now);
        self.stored = false;
        is_news
    }

    /// Whether something was refused, and it was not said that it is over.
    pub(crate) fn is_open(&self) -> bool {
        self.last.is_some()
    }

    /// Something was stored; how many messages had been refused, if it is to be said that this
    /// is over.
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
