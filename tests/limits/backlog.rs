//! A long backlog costs disk, and no memory.

use std::time::Instant;

use crate::common::Setup;
use crate::memory::{BUDGET, Memory};
use crate::{at_last, number, publish, size};

/// Topics that share the backlog.
const TOPICS: usize = 8;
const DATA_BYTES: usize = 128;
/// Places in the counts.
const NOT_CONSUMED: usize = 2;
const ACCEPTED: usize = 3;

/// Fills a server until `count` messages wait, in the status whose place in the counts is
/// `status`; then restarts it.
async fn fill(setup: Setup, count: usize, status: usize) {
    let mut server = setup.set("queueMemoryMiB", size(2, 64)).start().await;
    let idle = Memory::now(&server);
    // The first message leaves at once, whatever the pace.
    server.publish("first", "1").await;
    let (begin, each) = (Instant::now(), count / TOPICS);
    let names: Vec<String> = (0..TOPICS).map(|n| format!("t{n}")).collect();
    let filled = names
        .iter()
        .map(|name| publish(&server, name, 0..each, DATA_BYTES));
    futures_util::future::join_all(filled).await;
    let took = begin.elapsed();
    let all = (each * TOPICS) as u64;
    at_last("all of them wait", async || {
        let counts = server.count().await;
        counts[0] == all + 1 && counts[status] >= all
    })
    .await;
    let (now, peak) = (Memory::now(&server), Memory::peak(&server));
    println!(
        "{all} messages of {DATA_BYTES} bytes wait after {took:.1?}: {now} resident, at most {peak}"
    );
    // What they would take in memory, but for the space between them.
    let data = Memory(all * DATA_BYTES as u64);
    let grown = peak.since(idle);
    assert!(grown < data, "{grown} more than when it was idle");
    assert!(peak < BUDGET, "{peak}");

    let begin = Instant::now();
    server.restart().await;
    let took = begin.elapsed();
    assert_eq!(server.count().await[0], all + 1);
    if status == NOT_CONSUMED {
        let mut consumer = server.consumer("t0", "c").await;
        for n in 0..each.min(10_000) {
            assert_eq!(number(&mut consumer).await, n);
        }
    }
    let peak = Memory::peak(&server);
    println!("restarted in {took:.1?}, at most {peak} resident");
    assert!(peak.since(idle) < data, "{peak}");
    assert!(peak < BUDGET, "{peak}");
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_nobody_listens_to_take_no_memory() {
    fill(Setup::new(), size(400_000, 10_000_000), NOT_CONSUMED).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_that_wait_for_their_turn_take_no_memory() {
    let count = size(400_000, 10_000_000);
    let setup = Setup::new()
        .set("pushMessagesSpeed", 3600)
        .set("sendCount", 1)
        .set("messageChanBuffer", 2 * count);
    fill(setup, count, ACCEPTED).await;
}
