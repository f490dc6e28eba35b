//! Topics and their clients.

use super::*;

#[tokio::test]
async fn topics_are_listed_sorted_and_page_by_page() {
    let api = Api::start().await;
    for (topic, messages) in [("Orders", 3), ("a/b ü", 1), ("orders.new", 2)] {
        for _ in 0..messages {
            api.publish(topic, "d").await;
        }
    }
    let _consumer = api.server.consumer("listened", "c1").await;
    let names = async |query: &str| -> Vec<String> {
        let mut names = vec![];
        let mut cursor = String::new();
        loop {
            let list = api
                .ok(&format!("/api/topics?{query}&limit=1&cursor={cursor}"))
                .await;
            let topics = list["topics"].as_array().unwrap().iter();
            names.extend(topics.map(|topic| topic["topic"].as_str().unwrap().to_owned()));
            assert!(names.len() < 10, "pages end");
            match list["next"].as_str() {
                Some(next) => cursor = encode(next),
                None => return names,
            }
        }
    };
    assert_eq!(
        names("").await,
        ["Orders", "orders.new", "a/b ü", "listened"]
    );
    assert_eq!(
        names("sort=name").await,
        ["Orders", "a/b ü", "listened", "orders.new"]
    );
    let reverse = ["orders.new", "listened", "a/b ü", "Orders"];
    assert_eq!(names("sort=name&order=desc").await, reverse);
    assert_eq!(names("sort=oldest").await.last().unwrap(), "listened");
    assert_eq!(names("sort=consumers").await[0], "listened");
    assert_eq!(names("sort=rate").await.len(), 4);
    assert_eq!(
        names("search=ORDER&sort=name").await,
        ["Orders", "orders.new"]
    );
    let found = api.ok("/api/topics?search=%C3%9C").await;
    assert_eq!(found["total"], 1);
    assert_eq!(found["topics"][0]["waiting"], 1);
    assert!(found["topics"][0]["oldestWaiting"].as_i64().unwrap() <= now());
    assert_eq!(api.ok("/api/topics?search=none").await["topics"], json!([]));
}

#[tokio::test]
async fn a_topic_shows_its_counts_and_clients() {
    let api = Api::start().await;
    let mut consumer = api.server.consumer("a/b ü", "c1").await;
    let _producer = api.server.producer("a/b ü", "p1").await;
    let _other = api.server.consumer("other", "c2").await;
    api.publish("a/b ü", "d").await;
    consumer.message().await;
    let path = format!("/api/topics/{}", encode("a/b ü"));
    eventually("it is consumed", async || {
        api.ok(&path).await["counts"]["consumed"] == 1
    })
    .await;
    let topic = api.ok(&path).await;
    let roles = topic["clients"].as_array().unwrap().iter();
    let roles: Vec<_> = roles
        .map(|client| (&client["role"], &client["id"]))
        .collect();
    let expected = [("consumer", "c1"), ("producer", "p1")].map(|(a, b)| (json!(a), json!(b)));
    assert!(
        roles.into_iter().eq(expected.iter().map(|(a, b)| (a, b))),
        "{topic}"
    );
    assert_eq!(
        (&topic["consumers"], &topic["producers"]),
        (&json!(1), &json!(1))
    );
    assert_eq!(
        (&topic["waiting"], &topic["behind"]),
        (&json!(0), &json!(false))
    );
    let missing = api.get("/api/topics/nobody").await;
    assert_eq!(missing.refusal(), (404, "no_such_topic"));
}

#[tokio::test]
async fn a_pace_is_shown_with_the_topics_that_it_holds_back() {
    let setup = Setup::new().set("sendCount", 2);
    let api = Api::of(setup.set("pushMessagesSpeed", 60).start().await).await;
    let _consumer = api.server.consumer("held", "c1").await;
    for _ in 0..7 {
        api.publish("held", "d").await;
    }
    assert_eq!(api.ok("/api/overview").await["pacePerSecond"], 2.0 / 60.0);
    // Two have left, and at 2 a minute the last of five leaves after 150 s.
    eventually("it is held back", async || {
        api.ok("/api/topics/held").await["paceSeconds"] == 150
    })
    .await;
    let list = api.ok("/api/topics").await;
    assert_eq!(list["topics"][0]["paceSeconds"], 150);

    let api = Api::start().await;
    assert_eq!(api.ok("/api/overview").await["pacePerSecond"], Value::Null);
    api.publish("t", "d").await;
    assert_eq!(api.ok("/api/topics/t").await["paceSeconds"], Value::Null);
}

#[tokio::test]
async fn a_topic_is_purged_of_what_is_named() {
    let mut api = Api::start().await;
    let mut consumer = api.server.consumer("t", "c1").await;
    let consumed = api.publish("t", "consumed").await;
    consumer.message().await;
    api.server.until_status(&consumed, 1).await;
    consumer.close().await;
    eventually("it has left", async || {
        api.server.consumer_ids().await.is_empty()
    })
    .await;
    let waiting = api.publish("t", "waiting").await;
    let kept = api.publish("other", "kept").await;
    let purge = |confirm: &str, what: &str| {
        let request = api.request(Method::POST, "/api/topics/t/purge");
        api.answer(request.json(&json!({"confirm": confirm, "what": what})))
    };
    assert_eq!(purge("T", "all").await.refusal(), (409, "not_confirmed"));
    assert_eq!(purge("t", "everything").await.refusal(), (400, "bad_body"));
    assert_eq!(api.server.count().await[0], 3);
    assert_eq!(purge("t", "waiting").await.json, json!({"deleted": 1}));
    assert!(api.server.message(&waiting).await.is_none());
    assert!(api.server.message(&consumed).await.is_some());
    assert_eq!(purge("t", "consumed").await.json, json!({"deleted": 1}));
    assert_eq!(purge("t", "all").await.json, json!({"deleted": 0}));
    api.server.kill().await;
    api.server.start_again().await;
    let codes: Vec<_> = api.server.all().await.into_iter().map(|m| m.code).collect();
    assert_eq!(codes, [kept]);
}

#[tokio::test]
async fn a_watched_topic_shows_messages_and_consumes_none() {
    let api = Api::start().await;
    api.publish("t", "before").await;
    let mut events = api.events("/api/topics/t/watch").await;
    api.publish("other", "no").await;
    let large = "é".repeat(100_000);
    let codes = [
        api.publish("t", "a\nb").await,
        api.publish("t", &large).await,
    ];
    for (code, data, complete) in [
        (&codes[0], "a\nb", true),
        (&codes[1], &large[..65536], false),
    ] {
        let (name, message) = events.next().await.unwrap();
        assert_eq!(name, "message");
        api.expect_named("Message", &message);
        assert_eq!(message["code"], **code);
        assert_eq!(
            (&message["data"], &message["dataComplete"]),
            (&json!(data), &json!(complete))
        );
    }
    assert_eq!(api.server.count().await[1], 0, "nothing is consumed");
}

#[tokio::test]
async fn clients_are_listed_page_by_page_and_disconnected() {
    let api = Api::start().await;
    let mut first = api.server.consumer("t", "First").await;
    let _producer = api.server.producer("t", "p1").await;
    let _second = api.server.consumer("other", "second").await;
    let ids = async |query: &str| -> Vec<String> {
        let list = api.ok(&format!("/api/clients?{query}")).await;
        let clients = list["clients"].as_array().unwrap().iter();
        clients
            .map(|client| client["id"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(ids("").await, ["First", "p1", "second"]);
    assert_eq!(ids("role=producer").await, ["p1"]);
    assert_eq!(ids("topic=t&role=consumer").await, ["First"]);
    assert_eq!(ids("search=fIRS").await, ["First"]);
    assert_eq!(ids("search=127.0").await.len(), 3);
    assert_eq!(ids("search=none").await.len(), 0);
    let page = api.ok("/api/clients?limit=2").await;
    assert_eq!(page["total"], 3);
    let next = page["next"].as_str().unwrap();
    assert_eq!(ids(&format!("limit=2&cursor={next}")).await, ["second"]);
    let number = &page["clients"][0]["number"];
    let path = format!("/api/clients/{number}");
    assert_eq!(
        api.delete(&path).await.refusal(),
        (400, "missing_parameter")
    );
    let wrong = api.delete(&format!("{path}?confirm=other")).await;
    assert_eq!(wrong.refusal(), (409, "not_confirmed"));
    assert_eq!(api.delete(&format!("{path}?confirm=t")).await.status, 204);
    let close = first.closed().await;
    assert_eq!(u16::from(close.code), 1008);
    assert_eq!(close.reason.as_str(), "disconnected by the operator");
    eventually("it has left", async || ids("").await == ["p1", "second"]).await;
    let gone = api.delete(&format!("{path}?confirm=t")).await;
    assert_eq!(gone.refusal(), (404, "no_such_client"));
    let text = api.delete("/api/clients/first?confirm=t").await;
    assert_eq!(text.refusal(), (400, "bad_parameter"));
}

#[tokio::test]
async fn topics_that_nobody_listens_to_are_named_the_most_waiting_first() {
    let topics = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l"];
    let more = ["m", "n", "o", "p", "q", "r", "s", "t", "u", "v", "w", "x"];
    let old = now() - 720;
    let mut messages = vec![
        GoMessage::new("most", "1", old),
        GoMessage::new("most", "2", now()),
        GoMessage::new("most", "3", now()),
        GoMessage::new("listened", "4", old),
        GoMessage::new("read", "5", old).status(1),
    ];
    for topic in topics.into_iter().chain(more) {
        messages.push(GoMessage::new(topic, "old", old));
    }
    let setup = Setup::new().file("data", &go_data(&messages));
    let api = Api::of(setup.start().await).await;
    for _ in 0..4 {
        api.publish("new", "too young").await;
    }
    let _consumer = api.server.consumer("listened", "c1").await;
    eventually("the listened one is consumed", async || {
        api.ok("/api/topic?topic=listened").await["waiting"] == 0
    })
    .await;
    let without = async || api.ok("/api/overview").await["backlog"]["withoutConsumer"].clone();
    let expected = json!({"afterSeconds": 300, "topics": 25, "messages": 27});
    eventually("they are counted", async || without().await == expected).await;
    let attention = api.ok("/api/attention").await;
    assert_eq!(attention["total"], 25);
    let named = attention["topics"].as_array().unwrap();
    assert_eq!(named.len(), 20);
    let first = &named[0];
    assert_eq!(
        (&first["topic"], &first["reason"], &first["waiting"]),
        (&json!("most"), &json!("no_consumer"), &json!(3))
    );
    assert_eq!(first["oldestWaiting"], old);
    assert_eq!(named[1]["topic"], "a");

    let new = [
        "key",
        "new",
        "some",
        "--rights",
        "console-read",
        "--topics",
        "x",
    ];
    let token = String::from_utf8(api.server.run(&new).await.stdout).unwrap();
    let asked = async || {
        let request = api.server.request(Method::GET, "/api/attention");
        api.answer(request.header("secretKey", token.trim())).await
    };
    eventually("the key is known", async || asked().await.status == 200).await;
    let seen = asked().await.json;
    assert_eq!(
        (&seen["total"], &seen["topics"][0]["topic"]),
        (&json!(1), &json!("x"))
    );

    let _consumer = api.server.consumer("most", "c2").await;
    let fewer = json!({"afterSeconds": 300, "topics": 24, "messages": 24});
    eventually("it is heard", async || without().await == fewer).await;
    let left = api.ok("/api/attention").await;
    assert_eq!(
        (&left["total"], &left["topics"][0]["topic"]),
        (&json!(24), &json!("a"))
    );
}

#[tokio::test]
async fn a_topic_whose_consumers_are_full_needs_attention() {
    let setup = Setup::new().set("outboxMessages", 1);
    let api = Api::of(setup.start().await).await;
    let _stalled = api.server.narrow_consumer("slow").await;
    let data = "x".repeat(1 << 20);
    eventually("it is behind", async || {
        api.publish("slow", &data).await;
        let attention = api.ok("/api/attention").await;
        attention["topics"][0]["reason"] == "behind"
    })
    .await;
    let attention = api.ok("/api/attention").await;
    let topic = &attention["topics"][0];
    assert_eq!(
        (&topic["topic"], &topic["behind"]),
        (&json!("slow"), &json!(true))
    );
}

#[tokio::test]
async fn a_topic_may_be_in_the_query_for_browsers_have_no_dots_in_a_path() {
    let api = Api::start().await;
    for topic in [".", "..", "a/b ?&"] {
        let named = format!("topic={}", encode(topic));
        let watch = api.request(Method::GET, &format!("/api/topic/watch?{named}"));
        let mut watch = watch.send().await.unwrap();
        assert_eq!(watch.status(), 200, "{topic}");
        api.server.publish(topic, "hello").await;
        let event = watch.chunk().await.unwrap().unwrap();
        assert!(event.starts_with(b"event: message"), "{event:?}");
        let row = api.ok(&format!("/api/topic?{named}")).await;
        assert_eq!(
            (&row["topic"], &row["counts"]["all"]),
            (&json!(topic), &json!(1))
        );
        let purge = json!({"confirm": topic, "what": "all"});
        let reply = api.post(&format!("/api/topic/purge?{named}"), &purge).await;
        assert_eq!((reply.status, &reply.json["deleted"]), (200, &json!(1)));
    }
    for (query, code) in [
        ("", "missing_parameter"),
        ("?topic=", "missing_parameter"),
        ("?topic=t&confirm=t", "unknown_parameter"),
        ("?topic=t&topic=t", "unknown_parameter"),
        ("?topic=a%7Cb", "bad_parameter"),
    ] {
        let answer = api.get(&format!("/api/topic{query}")).await;
        assert_eq!(answer.refusal(), (400, code), "{query}");
    }
    let in_both = api.get("/api/topics/t?topic=t").await;
    assert_eq!(in_both.refusal(), (400, "unknown_parameter"));
}
