//! What `/metrics` tells, held against what was sent, and against the pages that speak of it.

mod openmetrics;
mod pages;
mod topics;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use reqwest::{Method, RequestBuilder};

use crate::common::{KEY, PATIENCE, Setup, TestServer};
use openmetrics::Exposition;

const MESSAGE_BYTES_MAX: usize = 1000;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

async fn scrape(server: &TestServer) -> Exposition {
    let request = server.request(Method::GET, "/metrics").bearer_auth(KEY);
    scrape_by(request.header("Accept", OPEN_METRICS), OPEN_METRICS).await
}

/// What `request` gets, which has to be of this type.
async fn scrape_by(request: RequestBuilder, kind: &str) -> Exposition {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(response.headers()["Content-Type"], kind);
    assert_eq!(response.headers()["Vary"], "Accept");
    let text = response.text().await.unwrap();
    let read = match kind {
        OPEN_METRICS => Exposition::parse(&text),
        _ => Exposition::parse_plain(&text),
    };
    read.unwrap_or_else(|problem| panic!("{problem}\n{text}"))
}

/// A sample by name and labels, and its value.
type Told<'a> = (&'a str, &'a [(&'a str, &'a str)], f64);

/// Waits until each of `expected` is what the server tells.
async fn until(server: &TestServer, expected: &[Told<'_>]) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let told = scrape(server).await;
        let differs = |(name, labels, value): &&Told<'_>| told.value(name, labels) != *value;
        let Some((name, labels, value)) = expected.iter().find(differs) else {
            return;
        };
        let is = told.value(name, labels);
        assert!(
            Instant::now() < deadline,
            "{name}{labels:?} is {is}, not {value}"
        );
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

async fn status(request: RequestBuilder) -> u16 {
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn every_message_is_counted_once() {
    let server = TestServer::start().await;
    let mut consumers = [
        server.consumer("t", "c1").await,
        server.consumer("t", "c2").await,
    ];
    let mut producer = server.producer_ack("t", "p").await;
    producer.send_all((0..1000).map(|n| n.to_string())).await;
    for _ in 0..1000 {
        producer.ack().await;
    }
    for consumer in &mut consumers {
        consumer.data(1000).await;
    }
    for n in 0..10 {
        server.publish("nobody", &n.to_string()).await;
    }
    let expected: [Told<'_>; 20] = [
        ("dpmq_messages_accepted_total", &[], 1010.0),
        ("dpmq_messages_delivered_total", &[], 2000.0),
        ("dpmq_messages_consumed_total", &[], 1000.0),
        ("dpmq_messages_not_consumed_total", &[], 10.0),
        ("dpmq_messages_requeued_total", &[], 0.0),
        (
            "dpmq_messages_expired_total",
            &[("status", "consumed")],
            0.0,
        ),
        ("dpmq_messages_expired_total", &[("status", "unread")], 0.0),
        ("dpmq_messages_deleted_total", &[], 0.0),
        ("dpmq_acknowledgement_seconds_count", &[], 1010.0),
        ("dpmq_push_seconds_count", &[], 2000.0),
        ("dpmq_group_messages_sum", &[], 1010.0),
        ("dpmq_stored_messages", &[("status", "consumed")], 1000.0),
        ("dpmq_stored_messages", &[("status", "not_consumed")], 10.0),
        ("dpmq_stored_messages", &[("status", "accepted")], 0.0),
        ("dpmq_topics", &[], 2.0),
        ("dpmq_queue_messages", &[("place", "memory")], 0.0),
        ("dpmq_outbox_messages", &[], 0.0),
        ("dpmq_mirror_lag_bytes", &[], 0.0),
        ("dpmq_mirror_lag_seconds", &[], 0.0),
        ("dpmq_ready", &[], 1.0),
    ];
    until(&server, &expected).await;
    let told = scrape(&server).await;
    let syncs = told.value("dpmq_group_messages_count", &[]);
    assert_eq!(told.value("dpmq_sync_seconds_count", &[]), syncs);
    assert!((11.0..=1010.0).contains(&syncs), "{syncs}");
    for sum in ["dpmq_acknowledgement_seconds_sum", "dpmq_sync_seconds_sum"] {
        assert!(told.value(sum, &[]) > 0.0, "{sum}");
    }
    for refused in &told.0["dpmq_messages_refused"].samples {
        assert_eq!(refused.value, 0.0, "{refused:?}");
    }

    // Somebody comes for the others: they are pushed again, and counted again.
    let mut late = server.consumer("nobody", "c3").await;
    late.data(10).await;
    until(
        &server,
        &[
            ("dpmq_messages_requeued_total", &[], 10.0),
            ("dpmq_messages_delivered_total", &[], 2010.0),
            ("dpmq_messages_consumed_total", &[], 1010.0),
            ("dpmq_push_seconds_count", &[], 2000.0),
            ("dpmq_oldest_waiting_seconds", &[], 0.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn both_texts_tell_the_same() {
    let server = TestServer::start().await;
    server.publish("t", "data").await;
    let get = || server.request(Method::GET, "/metrics").bearer_auth(KEY);
    let open = scrape(&server).await;
    // Whoever asks for nothing in particular, and browsers.
    for accept in [
        "",
        "*/*",
        "text/html,application/xml;q=0.9,*/*;q=0.8",
        PLAIN,
    ] {
        let plain = scrape_by(get().header("Accept", accept), PLAIN).await;
        let series = |told: &Exposition| -> BTreeSet<String> {
            let samples = told.0.values().flat_map(|family| &family.samples);
            // The two write the bounds of buckets in their own way, as 1.0 and 1.
            let label = |(key, value): (&String, &String)| match &**key {
                "le" => format!("le={}", value.parse::<f64>().unwrap()),
                _ => format!("{key}={value}"),
            };
            samples
                .map(|sample| {
                    let labels: Vec<_> = sample.labels.iter().map(label).collect();
                    format!("{} {labels:?}", sample.name)
                })
                .collect()
        };
        assert_eq!(series(&plain), series(&open));
        for (name, family) in &open.0 {
            let (suffix, kind) = match &*family.kind {
                "counter" => ("_total", "counter"),
                "info" => ("_info", "gauge"),
                kind => ("", kind),
            };
            let same = &plain.0[&format!("{name}{suffix}")];
            assert_eq!((&*same.kind, &same.help), (kind, &family.help), "{name}");
        }
        assert_eq!(plain.value("dpmq_messages_accepted_total", &[]), 1.0);
        assert_eq!(plain.value("dpmq_acknowledgement_seconds_count", &[]), 1.0);
        let version = [("version", env!("CARGO_PKG_VERSION"))];
        assert_eq!(plain.value("dpmq_build_info", &version), 1.0);
    }
}

#[tokio::test]
async fn what_is_refused_is_counted_by_its_reason() {
    let limit = MESSAGE_BYTES_MAX.to_string();
    let setup = Setup::new().environment("DPMQ_SERVER_MAXMESSAGEBYTES", limit);
    let server = setup.start().await;
    let large = "x".repeat(MESSAGE_BYTES_MAX + 1);
    for form in [
        [("topic", "t"), ("messageData", "")],
        [("topic", "a|b"), ("messageData", "x")],
        [("topic", "t"), ("messageData", &large)],
    ] {
        let reply = server.http("/Producer/Send", &form).await;
        assert_eq!(reply["code"], -1);
    }
    let mut producer = server.producer("t", "p").await;
    producer.send(&large).await;
    assert_eq!(u16::from(producer.closed().await.code), 1009);
    let wrong = server.post("/Console/Ping").header("secretKey", "wrong");
    assert_eq!(status(wrong).await, 200);
    let mut stranger = server.open("/Consumers/Conn/t/c").await;
    stranger.recv().await;
    stranger.send("wrong").await;
    stranger.recv().await;
    assert!(
        server
            .try_open("/Consumers/Conn/a%7Cb/c", &[])
            .await
            .is_err()
    );
    until(
        &server,
        &[
            ("dpmq_messages_refused_total", &[("reason", "invalid")], 2.0),
            (
                "dpmq_messages_refused_total",
                &[("reason", "too_large")],
                2.0,
            ),
            (
                "dpmq_messages_refused_total",
                &[("reason", "stopping")],
                0.0,
            ),
            ("dpmq_messages_accepted_total", &[], 0.0),
            ("dpmq_logins_refused_total", &[("via", "http")], 1.0),
            ("dpmq_logins_refused_total", &[("via", "websocket")], 1.0),
            (
                "dpmq_connections_refused_total",
                &[("reason", "handshake")],
                1.0,
            ),
            ("dpmq_sessions_ended_total", &[("reason", "too_large")], 1.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn a_full_queue_refuses_and_says_so() {
    // One message leaves, the second waits, and there is no room for a third.
    let setup = Setup::new()
        .set("sendCount", 1)
        .set("pushMessagesSpeed", 60)
        .set("messageChanBuffer", 1)
        .environment("DPMQ_SERVER_SENDWAITSECONDS", "0.05");
    let server = setup.start().await;
    server.publish("t", "leaves").await;
    until(&server, &[("dpmq_messages_not_consumed_total", &[], 1.0)]).await;
    server.publish("t", "waits").await;
    let form = [("topic", "t"), ("messageData", "refused")];
    assert_eq!(server.http("/Producer/Send", &form).await["code"], -1);
    until(
        &server,
        &[
            (
                "dpmq_messages_refused_total",
                &[("reason", "queue_full")],
                1.0,
            ),
            ("dpmq_queue_messages", &[("place", "memory")], 1.0),
            ("dpmq_queue_capacity_messages", &[], 1.0),
            ("dpmq_messages_accepted_total", &[], 2.0),
        ],
    )
    .await;
}

#[tokio::test]
async fn what_is_deleted_is_counted_by_who_deleted_it() {
    let mut server = Setup::new().set("cleanTime", 1000).start().await;
    let code = server.publish("t", "deleted").await;
    server.publish("t", "purged").await;
    for n in 0..3 {
        server.publish("other", &n.to_string()).await;
    }
    let mut consumer = server.consumer("read", "c").await;
    server.publish("read", "expires too").await;
    consumer.data(1).await;
    let consumed = [("status", "consumed")];
    until(&server, &[("dpmq_stored_messages", &consumed, 1.0)]).await;
    consumer.close().await;
    let path = format!("/api/messages/{code}?confirm=t");
    let delete = server.request(Method::DELETE, &path);
    assert_eq!(status(delete.header("secretKey", KEY)).await, 204);
    let purge = server.post("/api/topics/t/purge").header("secretKey", KEY);
    let body = serde_json::json!({ "confirm": "t", "what": "all" });
    assert_eq!(status(purge.json(&body)).await, 200);
    let deleted: Told<'_> = ("dpmq_messages_deleted_total", &[], 2.0);
    let expired = |status, messages| ("dpmq_messages_expired_total", status, messages);
    let unread: &[(&str, &str)] = &[("status", "unread")];
    until(
        &server,
        &[deleted, expired(unread, 0.0), expired(&consumed, 0.0)],
    )
    .await;
    server.set("cleanTime", 1);
    server.restart().await;
    until(&server, &[expired(unread, 3.0), expired(&consumed, 1.0)]).await;
}

#[tokio::test]
async fn connections_are_told_by_their_role() {
    let server = TestServer::start().await;
    let role = |role| ("dpmq_connections", [("role", role)]);
    let (name, consumer) = role("consumer");
    let (_, producer) = role("producer");
    let c = server.consumer("t", "c").await;
    let _p = [
        server.producer("t", "p").await,
        server.producer("t", "q").await,
    ];
    until(&server, &[(name, &consumer, 1.0), (name, &producer, 2.0)]).await;
    let told = scrape(&server).await;
    assert!(told.value(name, &[("role", "other")]) >= 1.0, "the scraper");
    assert!(told.value("dpmq_connections_accepted_total", &[]) >= 4.0);
    c.close().await;
    until(&server, &[(name, &consumer, 0.0), (name, &producer, 2.0)]).await;
}

#[tokio::test]
async fn the_metrics_are_for_whom_the_configuration_says() {
    for (metrics, without, wrong, right) in [
        ("0", 404, 404, 404),
        ("1", 401, 401, 200),
        ("2", 200, 200, 200),
    ] {
        let setup = Setup::new().environment("DPMQ_SERVER_METRICS", metrics);
        let server = setup.start().await;
        let get = || server.request(Method::GET, "/metrics");
        assert_eq!(status(get()).await, without, "{metrics}");
        assert_eq!(status(get().bearer_auth("wrong")).await, wrong, "{metrics}");
        assert_eq!(status(get().header("secretKey", "wrong")).await, wrong);
        assert_eq!(status(get().basic_auth("x", Some(KEY))).await, wrong);
        assert_eq!(status(get().bearer_auth(KEY)).await, right, "{metrics}");
        assert_eq!(status(get().header("secretKey", KEY)).await, right);
        assert_eq!(status(server.post("/metrics")).await, 405);
    }
}

#[tokio::test]
async fn without_a_disk_there_is_nothing_to_tell_of_it() {
    let server = Setup::new().set("isPersistent", 0).start().await;
    server.publish("t", "data").await;
    until(&server, &[("dpmq_acknowledgement_seconds_count", &[], 1.0)]).await;
    let told = scrape(&server).await;
    for name in [
        "dpmq_sync_seconds",
        "dpmq_store_bytes",
        "dpmq_mirror_lag_bytes",
    ] {
        assert!(!told.0.contains_key(name), "{name}");
    }
}
