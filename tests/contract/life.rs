//! What a message lives through: crashes, restarts, dead and slow consumers, and what the
//! original gets wrong (wire contract, table of that name).

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{Setup, TestServer, eventually, now};

/// One message leaves at once, every other one waits a minute.
fn held() -> Setup {
    Setup::new()
        .set("sendCount", 1)
        .set("pushMessagesSpeed", 60)
}

/// Lets the one message leave that a [`held`] server lets out at once.
async fn use_up_first_push(server: &TestServer) {
    let code = server.publish("first", "first").await;
    server.until_status(&code, 0).await;
}

fn numbers(range: std::ops::Range<usize>) -> Vec<String> {
    range.map(|n| n.to_string()).collect()
}

#[tokio::test]
async fn status_goes_from_accepted_to_not_consumed_to_consumed() {
    let mut server = held().set("isRePush", 0).start().await;
    use_up_first_push(&server).await;
    let code = server.publish("t", "data").await;
    let accepted = server.message(&code).await.unwrap();
    assert_eq!((accepted.status, accepted.consumed), (-1, 0));

    server.set("pushMessagesSpeed", 0);
    server.restart().await;
    server.until_status(&code, 0).await;
    assert_eq!(server.message(&code).await.unwrap().consumed, 0);

    server.set("isRePush", 1);
    server.restart().await;
    let mut consumer = server.consumer("t", "c1").await;
    let pushed = consumer.message().await;
    assert_eq!(pushed, accepted);
    server.until_status(&code, 1).await;
    let consumed = server.message(&code).await.unwrap();
    assert!((accepted.created..=now()).contains(&consumed.consumed));
    assert_eq!(server.count().await[1], 1);
}

#[tokio::test]
async fn sigterm_ends_with_0_and_closes_every_socket_with_1001() {
    let mut server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer("t", "p1").await;
    let mut stranger = server.open("/Consumers/Conn/t/c2").await;
    stranger.recv().await;
    server.terminate();
    for socket in [&mut consumer, &mut producer, &mut stranger] {
        assert_eq!(u16::from(socket.closed().await.code), 1001);
    }
    let status = server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
}

#[tokio::test]
async fn what_was_answered_before_sigterm_is_there_after() {
    let mut server = TestServer::start().await;
    let mut producer = server.producer_ack("t", "p1").await;
    producer.send_all(numbers(0..500)).await;
    let mut codes = vec![];
    for _ in 0..200 {
        codes.push(producer.ack().await);
    }
    let status = server.stop().await;
    assert_eq!(status.code(), Some(0), "{status}");
    server.start_again().await;
    let all = server.all().await;
    for code in codes {
        assert!(all.iter().any(|m| m.code == code), "{code} is lost");
    }
}

#[tokio::test]
async fn what_was_answered_survives_kill_9() {
    // No snapshot helps: the answer alone has to be worth it.
    let mut server = Setup::new().set("persistentTime", 3600).start().await;
    let mut producer = server.producer_ack("t", "p1").await;
    let mut answered = vec![];
    for round in 0..3 {
        let from = round * 1_000;
        producer.send_all(numbers(from..from + 1_000)).await;
        for n in from..from + 300 {
            answered.push((producer.ack().await, n.to_string()));
        }
        answered.push((server.publish("h", "by http").await, "by http".to_owned()));
        server.kill().await;
        server.start_again().await;
        let all = server.all().await;
        for (code, data) in &answered {
            let message = all.iter().find(|m| m.code == *code);
            let message = message.unwrap_or_else(|| panic!("{data} is lost in round {round}"));
            assert_eq!(message.data, *data);
        }
        producer = server.producer_ack("t", "p1").await;
    }
}

#[tokio::test]
async fn what_was_consumed_is_not_pushed_again_after_kill_9() {
    let mut server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    for n in numbers(0..20) {
        server.publish("t", &n).await;
    }
    assert_eq!(consumer.data(20).await, numbers(0..20));
    eventually("all are consumed", async || {
        server.count().await == [20, 20, 0, 0]
    })
    .await;
    server.kill().await;
    server.start_again().await;
    assert_eq!(server.count().await, [20, 20, 0, 0]);
    let mut consumer = server.consumer("t", "c1").await;
    server.publish("t", "marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
}

#[tokio::test]
async fn messages_at_minus_one_are_pushed_again_after_kill_9() {
    let mut server = held().start().await;
    use_up_first_push(&server).await;
    for n in numbers(0..50) {
        server.publish("t", &n).await;
    }
    assert_eq!(server.list(&[("status", "-1")]).await.len(), 50);
    server.kill().await;
    server.set("pushMessagesSpeed", 0);
    server.start_again().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut data = consumer.data(50).await;
    data.sort_by_key(|n| n.parse::<usize>().unwrap());
    assert_eq!(data, numbers(0..50));
    eventually("all are consumed", async || server.count().await[1] == 50).await;
}

#[tokio::test]
async fn messages_at_minus_one_are_pushed_again_in_order() {
    const COUNT: usize = 12;
    let mut server = held().set("isRePush", 0).start().await;
    use_up_first_push(&server).await;
    for n in numbers(0..COUNT) {
        server.publish("t", &n).await;
    }
    server.kill().await;
    // Slow enough that a consumer is there before most of them leave.
    server.set("pushMessagesSpeed", 0.5);
    server.start_again().await;
    let mut consumer = server.consumer("t", "c1").await;
    let first: usize = consumer.message().await.data.parse().unwrap();
    assert!(first < COUNT - 1, "too slow to see an order");
    let rest = consumer.data(COUNT - 1 - first).await;
    assert_eq!(rest, numbers(first + 1..COUNT));
}

#[tokio::test]
async fn messages_at_minus_one_are_pushed_again_after_an_orderly_restart() {
    let mut server = held().start().await;
    use_up_first_push(&server).await;
    let code = server.publish("t", "waits").await;
    assert_eq!(server.message(&code).await.unwrap().status, -1);
    server.set("pushMessagesSpeed", 0);
    server.restart().await;
    let mut consumer = server.consumer("t", "c1").await;
    assert_eq!(consumer.message().await.code, code);
    server.until_status(&code, 1).await;
}

#[tokio::test]
async fn a_torn_write_loses_nothing_that_was_answered() {
    let mut server = TestServer::start().await;
    let mut codes = vec![];
    for n in numbers(0..20) {
        codes.push(server.publish("t", &n).await);
    }
    server.kill().await;
    // The last segment of the log ends in half a record, as a power cut leaves it.
    let log = server.dir().join("data.db/log");
    let mut segments: Vec<_> = fs::read_dir(&log)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.is_file())
        .collect();
    segments.sort();
    let last = segments.pop().expect("the log has a segment");
    let mut bytes = fs::read(&last).unwrap();
    let half = bytes[bytes.len() - bytes.len().min(9)..].to_vec();
    bytes.extend_from_slice(&half);
    fs::write(&last, bytes).unwrap();
    server.start_again().await;
    let all = server.all().await;
    for code in codes {
        assert!(all.iter().any(|m| m.code == code), "{code} is lost");
    }
    server.publish("t", "and it goes on").await;
    server.restart().await;
    assert_eq!(server.count().await[0], 21);
}

#[tokio::test]
async fn with_the_store_gone_the_snapshot_is_restored() {
    let mut server = Setup::new().set("persistentTime", 0.2).start().await;
    let mut codes = vec![];
    for n in numbers(0..50) {
        codes.push(server.publish("t", &n).await);
    }
    let status = server.stop().await;
    assert!(status.success(), "{status}");
    assert!(server.dir().join("data").is_file());
    fs::remove_dir_all(server.dir().join("data.db")).unwrap();
    server.start_again().await;
    let all = server.all().await;
    assert_eq!(all.len(), 50);
    for code in codes {
        assert!(all.iter().any(|m| m.code == code), "{code} is lost");
    }
}

#[tokio::test]
async fn a_snapshot_is_whole_at_every_moment() {
    let server = Setup::new().set("persistentTime", 0.1).start().await;
    let mut producer = server.producer_ack("t", "p1").await;
    let snapshot = server.dir().join("data");
    let mut copies: Vec<(usize, Vec<u8>)> = vec![];
    let deadline = Instant::now() + Duration::from_secs(20);
    for round in 1.. {
        producer.send_all(numbers(0..100)).await;
        for _ in 0..100 {
            producer.ack().await;
        }
        let copy = fs::read(&snapshot).unwrap_or_default();
        if !copy.is_empty() && copies.last().is_none_or(|(_, last)| *last != copy) {
            copies.push((100 * round, copy));
        }
        if copies.len() == 6 {
            break;
        }
        assert!(
            Instant::now() < deadline,
            "{} snapshots were seen",
            copies.len()
        );
    }
    // The first, one in the middle, and the last.
    for at in [0, copies.len() / 2, copies.len() - 1] {
        let (at_most, copy) = &copies[at];
        let restored = Setup::new().file("data", copy).start().await;
        let count = usize::try_from(restored.count().await[0]).unwrap();
        assert!(count <= *at_most, "{count} of {at_most}");
        assert_eq!(restored.all().await.len(), count);
    }
}

#[tokio::test]
async fn a_dead_socket_consumes_nothing() {
    let server = TestServer::start().await;
    for way in ["closed", "dropped"] {
        let consumer = server.consumer("t", way).await;
        match way {
            "closed" => consumer.close().await,
            _ => drop(consumer),
        }
        eventually("the list is empty", async || {
            server.consumer_ids().await.is_empty()
        })
        .await;
        let code = server.publish("t", way).await;
        server.until_status(&code, 0).await;
    }
    let mut consumer = server.consumer("t", "alive").await;
    let mut data = consumer.data(2).await;
    data.sort();
    assert_eq!(data, ["closed", "dropped"]);
}

#[tokio::test]
async fn consumers_that_come_and_go_lose_nothing() {
    let server = TestServer::start().await;
    let mut producer = server.producer_ack("t", "p1").await;
    for round in 0..30 {
        let consumer = server.consumer("t", &format!("c{round}")).await;
        producer.send_all(numbers(0..20)).await;
        drop(consumer);
        for _ in 0..20 {
            producer.ack().await;
        }
    }
    // What no visitor was written to goes to the one who stays.
    let mut consumer = server.consumer("t", "stays").await;
    server.publish("t", "marker").await;
    while consumer.message().await.data != "marker" {}
    eventually("all are consumed", async || {
        server.count().await == [601, 601, 0, 0]
    })
    .await;
}

#[tokio::test]
async fn a_slow_consumer_holds_back_nobody_else() {
    const COUNT: usize = 300;
    let server = TestServer::start().await;
    let _never_reads = server.consumer("big", "slow").await;
    let mut reads = server.consumer("big", "quick").await;
    let mut other = server.consumer("small", "other").await;
    let mut big = server.producer_ack("big", "p1").await;
    // 30 MB: more than socket buffers and any reasonable outbox hold.
    let payload = "x".repeat(100_000);
    let publish = async {
        for _ in 0..COUNT {
            big.send(&payload).await;
            big.ack().await;
        }
    };
    let read = async {
        for _ in 0..COUNT {
            assert_eq!(reads.message().await.data.len(), payload.len());
        }
    };
    let meanwhile = async {
        for n in numbers(0..50) {
            server.publish("small", &n).await;
            assert_eq!(other.data(1).await, [n]);
        }
    };
    tokio::join!(publish, read, meanwhile);
    eventually("all are consumed", async || {
        server.count().await == [COUNT as u64 + 50, COUNT as u64 + 50, 0, 0]
    })
    .await;
}

#[tokio::test]
async fn a_consumer_that_never_reads_is_closed() {
    let setup = Setup::new().set("outboxMiB", 1).set("writeSeconds", 2);
    let server = setup.start().await;
    let _never_reads = server.consumer("t", "slow").await;
    let mut producer = server.producer_ack("t", "p1").await;
    let payload = "x".repeat(200_000);
    for _ in 0..400 {
        producer.send(&payload).await;
        producer.ack().await;
        if server.consumer_ids().await.is_empty() {
            return;
        }
    }
    eventually("it is closed", async || {
        server.consumer_ids().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn the_check_does_not_wait_on_a_full_queue() {
    let server = held()
        .set("messageChanBuffer", 2)
        .set("cleanTime", 3)
        .start()
        .await;
    use_up_first_push(&server).await;
    let mut producer = server.producer_ack("t", "p1").await;
    producer.send_all(numbers(0..20)).await;
    eventually("the queue is full", async || server.count().await[3] >= 2).await;
    // Deleted, although the queue is full and a consumer waits for its re-push.
    let _consumer = server.consumer("first", "c1").await;
    eventually("the first one is deleted", async || {
        server.list(&[("topic", "first")]).await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_second_server_on_the_same_store_is_refused() {
    let server = TestServer::start().await;
    let output = server.run(&["serve"]).await;
    assert!(!output.status.success());
    assert!(!output.stderr.is_empty());
    server.publish("t", "the first one goes on").await;
}
