//! One large message to many consumers.

use futures_util::{StreamExt, future, stream};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;

use crate::common::{PATIENCE, Setup, Socket, TestServer, eventually};
use crate::memory::Memory;
use crate::{LONG, size};

/// Connections that are being made at once.
const AT_ONCE: usize = 50;
/// What a frame has around the data of its message.
const AROUND_MAX: usize = 1024;
const HEAD_BYTES: usize = 10;
/// Where the data of a message begins in its JSON.
const DATA_AT: usize = 73;
/// Texts that are compared at once.
const PIECE_TEXTS: usize = 8 << 10;
/// As many as a consumer may have unread.
const MESSAGES: usize = 1;
/// Messages that wait for a start.
const BACKLOG: usize = 8;
/// What the data of all of them take together, and a few buffers.
const GROWN_MAX: Memory = Memory::mib(128);

fn bytes() -> usize {
    size(4 << 20, 16 << 20)
}

/// What the system keeps of a message that a consumer has not read is not the server's alone.
fn consumers() -> usize {
    let full = std::env::var("DPMQ_CONSUMERS").map(|n| n.parse().unwrap());
    size(40, full.unwrap_or(1000))
}

async fn join(server: &TestServer, consumers: usize) -> Vec<Socket> {
    let joined = stream::iter(0..consumers)
        .map(async |n| server.consumer("t", &format!("c{n}")).await)
        .buffer_unordered(AT_ONCE);
    joined.collect().await
}

/// Reads one message, `text` over and over in JSON, without having it in memory.
async fn hear(consumer: &mut Socket, text: &str, times: usize) {
    let stream = consumer.stream();
    let mut head = [0; HEAD_BYTES];
    stream.read_exact(&mut head).await.unwrap();
    assert_eq!(head[..2], [0x81, 127], "a whole message of text");
    let payload = u64::from_be_bytes(head[2..].try_into().unwrap());
    let data = text.len() * times;
    let around = usize::try_from(payload).unwrap() - data;
    assert!(around < AROUND_MAX, "{payload} bytes");
    let mut before = vec![0; DATA_AT];
    stream.read_exact(&mut before).await.unwrap();
    assert!(before.ends_with(br#""MessageData":""#));
    let expected = text.repeat(PIECE_TEXTS);
    let (mut left, mut piece) = (times, vec![0; expected.len()]);
    while left > 0 {
        let bytes = text.len() * left.min(PIECE_TEXTS);
        stream.read_exact(&mut piece[..bytes]).await.unwrap();
        assert!(piece[..bytes] == expected.as_bytes()[..bytes]);
        left -= left.min(PIECE_TEXTS);
    }
    let mut behind = vec![0; around - DATA_AT];
    stream.read_exact(&mut behind).await.unwrap();
    assert!(behind.starts_with(br#"","Topic":"t","#));
}

/// To all of them at once; returns what the server took more than when it was idle.
async fn round(data: &str, escaped: &str) {
    let text = data.repeat(bytes());
    let mut server = Setup::new()
        .set("writeSeconds", 60)
        .environment("DPMQ_SERVER_PINGSECONDS", "0")
        .start()
        .await;
    let idle = Memory::now(&server);
    let mut heard = join(&server, consumers()).await;
    let publish = async {
        for _ in 0..MESSAGES {
            server.publish("t", &text).await;
        }
    };
    let hear_all = heard.iter_mut().map(async |consumer| {
        for _ in 0..MESSAGES {
            hear(consumer, escaped, bytes()).await;
        }
    });
    let all = async { tokio::join!(publish, future::join_all(hear_all)) };
    timeout(LONG, all).await.unwrap();
    let grown = Memory::peak(&server).since(idle);
    println!(
        "{} bytes of {data:?} to {} consumers: {grown} more",
        bytes(),
        consumers()
    );
    assert!(grown < GROWN_MAX, "{grown}");

    // Some wait for a start, and who comes first gets them.
    drop(heard);
    eventually("nobody is there", async || {
        server.consumer_ids().await.is_empty()
    })
    .await;
    for _ in 0..BACKLOG {
        server.publish("t", &text).await;
    }
    server.kill().await;
    server.start_again().await;
    let mut heard = join(&server, 1).await;
    for _ in 0..BACKLOG {
        let next = hear(&mut heard[0], escaped, bytes());
        timeout(PATIENCE, next).await.unwrap();
    }
    let grown = Memory::peak(&server).since(idle);
    println!("{BACKLOG} of them at the next start: {grown} more");
    assert!(grown < GROWN_MAX, "{grown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_message_to_many_is_in_memory_once() {
    round("x", "x").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_that_json_makes_six_times_as_long_is_not_in_memory_so() {
    round("\u{1}", r"\u0001").await;
}
