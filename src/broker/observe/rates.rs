//! How fast messages come and go, by topic.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard};
use std::time::Duration;

use tokio::time::Instant;

use crate::broker::observe::topic_state::TopicState;
use crate::message::{Message, Topic};

/// The most topics whose rate of arrival is known at the same time.
const ARRIVALS_TOPICS_MAX: usize = 200_000;

/// A [`Rate`] is the mean over this time.
const RATE_SECONDS: usize = 10;

/// The seconds that a [`Rate`] counts in. One of them is under way, and one leaves the mean in the
/// meantime.
const SLOTS: usize = RATE_SECONDS + 1;

/// A topic without a message for this time may be forgotten: its rate has long been zero.
const QUIET: Duration = Duration::from_secs(120);

/// Messages per second, over the last [`RATE_SECONDS`]. It needs no timer: the value is brought up
/// to date when it is read.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Rate {
    began: Instant,
    /// The second since `began` that was counted in last.
    newest: u64,
    /// Messages by second, each in the slot of its number.
    slots: [u32; SLOTS],
}

impl Rate {
    pub(in crate::broker) fn new(at: Instant) -> Rate {
        Rate {
            began: at,
            newest: 0,
            slots: [0; SLOTS],
        }
    }

    pub(in crate::broker) fn add(&mut self, messages: usize, now: Instant) {
        let second = now.saturating_duration_since(self.began).as_secs();
        for passed in (self.newest + 1..=second).take(SLOTS) {
            self.slots[slot(passed)] = 0;
        }
        self.newest = self.newest.max(second);
        let count = &mut self.slots[slot(self.newest)];
        *count = count.saturating_add(u32::try_from(messages).unwrap_or(u32::MAX));
    }

    /// Its value at `now`.
    pub(in crate::broker) fn at(&self, now: Instant) -> f64 {
        let since = now.saturating_duration_since(self.began);
        let second = since.as_secs().max(self.newest);
        let counted = |second: u64| f64::from(self.slots[slot(second)]);
        let falls_out = second.checked_sub(RATE_SECONDS as u64);
        let seconds = falls_out.unwrap_or(0)..=self.newest;
        let mut messages = seconds.map(counted).fold(0.0, |sum, count| sum + count);
        if let Some(oldest) = falls_out.filter(|oldest| *oldest <= self.newest) {
            // The part of it that has left the mean is the part of the newest one that has passed.
            messages -= counted(oldest) * f64::from(since.subsec_nanos()) / 1e9;
        }
        messages / RATE_SECONDS as f64
    }
}

fn slot(second: u64) -> usize {
    usize::try_from(second % SLOTS as u64).expect("there are few slots")
}

/// How fast messages arrive, by topic, for the topics that are remembered.
#[derive(Debug)]
pub(in crate::broker) struct Arrivals {
    rates: Mutex<Generations>,
    topics_max: usize,
}

/// A topic is in `young` if it had a message since the last turn, and otherwise in `old` if it had
/// one since the turn before. So quiet topics are forgotten without a search for them.
#[derive(Debug)]
struct Generations {
    young: HashMap<Topic, Rate>,
    old: HashMap<Topic, Rate>,
    turned: Instant,
}

impl Default for Arrivals {
    fn default() -> Arrivals {
        Arrivals::new(ARRIVALS_TOPICS_MAX)
    }
}

impl Arrivals {
    fn new(topics_max: usize) -> Arrivals {
        let generations = Generations {
            young: HashMap::new(),
            old: HashMap::new(),
            turned: Instant::now(),
        };
        Arrivals {
            rates: Mutex::new(generations),
            topics_max,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Generations> {
        self.rates.lock().expect("no holder of this lock panics")
    }

    /// Counts messages that arrived together.
    pub(in crate::broker) fn add(&self, messages: &[Message], now: Instant) {
        let mut rates = self.lock();
        for run in messages.chunk_by(|a, b| a.topic == b.topic) {
            if let Some(rate) = rates.rate(&run[0].topic, self.topics_max, now) {
                rate.add(run.len(), now);
            }
        }
    }

    /// Forgets topics that have been quiet for long. It is called every second.
    pub(in crate::broker) fn forget(&self, now: Instant) {
        let mut rates = self.lock();
        if now.saturating_duration_since(rates.turned) < QUIET {
            return;
        }
        rates.turned = now;
        let young = std::mem::take(&mut rates.young);
        let forgotten = std::mem::replace(&mut rates.old, young);
        // Freeing many topics takes long, and the store waits for this lock.
        drop(rates);
        drop(forgotten);
    }

    /// Sets the rates of `states`.
    pub(in crate::broker) fn fill(&self, states: &mut [TopicState], now: Instant) {
        let rates = self.lock();
        for state in states {
            let rate = rates.young.get(&state.topic);
            let rate = rate.or_else(|| rates.old.get(&state.topic));
            state.rate_in = rate.map_or(0.0, |rate| rate.at(now));
        }
    }
}

impl Generations {
    /// The rate to count a topic in; `None` if there are too many topics.
    fn rate(&mut self, topic: &Topic, topics_max: usize, now: Instant) -> Option<&mut Rate> {
        if !self.young.contains_key(topic) {
            let known = self.old.remove(topic);
            if known.is_none() && self.young.len() + self.old.len() >= topics_max {
                return None;
            }
            let rate = known.unwrap_or_else(|| Rate::new(now));
            self.young.insert(topic.clone(), rate);
        }
        self.young.get_mut(topic)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{FakeStore, client, message, settings, start, ticket, topic};
    use crate::store::{Counts, TopicCounts};

    fn messages(topics: &[&str]) -> Vec<Message> {
        topics.iter().map(|name| message(name, 1)).collect()
    }

    fn rate_of(arrivals: &Arrivals, name: &str, now: Instant) -> f64 {
        let mut state = TopicState::new(topic(name), Counts::default());
        arrivals.fill(std::slice::from_mut(&mut state), now);
        state.rate_in
    }

    #[test]
    fn a_rate_is_the_mean_of_ten_seconds() {
        let mut now = Instant::now();
        let mut rate = Rate::new(now);
        rate.add(50, now);
        assert_eq!(rate.at(now), 5.0);
        for _ in 0..1000 {
            now += Duration::from_millis(100);
            rate.add(50, now);
        }
        assert!((490.0..510.0).contains(&rate.at(now)), "{rate:?}");
        let later = |ms| rate.at(now + Duration::from_millis(ms));
        assert!((240.0..260.0).contains(&later(5000)), "{rate:?}");
        assert!((25.0..35.0).contains(&later(9500)), "{rate:?}");
        for ms in [11_000, 24_000, 3_600_000] {
            let rate = later(ms);
            assert!(
                rate == 0.0 && rate.is_sign_positive(),
                "{rate} after {ms} ms"
            );
        }
    }

    #[test]
    fn what_came_before_a_long_pause_counts_no_more() {
        let begin = Instant::now();
        let mut rate = Rate::new(begin);
        for second in 0..10 {
            rate.add(17_500, begin + Duration::from_secs(second));
        }
        assert_eq!(rate.at(begin + Duration::from_secs(9)), 17_500.0);
        for pause in [24, 35, 1000] {
            let at = begin + Duration::from_secs(9 + pause);
            let mut again = rate;
            again.add(10, at);
            assert_eq!(again.at(at), 1.0, "after {pause} s");
        }
    }

    #[test]
    fn each_topic_has_its_own_rate() {
        let now = Instant::now();
        let arrivals = Arrivals::default();
        arrivals.add(&messages(&["a", "a", "b", "a"]), now);
        assert_eq!(rate_of(&arrivals, "a", now), 0.3);
        assert_eq!(rate_of(&arrivals, "b", now), 0.1);
        assert_eq!(rate_of(&arrivals, "c", now), 0.0);
    }

    #[test]
    fn only_quiet_topics_are_forgotten() {
        let arrivals = Arrivals::default();
        let mut now = Instant::now();
        arrivals.add(&messages(&["quiet", "busy"]), now);
        for _ in 0..3 {
            now += QUIET;
            arrivals.forget(now);
            arrivals.add(&messages(&["busy"]), now);
        }
        let rates = arrivals.lock();
        assert!(rates.young.contains_key("busy"));
        assert_eq!(rates.young.len() + rates.old.len(), 1);
    }

    #[test]
    fn no_more_topics_are_counted_than_there_may_be() {
        let arrivals = Arrivals::new(2);
        let now = Instant::now();
        arrivals.add(&messages(&["a", "b", "c", "a"]), now);
        assert_eq!(rate_of(&arrivals, "c", now), 0.0);
        assert_eq!(rate_of(&arrivals, "a", now), 0.2);
        arrivals.forget(now + QUIET);
        arrivals.forget(now + QUIET * 2);
        arrivals.add(&messages(&["c"]), now + QUIET * 2);
        assert!(rate_of(&arrivals, "c", now + QUIET * 2) > 0.0);
    }

    /// A store whose only messages are a consumed one of "old" and two of "t".
    fn told() -> FakeStore {
        let counts = |consumed| Counts {
            consumed,
            ..Counts::default()
        };
        let topics = [("old", 1), ("t", 2)];
        FakeStore {
            topics: topics
                .map(|(name, consumed)| TopicCounts {
                    topic: topic(name),
                    counts: counts(consumed),
                })
                .into(),
            ..FakeStore::default()
        }
    }

    #[test]
    fn a_pace_holds_back_what_waits_for_consumers_that_have_room() {
        let wait = Some(Duration::from_secs(24));
        let held_back = |consumers, behind, accepted| {
            let counts = Counts {
                accepted,
                not_consumed: 5,
                ..Counts::default()
            };
            let mut state = TopicState {
                consumers,
                behind,
                ..TopicState::new(topic("t"), counts)
            };
            state.set_wait(wait);
            state.held_back
        };
        assert_eq!(held_back(1, false, 1), wait);
        assert_eq!(held_back(0, false, 1), None);
        assert_eq!(held_back(1, true, 1), None);
        assert_eq!(held_back(1, false, 0), None);
    }

    #[tokio::test]
    async fn a_topic_is_there_if_it_has_messages_or_clients() {
        let running = start(told(), settings());
        let broker = &running.broker;
        let _consumers = [running.join("t", "a"), running.join("t", "b")];
        let left = running.join("left", "c");
        let _producers = ["t", "new"].map(|name| broker.join_producer(client(name, "p")));
        drop(left);
        let mut topics = broker.topics();
        topics.sort_by_key(|state| state.topic.clone());
        let seen: Vec<_> = topics
            .iter()
            .map(|state| {
                let all = state.counts.all();
                (state.topic.as_str(), all, state.consumers, state.producers)
            })
            .collect();
        assert_eq!(seen, [("new", 0, 0, 1), ("old", 1, 0, 0), ("t", 2, 2, 1)]);
        for state in topics {
            assert_eq!(broker.topic(&state.topic), Some(state));
        }
        assert_eq!(broker.topic(&topic("left")), None);
    }

    #[tokio::test]
    async fn a_topic_knows_what_comes_and_what_goes_to_each_consumer() {
        let mut running = start(told(), settings());
        let mut consumers = [running.join("t", "a"), running.join("t", "b")];
        running.commit(messages(&["t", "t", "old"]));
        for consumer in &mut consumers {
            ticket(consumer).await.written();
        }
        let rates = |name| {
            let state = running.broker.topic(&topic(name)).unwrap();
            [state.rate_in, state.rate_out].map(|rate| (rate * 10.0).round())
        };
        assert_eq!(rates("t"), [2.0, 4.0]);
        assert_eq!(rates("old"), [1.0, 0.0]);
        assert!(!running.broker.topic(&topic("t")).unwrap().behind);
    }
}
