//! The broker at its limits: the largest messages, a clock that jumps, consumers that read
//! nothing, topics that nobody listens to, and very many topics, consumers and messages.
//!
//! Each test runs in a size that is done in seconds; `DPMQ_FULL=1` asks for the full one.
//! What was measured is printed. Times are compared within a run only.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step fails its test, and figures are for whoever reads the output"
)]

mod backlog;
mod clock;
#[path = "../common/mod.rs"]
mod common;
mod consumers;
mod fan_out;
mod large;
mod memory;
mod quiet;
mod stalled;
mod topics;

use std::ops::Range;
use std::time::{Duration, Instant};

use common::{Socket, TestServer};

/// The longest that a test waits for what takes its time with so many messages.
const LONG: Duration = Duration::from_secs(600);
/// Messages that are sent before a producer looks for answers.
const WINDOW: usize = 1000;

/// A number that depends on whether the full size is asked for.
fn size<T>(gate: T, full: T) -> T {
    if std::env::var_os("DPMQ_FULL").is_some() {
        full
    } else {
        gate
    }
}

/// Waits until `condition` holds, at most [`LONG`].
async fn at_last(what: &str, condition: impl AsyncFn() -> bool) {
    let deadline = Instant::now() + LONG;
    while !condition().await {
        assert!(Instant::now() < deadline, "did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Message `n` in as many bytes.
fn numbered(n: usize, bytes: usize) -> String {
    format!("{n:0bytes$}")
}

/// The number of the next message.
async fn number(consumer: &mut Socket) -> usize {
    consumer.message().await.data.parse().unwrap()
}

/// Publishes messages of so many bytes, and returns when the last is answered.
async fn publish(server: &TestServer, topic: &str, numbers: Range<usize>, bytes: usize) {
    let mut producer = server.producer_ack(topic, "p").await;
    for first in numbers.clone().step_by(WINDOW) {
        let window = first..numbers.end.min(first + WINDOW);
        let messages = window.clone().map(|n| numbered(n, bytes));
        producer.send_all(messages).await;
        for _ in window {
            producer.ack().await;
        }
    }
    producer.close().await;
}

/// The median time from publishing a message to its arrival; each of them comes in order.
async fn latency(
    server: &TestServer,
    topic: &str,
    consumer: &mut Socket,
    numbers: Range<usize>,
) -> Duration {
    let mut times = vec![];
    for n in numbers {
        let begin = Instant::now();
        server.publish(topic, &n.to_string()).await;
        assert_eq!(number(consumer).await, n);
        times.push(begin.elapsed());
    }
    times.sort();
    times[times.len() / 2]
}
