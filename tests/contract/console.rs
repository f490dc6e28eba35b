//! The console's part of the wire contract: consumers, configuration, lists, counts.

use std::collections::BTreeSet;

use serde_json::Value;

use crate::common::{GoMessage, Listed, Setup, TestServer, eventually, go_data, local, now};

/// 2027-01-08 09:05:03 in the zone of the test servers.
const T: i64 = 1_799_370_303;

/// Four messages, a second or a day apart: their data is the distance from [`T`]. They stay as
/// they are: nothing expires and nothing is pushed again.
fn history() -> Setup {
    let at = |after: i64| GoMessage::new("old", after.to_string(), T + after);
    let file = go_data(&[
        at(0),
        at(1).status(1),
        at(86_400).status(1),
        GoMessage {
            topic: "older",
            ..at(-86_400)
        },
    ]);
    still().file("data", &file)
}

/// Nothing that is there changes by itself.
fn still() -> Setup {
    Setup::new().set("isClean", 0).set("isRePush", 0)
}

fn data(messages: &[Listed]) -> Vec<&str> {
    messages.iter().map(|m| &*m.data).collect()
}

#[tokio::test]
async fn ping_answers() {
    let server = TestServer::start().await;
    assert_eq!(
        server.http_text("/Console/Ping", &[]).await,
        r#"{"code":0}"#
    );
}

#[tokio::test]
async fn consumers_are_listed_in_this_shape() {
    let server = TestServer::start().await;
    let before = now();
    let _consumer = server.consumer("t", "c1").await;
    let text = server.http_text("/Console/GetConsumers", &[]).await;
    let reply: Value = serde_json::from_str(&text).unwrap();
    let joined = reply["data"][0]["JoinTime"].as_i64().unwrap();
    assert!((before..=now()).contains(&joined));
    assert_eq!(
        text,
        format!(
            r#"{{"code":0,"data":[{{"ConsumerId":"c1","Topic":"t","ConsumerIp":"127.0.0.1","JoinTime":{joined}}}]}}"#
        )
    );
}

#[tokio::test]
async fn no_consumers_are_an_empty_list_never_null() {
    let server = TestServer::start().await;
    let empty = r#"{"code":0,"data":[]}"#;
    assert_eq!(server.http_text("/Console/GetConsumers", &[]).await, empty);
    server.consumer("t", "c1").await.close().await;
    eventually("the list is empty again", async || {
        server.http_text("/Console/GetConsumers", &[]).await == empty
    })
    .await;
}

#[tokio::test]
async fn producers_and_strangers_are_no_consumers() {
    let server = TestServer::start().await;
    let _producer = server.producer("t", "p1").await;
    let mut stranger = server.open("/Consumers/Conn/t/c1").await;
    stranger.recv().await;
    assert!(server.consumer_ids().await.is_empty());
}

#[tokio::test]
async fn a_consumer_leaves_the_list_when_its_socket_closes_or_dies() {
    // No push and no check helps to notice.
    let server = Setup::new().set("checkSpeed", 3600).start().await;
    let closing = server.consumer("t", "closing").await;
    let dying = server.consumer("t", "dying").await;
    let _staying = server.consumer("t", "staying").await;
    assert_eq!(server.consumer_ids().await, ["closing", "dying", "staying"]);
    closing.close().await;
    eventually("the closed one left", async || {
        server.consumer_ids().await == ["dying", "staying"]
    })
    .await;
    drop(dying);
    eventually("the dead one left", async || {
        server.consumer_ids().await == ["staying"]
    })
    .await;
}

#[tokio::test]
async fn the_configuration_has_13_keys_and_no_secret() {
    let setup = Setup::new()
        .set("secretKey", "a-very-secret-key")
        .set("sendCount", 17)
        .set("pushMessagesSpeed", 0.25)
        .set("persistentFile", "messages");
    let server = setup.start().await;
    let text = server.http_text("/Console/GetConfig", &[]).await;
    assert!(!text.contains("a-very-secret-key"), "{text}");
    let reply: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(reply["code"], 0);
    let config = reply["data"].as_object().unwrap();
    let keys: BTreeSet<&str> = config.keys().map(String::as_str).collect();
    let wanted = BTreeSet::from([
        "messageChanBuffer",
        "pushMessagesSpeed",
        "sendCount",
        "sendRetryCount",
        "persistentFile",
        "isPersistent",
        "recoveryStrategy",
        "persistentTime",
        "isRePush",
        "isClean",
        "checkSpeed",
        "checkCount",
        "cleanTime",
    ]);
    assert_eq!(keys, wanted);
    for (key, value) in config {
        assert_eq!(value.is_string(), key == "persistentFile", "{key}: {value}");
        assert!(value.is_string() || value.is_number(), "{key}: {value}");
    }
    assert_eq!(config["sendCount"], 17);
    assert_eq!(config["pushMessagesSpeed"], 0.25);
    assert_eq!(config["persistentFile"], "messages");
    assert_eq!(config["checkCount"], 0);
}

#[tokio::test]
async fn whole_numbers_in_the_configuration_are_shown_as_integers() {
    let server = Setup::new().set("pushMessagesSpeed", 1).start().await;
    let text = server.http_text("/Console/GetConfig", &[]).await;
    for shown in [
        r#""messageChanBuffer":1000000"#,
        r#""pushMessagesSpeed":1"#,
        r#""sendCount":100"#,
        r#""sendRetryCount":1"#,
        r#""persistentFile":"data""#,
        r#""isPersistent":1"#,
        r#""recoveryStrategy":1"#,
        r#""isRePush":1"#,
        r#""isClean":1"#,
        r#""cleanTime":259200"#,
    ] {
        let found = text.split([',', '{', '}']).any(|field| field == shown);
        assert!(found, "{shown} is not in {text}");
    }
}

#[tokio::test]
async fn a_listed_message_is_exactly_this_json() {
    let server = TestServer::start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let code = server.publish("t", "hello").await;
    consumer.message().await;
    server.until_status(&code, 1).await;
    let message = server.message(&code).await.unwrap();
    assert!((message.created..=now()).contains(&message.consumed));
    let (created, consumed) = (message.created, message.consumed);
    assert_eq!(
        server.http_text("/Console/GetMessageList", &[]).await,
        format!(
            r#"{{"code":0,"data":[{{"MessageCode":"{code}","MessageData":"hello","Topic":"t","CreateTime":{created},"ConsumedTime":{consumed},"Status":1}}]}}"#
        )
    );
}

#[tokio::test]
async fn no_messages_are_an_empty_list_never_null() {
    let server = TestServer::start().await;
    for form in [
        vec![],
        vec![("topic", "none")],
        vec![("status", "1"), ("startTime", "2027-01-01 00:00:00")],
    ] {
        let text = server.http_text("/Console/GetMessageList", &form).await;
        assert_eq!(text, r#"{"code":0,"data":[]}"#, "{form:?}");
    }
}

#[tokio::test]
async fn messages_are_listed_newest_first() {
    let server = history().start().await;
    assert_eq!(data(&server.all().await), ["86400", "1", "0", "-86400"]);
}

#[tokio::test]
async fn messages_of_one_second_are_listed_newest_first() {
    let server = TestServer::start().await;
    for n in 0..5 {
        server.publish("t", &n.to_string()).await;
    }
    assert_eq!(data(&server.all().await), ["4", "3", "2", "1", "0"]);
}

#[tokio::test]
async fn both_times_are_inclusive_and_local() {
    let server = history().start().await;
    let between = async |start: i64, end: i64| {
        let (start, end) = (local(start), local(end));
        let form = [("startTime", &*start), ("endTime", &*end), ("status", "3")];
        let listed = server.list(&form).await;
        data(&listed).join(" ")
    };
    assert_eq!(local(T), "2027-01-08 09:05:03");
    assert_eq!(between(T, T).await, "0");
    assert_eq!(between(T, T + 1).await, "1 0");
    assert_eq!(between(T + 1, T + 86_400).await, "86400 1");
    assert_eq!(between(T + 2, T + 86_399).await, "");
    assert_eq!(between(T - 86_400, T - 1).await, "-86400");
    assert_eq!(between(T + 1, T).await, "");
}

#[tokio::test]
async fn a_missing_time_leaves_its_side_open() {
    let server = history().start().await;
    let t = local(T);
    let from = server.list(&[("startTime", &t)]).await;
    assert_eq!(data(&from), ["86400", "1", "0"]);
    let to = server.list(&[("endTime", &t)]).await;
    assert_eq!(data(&to), ["0", "-86400"]);
}

#[tokio::test]
async fn dates_may_be_unpadded() {
    let server = history().start().await;
    let form = [
        ("startTime", "2027-1-8 9:5:3"),
        ("endTime", "2027-1-8 9:5:3"),
    ];
    assert_eq!(data(&server.list(&form).await), ["0"]);
    let form = [("startTime", "2027-1-8 0:0:0")];
    assert_eq!(data(&server.list(&form).await), ["86400", "1", "0"]);
}

#[tokio::test]
async fn a_time_or_status_that_cannot_be_read_is_refused_with_the_reason() {
    let server = history().start().await;
    for (field, value) in [
        ("startTime", "yesterday"),
        ("startTime", "2027-13-01 00:00:00"),
        ("startTime", "2027-02-30 00:00:00"),
        ("endTime", "2027-01-01 25:00:00"),
        ("status", "all"),
        ("status", "1.5"),
    ] {
        let reply = server
            .http("/Console/GetMessageList", &[(field, value)])
            .await;
        assert_eq!(reply["code"], -1, "{field}={value}: {reply}");
        assert!(!reply["msg"].as_str().unwrap().is_empty(), "{reply}");
        assert!(reply.get("data").is_none(), "{reply}");
    }
}

#[tokio::test]
async fn the_status_selects() {
    let server = history().start().await;
    for (status, wanted) in [
        ("1", "86400 1"),
        ("0", "0 -86400"),
        ("-1", ""),
        ("3", "86400 1 0 -86400"),
    ] {
        let listed = server.list(&[("status", status)]).await;
        assert_eq!(data(&listed).join(" "), wanted, "status {status}");
    }
    let all = server.list(&[]).await;
    assert_eq!(all.len(), 4, "a missing status means all");
}

#[tokio::test]
async fn status_minus_one_selects_what_waits_to_be_pushed() {
    let server = still()
        .set("sendCount", 1)
        .set("pushMessagesSpeed", 60)
        .start()
        .await;
    let first = server.publish("t", "leaves at once").await;
    server.until_status(&first, 0).await;
    server.publish("t", "a").await;
    server.publish("u", "b").await;
    let waiting = server.list(&[("status", "-1")]).await;
    assert_eq!(data(&waiting), ["b", "a"]);
    assert!(waiting.iter().all(|m| (m.status, m.consumed) == (-1, 0)));
    assert_eq!(server.count().await, [3, 0, 1, 2]);
}

#[tokio::test]
async fn the_topic_selects_and_an_empty_one_means_all() {
    let server = history().start().await;
    for (topic, wanted) in [
        ("old", "86400 1 0"),
        ("older", "-86400"),
        ("ol", ""),
        ("", "86400 1 0 -86400"),
    ] {
        let listed = server.list(&[("topic", topic), ("status", "3")]).await;
        assert_eq!(data(&listed).join(" "), wanted, "topic {topic:?}");
    }
}

#[tokio::test]
async fn the_filters_work_together() {
    let server = history().start().await;
    let (start, end) = (local(T), local(T + 86_399));
    let form = [
        ("startTime", &*start),
        ("endTime", &*end),
        ("status", "1"),
        ("topic", "old"),
    ];
    assert_eq!(data(&server.list(&form).await), ["1"]);
}

#[tokio::test]
async fn the_list_takes_multipart_and_json_bodies() {
    let server = history().start().await;
    let start = local(T + 1);
    let post = || {
        let request = server.post("/Console/GetMessageList");
        request.header("secretKey", crate::common::KEY)
    };
    let multipart = crate::common::multipart(&[("startTime", &start), ("status", "3")]);
    let json = serde_json::json!({"startTime": start, "status": "3"});
    let number = serde_json::json!({"startTime": start, "status": 3});
    for request in [
        post().multipart(multipart),
        post().json(&json),
        post().json(&number),
    ] {
        let text = request.send().await.unwrap().text().await.unwrap();
        let reply: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(reply["data"].as_array().map(Vec::len), Some(2), "{text}");
    }
}

#[tokio::test]
async fn a_long_list_comes_whole() {
    let count = 30_000;
    let many = (0..count).map(|n| GoMessage::new("t", format!("data {n}"), T + n));
    let file = go_data(&many.collect::<Vec<_>>());
    let server = still().file("data", &file).start().await;
    let listed = server.all().await;
    assert_eq!(listed.len(), 30_000);
    assert!(listed.is_sorted_by(|a, b| a.created > b.created));
    assert!(
        listed
            .iter()
            .all(|m| m.data == format!("data {}", m.created - T))
    );
}

#[tokio::test]
async fn messages_are_counted_by_status_in_this_shape() {
    let messages: Vec<GoMessage> = (0..8)
        .map(|n| GoMessage::new("t", "x", T).status(i64::from(n < 6)))
        .collect();
    let server = still().file("data", &go_data(&messages)).start().await;
    assert_eq!(
        server.http_text("/Console/CountMessage", &[]).await,
        r#"{"code":0,"data":{"all":8,"consumed":6,"notConsumed":2,"stateless":0}}"#
    );
}

#[tokio::test]
async fn counts_start_at_zero() {
    let server = TestServer::start().await;
    assert_eq!(
        server.http_text("/Console/CountMessage", &[]).await,
        r#"{"code":0,"data":{"all":0,"consumed":0,"notConsumed":0,"stateless":0}}"#
    );
}

#[tokio::test]
async fn a_published_message_is_in_list_and_count_at_once() {
    let server = TestServer::start().await;
    let mut producer = server.producer_ack("t", "p1").await;
    for n in 1..=100 {
        let code = if n % 2 == 0 {
            server.publish("t", "data").await
        } else {
            producer.send("data").await;
            producer.ack().await
        };
        assert_eq!(server.count().await[0], n);
        let listed = server.list(&[("topic", "t")]).await;
        assert_eq!(listed[0].code, code);
    }
}

#[tokio::test]
async fn a_time_after_clocks_were_set_back_is_read_as_it_is_shown() {
    for (zone, local, unix) in [
        // New York, when the hour from 1 to 2 is over for the second time.
        (
            "EST5EDT,M3.2.0,M11.1.0",
            "2026-11-01 02:00:00",
            1_793_516_400,
        ),
        (
            "EST5EDT,M3.2.0,M11.1.0",
            "2026-11-01 02:30:00",
            1_793_518_200,
        ),
        // Santiago, where the hour before midnight comes twice.
        (
            "<-04>4<-03>,M9.1.6/24,M4.1.6/24",
            "2026-04-05 00:00:00",
            1_775_361_600,
        ),
        (
            "CET-1CEST,M3.5.0,M10.5.0/3",
            "2026-10-25 03:00:00",
            1_792_893_600,
        ),
    ] {
        let at = |data, created| GoMessage::new("t", data, created);
        let file = go_data(&[at("before", unix - 1), at("then", unix)]);
        let server = Setup::new()
            .set("isClean", 0)
            .environment("TZ", zone)
            .file("data", &file)
            .start()
            .await;
        let from = server.list(&[("startTime", local)]).await;
        let data =
            |list: &[Listed]| -> Vec<String> { list.iter().map(|it| it.data.clone()).collect() };
        assert_eq!(data(&from), ["then"], "{zone} from {local}");
        let to = server.list(&[("endTime", local)]).await;
        assert_eq!(data(&to), ["then", "before"], "{zone} to {local}");
    }
}
