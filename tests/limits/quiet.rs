//! A topic that nobody listens to, beside one that works.

use std::time::Instant;

use crate::common::TestServer;
use crate::{at_last, latency, number, publish, size};

/// Messages whose way is timed.
const TIMED: usize = 200;
/// A busy machine takes longer at times, but not for every second message.
const SLOWER_MAX: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_nobody_listens_to_slows_nobody_down_and_loses_nothing() {
    let count = size(60_000, 1_000_000);
    let server = TestServer::start().await;
    let mut consumer = server.consumer("busy", "c").await;
    let before = latency(&server, "busy", &mut consumer, 0..TIMED).await;
    let begin = Instant::now();
    publish(&server, "quiet", 0..count, 128).await;
    let filled = begin.elapsed();
    at_last("nobody is there for any of them", async || {
        server.count().await[2] == count as u64
    })
    .await;
    let beside = latency(&server, "busy", &mut consumer, TIMED..2 * TIMED).await;
    println!(
        "{count} messages that nobody listens to, answered in {filled:.1?}: \
         another topic takes {beside:.1?} a message beside them, and took {before:.1?} without"
    );
    assert!(
        beside < before * SLOWER_MAX,
        "{beside:?} beside them, {before:?} without"
    );

    let begin = Instant::now();
    let mut late = server.consumer("quiet", "late").await;
    for n in 0..count {
        assert_eq!(number(&mut late).await, n);
    }
    println!(
        "and a consumer that comes then has them all after {:.1?}",
        begin.elapsed()
    );
    let all = (count + 2 * TIMED) as u64;
    at_last("all are consumed", async || {
        server.count().await == [all, all, 0, 0]
    })
    .await;
    late.expect_nothing_but_pong().await;
}
