//! Very many topics.

use std::collections::BTreeMap;
use std::time::Instant;

use futures_util::{StreamExt, stream};
use serde_json::Value;

use crate::common::{KEY, TestServer, encode};
use crate::memory::{BUDGET, Memory};
use crate::{at_last, size};

/// Requests that are under way at once.
const AT_ONCE: usize = 64;

fn name(n: usize) -> String {
    format!("topic {n}")
}

/// Every third topic has a second message.
fn messages(n: usize) -> u64 {
    1 + u64::from(n.is_multiple_of(3))
}

/// How many messages the server says each topic has.
async fn counts(server: &TestServer) -> BTreeMap<String, u64> {
    let mut found = BTreeMap::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/api/topics?sort=name&limit=500{cursor}");
        let request = server.request(reqwest::Method::GET, &path);
        let page = request.header("secretKey", KEY).send().await.unwrap();
        let page: Value = page.json().await.unwrap();
        for row in page["topics"].as_array().unwrap() {
            let topic = row["topic"].as_str().unwrap().to_owned();
            let all = row["counts"]["all"].as_u64().unwrap();
            assert_eq!(found.insert(topic, all), None, "{row} comes twice");
        }
        match page["next"].as_str() {
            Some(next) => cursor = format!("&cursor={}", encode(next)),
            None => return found,
        }
    }
}

/// Every topic has its messages, and a list of it has them alone.
async fn check(server: &TestServer, topics: usize) {
    let expected: BTreeMap<_, _> = (0..topics).map(|n| (name(n), messages(n))).collect();
    let found = counts(server).await;
    assert!(found == expected, "{} of {topics} topics", found.len());
    for n in (0..topics).step_by(topics / 50) {
        let list = server.list(&[("topic", &name(n))]).await;
        let mut data: Vec<_> = list.iter().map(|message| &message.data).collect();
        data.sort();
        let expected: Vec<_> = (0..messages(n)).map(|m| format!("{n} {m}")).collect();
        assert_eq!(data, expected.iter().collect::<Vec<_>>());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_topic_of_very_many_has_its_messages() {
    let topics = size(3000, 100_000);
    let mut server = TestServer::start().await;
    let idle = Memory::now(&server);
    let begin = Instant::now();
    let sent = stream::iter(0..topics).map(async |n| {
        for m in 0..messages(n) {
            server.publish(&name(n), &format!("{n} {m}")).await;
        }
    });
    sent.buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
    let filled = begin.elapsed();
    check(&server, topics).await;
    let all: u64 = (0..topics).map(messages).sum();
    at_last("nobody is there for any of them", async || {
        server.count().await == [all, 0, all, 0]
    })
    .await;
    let (now, peak) = (Memory::now(&server), Memory::peak(&server));
    println!(
        "{topics} topics, filled in {filled:.1?}: {now} resident, at most {peak}, \
         {} bytes a topic",
        now.since(idle).0 / topics as u64
    );
    assert!(peak < BUDGET, "{peak}");

    let begin = Instant::now();
    server.restart().await;
    let started = begin.elapsed();
    check(&server, topics).await;
    let peak = Memory::peak(&server);
    println!("restarted in {started:.1?}: at most {peak} resident");
    assert!(peak < BUDGET, "{peak}");
    let mut consumer = server.consumer(&name(0), "c").await;
    assert_eq!(consumer.data(2).await, ["0 0", "0 1"]);
}
