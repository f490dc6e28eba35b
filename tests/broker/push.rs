//! The broker below the sockets: what its queue keeps, what its consumers get.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use dpmq::broker::{
    Blocking, Broker, ClientInfo, Encoding, Inbox, OutboxLimits, Pace, PushAgainError, Settings,
    Subscription, Tasks, Ticket, Turns,
};
use dpmq::clock::Clock;
use dpmq::message::{Draft, Message, Sequence, StatusKind, Topic, UnixSeconds};
use dpmq::store::{Change, DiskStore, MemoryStore, Options, Query, Reads, Storage, Store};

const PATIENCE: Duration = Duration::from_secs(20);

/// A broker over a store in memory, and its tasks.
struct Running {
    broker: Broker,
    settings: Settings,
    _tasks: Tasks,
}

struct Limits {
    queue_messages: usize,
    queue_bytes: usize,
    outbox_messages: usize,
}

const AMPLE: Limits = Limits {
    queue_messages: 100_000,
    queue_bytes: 64 << 20,
    outbox_messages: 100_000,
};

fn start(limits: &Limits, before: usize) -> Running {
    start_with(limits, before, |_| {})
}

fn start_at(limits: &Limits, before: usize, pace: Pace) -> Running {
    start_with(limits, before, |settings| settings.pace = pace)
}

fn start_with(limits: &Limits, before: usize, change: impl Fn(&mut Settings)) -> Running {
    let inbox = Inbox::new(limits.queue_messages, limits.queue_bytes);
    let store = if before == 0 {
        MemoryStore::new(Clock::system(), inbox.committed())
    } else {
        // What a restart finds has not been through the queue.
        let mut committed = inbox.committed();
        let mut found = 0;
        MemoryStore::new(
            Clock::system(),
            Box::new(move |messages| {
                found += messages.len();
                if found > before {
                    committed(messages);
                }
            }),
        )
    };
    drop(store.append(drafts(0..before), None));
    run(Arc::new(store), inbox, limits, change)
}

fn run(
    store: Arc<dyn Storage>,
    inbox: Inbox,
    limits: &Limits,
    change: impl Fn(&mut Settings),
) -> Running {
    let mut settings = Settings {
        pace: Pace {
            batch_messages: 100,
            pause: Duration::ZERO,
        },
        retries: 1,
        outbox: OutboxLimits {
            messages: limits.outbox_messages,
            bytes: 1 << 30,
        },
        re_push: true,
        clean_after_seconds: None,
        check_every: Duration::from_millis(20),
        clock: Clock::system(),
        blocking: Blocking::Threads,
    };
    change(&mut settings);
    let (broker, tasks) = Broker::start(store, inbox, settings.clone());
    Running {
        broker,
        settings,
        _tasks: tasks,
    }
}

fn topic() -> Topic {
    named("t")
}

fn named(name: &str) -> Topic {
    name.parse().unwrap()
}

fn drafts(numbers: Range<usize>) -> Vec<Draft> {
    numbers
        .map(|n| Draft::new(topic(), n.to_string().into()))
        .collect()
}

impl Running {
    fn join(&self) -> Subscription {
        self.join_topic(topic())
    }

    fn join_topic(&self, topic: Topic) -> Subscription {
        self.broker.join(ClientInfo {
            id: "c".into(),
            topic,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            since: UnixSeconds(0),
            key: "secretKey".into(),
        })
    }

    /// Goes over to such a pause behind each message.
    fn set_pause(&self, pause: Duration) {
        let mut settings = self.settings.clone();
        settings.pace = Pace {
            batch_messages: 1,
            pause,
        };
        self.broker.change(settings);
    }

    /// The newest messages.
    async fn newest(&self) -> Vec<Message> {
        let mut pieces = self.broker.list(Query::default(), "key");
        pieces.recv().await.unwrap().unwrap().collect()
    }

    async fn publish(&self, numbers: Range<usize>) {
        let at_once = self.broker.publish_messages_max();
        for first in numbers.clone().step_by(at_once) {
            let batch = drafts(first..numbers.end.min(first + at_once));
            let receipt = self.broker.publish(batch).await.unwrap();
            receipt.codes().await.unwrap();
        }
    }
}

/// The data alone.
const DATA: Encoding = Encoding {
    name: "data",
    write: |out, message| out.extend_from_slice(message.data.as_bytes()),
    frame_bytes: |message| message.data.len(),
};

/// The numbers of the next messages, until there are `count`; all are reported as written.
async fn receive(subscription: &mut Subscription, count: usize) -> Vec<usize> {
    let mut numbers = vec![];
    while numbers.len() < count {
        let mut tickets: Vec<Ticket> = vec![];
        let more = tokio::time::timeout(PATIENCE, subscription.recv(&mut tickets, 4)).await;
        assert!(more.is_ok(), "{} of {count} came", numbers.len());
        for ticket in tickets {
            let frames = ticket.frames(&DATA).iter();
            numbers.extend(frames.map(|frame| {
                let text = std::str::from_utf8(frame).unwrap();
                text.parse::<usize>().unwrap()
            }));
            ticket.written();
        }
    }
    numbers
}

#[tokio::test]
async fn past_its_memory_the_queue_reads_messages_back_in_order() {
    let limits = Limits {
        queue_bytes: 1000,
        ..AMPLE
    };
    let running = start(&limits, 0);
    let mut subscription = running.join();
    let (numbers, ()) = tokio::join!(receive(&mut subscription, 5000), running.publish(0..5000));
    assert!(numbers.into_iter().eq(0..5000));
    assert_eq!(running.broker.counts().consumed, 5000);
}

#[tokio::test]
async fn what_a_restart_finds_comes_first_and_gives_its_room_back() {
    let limits = Limits {
        queue_messages: 10,
        ..AMPLE
    };
    let running = start(&limits, 50);
    assert_eq!(running.broker.counts().accepted, 50);
    let mut subscription = running.join();
    let (numbers, ()) = tokio::join!(receive(&mut subscription, 90), running.publish(50..90));
    assert!(numbers.into_iter().eq(0..90));
}

/// A store of 40 frames of ten messages each, of which every other frame cannot be read.
fn half_damaged(options: &Options) {
    let (store, _) = DiskStore::open(options, Box::new(|_| {})).unwrap();
    for n in 0..40 {
        // Each is a group of its own; closing waits for the last.
        while store.next_sequence().0 < n as u64 * 10 + 1 {
            std::thread::yield_now();
        }
        drop(store.append(drafts(n * 10..n * 10 + 10), None));
    }
    store.close().unwrap();
    let dir = options.snapshot.with_extension("db");
    std::fs::remove_file(&options.snapshot).unwrap();
    let segment = dir.join("log/0000000001.seg");
    let mut bytes = std::fs::read(&segment).unwrap();
    let magics = bytes.windows(4).enumerate();
    let magics = magics.filter(|(_, four)| *four == b"DMQ\x01");
    let frames: Vec<usize> = magics.map(|(at, _)| at).collect();
    for frame in frames.iter().skip(2).step_by(2) {
        bytes[frame - 1] ^= 1;
    }
    std::fs::write(segment, bytes).unwrap();
}

#[tokio::test]
async fn what_cannot_be_read_is_passed_over_and_gives_its_room_back() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new(dir.path().join("data"));
    half_damaged(&options);
    let limits = Limits {
        queue_messages: 400,
        queue_bytes: 2000,
        ..AMPLE
    };
    let inbox = Inbox::new(limits.queue_messages, limits.queue_bytes);
    let (store, recovered) = DiskStore::open(&options, inbox.committed()).unwrap();
    assert_eq!(
        (recovered.counts.accepted, recovered.damage.len()),
        (400, 20)
    );
    let running = run(Arc::new(store), inbox, &limits, |_| {});
    let mut subscription = running.join();
    let (numbers, ()) = tokio::join!(receive(&mut subscription, 800), running.publish(400..1000));
    let readable = (0..400).filter(|n| n / 10 % 2 == 1);
    assert_eq!(numbers, readable.chain(400..1000).collect::<Vec<_>>());
    assert_eq!(running.broker.damage().len(), 20);
}

#[tokio::test]
async fn a_topic_whose_consumer_has_no_room_is_read_back_in_order() {
    let limits = Limits {
        outbox_messages: 10,
        ..AMPLE
    };
    let running = start(&limits, 0);
    let mut subscription = running.join();
    let mut closed = subscription.close_signal();
    running.publish(0..5000).await;
    let numbers = receive(&mut subscription, 5000).await;
    assert!(numbers.into_iter().eq(0..5000));
    let closing = tokio::time::timeout(Duration::ZERO, closed.closed()).await;
    assert!(closing.is_err(), "it is closed: {closing:?}");
}

#[tokio::test]
async fn a_ticket_that_is_dropped_has_failed_and_comes_again() {
    let running = start(&AMPLE, 0);
    let mut subscription = running.join();
    running.publish(0..1).await;
    let mut tickets = vec![];
    subscription.recv(&mut tickets, 1).await;
    drop(tickets);
    assert_eq!(receive(&mut subscription, 1).await, [0]);
    assert_eq!(running.broker.counts().consumed, 1);
}

#[tokio::test]
async fn what_waited_for_a_consumer_comes_once_and_in_order() {
    let limits = Limits {
        queue_bytes: 1 << 16,
        outbox_messages: 300,
        ..AMPLE
    };
    let running = start(&limits, 0);
    running.publish(0..20_000).await;
    let broker = running.broker.clone();
    let all_wait = async {
        while broker.counts().not_consumed < 20_000 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, all_wait).await.unwrap();
    let mut subscription = running.join();
    let numbers = receive(&mut subscription, 20_000).await;
    assert!(numbers.into_iter().eq(0..20_000));
}

#[tokio::test]
async fn one_write_is_enough_and_every_consumer_gets_it() {
    let running = start(&AMPLE, 0);
    let (mut first, mut second) = (running.join(), running.join());
    running.publish(0..100).await;
    assert_eq!(receive(&mut first, 100).await.len(), 100);
    drop(second_take(&mut second).await);
    assert_eq!(running.broker.counts().consumed, 100);
}

/// Takes one ticket, and does not report it.
async fn second_take(subscription: &mut Subscription) -> Vec<Ticket> {
    let mut tickets = vec![];
    subscription.recv(&mut tickets, 1).await;
    assert_eq!(tickets.len(), 1);
    tickets
}

async fn wait_until(broker: &Broker, is_so: impl Fn(&dpmq::store::Counts) -> bool) {
    let waiting = async {
        while !is_so(&broker.counts()) {
            tokio::task::yield_now().await;
        }
    };
    let waited = tokio::time::timeout(PATIENCE, waiting).await;
    assert!(waited.is_ok(), "{:?}", broker.counts());
}

#[tokio::test]
async fn a_message_that_is_deleted_in_the_queue_is_not_pushed() {
    let slow = Pace {
        batch_messages: 1,
        pause: Duration::from_millis(20),
    };
    let running = start_at(&AMPLE, 0, slow);
    let mut subscription = running.join();
    running.publish(0..10).await;
    let page = running.newest().await;
    let (deleted, kept): (Vec<_>, Vec<_>) = page[..8].iter().partition(|m| m.sequence.0 % 2 == 0);
    for message in &deleted {
        assert!(running.broker.delete(message).await.unwrap());
        assert!(!running.broker.delete(message).await.unwrap());
    }
    let mut expected: Vec<usize> = kept.iter().map(|m| m.data.parse().unwrap()).collect();
    expected.extend(page[8..].iter().map(|m| m.data.parse::<usize>().unwrap()));
    expected.reverse();
    let numbers = receive(&mut subscription, expected.len()).await;
    assert_eq!(numbers, expected);
    wait_until(&running.broker, |counts| counts.consumed == counts.all()).await;
}

#[tokio::test]
async fn what_is_purged_gives_its_room_back() {
    let limits = Limits {
        queue_messages: 200,
        queue_bytes: 1000,
        ..AMPLE
    };
    let never = Pace {
        batch_messages: 1,
        pause: Duration::from_secs(3600),
    };
    let running = start_at(&limits, 0, never);
    // One by one, so that all but the first few are kept on disk only.
    for n in 0..200 {
        running.publish(n..n + 1).await;
    }
    wait_until(&running.broker, |counts| counts.not_consumed == 1).await;
    let purged = running
        .broker
        .purge(topic(), &[StatusKind::Accepted])
        .await
        .unwrap();
    assert_eq!(purged, 199);
    // What is in the channel keeps its room until it leaves; what was on disk only does not.
    let more = running.publish(0..150);
    tokio::time::timeout(PATIENCE, more).await.unwrap();
}

#[tokio::test]
async fn a_message_is_pushed_again_when_an_operator_wants_it() {
    let running = start_with(&AMPLE, 0, |settings| settings.re_push = false);
    running.publish(0..3).await;
    wait_until(&running.broker, |counts| counts.not_consumed == 3).await;
    let message = running.newest().await;
    let mut subscription = running.join();
    running.broker.push_again(&message[0]).await.unwrap();
    assert_eq!(receive(&mut subscription, 1).await, [2]);
    wait_until(&running.broker, |counts| counts.consumed == 1).await;
    let again = running.broker.push_again(&message[0]).await;
    assert!(matches!(again, Err(PushAgainError::Consumed)), "{again:?}");
    assert!(running.broker.delete(&message[0]).await.unwrap());
    let again = running.broker.push_again(&message[0]).await;
    assert!(matches!(again, Err(PushAgainError::Gone)), "{again:?}");
}

#[tokio::test]
async fn wishes_that_meet_push_a_message_once() {
    let running = start_with(&AMPLE, 0, |settings| settings.re_push = false);
    running.publish(0..1).await;
    wait_until(&running.broker, |counts| counts.not_consumed == 1).await;
    let message = &running.newest().await[0];
    let mut subscription = running.join();
    let broker = &running.broker;
    let (a, b) = tokio::join!(broker.push_again(message), broker.push_again(message));
    assert!(a.is_ok() && b.is_err(), "{a:?} {b:?}");
    assert_eq!(receive(&mut subscription, 1).await, [0]);
    running.publish(7..8).await;
    assert_eq!(receive(&mut subscription, 1).await, [7]);
}

/// Waits until somebody waits for a turn.
async fn next_turn(turns: &Turns) {
    let waiting = async {
        while turns.waiting() == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap();
}

#[tokio::test]
async fn what_is_deleted_while_it_is_read_back_is_not_pushed() {
    let turns = Turns::default();
    let running = start_with(&AMPLE, 0, |settings| {
        settings.blocking = Blocking::InTurn(turns.clone());
    });
    running.publish(0..1).await;
    wait_until(&running.broker, |counts| counts.not_consumed == 1).await;
    let mut newest = std::pin::pin!(running.newest());
    let page = loop {
        tokio::select! {
            page = &mut newest => break page,
            () = next_turn(&turns) => turns.pass(0),
        }
    };
    let mut subscription = running.join();
    // The check reads it, and hears late of it.
    next_turn(&turns).await;
    turns.pass(0);
    next_turn(&turns).await;
    assert!(running.broker.delete(&page[0]).await.unwrap());
    turns.pass(0);
    running.publish(1..3).await;
    assert_eq!(receive(&mut subscription, 2).await, [1, 2]);
    assert_eq!(running.broker.counts().all(), 2);
}

#[tokio::test]
async fn what_was_not_consumed_comes_again_though_producers_wait_for_room() {
    let limits = Limits {
        queue_messages: 2,
        ..AMPLE
    };
    let running = start_at(
        &limits,
        0,
        Pace {
            batch_messages: 1,
            pause: Duration::from_millis(1),
        },
    );
    let mut subscription = running.join();
    running.publish(0..1).await;
    drop(second_take(&mut subscription).await);
    let again = async {
        for received in 0.. {
            if receive(&mut subscription, 1).await == [0] {
                return received;
            }
        }
        unreachable!("it goes on for ever")
    };
    // There is always somebody who waits for the next place.
    let producers = async {
        tokio::join!(running.publish(1..100_000), running.publish(1..100_000));
    };
    let came = tokio::time::timeout(PATIENCE, async {
        tokio::select! {
            received = again => received,
            () = producers => panic!("it did not come again"),
        }
    });
    assert!(came.await.unwrap() > 0, "nobody published meanwhile");
}

#[tokio::test(start_paused = true)]
async fn a_check_goes_on_when_a_topic_has_caught_up_on_nothing() {
    let limits = Limits {
        outbox_messages: 1,
        ..AMPLE
    };
    let running = start_with(&limits, 0, |settings| {
        settings.check_every = Duration::from_secs(60);
    });
    running.publish(0..1).await;
    wait_until(&running.broker, |counts| counts.not_consumed == 1).await;
    let mut subscription = running.join();
    running.publish(1..2).await;
    running.publish(2..3).await;
    tokio::time::sleep(Duration::from_secs(61)).await;
    assert_eq!(running.broker.backlog().topics_behind, 1);
    let newest = running.newest().await.remove(0);
    assert!(running.broker.delete(&newest).await.unwrap());
    assert_eq!(receive(&mut subscription, 1).await, [1]);
    assert_eq!(
        receive(&mut subscription, 1).await,
        [0],
        "before the next check"
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_pushed_again_before_what_is_older_has_left_the_queue() {
    let inbox = Inbox::new(AMPLE.queue_messages, AMPLE.queue_bytes);
    let store = MemoryStore::new(Clock::system(), Box::new(|_| {}));
    let other = Draft::new(named("other"), "0".into());
    drop(store.append(vec![other], None));
    drop(store.append(drafts(1..4), None));
    let third = [Sequence(3)].into_iter().collect();
    drop(store.change(Change::NotConsumed, third));
    let running = run(Arc::new(store), inbox, &AMPLE, |settings| {
        settings.check_every = Duration::from_secs(10);
        settings.pace = Pace {
            batch_messages: 1,
            pause: Duration::from_secs(60),
        };
    });
    let mut subscription = running.join();
    for minute in 0..3 {
        let counts = running.broker.counts();
        let waiting = (counts.accepted, counts.not_consumed);
        assert_eq!(waiting, [(3, 1), (2, 2), (2, 2)][minute], "minute {minute}");
        tokio::time::sleep(Duration::from_secs(60)).await;
    }
    let mut tickets = vec![];
    for _ in 0..3 {
        subscription.recv(&mut tickets, 1).await;
    }
    let numbers = tickets.iter().flat_map(|ticket| ticket.frames(&DATA));
    let numbers: Vec<&[u8]> = numbers.map(|frame| &frame[..]).collect();
    assert_eq!(numbers, [b"1", b"3", b"2"]);
}

#[tokio::test(start_paused = true)]
async fn topics_that_are_behind_share_one_bound_of_memory() {
    const TOPICS: usize = 100;
    const EACH: usize = 10;
    const DATA_BYTES: usize = 30_000;
    let limits = Limits {
        queue_bytes: 1 << 20,
        outbox_messages: 1,
        ..AMPLE
    };
    let running = start(&limits, 0);
    let topics: Vec<Topic> = (0..TOPICS).map(|n| named(&format!("t{n}"))).collect();
    let joined = topics.iter().map(|topic| running.join_topic(topic.clone()));
    let mut consumers: Vec<Subscription> = joined.collect();
    for n in 0..EACH {
        for topic in &topics {
            let draft = Draft::new(topic.clone(), format!("{n:0DATA_BYTES$}").into());
            let receipt = running.broker.publish(vec![draft]).await.unwrap();
            receipt.codes().await.unwrap();
        }
    }
    // Time passes when nothing else happens.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let backlog = running.broker.backlog();
    assert_eq!((backlog.topics_behind, backlog.queue_bytes), (TOPICS, 0));
    running.set_pause(Duration::from_secs(3600));
    for consumer in &mut consumers {
        assert_eq!(receive(consumer, 1).await, [0]);
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let bytes = running.broker.backlog().queue_bytes;
    println!(
        "{TOPICS} topics that are behind: {} KiB in the queue",
        bytes >> 10
    );
    assert!((1..=300 << 10).contains(&bytes), "{bytes}");
    running.set_pause(Duration::ZERO);
    for consumer in &mut consumers {
        let rest = receive(consumer, EACH - 1).await;
        assert!(rest.into_iter().eq(1..EACH));
    }
}

#[tokio::test]
async fn a_purge_that_nobody_waits_for_gives_its_room_back() {
    let turns = Turns::default();
    let limits = Limits {
        queue_messages: 200,
        queue_bytes: 1000,
        ..AMPLE
    };
    let running = start_with(&limits, 0, |settings| {
        settings.blocking = Blocking::InTurn(turns.clone());
        settings.pace = Pace {
            batch_messages: 1,
            pause: Duration::from_secs(3600),
        };
    });
    for n in 0..200 {
        running.publish(n..n + 1).await;
    }
    wait_until(&running.broker, |counts| counts.not_consumed == 1).await;
    {
        let mut purge = std::pin::pin!(running.broker.purge(topic(), &[StatusKind::Accepted]));
        tokio::select! {
            biased;
            purged = &mut purge => panic!("{purged:?} before its turn"),
            () = next_turn(&turns) => {}
        }
    }
    // The client has hung up, and others go on before the work is done.
    for _ in 0..10 {
        tokio::task::yield_now().await;
    }
    while turns.waiting() > 0 {
        turns.pass(0);
        tokio::task::yield_now().await;
    }
    assert_eq!(running.broker.counts().accepted, 0);
    let more = running.publish(0..150);
    tokio::time::timeout(PATIENCE, more).await.unwrap();
}

/// A consumer may go at any moment: nothing is kept for it then, and what it has not got comes
/// to another.
#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_goes_while_it_has_no_room_keeps_nothing() {
    let limits = Limits {
        outbox_messages: 1,
        ..AMPLE
    };
    let running = start_with(&limits, 0, |settings| settings.retries = 100);
    let mut steady = running.join();
    for n in 0..200 {
        let full = running.join();
        running.publish(2 * n..2 * n + 1).await;
        assert_eq!(receive(&mut steady, 1).await, [2 * n]);
        let (_, numbers) = tokio::join!(
            async {
                running.publish(2 * n + 1..2 * n + 2).await;
                tokio::task::yield_now().await;
                drop(full);
            },
            receive(&mut steady, 1)
        );
        assert_eq!(numbers, [2 * n + 1]);
    }
    wait_until(&running.broker, |counts| counts.consumed == 400).await;
    assert_eq!(running.broker.backlog().outbox_messages, 0);
}
