//! Lists and messages that nobody reads: they keep no thread and little memory, and nobody waits
//! for them.

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::Mutex;
use tokio::time::timeout;

use crate::common::{KEY, PATIENCE, Setup, TestServer, eventually};

/// More lists than the server has threads that may block.
const UNREAD: usize = 100;
/// More of a list than the system takes from the server for a client that reads nothing.
const LONG_MESSAGES: usize = 250;

/// Tests that would disturb each other's measurements.
static ALONE: Mutex<()> = Mutex::const_new(());

/// A request for the messages of a topic.
fn list_of(topic: &str, key: &str) -> String {
    let body = format!("topic={topic}");
    format!(
        "POST /Console/GetMessageList HTTP/1.1\r\nHost: h\r\nsecretKey: {key}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Sends a request, and reads as little as it can.
async fn ask(server: &TestServer, request: &str) -> TcpStream {
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let address = server.address().parse().unwrap();
    let mut stream = socket.connect(address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

/// Waits for the beginning of an answer, and reads no more of it.
async fn begins(stream: &mut TcpStream) {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    assert_eq!(&begin, b"HTTP/1.1 200");
}

/// Whether a question is answered, or refused since there is no room.
async fn is_answered(stream: &mut TcpStream) -> bool {
    let mut begin = [0; 12];
    stream.read_exact(&mut begin).await.unwrap();
    match &begin {
        b"HTTP/1.1 200" => true,
        b"HTTP/1.1 503" => false,
        other => panic!("{other:?}"),
    }
}

/// Makes a key that may read one topic, and waits until it counts.
async fn reader(server: &TestServer, topic: &str) -> String {
    let new = [
        "key",
        "new",
        "reads",
        "--rights",
        "console-read",
        "--topics",
    ];
    let made = server.run(&[&new[..], &[topic]].concat()).await.stdout;
    let made = String::from_utf8(made).unwrap();
    let key = made[made.find("dpmq_").unwrap()..][..69].to_owned();
    eventually("the key counts", async || is_right(server, &key).await).await;
    key
}

/// Publishes messages that are as large as small ones can be.
async fn publish(server: &TestServer, topic: &str, messages: usize) {
    let mut producer = server.producer_ack(topic, "p").await;
    for n in 0..messages {
        producer.send(&format!("{n:060000}")).await;
        producer.ack().await;
    }
}

/// Whether a key is right.
async fn is_right(server: &TestServer, key: &str) -> bool {
    let request = server.post("/Console/Ping").header("secretKey", key);
    let answer = request.send().await.unwrap().text().await.unwrap();
    answer == r#"{"code":0}"#
}

#[tokio::test]
async fn nobody_waits_for_lists_that_are_not_read() {
    let _alone = ALONE.lock().await;
    const BACKLOG: usize = 50;
    let setup = Setup::new()
        .set("queueMemoryMiB", 1)
        .environment("DPMQ_SERVER_DRAINSECONDS", "1");
    let mut server = setup.start().await;
    let key = &*reader(&server, "long").await;
    publish(&server, "long", LONG_MESSAGES).await;
    publish(&server, "backlog", BACKLOG).await;

    let mut unread = vec![];
    for _ in 0..UNREAD {
        unread.push(ask(&server, &list_of("long", key)).await);
    }
    for stream in &mut unread {
        let begun = timeout(PATIENCE, begins(stream)).await;
        begun.expect("every list begins");
    }
    // A page of the console, a scrape, a consumer whose messages are on the disk.
    let page = server.request(reqwest::Method::GET, "/");
    assert_eq!(page.send().await.unwrap().status(), 200);
    let scrape = server.request(reqwest::Method::GET, "/metrics");
    let scrape = scrape.header("Accept", "application/openmetrics-text");
    let scrape = scrape.header("secretKey", KEY).send().await.unwrap();
    let metrics = scrape.text().await.unwrap();
    assert!(metrics.ends_with("# EOF\n"), "{metrics}");
    let mut consumer = server.consumer("backlog", "c").await;
    let mut got = consumer.data(BACKLOG).await;
    got.sort();
    let sent: Vec<_> = (0..BACKLOG).map(|n| format!("{n:060000}")).collect();
    assert!(got == sent, "the backlog is delivered");
    // What is revoked is refused, and what is under way with it breaks off at the next piece.
    assert!(
        server
            .run(&["key", "revoke", "reads"])
            .await
            .status
            .success()
    );
    eventually("the key is refused", async || !is_right(&server, key).await).await;
    let mut rest = vec![];
    let mut stream = unread.pop().unwrap();
    let ended = timeout(PATIENCE, stream.read_to_end(&mut rest)).await;
    let _ = ended.expect("a list of a key that is revoked ends");
    assert!(
        !rest.ends_with(b"0\r\n\r\n"),
        "a part is taken for the whole"
    );
    assert!(rest.len() < LONG_MESSAGES * 60_000);
    // And the server ends, whoever reads.
    server.terminate();
    assert!(server.ended().await.success());
    drop(unread);
}

#[tokio::test]
async fn large_messages_that_are_read_share_their_memory() {
    let _alone = ALONE.lock().await;
    const MESSAGES: usize = 12;
    const BYTES: usize = 16 << 20;
    const REQUESTS: usize = 30;
    const GROWTH_MIB_MAX: u64 = 128;
    let mut server = Setup::new().set("persistentTime", 1000).start().await;
    server.publish("small", "small").await;
    // As JSON they are six times as large.
    let data = "\0".repeat(BYTES);
    let mut code = String::new();
    for _ in 0..MESSAGES {
        let mut producer = server.producer_ack("large", "p").await;
        producer.send(&data).await;
        code = producer.ack().await;
    }
    // Then the next start has nothing to queue, which would take memory at any time.
    let tried = async || server.count().await[3] == 0;
    eventually("every message was pushed to nobody", tried).await;
    let one = format!("GET /api/messages/{code} HTTP/1.1\r\nHost: h\r\nsecretKey: {KEY}\r\n\r\n");
    for (what, request) in [("lists of", list_of("large", KEY)), ("times one of", one)] {
        server.restart().await;
        let before = server.memory_peak();
        let mut begun = FuturesUnordered::new();
        for _ in 0..REQUESTS {
            let mut stream = ask(&server, &request).await;
            begun.push(async move {
                let is_answered = is_answered(&mut stream).await;
                (is_answered, stream)
            });
        }
        let first = timeout(PATIENCE, begun.next()).await.unwrap();
        // Small ones need no room, and come while the others wait for it.
        let small = server.list(&[("topic", "small")]).await;
        assert_eq!(small.len(), 1);
        let is_first_answered = first.as_ref().is_some_and(|(is_answered, _)| *is_answered);
        assert!(is_first_answered);
        // Who goes away leaves the room to others, who are refused if they have to wait for long.
        drop(first);
        while let Some(stream) = timeout(PATIENCE, begun.next()).await.unwrap() {
            drop(stream);
        }
        let growth = server.memory_peak().saturating_sub(before) >> 20;
        println!("{REQUESTS} {what} the 16 MiB messages: {growth} MiB more");
        assert!(growth < GROWTH_MIB_MAX, "{what}: {growth} MiB");
    }
}

#[tokio::test]
async fn a_key_whose_lists_are_not_read_is_refused_soon_and_others_are_not() {
    let _alone = ALONE.lock().await;
    /// A key may have half of the room.
    const STALLED: usize = 2;
    let server = TestServer::start().await;
    let key = reader(&server, "large").await;
    let mut producer = server.producer_ack("large", "p").await;
    producer.send(&"x".repeat(15 << 20)).await;
    let code = producer.ack().await;
    let mut stalled = vec![];
    for _ in 0..STALLED {
        let mut stream = ask(&server, &list_of("large", &key)).await;
        assert!(is_answered(&mut stream).await);
        stalled.push(stream);
    }
    let mut third = ask(&server, &list_of("large", &key)).await;
    let refused = timeout(PATIENCE, is_answered(&mut third)).await;
    assert!(!refused.unwrap(), "it has what a key may have");
    let path = format!("/api/messages/{code}");
    let found = server.request(reqwest::Method::GET, &path);
    let found = found.header("secretKey", KEY).send().await.unwrap();
    assert_eq!(found.status(), 200, "another key has room");
    drop(stalled);
    let again = async || {
        let mut stream = ask(&server, &list_of("large", &key)).await;
        is_answered(&mut stream).await
    };
    eventually("who goes away leaves the room to others", again).await;
}

#[tokio::test]
async fn a_named_key_leaves_streams_and_downloads_to_others() {
    /// Of 64 streams of events.
    const SHARE: usize = 32;
    let server = TestServer::start().await;
    let key = reader(&server, "t").await;
    let watch = async |key: &str| {
        let request = server.request(reqwest::Method::GET, "/api/topics/t/watch");
        request.header("secretKey", key).send().await.unwrap()
    };
    let mut open = vec![];
    for _ in 0..SHARE {
        let stream = watch(&key).await;
        assert_eq!(stream.status(), 200);
        open.push(stream);
    }
    assert_eq!(watch(&key).await.status(), 503);
    assert_eq!(watch(KEY).await.status(), 200);
    drop(open);
    eventually("a place is free again", async || {
        watch(&key).await.status() == 200
    })
    .await;
}
