//! A clock that is set back a day, and forward: below the sockets, where it can be moved.

use std::collections::HashSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dpmq::broker::{
    Blocking, Broker, ClientInfo, Encoding, Inbox, OutboxLimits, Pace, Settings, Subscription,
    Tasks, Ticket,
};
use dpmq::clock::Clock;
use dpmq::message::{Draft, Message, MessageCode, Topic, UnixSeconds};
use dpmq::store::{DiskStore, Options, Query, Reads, Rest, Store};
use tempfile::TempDir;

use crate::common::eventually;

const NOON: u32 = 1_789_992_000;
const HOUR: u32 = 3600;
const DAY: u32 = 24 * HOUR;
/// How long messages are kept where none is to expire.
const LONG_SECONDS: u64 = 1800;

/// A broker over a store on the disk, with a clock that is moved by hand.
struct Served {
    dir: TempDir,
    clock: Clock,
    kept_seconds: u64,
    running: Option<Running>,
    /// Every message there was: its code, its time, and what was sent.
    sent: Vec<(MessageCode, u32, String)>,
}

struct Running {
    broker: Broker,
    store: Arc<DiskStore>,
    _tasks: Tasks,
}

impl Running {
    fn start(dir: &Path, clock: &Clock, kept_seconds: u64) -> Running {
        let inbox = Inbox::new(100_000, 1 << 20);
        let options = Options {
            clock: clock.clone(),
            ..Options::new(dir.join("data"))
        };
        let (store, recovered) = DiskStore::open(&options, inbox.committed()).unwrap();
        assert!(recovered.damage.is_empty(), "{:?}", recovered.damage);
        let store = Arc::new(store);
        let settings = Settings {
            pace: Pace {
                batch_messages: 100,
                pause: Duration::ZERO,
            },
            retries: 1,
            outbox: OutboxLimits {
                messages: 100_000,
                bytes: 1 << 30,
            },
            re_push: true,
            clean_after_seconds: Some(kept_seconds),
            check_every: Duration::from_millis(10),
            clock: clock.clone(),
            blocking: Blocking::Threads,
        };
        let (broker, tasks) = Broker::start(store.clone(), inbox, settings);
        Running {
            broker,
            store,
            _tasks: tasks,
        }
    }
}

impl Served {
    fn start(kept_seconds: u64) -> Served {
        let (dir, clock) = (TempDir::new().unwrap(), Clock::manual(UnixSeconds(NOON)));
        Served {
            running: Some(Running::start(dir.path(), &clock, kept_seconds)),
            dir,
            clock,
            kept_seconds,
            sent: vec![],
        }
    }

    fn running(&self) -> &Running {
        self.running.as_ref().expect("it runs")
    }

    fn broker(&self) -> &Broker {
        &self.running().broker
    }

    /// Moves the clock, and waits for a check that has seen it.
    async fn set(&self, now: u32) {
        self.clock.set(UnixSeconds(now));
        for _ in 0..2 {
            let next = self.broker().next_check();
            eventually("a check", async || self.broker().next_check() != next).await;
        }
    }

    async fn restart(&mut self) {
        let Running {
            broker,
            store,
            _tasks: tasks,
        } = self.running.take().unwrap();
        broker.stop();
        store.close().unwrap();
        drop((broker, tasks));
        eventually("nobody has the store", async || {
            Arc::strong_count(&store) == 1
        })
        .await;
        drop(store);
        let running = Running::start(self.dir.path(), &self.clock, self.kept_seconds);
        self.running = Some(running);
    }

    /// Publishes `count` messages, whose data is their number.
    async fn publish(&mut self, count: usize) {
        let first = self.sent.len();
        let data: Vec<String> = (first..first + count).map(|n| n.to_string()).collect();
        let drafts = data
            .iter()
            .map(|data| Draft::new(topic(), data.as_str().into()));
        let receipt = self.broker().publish(drafts.collect()).await.unwrap();
        let codes = receipt.codes().await.unwrap();
        let created = self.clock.now().0;
        let sent = codes.into_iter().zip(data);
        self.sent
            .extend(sent.map(|(code, data)| (code, created, data)));
    }

    fn join(&self) -> Subscription {
        self.broker().join(ClientInfo {
            id: "c".into(),
            topic: topic(),
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            since: UnixSeconds(0),
            key: "secretKey".into(),
        })
    }

    fn list(&self, query: &Query) -> Vec<Message> {
        let (mut all, mut query) = (vec![], query.clone());
        loop {
            let listed = self.running().store.list(&query, usize::MAX).unwrap();
            all.extend(listed.messages);
            match listed.rest {
                Rest::Before(mark) => query.before = Some(mark),
                Rest::Nothing => return all,
                Rest::Large(bytes) => panic!("{bytes} bytes are too many"),
            }
        }
    }

    /// Everything that was answered is there, with its code, time and data, in every list.
    fn check(&self) {
        let codes: HashSet<_> = self.sent.iter().map(|(code, ..)| code).collect();
        assert_eq!(codes.len(), self.sent.len(), "a code came twice");
        for (code, created, data) in &self.sent {
            let found = self.running().store.find(*code, usize::MAX);
            let mut found = found.unwrap().messages;
            let found = found.pop().unwrap_or_else(|| panic!("{data} is lost"));
            assert_eq!((found.created.0, &*found.data), (*created, data.as_str()));
            assert!(code.to_string().ends_with(&format!("{created:08x}")));
        }
        let mut expected: Vec<(u32, usize)> =
            self.sent.iter().map(|(_, at, _)| *at).zip(0..).collect();
        expected.sort_by(|a, b| b.cmp(a));
        let listed = |query: &Query| -> Vec<(u32, usize)> {
            let list = self.list(query);
            let place = |m: &Message| (m.created.0, m.data.parse().unwrap());
            list.iter().map(place).collect()
        };
        assert_eq!(listed(&Query::default()), expected);
        for day in [NOON - DAY, NOON, NOON + DAY] {
            let (from, to) = (day - HOUR, day + HOUR);
            let query = Query {
                from: Some(UnixSeconds(from)),
                to: Some(UnixSeconds(to)),
                ..Query::default()
            };
            let mut expected = expected.clone();
            expected.retain(|(created, _)| (from..=to).contains(created));
            assert_eq!(listed(&query), expected);
        }
        assert_eq!(self.broker().counts().all(), self.sent.len() as u64);
        let grown: u64 = self.broker().growth().iter().map(|(_, n)| n).sum();
        assert_eq!(grown, self.sent.len() as u64);
    }
}

fn topic() -> Topic {
    "t".parse().unwrap()
}

/// The data alone.
const DATA: Encoding = Encoding {
    name: "data",
    write: |out, message| out.extend_from_slice(message.data.as_bytes()),
    frame_bytes: |message| message.data.len(),
};

/// Takes the next messages, reports them as written, and checks that they are these, in order.
async fn expect(subscription: &mut Subscription, numbers: Range<usize>) {
    let mut received = vec![];
    while received.len() < numbers.len() {
        let mut tickets: Vec<Ticket> = vec![];
        let more = subscription.recv(&mut tickets, 4);
        tokio::time::timeout(crate::LONG, more).await.unwrap();
        for ticket in tickets {
            let texts = ticket
                .frames(&DATA)
                .iter()
                .map(|frame| std::str::from_utf8(frame).unwrap());
            received.extend(texts.map(|text| text.parse::<usize>().unwrap()));
            ticket.written();
        }
    }
    assert!(received.iter().copied().eq(numbers), "{received:?}");
}

async fn all_are_consumed(served: &Served) {
    eventually("all are consumed", async || {
        let counts = served.broker().counts();
        counts.consumed == counts.all()
    })
    .await;
}

/// Waits until nobody was there for so many messages.
async fn all_are_waiting(served: &Served, count: u64) {
    eventually("they wait", async || {
        served.broker().counts().not_consumed == count
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_back_a_day_and_forward_again_loses_and_confuses_nothing() {
    let mut served = Served::start(LONG_SECONDS);
    let mut consumer = served.join();
    served.publish(100).await;
    served.set(NOON - DAY).await;
    served.publish(100).await;
    served.check();
    expect(&mut consumer, 0..200).await;
    drop(consumer);
    all_are_consumed(&served).await;
    // Nobody is there for these.
    served.publish(100).await;
    served.set(NOON).await;
    served.publish(100).await;
    served.check();
    all_are_waiting(&served, 200).await;
    let mut consumer = served.join();
    expect(&mut consumer, 200..400).await;
    all_are_consumed(&served).await;
    served.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_set_forward_a_day_and_back_again_loses_and_confuses_nothing() {
    let mut served = Served::start(LONG_SECONDS);
    served.publish(100).await;
    served.set(NOON + DAY).await;
    served.publish(100).await;
    served.check();
    served.set(NOON).await;
    served.publish(100).await;
    served.check();
    all_are_waiting(&served, 300).await;
    let mut consumer = served.join();
    expect(&mut consumer, 0..300).await;
    all_are_consumed(&served).await;
    served.check();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_restart_while_the_clock_is_back_finds_everything_in_its_order() {
    let mut served = Served::start(LONG_SECONDS);
    served.publish(100).await;
    served.set(NOON - DAY).await;
    served.restart().await;
    served.check();
    served.publish(100).await;
    served.check();
    served.restart().await;
    served.check();
    served.set(NOON).await;
    served.publish(100).await;
    served.check();
    all_are_waiting(&served, 300).await;
    let mut consumer = served.join();
    expect(&mut consumer, 0..300).await;
    served.check();
}

/// One start under a clock that was far ahead deleted what was there, and gave everything that came
/// later its time.
#[tokio::test(flavor = "multi_thread")]
async fn a_start_under_a_clock_that_is_far_ahead_deletes_nothing_early_and_leaves_nothing() {
    const KEPT: Duration = Duration::from_secs(2);
    const AHEAD: u32 = NOON + 200 * DAY;
    let mut served = Served::start(KEPT.as_secs());
    served.publish(100).await;
    served.clock.set(UnixSeconds(AHEAD));
    let started = Instant::now();
    served.restart().await;
    eventually("they have been there for long", async || {
        let left = served.broker().counts().all();
        let ran = started.elapsed();
        assert!(left == 100 || ran >= KEPT, "{left} of 100 after {ran:?}");
        left == 0
    })
    .await;
    served.publish(100).await;

    let right = NOON + HOUR;
    served.clock.set(UnixSeconds(right));
    let started = Instant::now();
    served.restart().await;
    assert!(served.running().store.cutoff().0 > right + DAY);
    served.publish(100).await;
    let ahead = served.broker().ahead();
    assert!(
        ahead == 100 || started.elapsed() >= KEPT,
        "{ahead} are ahead"
    );
    let today = Query {
        from: Some(UnixSeconds(NOON)),
        to: Some(UnixSeconds(NOON + DAY)),
        ..Query::default()
    };
    let created = |m: &Message| m.created.0;
    let times: HashSet<u32> = served.list(&today).iter().map(created).collect();
    assert_eq!(times, HashSet::from([right]));
    // Those that are dated ahead expire by the time that they are there, and no others.
    eventually("those ahead are gone", async || {
        let left = served.broker().counts().all();
        let ran = started.elapsed();
        assert!(left == 200 || ran >= KEPT, "{left} of 200 after {ran:?}");
        left == 100
    })
    .await;
    assert_eq!(served.broker().ahead(), 0);
    assert_eq!(served.list(&today).len(), 100);
    // They expire by their time, as ever.
    served.set(right + 2).await;
    assert_eq!(served.broker().counts().all(), 100);
    served.set(right + 3).await;
    eventually("nothing is left", async || {
        served.broker().counts().all() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_accepted_while_the_clock_is_back_expires_neither_early_nor_never() {
    const KEPT: Duration = Duration::from_secs(2);
    let mut served = Served::start(KEPT.as_secs());
    served.set(NOON - DAY).await;
    let accepted = Instant::now();
    served.publish(100).await;
    served.set(NOON).await;
    eventually("they are old", async || {
        let left = served.broker().counts().all();
        let age = accepted.elapsed();
        assert!(left == 100 || age >= KEPT, "{left} of 100 after {age:?}");
        left == 0
    })
    .await;
}
