//! SIGHUP: a running server reads its configuration again, applies what can change, and says what
//! needs a restart. A configuration that cannot be used changes nothing.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixDatagram};
use tokio::time::timeout;

use crate::common::{KEY, PATIENCE, QUIET, Setup, TestServer, eventually};

/// Writes the configuration, sends SIGHUP, and waits for a line of the log that has `told`.
async fn reload(server: &TestServer, yaml: &str, told: &str) {
    let file = server.dir().join("config/application.yaml");
    fs::write(file, format!("server:\n  port: 0\n{yaml}")).unwrap();
    let before = server.log().len();
    server.signal("HUP");
    let what = format!("{told:?} is in the log");
    eventually(&what, async || {
        server.log()[before..]
            .iter()
            .any(|line| line.contains(told))
    })
    .await;
}

/// The value of a setting, as the console shows it.
async fn setting(server: &TestServer, key: &str) -> Value {
    let request = server
        .request(Method::GET, "/api/config")
        .header("secretKey", KEY);
    let config: Value = request.send().await.unwrap().json().await.unwrap();
    let settings = config["settings"].as_array().unwrap();
    settings.iter().find(|it| it["key"] == key).unwrap()["value"].clone()
}

#[tokio::test]
async fn the_pace_changes_at_once() {
    let server = Setup::new()
        .set("pushMessagesSpeed", 3600)
        .set("sendCount", 1)
        .start()
        .await;
    let mut consumer = server.consumer("t", "c").await;
    for data in ["one", "two", "three"] {
        server.publish("t", data).await;
    }
    assert_eq!(consumer.data(1).await, ["one"]);
    reload(
        &server,
        "mq:\n  pushMessagesSpeed: 0\n",
        "again: mq.pushMessagesSpeed",
    )
    .await;
    assert_eq!(consumer.data(2).await, ["two", "three"]);
    assert_eq!(setting(&server, "mq.pushMessagesSpeed").await, "0");
}

#[tokio::test]
async fn the_check_the_re_push_and_the_expiry_change() {
    let server = Setup::new()
        .set("checkSpeed", 3600)
        .set("isRePush", 0)
        .start()
        .await;
    let code = server.publish("t", "to nobody").await;
    server.until_status(&code, 0).await;
    let mut consumer = server.consumer("t", "c").await;
    reload(
        &server,
        "mq:\n  pushMessagesSpeed: 0\n  checkSpeed: 0.1\n",
        "mq.isRePush",
    )
    .await;
    assert_eq!(consumer.data(1).await, ["to nobody"]);
    // A message is older than a second when a second has passed.
    reload(
        &server,
        "mq:\n  pushMessagesSpeed: 0\n  checkSpeed: 0.1\n  cleanTime: 1\n",
        "again: mq.cleanTime",
    )
    .await;
    eventually("it expires", async || server.count().await == [0; 4]).await;
}

#[tokio::test]
async fn limits_of_clients_change() {
    let server = TestServer::start().await;
    reload(&server, "  maxMessageBytes: 8\n", "server.maxMessageBytes").await;
    let form = [("topic", "t"), ("messageData", "nine byte")];
    let reply = server.http("/Producer/Send", &form).await;
    assert_eq!(reply["code"], -1, "{reply}");
    let mut producer = server.producer_ack("t", "p").await;
    producer.send("nine byte").await;
    assert_eq!(u16::from(producer.closed().await.code), 1009);
    server.publish("t", "8 bytes!").await;

    reload(&server, "  metrics: 0\n", "server.metrics").await;
    let metrics = server
        .request(Method::GET, "/metrics")
        .header("secretKey", KEY);
    assert_eq!(metrics.send().await.unwrap().status(), 404);
}

#[tokio::test]
async fn the_topics_that_the_metrics_tell_change() {
    let server = Setup::new()
        .environment("DPMQ_LOG_LEVEL", "info")
        .start()
        .await;
    for topic in ["orders", "mails"] {
        server.publish(topic, "before").await;
    }
    let told = async || {
        let request = server.request(Method::GET, "/metrics");
        let response = request.header("secretKey", KEY).send().await.unwrap();
        let text = response.text().await.unwrap();
        let lines = text.lines().filter(|line| line.contains("{topic="));
        let lines = lines.filter(|line| !line.starts_with("dpmq_topic_oldest"));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(told().await, [""; 0]);
    let line = |name: &str, topic: &str, value: u64| {
        format!("dpmq_topic_{name}{{topic=\"{topic}\"}} {value}")
    };
    let of = |topic: &str, waiting: u64, accepted: u64| {
        [
            line("waiting_messages", topic, waiting),
            line("consumers", topic, 0),
            line("messages_accepted_total", topic, accepted),
            line("messages_delivered_total", topic, 0),
        ]
    };
    reload(&server, "  metricsTopics: orders\n", "metricsTopics").await;
    assert_eq!(told().await, of("orders", 1, 0));
    server.publish("orders", "meanwhile").await;
    server.publish("mails", "meanwhile").await;
    // What is told already goes on counting; the other begins.
    reload(&server, "  metricsTopics: \"*\"\n", "metricsTopics").await;
    let both = of("mails", 2, 0).into_iter().zip(of("orders", 2, 1));
    let both: Vec<String> = both.flat_map(|(mails, orders)| [mails, orders]).collect();
    assert_eq!(told().await, both);
    reload(&server, "  metricsTopics: m*\n", "metricsTopics").await;
    assert_eq!(told().await, of("mails", 2, 0));
    reload(&server, "  metricsTopics: a|b\n", "no topic fits").await;
    assert_eq!(told().await, of("mails", 2, 0));
    reload(&server, "", "metricsTopics").await;
    assert_eq!(told().await, [""; 0]);
}

#[tokio::test]
async fn another_secret_key_ends_the_sessions_of_the_one_before() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c").await;
    let mut producer = server.producer_ack("t", "p").await;
    let changed = Instant::now();
    reload(&server, "mq:\n  secretKey: another\n", ", mq.secretKey").await;
    for socket in [&mut consumer, &mut producer] {
        let close = socket.closed().await;
        assert_eq!(u16::from(close.code), 1008);
        assert_eq!(close.reason.as_str(), "the key was revoked or changed");
    }
    assert!(changed.elapsed() < Duration::from_secs(5));
    let ping = async |key: &str| {
        let ping = server.post("/Console/Ping").header("secretKey", key);
        ping.send().await.unwrap().json::<Value>().await.unwrap()["code"].clone()
    };
    assert_eq!(ping(KEY).await, -1);
    assert_eq!(ping("another").await, 0);
    assert!(!server.log().concat().contains("another"));
}

#[tokio::test]
async fn another_secret_key_ends_what_is_read_with_the_one_before() {
    let server = TestServer::start().await;
    // More than sockets and their buffers take, so that nothing of it can have ended before.
    let data = "x".repeat(4 << 20);
    for _ in 0..8 {
        server.publish("t", &data).await;
    }
    let ask = async |method, path: &str| {
        let request = server.request(method, path).header("secretKey", KEY);
        let mut answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        if !path.ends_with("/watch") {
            answer.chunk().await.unwrap().expect("it has begun");
        }
        answer
    };
    let export = async || {
        let request = server.post("/api/exports").header("secretKey", KEY);
        let request = request.json(&json!({"format": "ndjson", "topic": "t"}));
        let link: Value = request.send().await.unwrap().json().await.unwrap();
        link["url"].as_str().unwrap().to_owned()
    };
    let (first, second) = (export().await, export().await);
    let opened = [
        ask(Method::GET, "/api/events").await,
        ask(Method::GET, "/api/topics/t/watch").await,
        ask(Method::POST, "/Console/GetMessageList").await,
        ask(Method::GET, "/api/backup").await,
        ask(Method::GET, &first).await,
    ];
    reload(&server, "mq:\n  secretKey: another\n", ", mq.secretKey").await;
    for mut answer in opened {
        let url = answer.url().clone();
        let ended = async {
            while let Ok(chunk) = answer.chunk().await {
                assert!(chunk.is_some(), "{url} ends as if it were whole");
            }
        };
        let ended = timeout(PATIENCE, ended).await;
        ended.unwrap_or_else(|_| panic!("{url} goes on"));
    }
    let link = server.request(Method::GET, &second).send().await.unwrap();
    assert_eq!(link.status(), 404);
}

#[tokio::test]
async fn the_level_of_the_log_changes() {
    let server = TestServer::start().await;
    let said = |server: &TestServer| {
        server
            .log()
            .iter()
            .filter(|line| line.contains("DEBUG"))
            .count()
    };
    assert_eq!(said(&server), 0);
    reload(&server, "log:\n  level: debug\n", ", log.level").await;
    // Whoever is closed is told of at this level.
    let mut socket = server.open("/Consumers/Conn/t/c").await;
    for _ in 0..5 {
        socket.send("wrong").await;
    }
    socket.closed().await;
    eventually("it is said", async || said(&server) > 0).await;
}

/// Another value for every setting but the key and the level of the log.
const ALL_CHANGED: &str = "server:
  port: 1
  host: 127.0.0.1
  allowDefaultKey: 1
  maxMessageBytes: 1000
  sendWaitSeconds: 11
  drainSeconds: 11
  loginAttempts: 6
  loginSeconds: 9
  pingSeconds: 26
  requestSeconds: 9
  maxConnections: 100
  maxConnectionsPerAddress: 100
  trustedProxies: 10.0.0.0/8
  inboundMiB: 65
  tlsCert: c.pem
  tlsKey: k.pem
  keysFile: other.yaml
  origins: https://a.example
  metrics: 2
  metricsTopics: orders
mq:
  messageChanBuffer: 10
  pushMessagesSpeed: 2
  sendCount: 99
  sendRetryCount: 2
  persistentFile: other
  isPersistent: 0
  recoveryStrategy: 0
  persistentTime: 6
  isRePush: 0
  isClean: 0
  checkSpeed: 6
  checkCount: 1
  cleanTime: 259201
  queueMemoryMiB: 65
  outboxMessages: 65537
  outboxMiB: 17
  writeSeconds: 11
  segmentMiB: 127
log:
  format: json
  file: 0
  auditFile: audit.log
";

#[tokio::test]
async fn every_setting_changes_or_is_named() {
    let server = TestServer::start().await;
    let file = server.dir().join("config/application.yaml");
    fs::write(file, ALL_CHANGED).unwrap();
    server.signal("HUP");
    let has_changed = |line: &&String| line.contains("read the configuration again: ");
    eventually("it is read again", async || {
        server.log().iter().any(|line| has_changed(&line))
    })
    .await;
    let log = server.log();
    let waits = " has changed, which needs a restart to count";
    let waiting: BTreeSet<&str> = log
        .iter()
        .filter_map(|line| line.strip_suffix(waits)?.rsplit(' ').next())
        .collect();
    let changed = log.iter().find(has_changed).unwrap();
    let changed: BTreeSet<&str> = changed
        .rsplit("again: ")
        .next()
        .unwrap()
        .split(", ")
        .collect();

    let request = server
        .request(Method::GET, "/api/config")
        .header("secretKey", KEY);
    let config: Value = request.send().await.unwrap().json().await.unwrap();
    let settings = config["settings"].as_array().unwrap();
    let all: BTreeSet<&str> = settings
        .iter()
        .map(|it| it["key"].as_str().unwrap())
        .filter(|key| !["mq.secretKey", "log.level"].contains(key))
        .collect();
    assert!(changed.is_disjoint(&waiting), "{log:?}");
    assert_eq!(&changed | &waiting, all);
}

#[tokio::test]
async fn connections_over_a_lower_limit_stay_and_new_ones_are_refused() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c").await;
    let mut producer = server.producer_ack("t", "p").await;
    let ask = async || server.raw(b"GET / HTTP/1.1\r\nHost: h\r\n\r\n").await;
    reload(&server, "  maxConnections: 2\n", "again: ").await;
    eventually("the next is refused", async || {
        ask().await.starts_with("HTTP/1.1 503 ")
    })
    .await;
    producer.send("they stay").await;
    producer.ack().await;
    assert_eq!(consumer.data(1).await, ["they stay"]);

    let per_address = "  maxConnections: 9\n  maxConnectionsPerAddress: 2\n";
    reload(&server, per_address, "maxConnectionsPerAddress").await;
    let mut refused = TcpStream::connect(server.address()).await.unwrap();
    let mut told = String::new();
    let end = timeout(PATIENCE, refused.read_to_string(&mut told)).await;
    end.unwrap().unwrap();
    assert!(
        told.ends_with("too many connections from your address\n"),
        "{told}"
    );
    reload(&server, "", "again: server.maxConnections, ").await;
    assert!(ask().await.starts_with("HTTP/1.1 200 "));
}

#[tokio::test]
async fn who_comes_next_has_the_new_time_for_a_request() {
    let server = TestServer::start().await;
    let shed = b"GET / HTTP/1.1\r\n";
    reload(&server, "  requestSeconds: 0.2\n", "server.requestSeconds").await;
    let begin = Instant::now();
    assert!(server.raw(shed).await.starts_with("HTTP/1.1 408 "));
    assert!(begin.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn the_time_between_two_snapshots_changes_at_once() {
    let server = Setup::new().set("persistentTime", 3600).start().await;
    let snapshot = server.dir().join("data");
    server.publish("t", "kept").await;
    let before = fs::read(&snapshot).ok();
    let yaml = "mq:\n  persistentTime: 0.1\n";
    reload(&server, yaml, "mq.persistentTime").await;
    eventually("a snapshot has it", async || {
        fs::read(&snapshot).ok() != before
    })
    .await;
}

#[tokio::test]
async fn the_memory_of_the_queue_and_of_what_is_received_changes() {
    let quiet = Setup::new()
        .environment("DPMQ_SERVER_METRICS", "2")
        .environment("DPMQ_MQ_PUSHMESSAGESSPEED", "3600")
        .environment("DPMQ_MQ_SENDCOUNT", "1");
    let server = quiet.start().await;
    let data = "x".repeat(600 << 10);
    let on_disk = async || {
        let metrics = server.request(Method::GET, "/metrics").send().await;
        let metrics = metrics.unwrap().text().await.unwrap();
        metrics.contains("dpmq_queue_messages{place=\"disk\"} 1\n")
    };
    for _ in 0..3 {
        server.publish("t", &data).await;
    }
    assert!(!on_disk().await);
    reload(&server, "mq:\n  queueMemoryMiB: 1\n", "mq.queueMemoryMiB").await;
    server.publish("t", &data).await;
    assert!(on_disk().await);

    reload(&server, "  inboundMiB: 1\n", "server.inboundMiB").await;
    let mut holds_all = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /Producer/Send HTTP/1.1\r\nHost: h\r\nsecretKey: {KEY}\r\n\
         Content-Type: application/json\r\nContent-Length: 2000000\r\n\r\n{data}"
    );
    holds_all.write_all(head.as_bytes()).await.unwrap();
    eventually("the next waits", async || {
        timeout(QUIET, server.publish("t", &data)).await.is_err()
    })
    .await;
    reload(&server, "  inboundMiB: 2\n", "server.inboundMiB").await;
    server.publish("t", &data).await;
}

#[tokio::test]
async fn what_needs_a_restart_is_named_and_stays_as_it_is() {
    let server = TestServer::start().await;
    let yaml = "  host: 127.0.0.1\nmq:\n  segmentMiB: 1\n  sendCount: 7\n";
    reload(&server, yaml, "again: mq.").await;
    let log = server.log().join("\n");
    for key in ["server.host", "mq.segmentMiB"] {
        let line = format!("{key} has changed, which needs a restart to count");
        assert!(log.contains(&line), "{log}");
    }
    assert_eq!(setting(&server, "mq.segmentMiB").await, "128");
    assert_eq!(setting(&server, "server.host").await, "0.0.0.0");
    assert_eq!(setting(&server, "mq.sendCount").await, "7");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_changes_nothing() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c").await;
    for (yaml, why) in [
        (
            "mq:\n  sendCount: many\n  secretKey: other\n",
            "stays as it was: config/application.yaml: mq.sendCount: ",
        ),
        ("mq: [1\n", "stays as it was: config/application.yaml: "),
        (
            "mq:\n  none: 1\n",
            "stays as it was: config/application.yaml: mq.none ",
        ),
    ] {
        reload(&server, yaml, why).await;
    }
    server.publish("t", "as before").await;
    assert_eq!(consumer.data(1).await, ["as before"]);
    assert_eq!(setting(&server, "mq.sendCount").await, "100");
}

#[tokio::test]
async fn a_file_that_is_gone_or_empty_changes_nothing() {
    const OWN: &str = "a key of this test alone";
    // Nobody else reaches it but by a proxy, perhaps.
    let server = Setup::new()
        .set("secretKey", OWN)
        .environment("DPMQ_SERVER_HOST", "127.0.0.1")
        .start()
        .await;
    let file = server.dir().join("config/application.yaml");
    let without_key = "mq:\n  sendCount: 7\n";
    let stays = "ERROR dpmq::server::reload: the configuration stays as it was: ";
    for (text, why) in [
        (
            None,
            "config/application.yaml: it is gone, and server.port is from it",
        ),
        (
            Some(""),
            "config/application.yaml: it has no settings, and server.port is from it",
        ),
        (
            Some("# mq:\n"),
            "config/application.yaml: it has no settings",
        ),
        (Some("mq:\n"), "config/application.yaml: it has no settings"),
        (Some(without_key), "mq.secretKey: it is not set any more"),
    ] {
        match text {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        let before = server.log().len();
        server.signal("HUP");
        eventually("an error says why", async || {
            let log = server.log();
            log[before..]
                .iter()
                .any(|line| line.contains(&format!("{stays}{why}")))
        })
        .await;
        for (key, code) in [(OWN, 0), (KEY, -1)] {
            let ping = server.post("/Console/Ping").header("secretKey", key);
            let reply: Value = ping.send().await.unwrap().json().await.unwrap();
            assert_eq!(reply["code"], code, "{text:?}");
        }
    }
    // Said, it may be: nobody else reaches the server.
    reload(&server, "mq:\n  secretKey: dpmq\n", ", mq.secretKey").await;
}

#[tokio::test]
async fn a_key_that_can_be_guessed_does_not_come_to_an_open_server() {
    const OWN: &str = "a key of this test alone";
    let server = Setup::new().set("secretKey", OWN).start().await;
    for guessable in ["dpmq", "7 signs"] {
        let yaml = format!("mq:\n  secretKey: {guessable}\n");
        reload(&server, &yaml, "it cannot become the published default").await;
    }
    let ping = server.post("/Console/Ping").header("secretKey", OWN);
    let reply: Value = ping.send().await.unwrap().json().await.unwrap();
    assert_eq!(reply["code"], 0);
}

#[tokio::test]
async fn nothing_changed_disturbs_nobody() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c").await;
    let file = server.dir().join("config/application.yaml");
    let yaml = fs::read_to_string(&file)
        .unwrap()
        .replace("server:\n  port: 0\n", "");
    reload(&server, &yaml, "nothing has changed").await;
    assert!(
        timeout(QUIET, consumer.closed()).await.is_err(),
        "it stays connected"
    );
}

#[tokio::test]
async fn systemd_is_told_of_a_reload_and_of_its_end() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("notify");
    let manager = UnixDatagram::bind(&path).unwrap();
    let told = async || {
        let mut bytes = vec![0; 4096];
        let received = timeout(PATIENCE, manager.recv(&mut bytes)).await;
        bytes.truncate(received.expect("something is told").unwrap());
        String::from_utf8(bytes).unwrap()
    };
    let server = Setup::new()
        .environment("NOTIFY_SOCKET", path)
        .start()
        .await;
    assert_eq!(told().await, "READY=1\n");
    server.signal("HUP");
    let reloading = told().await;
    let (first, time) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
    assert_eq!(first, "RELOADING=1");
    assert!(time.trim_end().parse::<u64>().unwrap() > 0);
    assert_eq!(told().await, "READY=1\n");
}
