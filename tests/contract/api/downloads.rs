//! Exports and backups.

use super::*;

#[tokio::test]
async fn an_export_is_fetched_once_without_the_key() {
    let api = Api::start().await;
    let code = api.publish("t", "=1+1,\"ü\"\n").await;
    api.publish("other", "b").await;
    let open = async |body: Value| {
        let answer = api.post("/api/exports", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        assert!((0..=61).contains(&(answer.json["expires"].as_i64().unwrap() - now())));
        answer.json["url"].as_str().unwrap().to_owned()
    };
    let fetch = |url: &str| api.server.request(Method::GET, url).send();
    let url = open(json!({"format": "csv", "topic": "t"})).await;
    let head = api.server.request(Method::HEAD, &url).send().await.unwrap();
    assert_eq!(head.status(), 200, "it does not use the link up");
    let response = fetch(&url).await.unwrap();
    assert_eq!(response.headers()["cache-control"], "no-store");
    let name = response.headers()["content-disposition"].to_str().unwrap();
    assert!(
        name.starts_with("attachment; filename=\"dpmq-messages-2"),
        "{name}"
    );
    assert!(name.ends_with("Z.csv\""), "{name}");
    assert_eq!(kind_of(&response), "text/csv");
    let csv = response.text().await.unwrap();
    let (header, row) = csv.split_once("\r\n").unwrap();
    assert_eq!(
        header,
        "sequence,code,topic,status,created,consumed,bytes,data"
    );
    assert!(row.starts_with(&format!("1,{code},t,")), "{row}");
    assert!(row.ends_with(",10,\"'=1+1,\"\"ü\"\"\n\"\r\n"), "{row}");
    for used in [
        &*url,
        "/api/exports/0",
        "/api/exports/00000000000000000000000000000000",
    ] {
        let answer = api.answer(api.server.request(Method::GET, used)).await;
        assert_eq!(answer.refusal(), (404, "no_such_export"), "{used}");
    }
    let url = open(json!({"format": "ndjson", "text": "B", "status": null})).await;
    let response = fetch(&url).await.unwrap();
    assert_eq!(kind_of(&response), "application/x-ndjson");
    let text = response.text().await.unwrap();
    let line: Value = serde_json::from_str(&text).unwrap();
    api.expect_named("Message", &line);
    assert_eq!(line["data"], "b");
    for (body, code) in [
        (json!({}), "bad_body"),
        (json!({"format": "xml"}), "bad_body"),
        (json!({"format": "csv", "topci": "t"}), "bad_body"),
        (json!({"format": "csv", "from": -1}), "bad_body"),
        (
            json!({"format": "csv", "from": 2, "to": 1}),
            "bad_parameter",
        ),
        (json!({"format": "csv", "status": "done"}), "bad_parameter"),
        (json!({"format": "csv", "topic": "a|b"}), "bad_parameter"),
    ] {
        let answer = api.post("/api/exports", &body).await;
        assert_eq!(answer.refusal(), (400, code), "{body}");
    }
}

#[tokio::test]
async fn there_are_so_many_exports_and_no_more() {
    let api = Api::start().await;
    let body = json!({"format": "csv"});
    for _ in 0..64 {
        assert_eq!(api.post("/api/exports", &body).await.status, 201);
    }
    let answer = api.post("/api/exports", &body).await;
    assert_eq!(answer.refusal(), (503, "too_many"));
}

#[tokio::test]
async fn a_backup_says_how_long_it_is_and_only_so_many_are_sent() {
    let api = Api::start().await;
    api.publish("t", "d").await;
    let head = api.request(Method::HEAD, "/api/backup").send().await;
    assert_eq!(head.unwrap().status(), 200);
    let response = api.request(Method::GET, "/api/backup").send().await;
    let response = response.unwrap();
    assert_eq!(kind_of(&response), "application/octet-stream");
    let told = response.content_length().unwrap();
    let bytes = response.bytes().await.unwrap();
    assert_eq!(bytes.len() as u64, told);
    assert!(bytes.starts_with(b"DPMQSNAP"));
    assert_eq!(api.get("/api/backup?fast=1").await.status, 400);
    let without = api.server.request(Method::GET, "/api/backup");
    assert_eq!(api.answer(without).await.refusal(), (401, "wrong_key"));

    // Enough that whoever does not read keeps the server from ending.
    let data = "x".repeat(1 << 20);
    for _ in 0..24 {
        api.server.publish("large", &data).await;
    }
    let ask = async || {
        api.request(Method::GET, "/api/backup")
            .send()
            .await
            .unwrap()
    };
    let open = [ask().await, ask().await];
    let refused = api.get("/api/backup").await;
    assert_eq!(refused.refusal(), (503, "too_many"), "{}", refused.json);
    drop(open);
    eventually("there is room again", async || ask().await.status() == 200).await;
}

#[tokio::test]
async fn there_is_no_backup_of_what_is_in_memory_only() {
    let server = Setup::new().set("isPersistent", 0).start().await;
    let api = Api::of(server).await;
    let refused = api.get("/api/backup").await;
    assert_eq!(refused.refusal(), (409, "memory_only"));
    assert!(refused.message().contains("mq.isPersistent is 0"));
}
