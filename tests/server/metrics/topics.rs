//! Topics that `/metrics` tells one by one.

use reqwest::Method;

use super::{PLAIN, Told, scrape, scrape_by, until};
use crate::common::{KEY, Setup, TestServer};

fn telling(topics: &str) -> Setup {
    Setup::new().environment("DPMQ_SERVER_METRICSTOPICS", topics)
}

/// What is expected of a topic: waiting, consumers, in, out.
fn of<'a>(labels: &'a [(&'a str, &'a str)], values: [f64; 4]) -> [Told<'a>; 4] {
    let [waiting, consumers, accepted, delivered] = values;
    [
        ("dpmq_topic_waiting_messages", labels, waiting),
        ("dpmq_topic_consumers", labels, consumers),
        ("dpmq_topic_messages_accepted_total", labels, accepted),
        ("dpmq_topic_messages_delivered_total", labels, delivered),
    ]
}

/// The topics that are told.
async fn told(server: &TestServer) -> Vec<String> {
    let told = scrape(server).await;
    let Some(family) = told.0.get("dpmq_topic_consumers") else {
        return vec![];
    };
    let topics = family.samples.iter().map(|sample| &sample.labels["topic"]);
    topics.cloned().collect()
}

#[tokio::test]
async fn each_topic_that_is_named_is_told_by_itself() {
    let mut server = telling("orders, eu-*").start().await;
    assert_eq!(told(&server).await, [""; 0]);
    let mut consumers = [
        server.consumer("eu-de", "a").await,
        server.consumer("eu-de", "b").await,
    ];
    for n in 0..5 {
        server.publish("eu-de", &n.to_string()).await;
    }
    for n in 0..3 {
        server.publish("orders", &n.to_string()).await;
        server.publish("other", &n.to_string()).await;
    }
    for consumer in &mut consumers {
        consumer.data(5).await;
    }
    let (german, orders) = ([("topic", "eu-de")], [("topic", "orders")]);
    until(&server, &of(&german, [0.0, 2.0, 5.0, 10.0])).await;
    until(&server, &of(&orders, [3.0, 0.0, 3.0, 0.0])).await;
    assert_eq!(told(&server).await, ["eu-de", "orders"]);

    // Somebody comes for the others, and goes.
    let mut late = server.consumer("orders", "c").await;
    late.data(3).await;
    until(&server, &of(&orders, [0.0, 1.0, 3.0, 3.0])).await;
    late.close().await;
    until(&server, &of(&orders, [0.0, 0.0, 3.0, 3.0])).await;
    let oldest = "dpmq_topic_oldest_waiting_seconds";
    until(&server, &[(oldest, &orders, 0.0)]).await;

    // What waited before a start is told from the start on.
    server.publish("orders", "waits").await;
    until(&server, &of(&orders, [1.0, 0.0, 4.0, 3.0])).await;
    server.restart().await;
    until(&server, &of(&orders, [1.0, 0.0, 0.0, 0.0])).await;
    until(&server, &[("dpmq_topics_left_out", &[], 0.0)]).await;
}

#[tokio::test]
async fn a_topic_may_have_any_name() {
    let server = telling("*").start().await;
    let names = [
        "a\"b",
        "a\\b",
        "a\nb",
        "a,b",
        "a=\"1\"} 2",
        "# EOF",
        "\u{77ed}\u{4fe1} 1",
    ];
    for name in names {
        server.publish(name, "x").await;
    }
    let get = server.request(Method::GET, "/metrics").bearer_auth(KEY);
    let plain = scrape_by(get, PLAIN).await;
    for read in [plain, scrape(&server).await] {
        for name in names {
            let labels = [("topic", name)];
            assert_eq!(read.value("dpmq_topic_waiting_messages", &labels), 1.0);
        }
    }
}

#[tokio::test]
async fn so_many_topics_are_told_and_no_more() {
    const TOPICS_MAX: usize = 1000;
    let server = telling("*").start().await;
    for n in 0..TOPICS_MAX + 3 {
        server.publish(&format!("t{n:04}"), "x").await;
    }
    let left_out = |topics| [("dpmq_topics_left_out", &[][..], topics)];
    until(&server, &left_out(3.0)).await;
    let topics = told(&server).await;
    assert_eq!(topics.len(), TOPICS_MAX);
    assert!(topics.is_sorted(), "by name");
    assert_eq!(topics.last().unwrap(), "t0999");

    // A topic that has nothing any more gives its place to another.
    let purge = server.post("/api/topics/t0007/purge");
    let body = serde_json::json!({ "confirm": "t0007", "what": "all" });
    let purge = purge.header("secretKey", KEY).json(&body);
    assert_eq!(purge.send().await.unwrap().status(), 200);
    until(&server, &left_out(2.0)).await;
    let topics = told(&server).await;
    assert_eq!(topics.len(), TOPICS_MAX);
    assert!(!topics.contains(&"t0007".to_owned()));
    assert!(topics.contains(&"t1000".to_owned()));
}
