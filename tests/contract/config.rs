//! What each key of application.yaml does (wire contract, "config/application.yaml").

use std::fs;
use std::time::{Duration, Instant};

use crate::common::{GoMessage, QUIET, Setup, TestServer, eventually, go_data, now};

/// A message that is pushed to nobody; returns when that has happened.
async fn publish_to_nobody(server: &TestServer, topic: &str, data: &str) -> String {
    let code = server.publish(topic, data).await;
    server.until_status(&code, 0).await;
    code
}

#[tokio::test]
async fn the_first_send_count_messages_leave_at_once_then_comes_the_pause() {
    const BATCH: usize = 3;
    let server = Setup::new()
        .set("sendCount", BATCH)
        .set("pushMessagesSpeed", 1)
        .start()
        .await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer_ack("t", "p1").await;
    let start = Instant::now();
    producer.send_all((0..10).map(|n| n.to_string())).await;
    let mut arrived = vec![];
    for n in 0..10 {
        assert_eq!(consumer.message().await.data, n.to_string());
        arrived.push(start.elapsed());
    }
    assert!(
        arrived[BATCH - 1] < Duration::from_millis(900),
        "{arrived:?}"
    );
    // Batches that were not full add at most sendCount - 1 messages between two pauses.
    for pair in arrived.windows(2 * BATCH) {
        let span = pair[2 * BATCH - 1] - pair[0];
        assert!(span > Duration::from_millis(800), "{arrived:?}");
    }
}

#[tokio::test]
async fn messages_after_a_quiet_time_leave_at_once() {
    let server = Setup::new()
        .set("sendCount", 5)
        .set("pushMessagesSpeed", 60)
        .start()
        .await;
    let mut consumer = server.consumer("t", "c1").await;
    for n in 0..4 {
        server.publish("t", &n.to_string()).await;
        assert_eq!(consumer.data(1).await, [n.to_string()]);
    }
}

#[tokio::test]
async fn a_push_speed_of_zero_means_no_pause() {
    let server = Setup::new()
        .set("sendCount", 1)
        .set("pushMessagesSpeed", 0)
        .start()
        .await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer("t", "p1").await;
    let start = Instant::now();
    producer.send_all((0..300).map(|n| n.to_string())).await;
    consumer.data(300).await;
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn without_a_push_speed_there_is_no_pause() {
    let server = Setup::new().unset("pushMessagesSpeed").start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer("t", "p1").await;
    let start = Instant::now();
    producer.send_all((0..1000).map(|n| n.to_string())).await;
    consumer.data(1000).await;
    assert!(start.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_full_queue_makes_producers_wait() {
    let server = Setup::new()
        .set("messageChanBuffer", 2)
        .set("sendCount", 1)
        .set("pushMessagesSpeed", 0.3)
        .start()
        .await;
    let mut producer = server.producer_ack("t", "p1").await;
    let start = Instant::now();
    producer.send_all((0..10).map(|n| n.to_string())).await;
    for _ in 0..10 {
        producer.ack().await;
    }
    // Two wait in the queue and a few are on their way out; the others had to wait for a pause.
    assert!(
        start.elapsed() > Duration::from_secs(1),
        "{:?}",
        start.elapsed()
    );
    assert_eq!(server.count().await[0], 10);
}

#[tokio::test]
async fn re_push_sends_what_nobody_got_when_a_consumer_comes() {
    let server = Setup::new().set("isRePush", 1).start().await;
    let mut codes = vec![];
    for n in 0..5 {
        codes.push(publish_to_nobody(&server, "t", &n.to_string()).await);
    }
    let mut consumer = server.consumer("t", "c1").await;
    let mut got = vec![];
    for _ in 0..5 {
        let message = consumer.message().await;
        assert_eq!((message.status, message.consumed), (-1, 0));
        got.push(message.code);
    }
    got.sort();
    codes.sort();
    assert_eq!(got, codes);
    for code in codes {
        server.until_status(&code, 1).await;
    }
}

#[tokio::test]
async fn without_re_push_a_message_that_nobody_got_stays() {
    let server = Setup::new()
        .set("isRePush", 0)
        .set("checkSpeed", 0.1)
        .start()
        .await;
    let code = publish_to_nobody(&server, "t", "stays").await;
    let mut consumer = server.consumer("t", "c1").await;
    consumer.expect_quiet().await;
    server.publish("t", "marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
    assert_eq!(server.message(&code).await.unwrap().status, 0);
}

#[tokio::test]
async fn expired_messages_are_deleted_whatever_their_status() {
    let old = now() - 1_000;
    let file = go_data(&[
        GoMessage::new("t", "old", old),
        GoMessage::new("t", "old", old).status(1),
        GoMessage::new("t", "young", now()),
        GoMessage::new("t", "young", now()).status(1),
    ]);
    let server = Setup::new()
        .set("isClean", 1)
        .set("cleanTime", 500)
        .set("isRePush", 0)
        .file("data", &file)
        .start()
        .await;
    eventually("the old ones are gone", async || {
        server.count().await == [2, 1, 1, 0]
    })
    .await;
    assert!(server.all().await.iter().all(|m| m.data == "young"));
}

#[tokio::test]
async fn a_message_expires_clean_time_after_it_was_accepted() {
    let server = Setup::new().set("cleanTime", 2).start().await;
    let code = server.publish("t", "short life").await;
    let created = server.message(&code).await.unwrap().created;
    eventually("it is gone", async || server.count().await == [0; 4]).await;
    assert!(now() - created >= 2);
    assert_eq!(server.message(&code).await, None);
    let mut consumer = server.consumer("t", "c1").await;
    server.publish("t", "marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
}

#[tokio::test]
async fn without_clean_nothing_expires() {
    let file = go_data(&[GoMessage::new("t", "very old", 1_000).status(1)]);
    let server = Setup::new()
        .set("isClean", 0)
        .set("cleanTime", 1)
        .file("data", &file)
        .start()
        .await;
    // A message that is pushed again shows that a check has passed.
    publish_to_nobody(&server, "u", "waiting").await;
    let mut witness = server.consumer("u", "c1").await;
    assert_eq!(witness.data(1).await, ["waiting"]);
    assert_eq!(server.all().await.len(), 2);
}

#[tokio::test]
async fn the_check_runs_every_check_speed() {
    let server = Setup::new().set("checkSpeed", 3600).start().await;
    publish_to_nobody(&server, "t", "waiting").await;
    let mut consumer = server.consumer("t", "c1").await;
    tokio::time::sleep(QUIET).await;
    server.publish("t", "marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
}

#[tokio::test]
async fn recovery_strategy_1_restores() {
    let mut server = Setup::new().set("recoveryStrategy", 1).start().await;
    let code = server.publish("t", "kept").await;
    server.restart().await;
    assert_eq!(server.message(&code).await.unwrap().data, "kept");
}

#[tokio::test]
async fn recovery_strategy_0_starts_empty_and_clears_local_data() {
    let mut server = TestServer::start().await;
    server.publish("t", "old").await;
    server.set("recoveryStrategy", 0);
    server.restart().await;
    assert_eq!(server.count().await, [0; 4]);
    server.publish("t", "new").await;
    server.set("recoveryStrategy", 1);
    server.restart().await;
    let data: Vec<String> = server.all().await.into_iter().map(|m| m.data).collect();
    assert_eq!(data, ["new"]);
}

#[tokio::test]
async fn without_persistence_nothing_survives_a_restart() {
    let mut server = Setup::new().set("isPersistent", 0).start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let code = server.publish("t", "in memory").await;
    assert_eq!(consumer.message().await.code, code);
    server.until_status(&code, 1).await;
    publish_to_nobody(&server, "u", "in memory").await;
    assert_eq!(server.count().await, [2, 1, 1, 0]);
    server.restart().await;
    assert_eq!(server.count().await, [0; 4]);
    assert!(!server.dir().join("data").exists());
}

#[tokio::test]
async fn the_snapshot_is_written_to_persistent_file() {
    let server = Setup::new()
        .set("persistentFile", "messages.bin")
        .set("persistentTime", 0.2)
        .start()
        .await;
    server.publish("t", "kept").await;
    let path = server.dir().join("messages.bin");
    eventually("there is a snapshot", async || {
        fs::read(&path).is_ok_and(|bytes| bytes.starts_with(b"DPMQSNAP"))
    })
    .await;
    assert!(!server.dir().join("data").exists());
}

#[tokio::test]
async fn persistent_time_is_the_seconds_between_two_snapshots() {
    let server = Setup::new().set("persistentTime", 3600).start().await;
    let path = server.dir().join("data");
    server.publish("t", "kept").await;
    tokio::time::sleep(QUIET).await;
    let first = fs::read(&path).ok();
    server.publish("t", "kept, too").await;
    tokio::time::sleep(QUIET).await;
    assert_eq!(fs::read(&path).ok(), first);
}

#[tokio::test]
async fn a_send_retry_count_of_0_pushes_once() {
    let server = Setup::new().set("sendRetryCount", 0).start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let code = server.publish("t", "once").await;
    assert_eq!(consumer.data(1).await, ["once"]);
    server.until_status(&code, 1).await;
    server.publish("t", "marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
}

#[tokio::test]
async fn an_application_yaml_of_the_original_works() {
    let server = Setup::new()
        .set("messageChanBuffer", "1000000 # 消息通道缓冲")
        .set("pushMessagesSpeed", 1)
        .set("sendCount", 100)
        .set("sendRetryCount", 1)
        .set("persistentFile", "data")
        .set("isPersistent", 1)
        .set("recoveryStrategy", 1)
        .set("persistentTime", 5)
        .set("isRePush", 1)
        .set("isClean", 1)
        .set("checkSpeed", 5)
        .set("cleanTime", 259_200)
        .start()
        .await;
    let mut consumer = server.consumer("t", "c1").await;
    server.publish("t", "hello").await;
    assert_eq!(consumer.data(1).await, ["hello"]);
}

#[tokio::test]
async fn a_value_that_cannot_be_is_named_in_one_line_with_exit_code_64() {
    let server = TestServer::start().await;
    let yaml = server.dir().join("config/application.yaml");
    for (key, value) in [
        ("sendCount", "many"),
        ("isRePush", "7"),
        ("checkSpeed", "-1"),
    ] {
        fs::write(&yaml, format!("mq:\n  {key}: {value}\n")).unwrap();
        let output = server.run(&["serve"]).await;
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(64), "{key}: {said}");
        assert!(said.contains(key), "{key}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }
}

#[tokio::test]
async fn what_kubernetes_tells_of_services_is_no_setting() {
    let mut setup = Setup::new();
    for service in ["SERVER", "MQ", "LOG", "SERVER_INTERNAL"] {
        for (end, value) in [
            ("SERVICE_HOST", "10.0.0.1"),
            ("SERVICE_PORT", "8011"),
            ("SERVICE_PORT_HTTP", "8011"),
            ("PORT", "tcp://10.0.0.1:8011"),
            ("PORT_8011_TCP", "tcp://10.0.0.1:8011"),
            ("PORT_8011_TCP_PROTO", "tcp"),
            ("PORT_8011_TCP_PORT", "8011"),
            ("PORT_8011_TCP_ADDR", "10.0.0.1"),
        ] {
            setup = setup.environment(&format!("DPMQ_{service}_{end}"), value);
        }
    }
    // What is a setting still is one.
    let server = setup.environment("DPMQ_MQ_SENDCOUNT", "7").start().await;
    let told = |text: &str| {
        let told: Vec<&str> = text
            .lines()
            .filter(|line| line.contains("what Kubernetes tells"))
            .collect();
        assert_eq!(told.len(), 1, "{text}");
        assert!(told[0].contains("DPMQ_SERVER_SERVICE_HOST") && !told[0].contains("10.0.0.1"));
    };
    told(&server.log().join("\n"));
    let output = server.run(&["check-config"]).await;
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    told(&text);
    assert!(text.contains("mq.sendCount = 7"), "{text}");
    let refused = server
        .command(&["check-config"])
        .env("DPMQ_SERVER_PROT", "8011")
        .output()
        .await;
    assert_eq!(refused.unwrap().status.code(), Some(64));
}
