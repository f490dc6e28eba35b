//! Messages of the largest size, and of one byte more.

use reqwest::RequestBuilder;
use serde_json::Value;
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{KEY, Setup, Socket, TestServer, eventually, multipart};
use crate::memory::Memory;
use crate::{LONG, size};

/// The largest message that is allowed: by default 16 MiB.
fn largest() -> usize {
    size(2 << 20, 16 << 20)
}

async fn start() -> TestServer {
    Setup::new()
        .environment("DPMQ_SERVER_MAXMESSAGEBYTES", largest().to_string())
        .start()
        .await
}

/// A text of so many bytes that JSON, forms and lines all have to escape, different for each
/// `salt`.
fn text(salt: usize, bytes: usize) -> String {
    const PIECE: &str = "a \"b\" \\ é 短 \u{1f600}\r\n--XX&=%+\u{1}\0</";
    let mut text = format!("{salt} ");
    while text.len() + PIECE.len() + 20 <= bytes {
        text.push_str(&text.len().to_string());
        text.push_str(PIECE);
    }
    text.push_str(&"x".repeat(bytes - text.len()));
    text
}

/// Whether it is this text: a failure does not print millions of bytes.
fn is(found: &str, expected: &str) -> bool {
    found == expected
}

async fn send_form(server: &TestServer, topic: &str, data: &str) -> Value {
    let form = [("topic", topic), ("messageData", data)];
    reply_to(post(server).form(&form)).await
}

async fn send_multipart(server: &TestServer, topic: &str, data: &str) -> Value {
    let form = multipart(&[("topic", topic), ("messageData", data)]);
    reply_to(post(server).multipart(form)).await
}

fn post(server: &TestServer) -> RequestBuilder {
    server.post("/Producer/Send").header("secretKey", KEY)
}

async fn reply_to(request: RequestBuilder) -> Value {
    let response = request.timeout(LONG).send().await.unwrap();
    response.json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_largest_message_comes_back_byte_for_byte() {
    let mut server = start().await;
    let texts: Vec<String> = (0..4).map(|salt| text(salt, largest())).collect();
    let send = async |server: &TestServer, topic: &str| {
        assert_eq!(send_form(server, topic, &texts[0]).await["code"], 0);
        assert_eq!(send_multipart(server, topic, &texts[1]).await["code"], 0);
        let mut producer = server.producer_ack(topic, "p").await;
        producer.send(&texts[2]).await;
        producer.ack().await;
        // The same in pieces.
        let (first, second) = texts[3].as_bytes().split_at(largest() / 2 + 1);
        producer.send_pieces(&[first, second]).await;
        producer.ack().await;
    };
    let receive = async |consumer: &mut Socket| {
        for (n, text) in texts.iter().enumerate() {
            let message = consumer.message().await;
            assert!(is(&message.data, text), "message {n} is another");
        }
    };
    let mut consumer = server.consumer("heard", "c").await;
    send(&server, "heard").await;
    receive(&mut consumer).await;
    send(&server, "waiting").await;
    eventually("all are where they belong", async || {
        server.count().await == [8, 4, 4, 0]
    })
    .await;

    server.restart().await;
    assert_eq!(server.count().await[0], 8);
    let listed = server.list(&[("status", "1")]).await;
    assert_eq!(listed.len(), 4);
    for (message, text) in listed.iter().rev().zip(&texts) {
        assert!(is(&message.data, text), "the list has another message");
    }
    receive(&mut server.consumer("waiting", "c").await).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn one_byte_more_is_refused_and_nobody_else_notices() {
    let server = start().await;
    let mut consumer = server.consumer("t", "c").await;
    let mut other = server.producer_ack("t", "other").await;
    let more = "x".repeat(largest() + 1);
    for reply in [
        send_form(&server, "t", &more).await,
        send_multipart(&server, "t", &more).await,
    ] {
        assert_eq!(reply["code"], -1, "{reply}");
        let reason = reply["msg"].as_str().unwrap();
        assert!(reason.contains(&largest().to_string()), "{reason}");
    }
    let much_more = send_form(&server, "t", &"x".repeat(6 * largest())).await;
    assert_eq!(much_more["code"], -1, "{much_more}");
    let (first, second) = more.as_bytes().split_at(largest() / 2);
    // Bytes that are not UTF-8 are stored as three bytes each.
    let broken = vec![0xff; largest() / 3 + 1];
    let too_large: [&[&[u8]]; 3] = [&[more.as_bytes()], &[first, second], &[&broken]];
    for pieces in too_large {
        let mut producer = server.producer_ack("t", "p").await;
        producer.send("before").await;
        producer.ack().await;
        assert_eq!(consumer.message().await.data, "before");
        producer.send_pieces(pieces).await;
        let close = producer.closed().await;
        assert_eq!(u16::from(close.code), 1009, "{close:?}");
        assert!(close.reason.contains(&largest().to_string()), "{close:?}");
        other.send("after").await;
        other.ack().await;
        assert_eq!(consumer.message().await.data, "after");
    }
    assert_eq!(server.count().await[0], 6);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_of_the_largest_at_once_stay_within_memory() {
    let senders = size(4, 6);
    let at_once = 2 * senders;
    let server = start().await;
    let idle = Memory::now(&server);
    let mut consumer = server.consumer("t", "c").await;
    let text = text(0, largest());
    let over_http = async {
        let sent = (0..senders).map(|_| send_form(&server, "t", &text));
        for reply in futures_util::future::join_all(sent).await {
            assert_eq!(reply["code"], 0, "{reply}");
        }
    };
    let over_sockets = async {
        let mut producers = vec![];
        for n in 0..senders {
            producers.push(server.producer_ack("t", &n.to_string()).await);
        }
        let sent = producers.iter_mut().map(async |producer| {
            producer.send_frame(Message::text(text.as_str())).await;
            producer.ack().await;
        });
        futures_util::future::join_all(sent).await;
    };
    let expected = text.clone();
    let heard = tokio::spawn(async move {
        for n in 0..at_once {
            let message = consumer.message().await;
            assert!(is(&message.data, &expected), "message {n} is another");
        }
    });
    tokio::join!(over_http, over_sockets);
    heard.await.unwrap();
    let (grown, sent) = (
        Memory::peak(&server).since(idle),
        (at_once * largest()) as u64,
    );
    println!("{at_once} messages of the largest size at once: at most {grown} more resident");
    // In a form each has three bytes for one, and there are the queue and the outbox.
    assert!(grown < Memory(2 * sent + (64 << 20)), "{grown}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_length_that_is_announced_takes_no_memory() {
    const CONNECTIONS: usize = 50;
    let server = TestServer::start().await;
    let idle = Memory::now(&server);
    let mut head = vec![0x82, 0x80 | 127];
    head.extend_from_slice(&(16_u64 << 20).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    head.extend_from_slice(b"the first of them");
    let mut producers = vec![];
    for n in 0..CONNECTIONS {
        let mut producer = server.producer_ack("t", &n.to_string()).await;
        producer.stream().write_all(&head).await.unwrap();
        producers.push(producer);
    }
    let mut consumer = server.consumer("t", "c").await;
    server.publish("t", "meanwhile").await;
    assert_eq!(consumer.message().await.data, "meanwhile");
    let grown = Memory::peak(&server).since(idle);
    println!("{CONNECTIONS} messages of 16 MiB announced: {grown} more resident");
    assert!(grown < Memory::mib(64), "{grown}");
}
