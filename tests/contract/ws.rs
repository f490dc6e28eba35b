//! The WebSocket part of the wire contract: login, producers, consumers, frames, order.

use std::collections::HashMap;

use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::common::{KEY, Setup, TestServer, encode, eventually, now};

const ASK: &str = "Please enter the secret key";
const WRONG: &str = "Secret key matching error";
const RIGHT: &str = "Secret key matching succeeded";

#[tokio::test]
async fn login_speaks_exactly_these_words() {
    let server = TestServer::start().await;
    for path in ["/Producers/Conn/t/p1", "/Consumers/Conn/t/c1"] {
        let mut socket = server.open(path).await;
        assert_eq!(socket.recv().await, ASK, "{path}");
        socket.send("qqq").await;
        assert_eq!(socket.recv().await, WRONG, "{path}");
        assert_eq!(socket.recv().await, ASK, "{path}");
        socket.send(KEY).await;
        assert_eq!(socket.recv().await, RIGHT, "{path}");
        socket.expect_nothing_but_pong().await;
    }
}

#[tokio::test]
async fn the_key_may_be_a_text_or_a_binary_frame() {
    let server = TestServer::start().await;
    for path in ["/Producers/Conn/t/p1", "/Consumers/Conn/t/c1"] {
        let mut socket = server.open(path).await;
        assert_eq!(socket.recv().await, ASK);
        socket.send_binary(b"qqq").await;
        assert_eq!(socket.recv().await, WRONG);
        assert_eq!(socket.recv().await, ASK);
        socket.send_binary(KEY.as_bytes()).await;
        assert_eq!(socket.recv().await, RIGHT);
    }
}

#[tokio::test]
async fn an_almost_right_key_is_wrong() {
    let server = TestServer::start().await;
    for key in [
        "", "\n", "DPMQ", "dpmq ", "\ndpmq", "dpmq\n\n", "dpmq\r", "dpm", "dpmqq",
    ] {
        let mut socket = server.open("/Consumers/Conn/t/c1").await;
        assert_eq!(socket.recv().await, ASK);
        socket.send(key).await;
        assert_eq!(socket.recv().await, WRONG, "{key:?}");
    }
}

#[tokio::test]
async fn one_line_end_after_the_key_is_not_part_of_it() {
    let server = TestServer::start().await;
    for end in ["\n", "\r\n"] {
        let key = format!("{KEY}{end}");
        let mut consumer = server.open("/Consumers/Conn/t/c1").await;
        assert_eq!(consumer.recv().await, ASK);
        consumer.send(&key).await;
        assert_eq!(consumer.recv().await, RIGHT, "{key:?}");
        let mut producer = server.open("/Producers/Conn/t/p1").await;
        assert_eq!(producer.recv().await, ASK);
        producer.send_binary(key.as_bytes()).await;
        assert_eq!(producer.recv().await, RIGHT, "{key:?}");
        // Of a message it is a part.
        let data = format!("data{end}");
        producer.send(&data).await;
        assert_eq!(consumer.data(1).await, [data]);
        consumer.close().await;
    }
}

#[tokio::test]
async fn login_attempts_have_a_limit_with_a_clear_close_reason() {
    let server = TestServer::start().await;
    let mut socket = server.open("/Consumers/Conn/t/c1").await;
    for _ in 0..1_000 {
        match socket.frame().await {
            Some(Ok(Message::Text(text))) if text == ASK => socket.send("qqq").await,
            Some(Ok(Message::Text(text))) => assert_eq!(text, WRONG),
            Some(Ok(Message::Close(Some(close)))) => {
                assert!(!close.reason.is_empty());
                return;
            }
            other => panic!("{other:?}"),
        }
    }
    panic!("500 wrong keys, and still asked");
}

#[tokio::test]
async fn a_huge_frame_is_refused_with_a_clear_close_reason() {
    let server = TestServer::start().await;
    let mut producer = server.producer("t", "p1").await;
    // A binary frame that announces a terabyte: final, masked, 64-bit length, mask.
    let mut head = vec![0x82, 0x80 | 127];
    head.extend_from_slice(&(1_u64 << 40).to_be_bytes());
    head.extend_from_slice(&[0; 4]);
    producer.stream().write_all(&head).await.unwrap();
    let close = producer.closed().await;
    assert_eq!(u16::from(close.code), 1009);
    assert!(!close.reason.is_empty());
}

#[tokio::test]
async fn every_text_or_binary_frame_of_a_producer_is_one_message() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer("t", "p1").await;
    producer.send("text").await;
    producer.send_binary(b"binary").await;
    producer.send("  two words\n").await;
    producer.send(r#"{"topic":"x","messageData":"y"}"#).await;
    assert_eq!(
        consumer.data(4).await,
        [
            "text",
            "binary",
            "  two words\n",
            r#"{"topic":"x","messageData":"y"}"#
        ]
    );
    assert_eq!(server.count().await[0], 4);
}

#[tokio::test]
async fn an_empty_frame_is_no_message() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer("t", "p1").await;
    producer.send("").await;
    producer.send_binary(b"").await;
    producer.send("marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
    assert_eq!(server.count().await[0], 1);
}

#[tokio::test]
async fn nothing_is_sent_back_to_a_producer() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer("t", "p1").await;
    producer
        .send_all(["a", "", "b", "c"].map(String::from))
        .await;
    assert_eq!(consumer.data(3).await, ["a", "b", "c"]);
    producer.expect_nothing_but_pong().await;
}

#[tokio::test]
async fn with_ack_each_message_is_answered_with_its_code() {
    let server = TestServer::start().await;
    let mut producer = server.producer_ack("t", "p1").await;
    producer.send("hello").await;
    let reply = producer.recv().await;
    let listed = &server.all().await[0];
    assert_eq!(reply, format!(r#"{{"code":0,"msg":"{}"}}"#, listed.code));
    assert_eq!(listed.data, "hello");
}

#[tokio::test]
async fn with_ack_what_came_before_a_broken_frame_is_answered() {
    let server = TestServer::start().await;
    for _ in 0..20 {
        let mut producer = server.producer_ack("t", "p1").await;
        // A text frame "a", and at once one of a kind that there is not; no mask changes anything.
        let frames = [0x81, 0x81, 0, 0, 0, 0, b'a', 0x83, 0x80, 0, 0, 0, 0];
        producer.stream().write_all(&frames).await.unwrap();
        producer.ack().await;
    }
}

#[tokio::test]
async fn with_ack_thousands_in_flight_are_answered_in_order() {
    const COUNT: usize = 5_000;
    let server = TestServer::start().await;
    let mut producer = server.producer_ack("t", "p1").await;
    producer.send_all((0..COUNT).map(|n| n.to_string())).await;
    let mut codes = Vec::with_capacity(COUNT);
    while codes.len() < COUNT {
        codes.push(producer.ack().await);
    }
    let listed = server.all().await;
    let by_data: HashMap<&str, &str> = listed.iter().map(|m| (&*m.data, &*m.code)).collect();
    assert_eq!(by_data.len(), COUNT);
    for (number, code) in codes.iter().enumerate() {
        assert_eq!(by_data[&*number.to_string()], code, "message {number}");
    }
    producer.expect_nothing_but_pong().await;
}

#[tokio::test]
async fn a_pushed_frame_is_exactly_this_json() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("test_topic", "c1").await;
    let before = now();
    let code = server.publish("test_topic", "he said \"hi\"\n<&>").await;
    let frame = consumer.recv().await;
    let created = consumer_frame_time(&frame);
    assert!((before..=now()).contains(&created));
    assert_eq!(
        frame,
        format!(
            r#"{{"MessageCode":"{code}","MessageData":"he said \"hi\"\n<&>","Topic":"test_topic","CreateTime":{created},"ConsumedTime":0,"Status":-1}}"#
        )
    );
}

fn consumer_frame_time(frame: &str) -> i64 {
    let message: crate::common::Listed = serde_json::from_str(frame).unwrap();
    message.created
}

#[tokio::test]
async fn a_code_is_40_hex_digits_that_end_with_the_time() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let first = server.publish("t", "same").await;
    let second = server.publish("t", "same").await;
    assert_ne!(first, second);
    for code in [first, second] {
        let message = consumer.message().await;
        assert_eq!(message.code, code);
        assert_eq!(code.len(), 40);
        assert!(
            code.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')),
            "{code}"
        );
        assert_eq!(code[32..], format!("{:08x}", message.created));
    }
}

#[tokio::test]
async fn every_consumer_of_a_topic_sees_status_minus_one() {
    let server = TestServer::start().await;
    let mut consumers = vec![];
    for id in 0..5 {
        consumers.push(server.consumer("t", &format!("c{id}")).await);
    }
    for n in 0..50 {
        server.publish("t", &n.to_string()).await;
    }
    for consumer in &mut consumers {
        for n in 0..50 {
            let message = consumer.message().await;
            assert_eq!(message.data, n.to_string());
            assert_eq!((message.status, message.consumed), (-1, 0));
        }
    }
}

#[tokio::test]
async fn nothing_is_pushed_before_login() {
    let server = TestServer::start().await;
    let mut stranger = server.open("/Consumers/Conn/t/c1").await;
    assert_eq!(stranger.recv().await, ASK);
    let mut consumer = server.consumer("t", "c2").await;
    assert_eq!(server.consumer_ids().await, ["c2"]);
    server.publish("t", "secret").await;
    assert_eq!(consumer.data(1).await, ["secret"]);

    stranger.send(KEY).await;
    assert_eq!(stranger.recv().await, RIGHT);
    server.publish("t", "public").await;
    assert_eq!(stranger.data(1).await, ["public"]);
}

#[tokio::test]
async fn nothing_is_published_before_login() {
    let server = TestServer::start().await;
    let mut stranger = server.open("/Producers/Conn/t/p1").await;
    assert_eq!(stranger.recv().await, ASK);
    stranger.send("not a key").await;
    assert_eq!(stranger.recv().await, WRONG);
    assert_eq!(server.count().await[0], 0);
}

#[tokio::test]
async fn a_consumer_is_listed_once_its_login_is_answered() {
    let server = TestServer::start().await;
    for n in 0..20 {
        let _consumer = server.consumer("t", &format!("c{n}")).await;
        let id = format!("c{n}");
        assert!(server.consumer_ids().await.contains(&id), "{id}");
    }
}

#[tokio::test]
async fn what_a_consumer_sends_is_ignored() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    consumer.send("a message?").await;
    consumer.send_binary(b"\xff\xfe").await;
    consumer.send("").await;
    consumer.send(KEY).await;
    consumer.send(&"x".repeat(1 << 20)).await;
    consumer.expect_nothing_but_pong().await;
    server.publish("t", "marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
    assert_eq!(server.count().await[0], 1);
}

#[tokio::test]
async fn a_topic_with_a_bar_is_refused_at_the_handshake_with_400() {
    let server = TestServer::start().await;
    for bar in ["|", "%7C", "%7c"] {
        for path in [
            format!("/Producers/Conn/a{bar}b/p1"),
            format!("/Consumers/Conn/a{bar}b/c1"),
        ] {
            let request = format!(
                "GET {path} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                 Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                server.address()
            );
            let answer = server.raw(request.as_bytes()).await;
            assert!(answer.starts_with("HTTP/1.1 400 "), "{path}: {answer}");
        }
    }
}

#[tokio::test]
async fn topic_and_id_may_be_in_the_query_for_browsers_have_no_dots_in_a_path() {
    let server = TestServer::start().await;
    for topic in [".", "..", "a/b ?&"] {
        let names = format!("topic={}&id=.", encode(topic));
        let mut consumer = server.open(&format!("/Consumers/Conn?{names}")).await;
        consumer.login(KEY).await;
        let mut producer = server.open(&format!("/Producers/Conn?{names}&ack=1")).await;
        producer.login(KEY).await;
        producer.send("hello").await;
        let ack = producer.recv_json().await;
        assert_eq!(ack["code"], 0, "{ack}");
        let message = consumer.recv_json().await;
        assert_eq!(message["Topic"], topic);
        let clients = server.http("/Console/GetConsumers", &[]).await;
        assert_eq!(clients["data"][0]["ConsumerId"], ".");
        consumer.close().await;
        let gone = async || server.consumer_ids().await.is_empty();
        eventually("the consumer has left", gone).await;
    }
    for query in [
        "",
        "?topic=t",
        "?id=c",
        "?topic=&id=c",
        "?topic=t&id=",
        "?topic=a%7Cb&id=c",
        "?topic=t&topic=u&id=c",
    ] {
        let refused = server
            .try_open(&format!("/Consumers/Conn{query}"), &[])
            .await;
        let Err(tungstenite::Error::Http(answer)) = refused else {
            panic!("{query} is not refused");
        };
        assert_eq!(answer.status(), 400, "{query}");
    }
}

#[tokio::test]
async fn with_a_key_of_ones_own_any_origin_may_connect() {
    const OWN: &str = "a key of this test alone";
    let server = Setup::new().set("secretKey", OWN).start().await;
    for origin in [
        "http://elsewhere.example",
        "https://127.0.0.1:1",
        "null",
        "file://",
    ] {
        for path in ["/Producers/Conn/t/p1", "/Consumers/Conn/t/c1"] {
            let mut socket = server.try_open(path, &[("origin", origin)]).await.unwrap();
            socket.login(OWN).await;
        }
    }
}

#[tokio::test]
async fn a_plain_get_of_a_websocket_route_is_refused() {
    let server = TestServer::start().await;
    let request = server.request(reqwest::Method::GET, "/Consumers/Conn/t/c1");
    let status = request.send().await.unwrap().status();
    assert!(status.is_client_error(), "{status}");
}

#[tokio::test]
async fn a_bad_handshake_is_an_http_error() {
    let server = TestServer::start().await;
    for path in [
        "/Consumers/Conn/t",
        "/Consumers/Conn/t/",
        "/Nobody/Conn/t/c1",
    ] {
        match server.try_open(path, &[]).await {
            Err(tungstenite::Error::Http(response)) => {
                assert!(response.status().is_client_error(), "{path}");
            }
            Err(other) => panic!("{path}: {other}"),
            Ok(_) => panic!("{path} was opened"),
        }
    }
}

#[tokio::test]
async fn two_consumers_with_the_same_topic_and_id_are_both_served() {
    let server = TestServer::start().await;
    let mut first = server.consumer("t", "same").await;
    let mut second = server.consumer("t", "same").await;
    server.publish("t", "a").await;
    server.publish("t", "b").await;
    assert_eq!(first.data(2).await, ["a", "b"]);
    assert_eq!(second.data(2).await, ["a", "b"]);

    first.close().await;
    eventually("only one is left", async || {
        server.consumer_ids().await.len() == 1
    })
    .await;
    server.publish("t", "c").await;
    assert_eq!(second.data(1).await, ["c"]);
}

#[tokio::test]
async fn two_producers_with_the_same_topic_and_id_are_both_served() {
    let server = TestServer::start().await;
    let mut first = server.producer_ack("t", "same").await;
    let mut second = server.producer_ack("t", "same").await;
    first.send("a").await;
    second.send("b").await;
    assert_ne!(first.ack().await, second.ack().await);
    assert_eq!(server.count().await[0], 2);
}

#[tokio::test]
async fn messages_of_a_topic_arrive_in_the_order_of_acceptance() {
    const COUNT: usize = 2_000;
    let server = Setup::new().set("sendCount", 7).start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut other = server.consumer("u", "c2").await;
    let mut producer = server.producer("t", "p1").await;
    let mut noise = server.producer("u", "p2").await;
    let numbers = || (0..COUNT).map(|n| n.to_string());
    let (got, _, heard, ()) = tokio::join!(
        consumer.data(COUNT),
        producer.send_all(numbers()),
        other.data(COUNT),
        noise.send_all(numbers()),
    );
    let wanted: Vec<String> = numbers().collect();
    assert_eq!(got, wanted);
    assert_eq!(heard, wanted);
}

#[tokio::test]
async fn messages_of_several_producers_arrive_in_the_order_of_their_answers() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer_ack("t", "p1").await;
    let mut codes = vec![];
    for n in 0..20 {
        codes.push(server.publish("t", &format!("http {n}")).await);
        producer.send(&format!("socket {n}")).await;
        codes.push(producer.ack().await);
    }
    for code in codes {
        assert_eq!(consumer.message().await.code, code);
    }
}

#[tokio::test]
async fn a_message_goes_only_to_consumers_of_its_topic() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("a", "c1").await;
    let mut other = server.consumer("A", "c2").await;
    server.publish("a", "1").await;
    server.publish("A", "2").await;
    server.publish("a", "3").await;
    assert_eq!(consumer.data(2).await, ["1", "3"]);
    server.publish("A", "4").await;
    assert_eq!(other.data(2).await, ["2", "4"]);
}

#[tokio::test]
async fn a_message_that_reached_one_consumer_is_not_pushed_again() {
    let server = TestServer::start().await;
    let mut first = server.consumer("t", "c1").await;
    let code = server.publish("t", "once").await;
    assert_eq!(first.data(1).await, ["once"]);
    server.until_status(&code, 1).await;

    let mut second = server.consumer("t", "c2").await;
    // A message of another topic that waits for a check shows that a check has passed.
    let waiting = server.publish("u", "waiting").await;
    server.until_status(&waiting, 0).await;
    let mut witness = server.consumer("u", "c3").await;
    assert_eq!(witness.data(1).await, ["waiting"]);

    server.publish("t", "marker").await;
    assert_eq!(second.data(1).await, ["marker"]);
    assert_eq!(first.data(1).await, ["marker"]);
}

#[tokio::test]
async fn topics_and_ids_may_be_any_text_when_escaped() {
    let server = TestServer::start().await;
    for topic in [
        "主题",
        "a b",
        "a+b",
        "100%",
        "a/b",
        "ä\u{308}ö",
        "😀",
        "\"quoted\" \\ <&>",
        "?x=1#y",
        "..",
    ] {
        let mut consumer = server.consumer(topic, "身份 1/2").await;
        let listed = server.http("/Console/GetConsumers", &[]).await;
        assert_eq!(listed["data"][0]["Topic"], topic);
        assert_eq!(listed["data"][0]["ConsumerId"], "身份 1/2");
        let mut producer = server.producer_ack(topic, "p 1").await;
        producer.send("by socket").await;
        let code = producer.ack().await;
        let message = consumer.message().await;
        assert_eq!((&*message.topic, &*message.code), (topic, &*code));
        let code = server.publish(topic, "by http").await;
        assert_eq!(consumer.message().await.code, code);
        let found = server.list(&[("topic", topic)]).await;
        assert_eq!(found.len(), 2, "{topic}");
        consumer.close().await;
        eventually("it left", async || server.consumer_ids().await.is_empty()).await;
    }
}

#[tokio::test]
async fn a_topic_may_come_without_escapes_in_the_path() {
    let server = TestServer::start().await;
    let mut consumer = server.open("/Consumers/Conn/a:b@c,d;e=f!$&'()*+~/c1").await;
    consumer.login(KEY).await;
    server.publish("a:b@c,d;e=f!$&'()*+~", "data").await;
    assert_eq!(consumer.data(1).await, ["data"]);
}

#[tokio::test]
async fn data_may_be_any_text() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer_ack("t", "p1").await;
    let long = "長い".repeat(50_000);
    for data in [
        "你好，世界",
        "😀 \u{2028} \u{feff}",
        "\0\u{1}\u{1f}\u{7f}",
        "a\r\nb\tc\\\"",
        "{\"a\":[1,2]}",
        &long,
    ] {
        producer.send(data).await;
        producer.ack().await;
        assert_eq!(consumer.data(1).await, [data]);
        server.publish("t", data).await;
        assert_eq!(consumer.data(1).await, [data]);
    }
}

#[tokio::test]
async fn invalid_utf8_becomes_the_replacement_character() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer_ack("t", "p1").await;
    producer.send_binary(b"a\xffb\xc3(c\x80").await;
    let code = producer.ack().await;
    let data = "a\u{fffd}b\u{fffd}(c\u{fffd}";
    assert_eq!(consumer.data(1).await, [data]);
    assert_eq!(server.message(&code).await.unwrap().data, data);
}

#[tokio::test]
async fn a_message_of_fragments_is_one_message() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut producer = server.producer_ack("t", "p1").await;
    // "ab" and "cd" as a text frame that is not final and its continuation; the mask is 0.
    let frames = [
        0x01, 0x82, 0, 0, 0, 0, b'a', b'b', 0x80, 0x82, 0, 0, 0, 0, b'c', b'd',
    ];
    producer.stream().write_all(&frames).await.unwrap();
    producer.ack().await;
    assert_eq!(consumer.data(1).await, ["abcd"]);
}

#[tokio::test]
async fn a_long_topic_is_refused_and_the_longest_is_served() {
    let server = TestServer::start().await;
    let longest = "x".repeat(dpmq::message::TOPIC_BYTES_MAX);
    // An id may be as long.
    let mut consumer = server.consumer(&longest, &longest).await;
    server.publish(&longest, "data").await;
    assert_eq!(consumer.data(1).await, ["data"]);
    for path in [
        format!("/Consumers/Conn/{longest}x/c1"),
        format!("/Consumers/Conn/t/{longest}x"),
        format!("/Producers/Conn/t/{longest}x"),
    ] {
        match server.try_open(&path, &[]).await {
            Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400),
            Err(other) => panic!("{other}"),
            Ok(_) => panic!("{path} was opened"),
        }
    }
}
