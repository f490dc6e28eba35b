//! The history of the broker's counters in the last hour, day and month.
//!
//! Counters only grow; each second their growth becomes a [`Point`]. Points have the time of the
//! clock, which may jump. Seconds that it jumps over get points without traffic, and when it is set
//! back all points move back with it. So a series has no holes, and its newest point is always that
//! of now.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::observe::activity::Activity;
use crate::clock::Clock;
use crate::message::UnixSeconds;
use crate::store::Stats;

/// The seconds that [`Rates`] are the mean of.
const RATE_SECONDS: usize = 10;

/// The time between two points of a series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A second; kept for an hour.
    Second,
    /// A minute; kept for a day.
    Minute,
    /// An hour; kept for 30 days.
    Hour,
}

impl Step {
    const ALL: [Step; 3] = [Step::Second, Step::Minute, Step::Hour];

    fn seconds(self) -> u32 {
        match self {
            Step::Second => 1,
            Step::Minute => 60,
            Step::Hour => 3600,
        }
    }

    fn points_max(self) -> usize {
        match self {
            Step::Second => 3600,
            Step::Minute => 24 * 60,
            Step::Hour => 30 * 24,
        }
    }
}

/// After a longer jump of the clock everything remembered is too old.
const JUMP_SECONDS_MAX: u32 = 30 * 24 * 3600;

/// What happened in one step of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Point {
    /// Messages stored.
    pub accepted: u64,
    /// Messages written to consumers, each consumer counted.
    pub delivered: u64,
    /// Messages that became consumed.
    pub consumed: u64,
    /// Messages that became not consumed.
    pub not_consumed: u64,
    /// Messages not consumed yet, at the end of the step.
    pub waiting: u64,
}

impl Point {
    /// Applies `each` to the counts of both. `waiting` is no count, and stays.
    fn map(self, other: Point, each: impl Fn(u64, u64) -> u64) -> Point {
        Point {
            accepted: each(self.accepted, other.accepted),
            delivered: each(self.delivered, other.delivered),
            consumed: each(self.consumed, other.consumed),
            not_consumed: each(self.not_consumed, other.not_consumed),
            waiting: self.waiting,
        }
    }

    /// Takes away one of `parts` about equal parts.
    fn take_share(&mut self, parts: u64) -> Point {
        let share = self.map(Point::default(), |count, _| count / parts);
        *self = self.map(share, |count, share| count - share);
        share
    }
}

/// Points in a row.
#[derive(Clone, Debug)]
pub struct Series {
    /// When the first step began.
    pub start: UnixSeconds,
    /// When the broker began to count.
    pub since: UnixSeconds,
    /// Oldest first, without the step that is under way.
    pub points: Vec<Point>,
}

/// Messages per second, over the last ten full seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Rates {
    /// Messages stored.
    pub accepted: f64,
    /// Messages written to consumers, each consumer counted.
    pub delivered: f64,
    /// Messages that became consumed.
    pub consumed: f64,
    /// Messages that became not consumed.
    pub not_consumed: f64,
}

/// The messages that wait in the broker.
#[derive(Clone, Copy, Debug)]
pub struct Backlog {
    /// Messages in the queue.
    pub queued: usize,
    /// Those of them whose data is on disk only.
    pub queued_on_disk: usize,
    /// The memory that the others use.
    pub queue_bytes: usize,
    /// The most messages that can be in the queue.
    pub queue_capacity: usize,
    /// The number of topics whose consumers all have full outboxes.
    pub topics_behind: usize,
    /// Messages in the outboxes of all consumers.
    pub outbox_messages: usize,
    /// The bytes of their data, counted for each consumer.
    pub outbox_bytes: usize,
}

/// Records the counters each second.
pub(in crate::broker) struct History {
    points: Mutex<Points>,
    activity: Arc<Activity>,
    store: Arc<dyn Stats>,
    clock: Clock,
}

impl History {
    pub(in crate::broker) fn new(
        activity: Arc<Activity>,
        store: Arc<dyn Stats>,
        clock: Clock,
    ) -> Arc<History> {
        let points = Points::new(clock.now(), Instant::now(), Point::default());
        Arc::new(History {
            points: Mutex::new(points),
            activity,
            store,
            clock,
        })
    }

    pub(in crate::broker) fn lock(&self) -> MutexGuard<'_, Points> {
        self.points.lock().expect("no holder of this lock panics")
    }

    /// Records each second when it is over, without end.
    pub(in crate::broker) async fn run(self: Arc<History>) {
        loop {
            // Read each time, so that seconds stay those of the clock if it is adjusted.
            let rest = 1000 - self.clock.now_ms() % 1000;
            tokio::time::sleep(Duration::from_millis(rest)).await;
            let (counts, counters) = (self.store.counts(), &self.activity.counters);
            let totals = Point {
                accepted: counters.accepted.get(),
                delivered: counters.delivered.get(),
                consumed: counters.consumed.get(),
                not_consumed: counters.not_consumed.get(),
                waiting: counts.accepted + counts.not_consumed,
            };
            let now = Instant::now();
            self.lock().record(self.clock.now(), now, totals);
            self.activity.arrivals.forget(now);
        }
    }
}

/// The points of each [`Step`].
pub(in crate::broker) struct Points {
    since: UnixSeconds,
    /// When the newest second ended.
    end: UnixSeconds,
    /// When it was recorded.
    recorded: Instant,
    /// The counters at that time.
    totals: Point,
    rings: [PointRing; 3],
}

struct PointRing {
    step: Step,
    points: VecDeque<Point>,
    under_way: Point,
}

impl Points {
    fn new(since: UnixSeconds, recorded: Instant, totals: Point) -> Points {
        Points {
            since,
            end: since,
            recorded,
            totals,
            rings: Step::ALL.map(|step| PointRing {
                step,
                points: VecDeque::with_capacity(step.points_max()),
                under_way: Point::default(),
            }),
        }
    }

    /// Adds the seconds that are over at `now`, when the counters are `totals`.
    fn record(&mut self, now: UnixSeconds, recorded: Instant, totals: Point) {
        if now < self.end {
            self.since = self.since.saturating_sub(u64::from(self.end.0 - now.0));
            self.end = now;
        }
        let passed = now.0 - self.end.0;
        if passed == 0 {
            return;
        }
        if passed > JUMP_SECONDS_MAX {
            *self = Points::new(now, recorded, totals);
            return;
        }
        // When a record is late, it is not known which second had what. But seconds that the clock
        // jumped over had nothing.
        let ran = (recorded - self.recorded + Duration::from_millis(500)).as_secs();
        let ran = ran.max(1);
        let idle = Point {
            waiting: self.totals.waiting,
            ..Point::default()
        };
        let mut rest = totals.map(self.totals, |now, before| now - before);
        for left in (1..=u64::from(passed)).rev() {
            let second = if left > ran {
                idle
            } else {
                rest.take_share(left)
            };
            self.end = UnixSeconds(self.end.0 + 1);
            for ring in &mut self.rings {
                ring.add(second, self.end);
            }
        }
        self.recorded = recorded;
        self.totals = totals;
    }

    fn ring(&self, step: Step) -> &PointRing {
        let [seconds, minutes, hours] = &self.rings;
        match step {
            Step::Second => seconds,
            Step::Minute => minutes,
            Step::Hour => hours,
        }
    }

    pub(in crate::broker) fn series(&self, step: Step, points: usize) -> Series {
        let ring = self.ring(step);
        let points: Vec<Point> = ring.newest(points).copied().collect();
        let end = self.end.0 - self.end.0 % step.seconds();
        let seconds = points.len() as u64 * u64::from(step.seconds());
        Series {
            start: UnixSeconds(end).saturating_sub(seconds),
            since: self.since,
            points,
        }
    }

    pub(in crate::broker) fn rates(&self) -> Rates {
        let newest = self.ring(Step::Second).newest(RATE_SECONDS);
        let seconds = newest.len().max(1) as f64;
        let sum = newest.fold(Point::default(), |sum, point| sum.map(*point, |a, b| a + b));
        Rates {
            accepted: sum.accepted as f64 / seconds,
            delivered: sum.delivered as f64 / seconds,
            consumed: sum.consumed as f64 / seconds,
            not_consumed: sum.not_consumed as f64 / seconds,
        }
    }
}

impl PointRing {
    /// Adds the second before `end`.
    fn add(&mut self, second: Point, end: UnixSeconds) {
        self.under_way = second.map(self.under_way, |a, b| a + b);
        if end.0.is_multiple_of(self.step.seconds()) {
            if self.points.len() == self.step.points_max() {
                self.points.pop_front();
            }
            self.points.push_back(std::mem::take(&mut self.under_way));
        }
    }

    fn newest(&self, points: usize) -> std::collections::vec_deque::Iter<'_, Point> {
        let first = self.points.len().saturating_sub(points);
        self.points.range(first..)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{
        FakeStore, message, settings, start as start_broker, ticket, topic,
    };
    use crate::store::{Counts, TopicCounts};

    /// A history, and the clocks and counters that it is told.
    struct Fixture {
        history: Points,
        at: Instant,
        totals: Point,
    }

    fn start(at: u32) -> Fixture {
        let now = Instant::now();
        Fixture {
            history: Points::new(UnixSeconds(at), now, Point::default()),
            at: now,
            totals: Point::default(),
        }
    }

    impl Fixture {
        /// `ran` seconds later the clock shows `now`, and `accepted` messages have come.
        fn record(&mut self, now: u32, ran: u64, accepted: u64) {
            self.at += Duration::from_secs(ran);
            self.totals.accepted += accepted;
            self.totals.waiting += accepted;
            self.history.record(UnixSeconds(now), self.at, self.totals);
        }

        /// Start and accepted messages of the newest points.
        fn accepted(&self, step: Step, points: usize) -> (u32, Vec<u64>) {
            let series = self.history.series(step, points);
            let accepted = series.points.iter().map(|point| point.accepted);
            (series.start.0, accepted.collect())
        }
    }

    #[test]
    fn seconds_add_up_to_minutes_and_hours() {
        let mut fixture = start(3590);
        for second in 3591..=3725 {
            fixture.record(second, 1, 2);
        }
        assert_eq!(fixture.accepted(Step::Second, 2), (3723, vec![2, 2]));
        let minutes = (3540, vec![20, 120, 120]);
        assert_eq!(fixture.accepted(Step::Minute, 9), minutes);
        assert_eq!(fixture.accepted(Step::Hour, 9), (0, vec![20]));
        let minutes = fixture.history.series(Step::Minute, 1);
        assert_eq!(minutes.points[0].waiting, 260);
        assert_eq!(minutes.since, UnixSeconds(3590));
    }

    #[test]
    fn a_late_record_is_shared_out() {
        let mut fixture = start(100);
        fixture.record(101, 1, 7);
        fixture.record(104, 3, 8);
        fixture.record(104, 0, 1);
        fixture.record(105, 1, 1);
        assert_eq!(
            fixture.accepted(Step::Second, 9),
            (100, vec![7, 2, 3, 3, 2])
        );
    }

    #[test]
    fn what_the_clock_jumped_over_had_no_traffic() {
        let mut fixture = start(100);
        fixture.record(101, 1, 7);
        fixture.record(105, 1, 9);
        assert_eq!(
            fixture.accepted(Step::Second, 9),
            (100, vec![7, 0, 0, 0, 9])
        );
        let waiting = fixture.history.series(Step::Second, 9).points;
        let waiting: Vec<u64> = waiting.iter().map(|point| point.waiting).collect();
        assert_eq!(waiting, [7, 7, 7, 7, 16]);
        // From 1970, where clocks begin that are not set yet.
        fixture.record(1_700_000_000, 1, 5);
        fixture.record(1_700_000_001, 1, 6);
        assert_eq!(fixture.accepted(Step::Second, 9), (1_700_000_000, vec![6]));
    }

    #[test]
    fn a_clock_that_is_put_back_takes_the_points_with_it() {
        let mut fixture = start(1000);
        fixture.record(1001, 1, 1);
        fixture.record(1002, 1, 2);
        fixture.record(502, 1, 3);
        fixture.record(503, 1, 4);
        assert_eq!(fixture.accepted(Step::Second, 9), (500, vec![1, 2, 7]));
        let series = fixture.history.series(Step::Second, 9);
        assert_eq!(series.since, UnixSeconds(500));
    }

    #[test]
    fn no_more_is_kept_than_is_promised() {
        let mut fixture = start(0);
        for second in 1..=90_000 {
            fixture.record(second, 1, 1);
        }
        for (step, kept) in [(Step::Second, 3600), (Step::Minute, 1440)] {
            let (start, points) = fixture.accepted(step, usize::MAX);
            assert_eq!(points.len(), kept);
            assert_eq!(start as usize + kept * step.seconds() as usize, 90_000);
        }
    }

    #[test]
    fn rates_are_of_the_last_ten_seconds() {
        let mut fixture = start(0);
        assert_eq!(fixture.history.rates(), Rates::default());
        fixture.record(1, 1, 1000);
        assert_eq!(fixture.history.rates().accepted, 1000.0);
        for second in 2..=11 {
            fixture.record(second, 1, 5);
        }
        assert_eq!(fixture.history.rates().accepted, 5.0);
    }

    #[tokio::test(start_paused = true)]
    async fn each_second_has_what_was_done_in_it() {
        let counts = Counts {
            not_consumed: 7,
            ..Counts::default()
        };
        let told = FakeStore {
            topics: vec![TopicCounts {
                topic: topic("t"),
                counts,
            }],
            ..FakeStore::default()
        };
        let settings = settings();
        let clock = settings.clock.clone();
        let mut running = start_broker(told, settings);
        let mut consumers = [running.join("t", "a"), running.join("t", "b")];
        running.commit(vec![message("t", 1), message("t", 2), message("other", 3)]);
        for consumer in &mut consumers {
            let ticket = ticket(consumer).await;
            ticket.written();
            ticket.written();
        }
        running.until(|broker| broker.backlog().queued == 0).await;
        for second in 1001..=1002 {
            clock.set(UnixSeconds(second));
            tokio::time::sleep(Duration::from_secs(1)).await;
            let since = second - 1000;
            running
                .until(|broker| broker.series(Step::Second, 9).points.len() == since as usize)
                .await;
        }
        let series = running.broker.series(Step::Second, 9);
        let first = Point {
            accepted: 3,
            delivered: 4,
            consumed: 2,
            not_consumed: 1,
            waiting: 7,
        };
        let second = Point {
            waiting: 7,
            ..Point::default()
        };
        assert_eq!(series.points, [first, second]);
        assert_eq!(series.start, UnixSeconds(1000));
        assert_eq!(running.broker.rates().delivered, 2.0);
    }

    #[tokio::test]
    async fn what_is_not_pushed_yet_is_backlog() {
        let mut settings = settings();
        settings.pace.batch_messages = 1;
        settings.pace.pause = Duration::from_secs(3600);
        let mut running = start_broker(FakeStore::default(), settings);
        running.commit(vec![message("t", 1), message("t", 2), message("t", 3)]);
        running.until(|broker| broker.backlog().queued == 2).await;
        let backlog = running.broker.backlog();
        assert_eq!((backlog.queue_capacity, backlog.topics_behind), (1000, 0));
    }
}
