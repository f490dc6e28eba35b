//! When each message is due, and the clock of a run.

use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

const SECOND_NS: u128 = 1_000_000_000;
/// The longest sleep of the pacer before it checks for the end of the run.
const NAP: Duration = Duration::from_millis(50);

/// Nanoseconds since the run began.
#[derive(Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    /// A clock that begins now.
    pub(super) fn start() -> Clock {
        Clock(Instant::now())
    }

    pub(super) fn now_ns(self) -> u64 {
        nanoseconds(self.0.elapsed())
    }
}

/// `duration` in nanoseconds; five centuries are the most.
pub(super) fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// How many messages a run has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Extent {
    /// This number, of all producers together.
    Messages(NonZeroU64),
    /// As many as can be sent in this time.
    Time(Duration),
}

/// The messages of all producers, one after the other in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    pub(super) producers: u16,
    /// Messages a second of all producers together; `None` for as fast as the server takes them.
    pub(super) rate: Option<NonZeroU64>,
    pub(super) extent: Extent,
}

/// The next step of a producer.
#[derive(Debug, PartialEq)]
pub(super) enum Step {
    /// Send a message, whose latency counts from this time.
    Send(u64),
    /// Wait for the time of the next message.
    Wait,
    /// All is sent.
    End,
}

impl Plan {
    /// The next step of producer `producer`, after `number` messages of its own.
    pub(super) fn step(&self, producer: u16, number: u64, now_ns: u64) -> Step {
        let turn = number * u64::from(self.producers) + u64::from(producer);
        match self.extent {
            Extent::Messages(count) if turn >= count.get() => return Step::End,
            Extent::Time(time) if now_ns >= nanoseconds(time) => return Step::End,
            _ => {}
        }
        match self.rate {
            None => Step::Send(now_ns),
            Some(rate) => match (due_ns(turn, rate), self.extent) {
                (due, _) if due <= now_ns => Step::Send(due),
                (due, Extent::Time(time)) if due >= nanoseconds(time) => Step::End,
                _ => Step::Wait,
            },
        }
    }

    /// How many messages are due before `now_ns`, if they are due at a time.
    pub(super) fn due(&self, now_ns: u64) -> Option<u64> {
        let rate = self.rate?;
        Some(match self.extent {
            Extent::Messages(count) => due_by(now_ns, rate).min(count.get()),
            Extent::Time(time) => due_by(now_ns.min(nanoseconds(time) - 1), rate),
        })
    }

    /// Wakes each producer when one of its messages is due, until all were or `stop` is cancelled. It
    /// needs a thread of its own: the runtime's timers are a millisecond coarse, which would count as
    /// latency.
    pub(super) fn pace(&self, clock: Clock, wakes: Vec<Arc<Notify>>, stop: CancellationToken) {
        let Some(rate) = self.rate else {
            return;
        };
        let last = self.due(u64::MAX).unwrap_or_default();
        std::thread::spawn(move || {
            let mut turn = 0;
            while turn < last && !stop.is_cancelled() {
                let now = clock.now_ns();
                let wait = Duration::from_nanos(due_ns(turn, rate).saturating_sub(now));
                if !wait.is_zero() {
                    std::thread::sleep(wait.min(NAP));
                    continue;
                }
                let due = due_by(now, rate);
                for producer in turns(turn..due, wakes.len() as u64) {
                    if let Some(wake) = usize::try_from(producer).ok().and_then(|p| wakes.get(p)) {
                        wake.notify_one();
                    }
                }
                turn = due;
            }
        });
    }
}

/// Whose turns these are, each once.
fn turns(turns: std::ops::Range<u64>, producers: u64) -> impl Iterator<Item = u64> {
    let end = turns.end.min(turns.start.saturating_add(producers));
    (turns.start..end).map(move |turn| turn % producers)
}

fn due_ns(turn: u64, rate: NonZeroU64) -> u64 {
    u64::try_from(u128::from(turn) * SECOND_NS / u128::from(rate.get())).unwrap_or(u64::MAX)
}

/// How many turns are due at `now_ns`.
fn due_by(now_ns: u64, rate: NonZeroU64) -> u64 {
    // Those whose time, rounded down as in `due_ns`, is before the next nanosecond.
    let due = ((u128::from(now_ns) + 1) * u128::from(rate.get())).div_ceil(SECOND_NS);
    u64::try_from(due).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(number: u64) -> NonZeroU64 {
        NonZeroU64::new(number).unwrap()
    }

    #[test]
    fn a_count_is_shared_by_the_producers() {
        let plan = Plan {
            producers: 3,
            rate: None,
            extent: Extent::Messages(number(7)),
        };
        let sent = |producer| {
            let sends = |n: &u64| plan.step(producer, *n, 5) == Step::Send(5);
            (0..100).take_while(sends).count()
        };
        assert_eq!([0, 1, 2].map(sent), [3, 2, 2]);
        assert_eq!(plan.due(5), None);
    }

    #[test]
    fn a_time_ends_with_its_end() {
        let plan = Plan {
            producers: 1,
            rate: None,
            extent: Extent::Time(Duration::from_nanos(100)),
        };
        assert_eq!(plan.step(0, 1_000_000, 99), Step::Send(99));
        assert_eq!(plan.step(0, 0, 100), Step::End);
    }

    #[test]
    fn a_time_ends_before_a_message_that_is_due_after_it() {
        let plan = Plan {
            producers: 1,
            rate: Some(number(1000)),
            extent: Extent::Time(Duration::from_millis(2)),
        };
        assert_eq!(plan.step(0, 1, 0), Step::Wait);
        assert_eq!(plan.step(0, 2, 0), Step::End);
        assert_eq!(plan.due(1_000_000_000), Some(2));
    }

    #[test]
    fn at_a_rate_a_late_message_counts_from_when_it_was_due() {
        let plan = Plan {
            producers: 2,
            rate: Some(number(1000)),
            extent: Extent::Messages(number(6)),
        };
        assert_eq!(plan.step(0, 0, 0), Step::Send(0));
        assert_eq!(plan.step(1, 0, 999_999), Step::Wait);
        assert_eq!(plan.step(1, 0, 1_000_000), Step::Send(1_000_000));
        assert_eq!(plan.step(0, 2, 9_000_000), Step::Send(4_000_000));
        assert_eq!(plan.step(0, 3, 9_000_000), Step::End);
        assert_eq!(
            [0, 999_999, 1_000_000].map(|now| plan.due(now)),
            [Some(1), Some(1), Some(2)]
        );
        assert_eq!(plan.due(9_000_000), Some(6));
    }

    #[test]
    fn what_is_due_is_what_may_be_sent() {
        for rate in [1, 3, 7, 1000, 999_983, 3_000_000_000] {
            let rate = number(rate);
            for turn in [0, 1, 2, 10, 1_000_003] {
                let at = due_ns(turn, rate);
                assert!(due_by(at, rate) > turn, "{turn} at {rate}");
                if rate.get() < 1_000_000_000 && at > 0 {
                    assert_eq!(due_by(at - 1, rate), turn, "{turn} at {rate}");
                }
            }
        }
    }

    #[test]
    fn each_producer_is_woken_once_however_many_of_its_messages_are_due() {
        let woken = |range| turns(range, 3).collect::<Vec<_>>();
        assert_eq!(woken(4..6), [1, 2]);
        assert_eq!(woken(4..4), [0; 0]);
        assert_eq!(woken(4..1000), [1, 2, 0]);
    }
}
