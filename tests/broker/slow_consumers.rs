//! Consumers that read slowly or not at all: they hold back nobody else, and lose nothing as
//! long as they read.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use crate::common::{Setup, Socket, TestServer, eventually};
use tokio_tungstenite::tungstenite::Message;

/// The close code of those who may come back later.
const AGAIN: u16 = 1013;

/// A small outbox and little memory, so that a few megabytes are more than both.
fn tight() -> Setup {
    Setup::new().set("outboxMiB", 1).set("queueMemoryMiB", 1)
}

/// Message `n`: its number, and so many bytes.
fn numbered(n: usize, bytes: usize) -> String {
    format!("{n} {}", "x".repeat(bytes))
}

/// What the log says of a session that the server has ended: how many messages were missed.
async fn missed(server: &TestServer, client: &str, reason: &str) -> usize {
    let client = format!("client=\"{client}\"");
    let find = || {
        let log = server.log();
        let ended = log.iter().filter(|line| line.contains("was ended"));
        let mut of_client = ended.filter(|line| line.contains(&client) && line.contains("INFO"));
        of_client.next().cloned()
    };
    eventually("it is in the log", async || find().is_some()).await;
    let line = find().unwrap();
    for field in [
        format!("reason=\"{reason}\""),
        "is_told=true".into(),
        "key=".into(),
    ] {
        assert!(line.contains(&field), "{field}: {line}");
    }
    let (_, missed) = line.split_once("missed_messages=").unwrap();
    missed.split(' ').next().unwrap().parse().unwrap()
}

async fn number(consumer: &mut Socket) -> usize {
    let data = consumer.message().await.data;
    let (n, _) = data.split_once(' ').unwrap();
    n.parse().unwrap()
}

/// Publishes messages `0..count`, as fast as they are answered; never more than `ahead` in
/// front of the slowest of those who count what they read.
async fn publish(
    mut producer: Socket,
    (count, bytes): (usize, usize),
    readers: &[Arc<AtomicUsize>],
    ahead: usize,
) {
    const WINDOW: usize = 50;
    for first in (0..count).step_by(WINDOW) {
        let last = (first + WINDOW).min(count);
        let behind = |reader: &Arc<AtomicUsize>| reader.load(Ordering::Relaxed) + ahead < last;
        while readers.iter().any(behind) {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        let messages = (first..last).map(|n| numbered(n, bytes));
        producer.send_all(messages).await;
        for _ in first..last {
            producer.ack().await;
        }
    }
    producer.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn of_twenty_consumers_one_stalls_and_the_others_get_everything_in_order() {
    const COUNT: usize = 1500;
    const BYTES: usize = 4000;
    let server = tight().start().await;
    let mut stalled = server.narrow_consumer("t").await;
    let (mut reading, mut readers) = (vec![], vec![]);
    for n in 0..19 {
        let mut consumer = server.consumer("t", &format!("c{n}")).await;
        let read = Arc::new(AtomicUsize::new(0));
        readers.push(read.clone());
        reading.push(tokio::spawn(async move {
            for n in 0..COUNT {
                assert_eq!(number(&mut consumer).await, n);
                read.store(n + 1, Ordering::Relaxed);
            }
            consumer
        }));
    }
    let producer = server.producer_ack("t", "p").await;
    let publishing = tokio::spawn(async move {
        // Ten outboxes full, but never more than half of one for those who read.
        publish(producer, (COUNT, BYTES), &readers, 120).await;
    });

    let off_the_list = async || server.consumer_ids().await.len() == 19;
    eventually("the stalled one is off the list", off_the_list).await;
    // What was written to it is in order, and then it is told why there is no more.
    let mut next = 0;
    let reason = loop {
        match stalled.frame().await {
            Some(Ok(Message::Text(text))) => {
                let message = format!(r#""MessageData":"{next} x"#);
                assert!(text.contains(&message), "not message {next}");
                next += 1;
            }
            Some(Ok(Message::Close(Some(reason)))) => break reason,
            other => panic!("ended without a reason: {other:?}"),
        }
    };
    assert_eq!(u16::from(reason.code), AGAIN);
    assert!(reason.reason.contains("slow"), "{reason:?}");
    assert!(next < COUNT);
    let missed = missed(&server, "narrow", "too slow: the outbox is full").await;
    assert!(
        missed > 0 && next + missed <= COUNT,
        "{missed} missed, {next} read"
    );
    let metrics = server.request(reqwest::Method::GET, "/metrics");
    let metrics = metrics.header("secretKey", crate::common::KEY).send().await;
    let metrics = metrics.unwrap().text().await.unwrap();
    for counted in [
        "dpmq_sessions_ended_total{reason=\"too_slow\"} 1".to_owned(),
        format!("dpmq_messages_missed_total {missed}"),
    ] {
        let is_told = metrics.lines().any(|line| line == counted);
        assert!(is_told, "{counted}: {metrics}");
    }

    publishing.await.unwrap();
    for consumer in reading {
        consumer.await.unwrap();
    }
    let count = COUNT as u64;
    eventually("all are consumed", async || {
        server.count().await == [count, count, 0, 0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lone_slow_consumer_loses_nothing_and_slows_down_nobody() {
    const COUNT: usize = 4000;
    const BYTES: usize = 2000;
    let server = tight().start().await;
    let mut slow = server.narrow_consumer("slow").await;
    let mut other = server.consumer("other", "c").await;
    let producer = server.producer_ack("slow", "p").await;
    publish(producer, (COUNT, BYTES), &[], COUNT).await;
    // Eight outboxes: nearly everything waits in the store, and there is one who waits for it.
    let waiting = server.count().await[3];
    assert!(waiting > COUNT as u64 / 2, "only {waiting} wait");
    assert_eq!(server.consumer_ids().await, ["c", "narrow"]);

    let reading = tokio::spawn(async move {
        for n in 0..COUNT {
            assert_eq!(number(&mut slow).await, n);
            if n % 20 == 0 {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        slow
    });
    let mut times = vec![];
    while !reading.is_finished() {
        let begin = Instant::now();
        server.publish("other", "quick").await;
        assert_eq!(other.message().await.data, "quick");
        times.push(begin.elapsed());
    }
    let _slow = reading.await.unwrap();
    let others = times.len() as u64;
    times.sort();
    let (median, longest) = (times[times.len() / 2], times[times.len() - 1]);
    assert!(others >= 20, "only {others} messages meanwhile");
    assert!(median < Duration::from_millis(100), "median {median:?}");
    assert!(longest < Duration::from_secs(2), "longest {longest:?}");
    let all = COUNT as u64 + others;
    eventually("all are consumed, by those who were there", async || {
        server.count().await == [all, all, 0, 0]
    })
    .await;
    assert_eq!(server.consumer_ids().await, ["c", "narrow"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_slow_consumer_that_leaves_takes_nothing_with_it() {
    const COUNT: usize = 2000;
    const BYTES: usize = 2000;
    let server = tight().start().await;
    let mut slow = server.narrow_consumer("t").await;
    let producer = server.producer_ack("t", "p").await;
    publish(producer, (COUNT, BYTES), &[], COUNT).await;
    let mut seen = vec![false; COUNT];
    for (n, seen) in seen.iter_mut().enumerate().take(COUNT / 8) {
        assert_eq!(number(&mut slow).await, n);
        *seen = true;
    }
    // It ends its side, and what was written to it by then still counts as read.
    let stream = slow.stream();
    tokio::io::AsyncWriteExt::shutdown(stream).await.unwrap();
    while let Some(Ok(Message::Text(text))) = slow.frame().await {
        let message: crate::common::Listed = serde_json::from_str(&text).unwrap();
        let (n, _) = message.data.split_once(' ').unwrap();
        seen[n.parse::<usize>().unwrap()] = true;
    }
    let mut next = server.consumer("t", "next").await;
    while seen.contains(&false) {
        seen[number(&mut next).await] = true;
    }
    let count = COUNT as u64;
    eventually("all are consumed", async || {
        server.count().await == [count, count, 0, 0]
    })
    .await;
}

/// What a busy consumer lets wait for it.
#[derive(Clone, Copy, Debug)]
enum Reading {
    /// A message now and then.
    Slowly,
    /// Nothing.
    Not,
}

/// Longer than a client may take nothing, and longer than two pings.
const BUSY: Duration = Duration::from_secs(4);

/// Everything reaches a consumer that is busy for a while, and whoever reads at once beside it.
async fn nothing_is_missed(reading: Reading, beside: bool) {
    const COUNT: usize = 2000;
    const BYTES: usize = 4000;
    let case = format!("{reading:?}, beside one that reads at once: {beside}");
    // Only what reads at all may have a full outbox.
    let outbox = match (reading, beside) {
        (Reading::Slowly, false) => 1,
        _ => 16,
    };
    let setup = Setup::new().set("outboxMiB", outbox).set("writeSeconds", 1);
    let server = setup
        .environment("DPMQ_SERVER_PINGSECONDS", "0.5")
        .start()
        .await;
    let mut busy = server.narrow_consumer("t").await;
    let mut fast = match beside {
        true => Some(server.consumer("t", "fast").await),
        false => None,
    };
    let producer = server.producer_ack("t", "p").await;
    let publishing = publish(producer, (COUNT, BYTES), &[], COUNT);
    let reads_at_once = async {
        if let Some(fast) = &mut fast {
            for n in 0..COUNT {
                assert_eq!(number(fast).await, n, "{case}");
            }
        }
    };
    let is_busy = async {
        let begin = Instant::now();
        let mut read = 0;
        while begin.elapsed() < BUSY {
            if let Reading::Slowly = reading {
                assert_eq!(number(&mut busy).await, read, "{case}");
                read += 1;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        for n in read..COUNT {
            assert_eq!(number(&mut busy).await, n, "{case}");
        }
    };
    tokio::join!(publishing, reads_at_once, is_busy);
    let count = COUNT as u64;
    eventually("all are consumed", async || {
        server.count().await == [count, count, 0, 0]
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_busy_misses_nothing() {
    tokio::join!(
        nothing_is_missed(Reading::Slowly, false),
        nothing_is_missed(Reading::Slowly, true),
        nothing_is_missed(Reading::Not, false),
        nothing_is_missed(Reading::Not, true),
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_nothing_while_its_outbox_is_full_is_closed_and_told() {
    const COUNT: usize = 1500;
    const BYTES: usize = 4000;
    let server = tight().set("writeSeconds", 1).start().await;
    let mut stuck = server.narrow_consumer("t").await;
    let producer = server.producer_ack("t", "p").await;
    publish(producer, (COUNT, BYTES), &[], COUNT).await;
    let off_the_list = async || server.consumer_ids().await.is_empty();
    eventually("it is off the list", off_the_list).await;
    let missed = missed(&server, "narrow", "nothing was read for 1 s").await;
    assert!(missed > 0 && missed < COUNT, "{missed} missed");
    let close = stuck.closed().await;
    assert_eq!(u16::from(close.code), AGAIN);
    assert_eq!(&*close.reason, "nothing was read for 1 s");
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_is_told_the_end_may_be_busy_with_what_came_before() {
    const COUNT: usize = 100;
    // Longer than a connection is read for that has nothing more to say.
    const BUSY: Duration = Duration::from_secs(7);
    let setup = Setup::new().environment("DPMQ_SERVER_PINGSECONDS", "0.1");
    let server = setup.start().await;
    let mut busy = server.consumer("t", "busy").await;
    let producer = server.producer_ack("t", "p").await;
    publish(producer, (COUNT, 100), &[], COUNT).await;
    let clients = server.request(reqwest::Method::GET, "/api/clients");
    let clients = clients.header("secretKey", crate::common::KEY).send().await;
    let clients: serde_json::Value = clients.unwrap().json().await.unwrap();
    // Some pings come between: each is answered, though nobody hears it any more.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let path = format!("/api/clients/{}?confirm=t", clients["clients"][0]["number"]);
    let delete = server.request(reqwest::Method::DELETE, &path);
    let deleted = delete.header("secretKey", crate::common::KEY).send().await;
    assert!(deleted.unwrap().status().is_success());
    tokio::time::sleep(BUSY).await;
    for n in 0..COUNT {
        assert_eq!(number(&mut busy).await, n);
    }
    assert_eq!(&*busy.closed().await.reason, "disconnected by the operator");
}
