//! Which messages have expired, when the clock cannot be trusted.
//!
//! Only the clock tells the age of a message, and a clock may jump. A jump forward would make every
//! message old at once, including those accepted while the clock was set back. So a jump forward
//! counts only when as much time has really passed as messages are kept. By then every message
//! from before the jump is old enough, and the clock is right about every later one. No message is
//! deleted early. None is kept for more than twice as long, unless the clock is set back: messages
//! accepted before that are kept for as much longer.
//!
//! A jump can be told from time that has passed only while the broker runs. At a start, the time
//! since the newest message counts as a jump if the broker would have been stopped for very long.
//!
//! A message dated ahead of the clock would never be old. It expires when it has been in the
//! store, while the broker runs, for as long as messages are kept.

use std::collections::VecDeque;
use std::time::Duration;

use tokio::time::Instant;

use crate::message::{Sequence, UnixSeconds};

/// A clock that moves by at most this much was corrected, and has not jumped.
const SLACK_SECONDS: i64 = 60;
/// If the newest message is older than messages are kept by more than this, then the clock may be
/// wrong instead of the broker having been stopped.
const STOP_SECONDS: u64 = 7 * 24 * 3600;
/// The number of steps in which the time is divided for which messages are kept.
const MARKS: u32 = 32;

/// Knows from the clock, and against it, which messages have expired.
pub(in crate::broker) struct Expiry {
    /// When the clock was read last, and its time then.
    seen: (Instant, UnixSeconds),
    jump: Option<Jump>,
    /// When the newest message that the start found was created, until it is judged.
    newest: Option<UnixSeconds>,
    /// The sequence of the next message at several times, oldest first.
    marks: VecDeque<(Instant, Sequence)>,
    /// All messages before this one are old, whatever their date is.
    aged: Sequence,
    /// Whether messages were dated ahead when this was last checked.
    ahead: bool,
}

/// The clock was set forward.
struct Jump {
    seconds: u64,
    at: Instant,
}

impl Expiry {
    /// The clock shows `now`, and the newest message was created at `newest`.
    pub(in crate::broker) fn new(now: UnixSeconds, newest: Option<UnixSeconds>) -> Expiry {
        Expiry {
            seen: (Instant::now(), now),
            jump: None,
            newest,
            marks: VecDeque::new(),
            aged: Sequence::default(),
            ahead: false,
        }
    }

    /// The messages before the returned one have been in the store for `after_seconds` while the
    /// broker ran. `next` is the sequence of the next message.
    pub(in crate::broker) fn aged(&mut self, next: Sequence, after_seconds: u64) -> Sequence {
        let after = Duration::from_secs(after_seconds);
        let is_due = |(at, _): &(Instant, Sequence)| at.elapsed() >= after / MARKS;
        if self.marks.back().is_none_or(is_due) {
            self.marks.push_back((Instant::now(), next));
        }
        while let Some((_, next)) = self.marks.pop_front_if(|(at, _)| at.elapsed() >= after) {
            self.aged = next;
        }
        self.aged
    }

    /// Warns, once, that this number of messages is dated ahead of the clock.
    pub(in crate::broker) fn notice(&mut self, ahead: u64) {
        if ahead > 0 && !self.ahead {
            tracing::warn!(
                messages = ahead,
                "messages are dated ahead of the clock; they expire when the server has run with them for mq.cleanTime"
            );
        }
        self.ahead = ahead > 0;
    }

    /// Messages created before the returned time have expired, if they are kept for
    /// `after_seconds` and the clock shows `now`.
    pub(in crate::broker) fn cutoff(
        &mut self,
        now: UnixSeconds,
        after_seconds: u64,
    ) -> UnixSeconds {
        self.look(now);
        if let Some(newest) = self.newest.take() {
            self.begin(now, newest, after_seconds);
        }
        let after = Duration::from_secs(after_seconds);
        self.jump.take_if(|jump| jump.at.elapsed() >= after);
        let ahead = self.jump.as_ref().map_or(0, |jump| jump.seconds);
        now.saturating_sub(ahead).saturating_sub(after_seconds)
    }

    fn begin(&mut self, now: UnixSeconds, newest: UnixSeconds, after_seconds: u64) {
        let age = u64::from(now.0.saturating_sub(newest.0));
        if age > after_seconds.saturating_add(STOP_SECONDS) {
            tracing::warn!(
                days = age / (24 * 3600),
                "the newest message is very old, or the clock is ahead: nothing expires before the server has run for mq.cleanTime"
            );
            let at = Instant::now();
            self.jump = Some(Jump { seconds: age, at });
        }
    }

    /// Checks whether the clock, which shows `now`, has jumped.
    pub(in crate::broker) fn look(&mut self, now: UnixSeconds) {
        let at = Instant::now();
        let (seen_at, seen) = std::mem::replace(&mut self.seen, (at, now));
        let passed = i64::try_from((at - seen_at).as_secs()).unwrap_or(i64::MAX);
        let moved = i64::from(now.0) - i64::from(seen.0);
        let jumped = moved.saturating_sub(passed);
        if jumped.abs() > SLACK_SECONDS {
            self.jumped(jumped, at);
        }
    }

    fn jumped(&mut self, seconds: i64, at: Instant) {
        let ahead = self.jump.take().map_or(0, |jump| jump.seconds);
        let ahead = ahead.saturating_add_signed(seconds);
        tracing::warn!(
            seconds,
            "the clock was set, and messages expire as if it had not been"
        );
        self.jump = (ahead > 0).then_some(Jump { seconds: ahead, at });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: u32 = 1_789_992_000;
    const HOUR: u32 = 3600;
    const DAY: u32 = 24 * HOUR;

    /// A clock beside the time that really passes, and messages that are kept for an hour.
    struct Moved {
        expiry: Expiry,
        clock: u32,
    }

    impl Moved {
        fn new() -> Moved {
            let expiry = Expiry::new(UnixSeconds(NOON), None);
            Moved {
                expiry,
                clock: NOON,
            }
        }

        fn set(&mut self, clock: u32) {
            self.clock = clock;
        }

        /// What has expired after so many seconds more: messages created before this time.
        async fn after(&mut self, seconds: u32) -> u32 {
            for _ in 0..seconds / 10 {
                tokio::time::advance(Duration::from_secs(10)).await;
                self.clock += 10;
                self.expiry.cutoff(UnixSeconds(self.clock), HOUR.into());
            }
            self.expiry.cutoff(UnixSeconds(self.clock), HOUR.into()).0
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_clock_that_goes_right_is_believed() {
        let mut moved = Moved::new();
        assert_eq!(moved.after(0).await, NOON - HOUR);
        assert_eq!(moved.after(2 * HOUR).await, NOON + HOUR);
        // It was somewhat slow, and is put right.
        moved.set(NOON + 2 * HOUR + 59);
        assert_eq!(moved.after(0).await, NOON + HOUR + 59);
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_jump_forward_messages_are_kept_as_long_as_before() {
        let mut moved = Moved::new();
        moved.set(NOON + DAY);
        assert_eq!(moved.after(0).await, NOON - HOUR);
        assert_eq!(moved.after(HOUR - 10).await, NOON - 10);
        // Whatever was created before the jump is an hour old now.
        assert_eq!(moved.after(10).await, NOON + DAY);
        assert_eq!(moved.after(HOUR).await, NOON + DAY + HOUR);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_accepted_while_the_clock_is_back_expires_neither_early_nor_never() {
        let mut moved = Moved::new();
        moved.set(NOON - DAY);
        // A message is accepted, created a day ago; half an hour later the clock is put right.
        moved.after(HOUR / 2).await;
        moved.set(NOON + HOUR / 2);
        assert!(moved.after(HOUR / 2 - 10).await < NOON - DAY);
        assert!(moved.after(20).await > NOON - DAY);
        assert_eq!(moved.after(HOUR / 2).await, NOON + HOUR / 2 + 10);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_that_is_taken_back_has_done_nothing() {
        let mut moved = Moved::new();
        moved.set(NOON + DAY);
        moved.after(HOUR / 2).await;
        moved.set(NOON + HOUR / 2);
        assert_eq!(moved.after(0).await, NOON - HOUR / 2);
        assert_eq!(moved.after(HOUR).await, NOON + HOUR / 2);
    }

    #[tokio::test(start_paused = true)]
    async fn a_jump_counts_as_late_as_messages_are_kept_now() {
        let mut moved = Moved::new();
        moved.set(NOON + DAY);
        assert_eq!(moved.after(0).await, NOON - HOUR);
        moved.after(HOUR - 10).await;
        tokio::time::advance(Duration::from_secs(10)).await;
        let now = UnixSeconds(moved.clock + 10);
        // An hour has passed: not enough for what is kept for two.
        assert_eq!(moved.expiry.cutoff(now, (2 * HOUR).into()).0, NOON - HOUR);
        assert_eq!(moved.expiry.cutoff(now, HOUR.into()).0, NOON + DAY);
    }

    #[tokio::test(start_paused = true)]
    async fn a_start_far_behind_the_newest_message_is_a_jump() {
        for (age, cutoff) in [
            (HOUR, NOON - HOUR),
            (7 * DAY + HOUR, NOON - HOUR),
            (7 * DAY + HOUR + 1, NOON - 7 * DAY - 2 * HOUR - 1),
            (200 * DAY, NOON - 200 * DAY - HOUR),
        ] {
            let newest = Some(UnixSeconds(NOON - age));
            let expiry = Expiry::new(UnixSeconds(NOON), newest);
            let mut moved = Moved {
                expiry,
                clock: NOON,
            };
            assert_eq!(moved.after(0).await, cutoff);
            // They have been there for an hour.
            assert_eq!(moved.after(HOUR).await, NOON);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_there_for_as_long_as_messages_are_kept_is_aged() {
        let mut expiry = Expiry::new(UnixSeconds(NOON), None);
        let mut aged = |next| expiry.aged(Sequence(next), HOUR.into()).0;
        assert_eq!(aged(100), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(aged(200), 0);
        tokio::time::advance(Duration::from_secs(1800)).await;
        assert_eq!(aged(300), 0);
        tokio::time::advance(Duration::from_secs(1798)).await;
        assert_eq!(aged(400), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(aged(500), 100);
        tokio::time::advance(Duration::from_secs(1801)).await;
        assert_eq!(aged(600), 300);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(aged(700), 600);
    }

    #[tokio::test(start_paused = true)]
    async fn jumps_add_up() {
        let mut moved = Moved::new();
        moved.set(NOON + DAY);
        moved.after(HOUR / 2).await;
        moved.set(NOON + 3 * DAY + HOUR / 2);
        assert_eq!(moved.after(0).await, NOON - HOUR / 2);
        assert_eq!(moved.after(HOUR - 10).await, NOON + HOUR / 2 - 10);
        assert_eq!(moved.after(10).await, NOON + 3 * DAY + HOUR / 2);
    }
}
