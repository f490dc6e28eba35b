//! Where a message is, and why.

use std::time::Duration;

use tokio::time::Instant;

use crate::broker::Broker;
use crate::broker::push::trace::Push;
use crate::message::{Message, Sequence, StatusKind, UnixSeconds};

/// Where a message is, beside what it says itself.
#[derive(Clone, Debug)]
pub struct Whereabouts {
    /// When it expires; `None` if it does not.
    pub expires: Option<UnixSeconds>,
    /// Its hand-overs that are remembered, oldest first.
    pub pushes: Vec<Push>,
    /// Hand-overs before this, in Unix milliseconds, are not remembered.
    pub pushes_since_ms: u64,
    /// Why it is not consumed yet; `None` if it is.
    pub waiting: Option<Waiting>,
}

/// Why a message is not consumed yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waiting {
    /// It is in the queue.
    Queued {
        /// About the number of messages before it. For a message that is pushed again it is not
        /// known, and 0.
        ahead: u64,
    },
    /// Consumers have it in their outboxes.
    Outbox,
    /// The outboxes of all consumers of its topic are full.
    Behind,
    /// Its topic has no consumer.
    NoConsumer,
    /// It is pushed again at the next check, in at most this time.
    NextCheck(Duration),
    /// It was not consumed, and the broker pushes nothing again by itself.
    NoRePush,
}

impl Broker {
    /// What is known of where a message is.
    pub fn whereabouts(&self, message: &Message) -> Whereabouts {
        let (pushes, pushes_since_ms) = self.0.consumers.trace().pushes(message.sequence);
        let waiting = match message.status.kind() {
            StatusKind::Accepted => Some(self.on_its_way(message, pushes.last())),
            StatusKind::NotConsumed => Some(self.not_consumed(message)),
            StatusKind::Consumed => None,
        };
        let expires = self.0.settings.borrow().clean_after_seconds.map(|seconds| {
            let seconds = u32::try_from(seconds).unwrap_or(u32::MAX);
            UnixSeconds(message.created.0.saturating_add(seconds))
        });
        Whereabouts {
            expires,
            pushes,
            pushes_since_ms,
            waiting,
        }
    }

    fn on_its_way(&self, message: &Message, newest: Option<&Push>) -> Waiting {
        let (consumers, sequence) = (&self.0.consumers, message.sequence);
        let behind = consumers.behind(&message.topic);
        if behind.is_some_and(|messages| messages.contains(&sequence)) {
            return Waiting::Behind;
        }
        if newest.is_some_and(Push::is_open) {
            return Waiting::Outbox;
        }
        let (next, before) = (consumers.reached().next(), sequence.0.saturating_sub(1));
        let ahead = if next.0 > before {
            0
        } else {
            self.0.store.accepted_between(next, Sequence(before))
        };
        Waiting::Queued { ahead }
    }

    fn not_consumed(&self, message: &Message) -> Waiting {
        if !self.0.settings.borrow().re_push {
            return Waiting::NoRePush;
        }
        let state = self.0.consumers.of_topic(&message.topic);
        if state.is_none_or(|state| state.consumers == 0) {
            return Waiting::NoConsumer;
        }
        let next = self.next_check();
        Waiting::NextCheck(next.saturating_duration_since(Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::fixture::{FakeStore, Running, message, settings, start, ticket};
    use crate::broker::push::outbox::OutboxLimits;
    use crate::broker::push::pace::Pace;
    use crate::broker::settings::Settings;
    use crate::clock::Clock;
    use crate::message::Status;

    fn not_consumed(name: &str, sequence: u64) -> Message {
        Message {
            status: Status::NotConsumed,
            ..message(name, sequence)
        }
    }

    fn waiting(running: &Running, message: &Message) -> Option<Waiting> {
        running.broker.whereabouts(message).waiting
    }

    #[tokio::test]
    async fn a_message_expires_when_it_is_old_enough() {
        let expires = |clean_after_seconds, created| {
            let settings = Settings {
                clean_after_seconds,
                ..settings()
            };
            let running = start(FakeStore::default(), settings);
            let message = Message {
                created: UnixSeconds(created),
                ..message("t", 1)
            };
            running.broker.whereabouts(&message).expires
        };
        assert_eq!(expires(None, 1000), None);
        assert_eq!(expires(Some(60), 1000), Some(UnixSeconds(1060)));
        assert_eq!(expires(Some(60), u32::MAX - 1), Some(UnixSeconds::MAX));
        assert_eq!(expires(Some(u64::MAX), 0), Some(UnixSeconds::MAX));
    }

    #[tokio::test]
    async fn a_message_on_its_way_is_in_the_queue_or_an_outbox() {
        let mut running = start(
            FakeStore::default(),
            Settings {
                pace: Pace {
                    batch_messages: 1,
                    pause: Duration::from_secs(3600),
                },
                ..settings()
            },
        );
        let mut consumer = running.join("t", "c");
        running.commit((1..=4).map(|n| message("t", n)).collect());
        let first = ticket(&mut consumer).await;
        let messages = [1, 2, 4].map(|n| message("t", n));
        let all = messages
            .each_ref()
            .map(|message| waiting(&running, message));
        let queued = |ahead| Some(Waiting::Queued { ahead });
        assert_eq!(all, [Some(Waiting::Outbox), queued(0), queued(2)]);

        first.written();
        let found = running.broker.whereabouts(&messages[0]);
        assert_eq!(found.waiting, queued(0), "its outcome is not stored yet");
        assert_eq!(found.pushes_since_ms, 1_000_000);
        let [push] = &found.pushes[..] else {
            panic!("one push: {:?}", found.pushes);
        };
        assert_eq!((push.at_ms, push.written, push.failed), (1_000_000, 1, 0));
        assert_eq!((push.recipients_total, &*push.recipients[0].id), (1, "c"));
        let consumed = Message {
            status: Status::Consumed {
                at: UnixSeconds(1000),
            },
            ..message("t", 1)
        };
        assert_eq!(waiting(&running, &consumed), None);
    }

    #[tokio::test]
    async fn what_no_outbox_has_room_for_is_behind() {
        let mut running = start(
            FakeStore::default(),
            Settings {
                outbox: OutboxLimits {
                    messages: 1,
                    bytes: 100,
                },
                ..settings()
            },
        );
        let _consumer = running.join("t", "c");
        running.commit(vec![message("t", 1)]);
        running.commit(vec![message("t", 2)]);
        running
            .until(|broker| broker.backlog().topics_behind == 1)
            .await;
        let messages = [1, 2].map(|n| message("t", n));
        let all = messages
            .each_ref()
            .map(|message| waiting(&running, message));
        assert_eq!(all, [Some(Waiting::Outbox), Some(Waiting::Behind)]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_message_that_nobody_got_waits_for_a_consumer_and_then_for_a_check() {
        let running = start(FakeStore::default(), settings());
        let message = not_consumed("t", 1);
        assert_eq!(waiting(&running, &message), Some(Waiting::NoConsumer));
        let _consumer = running.join("t", "c");
        let other = not_consumed("other", 1);
        assert_eq!(waiting(&running, &other), Some(Waiting::NoConsumer));
        let at = async |seconds| {
            tokio::time::sleep(Duration::from_secs(seconds)).await;
            match waiting(&running, &message) {
                Some(Waiting::NextCheck(time)) => time.as_secs_f64().round(),
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(
            [at(0).await, at(20).await, at(45).await],
            [60.0, 40.0, 55.0]
        );
    }

    #[tokio::test]
    async fn without_re_push_nothing_is_waited_for() {
        let running = start(
            FakeStore::default(),
            Settings {
                re_push: false,
                clock: Clock::system(),
                ..settings()
            },
        );
        let message = not_consumed("t", 1);
        assert_eq!(waiting(&running, &message), Some(Waiting::NoRePush));
        let _consumer = running.join("t", "c");
        assert_eq!(waiting(&running, &message), Some(Waiting::NoRePush));
    }

    #[tokio::test]
    async fn a_session_that_ends_has_failed() {
        let mut running = start(FakeStore::default(), settings());
        let (mut first, second) = (running.join("t", "a"), running.join("t", "b"));
        running.commit(vec![message("t", 1)]);
        ticket(&mut first).await.written();
        let pushes = || running.broker.whereabouts(&message("t", 1)).pushes;
        assert_eq!((pushes()[0].written, pushes()[0].failed), (1, 0));
        assert_eq!(waiting(&running, &message("t", 1)), Some(Waiting::Outbox));
        drop(second);
        assert_eq!((pushes()[0].written, pushes()[0].failed), (1, 1));
        let ids = pushes()[0]
            .recipients
            .iter()
            .map(|r| r.id.clone())
            .collect::<Vec<_>>();
        assert_eq!(ids, ["a", "b"]);
        assert_eq!(running.broker.counts().all(), 0);
    }
}
