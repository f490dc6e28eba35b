//! Very many consumers of one topic.

use std::time::Instant;

use futures_util::{StreamExt, future, stream};

use crate::common::{Socket, TestServer, eventually};
use crate::memory::Memory;
use crate::{number, size};

/// Connections that are being made at once.
const AT_ONCE: usize = 100;
const MESSAGES: usize = 20;
/// What a consumer that waits may take of the server: mostly the buffers of its socket.
const IDLE_BYTES_MAX: u64 = 64 << 10;

#[tokio::test(flavor = "multi_thread")]
async fn each_of_very_many_consumers_gets_every_message_in_order() {
    let count = size(500, 10_000);
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let server = TestServer::start().await;
    let idle = Memory::now(&server);
    let begin = Instant::now();
    let server_ref = &server;
    let joined = stream::iter(0..count)
        .map(async |n| server_ref.consumer("t", &format!("c{n}")).await)
        .buffer_unordered(AT_ONCE);
    let mut consumers: Vec<Socket> = joined.collect().await;
    let each = Memory::now(&server).since(idle).0 / count as u64;
    println!(
        "{count} consumers joined in {:.1?}: {each} bytes each",
        begin.elapsed()
    );
    assert!(each < IDLE_BYTES_MAX, "{each} bytes");

    let begin = Instant::now();
    let heard = consumers.iter_mut().map(async |consumer| {
        for n in 0..MESSAGES {
            assert_eq!(number(consumer).await, n);
        }
    });
    let sent = async {
        for n in 0..MESSAGES {
            server.publish("t", &n.to_string()).await;
        }
    };
    tokio::join!(future::join_all(heard), sent);
    println!(
        "{} frames in {:.1?}, at most {} resident",
        count * MESSAGES,
        begin.elapsed(),
        Memory::peak(&server)
    );
    let messages = MESSAGES as u64;
    eventually("each message is consumed once", async || {
        server.count().await == [messages, messages, 0, 0]
    })
    .await;
    for consumer in consumers.iter_mut().step_by(count / 50) {
        consumer.expect_nothing_but_pong().await;
    }
}
