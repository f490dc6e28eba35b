//! Topics that an operator should look at: messages wait in them, and that will not end by itself.

use std::cmp::Reverse;

use crate::broker::Broker;
use crate::broker::observe::topic_state::TopicState;
use crate::message::{Topic, UnixSeconds};
use crate::store::StoreError;

/// A consumer that is restarted is back by then. Without one, it is time to report the topic.
pub const UNREAD_SECONDS: u32 = 300;

/// Why an operator should look at a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Concern {
    /// It has no consumer, and a message has waited for [`UNREAD_SECONDS`].
    NoConsumer,
    /// The outboxes of all its consumers are full.
    Behind,
}

/// A topic that an operator should look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Concerned {
    /// Its name.
    pub topic: Topic,
    /// Why.
    pub concern: Concern,
    /// The number of its messages that are not consumed.
    pub waiting: u64,
}

/// The topics that an operator should look at.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Concerns {
    /// The number of topics that have messages or clients.
    pub topics: usize,
    /// The topics to look at, those with the most messages first.
    pub concerned: Vec<Concerned>,
}

impl Concerns {
    /// The number of topics to look at for this reason, and of the messages that wait in them.
    pub fn of(&self, concern: Concern) -> (usize, u64) {
        let of = self.concerned.iter().filter(|one| one.concern == concern);
        of.fold((0, 0), |(topics, messages), one| {
            (topics + 1, messages + one.waiting)
        })
    }
}

impl Broker {
    /// Looks at all topics, in memory. The disk is read for few of them.
    ///
    /// # Errors
    /// When the disk cannot be read.
    pub async fn concerns(&self) -> Result<Concerns, StoreError> {
        let broker = self.clone();
        let before = UnixSeconds(self.clock().now().0.saturating_sub(UNREAD_SECONDS - 1));
        let survey = self.0.disk.run(move |store| {
            let states = broker.topics();
            let topics = states.len();
            let waiting = |state: &TopicState| state.counts.accepted + state.counts.not_consumed;
            let concerned = |concern| {
                move |state: &TopicState| Concerned {
                    topic: state.topic.clone(),
                    concern,
                    waiting: waiting(state),
                }
            };
            let behind = states.iter().filter(|state| state.behind);
            let mut all: Vec<_> = behind.map(concerned(Concern::Behind)).collect();
            let alone = states
                .iter()
                .filter(|state| !state.behind && state.consumers == 0 && waiting(state) > 0);
            let alone: Vec<_> = alone.map(concerned(Concern::NoConsumer)).collect();
            drop(states);
            let names: Vec<_> = alone.iter().map(|one| one.topic.clone()).collect();
            let old = store.waiting_before(&names, before)?;
            all.extend(old.into_iter().map(|place| alone[place].clone()));
            all.sort_by(|a, b| (Reverse(a.waiting), &a.topic).cmp(&(Reverse(b.waiting), &b.topic)));
            Ok(Concerns {
                topics,
                concerned: all,
            })
        });
        survey.await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{FakeStore, settings, start, topic};
    use crate::store::{Counts, TopicCounts};

    fn told(topics: &[(&str, u64, u32)]) -> FakeStore {
        let counts = |waiting| Counts {
            not_consumed: waiting,
            ..Counts::default()
        };
        let told = topics.iter().map(|(name, waiting, _)| TopicCounts {
            topic: topic(name),
            counts: counts(*waiting),
        });
        let oldest = topics.iter().map(|(_, _, at)| UnixSeconds(*at));
        FakeStore {
            topics: told.collect(),
            oldest: oldest.collect(),
            ..FakeStore::default()
        }
    }

    fn names(concerns: &Concerns) -> Vec<(&str, u64)> {
        let all = concerns.concerned.iter();
        all.map(|one| (one.topic.as_str(), one.waiting)).collect()
    }

    #[tokio::test]
    async fn what_waits_for_long_and_nobody_listens_to_is_named_the_most_first() {
        // It is 1000 now.
        let told = told(&[
            ("few", 2, 1),
            ("most", 238_601, 700),
            ("some", 7, 600),
            ("new", 9, 701),
            ("listened", 5, 1),
            ("read", 0, 0),
        ]);
        let running = start(told, settings());
        let _consumers = [running.join("listened", "a"), running.join("empty", "b")];
        let concerns = running.broker.concerns().await.unwrap();
        assert_eq!(
            names(&concerns),
            [("most", 238_601), ("some", 7), ("few", 2)]
        );
        assert_eq!(concerns.of(Concern::NoConsumer), (3, 238_610));
        assert_eq!(concerns.of(Concern::Behind), (0, 0));
        assert_eq!(
            concerns.topics, 6,
            "that without messages and clients is none"
        );

        running.broker.clock().set(UnixSeconds(1001));
        let later = running.broker.concerns().await.unwrap();
        assert_eq!(later.of(Concern::NoConsumer), (4, 238_619));
        let _consumer = running.join("most", "c");
        let heard = running.broker.concerns().await.unwrap();
        assert_eq!(names(&heard), [("new", 9), ("some", 7), ("few", 2)]);
    }

    #[tokio::test]
    async fn a_topic_whose_consumers_have_no_room_is_named_at_once() {
        let mut settings = settings();
        settings.outbox.messages = 1;
        let mut running = start(told(&[("t", 3, 1000)]), settings);
        let _consumer = running.join("t", "a");
        running.commit(vec![crate::broker::fixture::message("t", 1)]);
        running.commit(vec![crate::broker::fixture::message("t", 2)]);
        running.commit(vec![crate::broker::fixture::message("t", 3)]);
        running
            .until(|broker| broker.backlog().topics_behind == 1)
            .await;
        let concerns = running.broker.concerns().await.unwrap();
        assert_eq!(concerns.of(Concern::Behind), (1, 3));
        assert_eq!(concerns.concerned[0].concern, Concern::Behind);
    }
}
