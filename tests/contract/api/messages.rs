//! Messages: listed, looked at, published, deleted, pushed again, searched.

use super::*;

/// The data of a list of messages.
fn previews(list: &Value) -> Vec<&str> {
    let messages = list["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["preview"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_published_is_listed_page_by_page_newest_first() {
    let api = Api::start().await;
    for n in 0..5 {
        api.publish("t", &n.to_string()).await;
    }
    api.publish("other", "ü").await;
    let mut seen = vec![];
    let mut path = "/api/messages?topic=t&limit=2".to_owned();
    loop {
        let list = api.ok(&path).await;
        seen.push(previews(&list).join(""));
        assert!(seen.len() < 10, "pages end");
        // What comes later does not move what is read.
        api.publish("t", "later").await;
        match list["next"].as_str() {
            Some(next) => path = format!("/api/messages?topic=t&limit=2&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(seen, ["43", "21", "0"]);
    let list = api.ok("/api/messages?topic=other").await;
    assert_eq!((previews(&list), &list["next"]), (vec!["ü"], &Value::Null));
    assert_eq!(list["messages"][0]["bytes"], 2);
    let none = api.ok(&format!("/api/messages?from={}", now() + 60)).await;
    assert_eq!(none["messages"], json!([]));
    let all = api.ok(&format!("/api/messages?from=1&to={}", now())).await;
    assert_eq!(all["messages"].as_array().unwrap().len(), 9);
}

#[tokio::test]
async fn a_list_shows_beginnings_and_a_message_all_of_its_data() {
    let api = Api::start().await;
    let data = "短".repeat(100_000);
    let code = api.publish("t", &data).await;
    let row = &api.ok("/api/messages").await["messages"][0];
    assert_eq!(row["preview"], "短".repeat(256));
    assert_eq!(
        (&row["previewComplete"], &row["bytes"]),
        (&json!(false), &json!(300_000))
    );
    let message = api.ok(&format!("/api/messages/{code}")).await;
    assert_eq!(
        (&message["data"], &message["dataComplete"]),
        (&json!(data), &json!(true))
    );
    let missing = api.get(&format!("/api/messages/{}", "0".repeat(40))).await;
    assert_eq!(missing.refusal(), (404, "no_such_message"));
}

#[tokio::test]
async fn a_message_tells_its_life() {
    let api = Api::start().await;
    let code = api.publish("t", "d").await;
    let path = format!("/api/messages/{code}");
    eventually("nobody listens", async || {
        let message = api.ok(&path).await;
        message["status"] == "not_consumed" && message["life"]["waiting"]["reason"] == "no_consumer"
    })
    .await;
    let mut consumer = api.server.consumer("t", "c1").await;
    consumer.message().await;
    eventually("it is consumed", async || {
        api.ok(&path).await["status"] == "consumed"
    })
    .await;
    let life = &api.ok(&path).await["life"];
    assert_eq!(life["waiting"], Value::Null);
    let push = life["pushes"].as_array().unwrap().last().unwrap();
    assert_eq!(push["consumers"][0]["id"], "c1");
    assert_eq!(
        (&push["consumersTotal"], &push["written"]),
        (&json!(1), &json!(1))
    );
    let consumed = api.ok("/api/messages?status=consumed").await;
    assert_eq!(consumed["messages"][0]["code"], code);
}

#[tokio::test]
async fn a_message_is_deleted_when_its_topic_is_named() {
    let mut api = Api::start().await;
    let code = api.publish("t 1", "d").await;
    let path = format!("/api/messages/{code}");
    assert_eq!(
        api.delete(&path).await.refusal(),
        (400, "missing_parameter")
    );
    let wrong = api.delete(&format!("{path}?confirm=t")).await;
    assert_eq!(wrong.refusal(), (409, "not_confirmed"));
    assert_eq!(api.server.count().await[0], 1);
    let confirmed = format!("{path}?confirm=t%201");
    assert_eq!(api.delete(&confirmed).await.status, 204);
    assert_eq!(
        api.delete(&confirmed).await.refusal(),
        (404, "no_such_message")
    );
    assert_eq!(api.get(&path).await.status, 404);
    api.server.kill().await;
    api.server.start_again().await;
    assert_eq!(api.server.count().await[0], 0, "it stays deleted");
}

#[tokio::test]
async fn a_message_is_pushed_again_when_it_was_not_consumed() {
    let api = Api::of(Setup::new().set("isRePush", 0).start().await).await;
    let code = api.publish("t", "d").await;
    api.server.until_status(&code, 0).await;
    let mut consumer = api.server.consumer("t", "c1").await;
    let path = format!("/api/messages/{code}/push");
    let push = || api.answer(api.request(Method::POST, &path));
    assert_eq!(push().await.status, 202);
    assert_eq!(consumer.message().await.code, code);
    api.server.until_status(&code, 1).await;
    assert_eq!(push().await.refusal(), (409, "already_consumed"));
    let unknown = format!("/api/messages/{}/push", "0".repeat(40));
    let missing = api.answer(api.request(Method::POST, &unknown)).await;
    assert_eq!(missing.refusal(), (404, "no_such_message"));
}

#[tokio::test]
async fn a_message_that_waits_is_not_pushed_again() {
    let held = Setup::new()
        .set("sendCount", 1)
        .set("pushMessagesSpeed", 60);
    let api = Api::of(held.start().await).await;
    let first = api.publish("first", "d").await;
    api.server.until_status(&first, 0).await;
    let code = api.publish("t", "d").await;
    let path = format!("/api/messages/{code}/push");
    let answer = api.answer(api.request(Method::POST, &path)).await;
    assert_eq!(answer.refusal(), (409, "already_waiting"));
    let message = api.ok(&format!("/api/messages/{code}")).await;
    assert_eq!(message["life"]["waiting"]["reason"], "queued");
}

#[tokio::test]
async fn a_search_finds_whatever_the_case_and_says_how_far_it_is() {
    let api = Api::start().await;
    for data in ["Order 1", "nothing", "ORDER ü 2", "an order"] {
        api.publish("t", data).await;
    }
    api.publish("other", "order").await;
    let found = |lines: &[Value]| -> Vec<String> {
        let messages = lines
            .iter()
            .filter_map(|line| line["message"]["preview"].as_str());
        messages.map(str::to_owned).collect()
    };
    let lines = api.search("text=oRdEr&topic=t").await;
    assert_eq!(found(&lines), ["an order", "ORDER ü 2", "Order 1"]);
    let end = &lines.last().unwrap()["end"];
    assert_eq!(
        (&end["reason"], &end["next"]),
        (&json!("end"), &Value::Null)
    );
    assert_eq!((&end["looked"], &end["found"]), (&json!(4), &json!(3)));
    assert!(lines[lines.len() - 2]["progress"].is_object());
    assert_eq!(found(&api.search("text=%C3%9C").await), ["ORDER ü 2"]);
    assert_eq!(
        found(&api.search("text=order&status=consumed").await),
        [""; 0]
    );
    for step in ["limit=1", "look=1", "look=2"] {
        let (mut all, mut looked, mut query) = (vec![], 0, format!("text=order&{step}"));
        loop {
            let lines = api.search(&query).await;
            let end = &lines.last().unwrap()["end"];
            all.extend(found(&lines));
            assert!(all.len() < 10, "pages end");
            looked += end["looked"].as_u64().unwrap();
            match end["next"].as_str() {
                Some(next) => query = format!("text=order&{step}&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(all, ["order", "an order", "ORDER ü 2", "Order 1"], "{step}");
        assert_eq!(looked, 5, "{step}: every message once");
    }
}
