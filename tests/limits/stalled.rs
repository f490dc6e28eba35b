//! A consumer that stops reading.

use std::collections::BTreeSet;
use std::time::Instant;

use tokio_tungstenite::tungstenite::Message;

use crate::common::{Listed, Setup, eventually};
use crate::memory::Memory;
use crate::{latency, number, numbered, publish, size};

const DATA_BYTES: usize = 16 << 10;
/// Messages whose way is timed.
const TIMED: usize = 100;
/// A busy machine takes longer at times, but not for every second message.
const SLOWER_MAX: u32 = 5;

#[tokio::test(flavor = "multi_thread")]
async fn a_consumer_that_stops_reading_costs_little_memory_and_nobody_else_waits() {
    let count = size(8_000, 100_000);
    let server = Setup::new()
        .set("outboxMiB", 2)
        .set("queueMemoryMiB", 2)
        .set("writeSeconds", size(3, 10))
        .start()
        .await;
    let mut other = server.consumer("other", "c").await;
    // The same load, with nobody who could stall.
    let (before, ()) = tokio::join!(
        latency(&server, "other", &mut other, 0..TIMED),
        publish(&server, "unheard", 0..count, DATA_BYTES),
    );
    let idle = Memory::now(&server);

    let mut stalled = server.narrow_consumer("t").await;
    let begin = Instant::now();
    let (beside, ()) = tokio::join!(
        latency(&server, "other", &mut other, TIMED..2 * TIMED),
        publish(&server, "t", 0..count, DATA_BYTES),
    );
    let grown = Memory::peak(&server).since(idle);
    let data = Memory((count * DATA_BYTES) as u64);
    println!(
        "{data} for a consumer that reads nothing, in {:.1?}: at most {grown} more; \
         another topic takes {beside:.1?} a message beside it, and {before:.1?} where nobody listens",
        begin.elapsed()
    );
    assert!(grown < Memory::mib(size(96, 192)), "{grown} more");
    assert!(
        beside < before * SLOWER_MAX,
        "{beside:?}, {before:?} without"
    );

    eventually("it is off the list", async || {
        server.consumer_ids().await == ["c"]
    })
    .await;
    // What was written to it by then, it has.
    let mut written = 0;
    while let Some(Ok(frame)) = stalled.frame().await {
        match frame {
            Message::Text(text) => {
                let message: Listed = serde_json::from_str(&text).unwrap();
                assert_eq!(message.data, numbered(written, DATA_BYTES));
                written += 1;
            }
            // Only where the system had room for it beside what was not read.
            Message::Close(Some(close)) => {
                assert_eq!(u16::from(close.code), 1013, "{close:?}");
                assert!(close.reason.contains("nothing was read"), "{close:?}");
            }
            other => panic!("{other:?}"),
        }
    }

    // Everything else comes to the next, and what was under way at the end comes again.
    let mut next = server.consumer("t", "next").await;
    let mut missing: BTreeSet<usize> = (written..count).collect();
    while !missing.is_empty() {
        missing.remove(&number(&mut next).await);
    }
}
