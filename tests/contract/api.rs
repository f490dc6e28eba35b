//! The console API at its public door. Every answer is held against `docs/openapi.json`, as
//! the server gives it out.

use std::time::{Duration, Instant};

use futures_util::future::join_all;
use reqwest::{Method, Response, StatusCode};
use serde_json::{Value, json};

use crate::common::{GoMessage, KEY, Setup, TestServer, encode, eventually, go_data, now};

/// A server, and the description of its API.
struct Api {
    server: TestServer,
    description: Value,
}

/// An answer that is as it is described.
struct Answer {
    status: u16,
    json: Value,
}

impl Answer {
    /// The status and the word of a refusal.
    fn refusal(&self) -> (u16, &str) {
        (self.status, self.json["error"]["code"].as_str().unwrap())
    }

    fn message(&self) -> &str {
        self.json["error"]["message"].as_str().unwrap()
    }
}

impl Api {
    async fn start() -> Api {
        Api::of(TestServer::start().await).await
    }

    async fn of(server: TestServer) -> Api {
        let response = server
            .request(Method::GET, "/api/openapi.json")
            .send()
            .await;
        let description = response.unwrap().json().await.unwrap();
        Api {
            server,
            description,
        }
    }

    fn request(&self, method: Method, path: &str) -> reqwest::RequestBuilder {
        self.server.request(method, path).header("secretKey", KEY)
    }

    async fn get(&self, path: &str) -> Answer {
        self.answer(self.request(Method::GET, path)).await
    }

    /// The JSON of an answer that is 200.
    async fn ok(&self, path: &str) -> Value {
        let answer = self.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.json);
        answer.json
    }

    async fn post(&self, path: &str, body: &Value) -> Answer {
        self.answer(self.request(Method::POST, path).json(body))
            .await
    }

    async fn delete(&self, path: &str) -> Answer {
        self.answer(self.request(Method::DELETE, path)).await
    }

    /// Asks, and holds the answer against the description.
    async fn answer(&self, request: reqwest::RequestBuilder) -> Answer {
        let request = request.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = response.execute(request).await.unwrap();
        let status = response.status().as_u16();
        let content = self.described(&method, &path, status);
        let kind = kind_of(&response);
        let text = response.text().await.unwrap();
        let Some(content) = content else {
            assert_eq!(text, "", "{method} {path}");
            return Answer {
                status,
                json: Value::Null,
            };
        };
        assert_eq!(kind, "application/json", "{method} {path}");
        let json: Value = serde_json::from_str(&text).unwrap();
        self.expect(&content["application/json"]["schema"], &json);
        Answer { status, json }
    }

    /// What bodies an answer may have; `None`: it has no body.
    fn described(&self, method: &Method, path: &str, status: u16) -> Option<&Value> {
        let paths = self.description["paths"].as_object().unwrap();
        let fits = |template: &str| {
            let (parts, wanted) = (path.split('/'), template.split('/'));
            parts.clone().count() == wanted.clone().count()
                && parts
                    .zip(wanted)
                    .all(|(part, name)| name.starts_with('{') || part == name)
        };
        let (_, methods) = paths.iter().find(|(template, _)| fits(template)).unwrap();
        let operation = &methods[method.as_str().to_lowercase()];
        let response = &operation["responses"][status.to_string()];
        assert!(
            response.is_object(),
            "{status} of {method} {path} is not described"
        );
        let response = match response["$ref"].as_str() {
            Some(reference) => self.description.pointer(&reference[1..]).unwrap(),
            None => response,
        };
        response.get("content")
    }

    /// Holds a value against a schema of the description.
    fn expect(&self, schema: &Value, value: &Value) {
        let mut whole = schema.clone();
        whole["components"] = self.description["components"].clone();
        let validator = jsonschema::validator_for(&whole).unwrap();
        let errors = validator.iter_errors(value);
        let errors: Vec<_> = errors
            .map(|e| format!("{e} at {}", e.instance_path()))
            .collect();
        assert!(errors.is_empty(), "{schema}: {errors:?} in {value}");
    }

    fn expect_named(&self, name: &str, value: &Value) {
        self.expect(
            &json!({ "$ref": format!("#/components/schemas/{name}") }),
            value,
        );
    }

    async fn publish(&self, topic: &str, data: &str) -> String {
        let body = json!({ "topic": topic, "data": data });
        let answer = self.post("/api/messages", &body).await;
        assert_eq!(answer.status, 201, "{}", answer.json);
        answer.json["code"].as_str().unwrap().to_owned()
    }

    /// All lines of a search.
    async fn search(&self, query: &str) -> Vec<Value> {
        let request = self.request(Method::GET, &format!("/api/search?{query}"));
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{query}");
        assert_eq!(kind_of(&response), "application/x-ndjson");
        let text = response.text().await.unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        let lines: Vec<Value> = lines.collect();
        lines
            .iter()
            .for_each(|line| self.expect_named("SearchLine", line));
        lines
    }

    /// Opens a stream of events.
    async fn events(&self, path: &str) -> Events {
        let response = self.request(Method::GET, path).send().await.unwrap();
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(kind_of(&response), "text/event-stream");
        Events {
            response,
            text: String::new(),
        }
    }
}

fn kind_of(response: &Response) -> String {
    let kind = response.headers().get("content-type");
    let kind = kind.map_or("", |kind| kind.to_str().unwrap());
    kind.split(';').next().unwrap().to_owned()
}

/// A stream of events.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    /// The name and the data of the next event; `None` at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        loop {
            if let Some((event, rest)) = self.text.split_once("\n\n") {
                let event = event.to_owned();
                self.text = rest.to_owned();
                if event.starts_with(':') {
                    continue;
                }
                let (name, data) = event.split_once('\n').unwrap();
                let name = name.strip_prefix("event: ").unwrap();
                let data = data.strip_prefix("data: ").unwrap();
                return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
            }
            let chunk = self.response.chunk().await.unwrap()?;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }
}

/// The data of a list of messages.
fn previews(list: &Value) -> Vec<&str> {
    let messages = list["messages"].as_array().unwrap();
    messages
        .iter()
        .map(|message| message["preview"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn without_the_key_every_route_that_needs_it_refuses() {
    let trusts = Setup::new().environment("DPMQ_SERVER_TRUSTEDPROXIES", "127.0.0.0/8");
    let api = Api::of(trusts.start().await).await;
    let mut asked = vec![];
    for (path, methods) in api.description["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            if method == "parameters" || operation.get("security").is_some() {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            for key in [None, Some(""), Some("wrong"), Some("DPMQ")] {
                let mut request = api.server.request(method.clone(), path).body("{");
                // Each from an address of its own: many wrong keys of one are not looked at.
                request = request.header("X-Forwarded-For", format!("203.0.113.{}", asked.len()));
                if let Some(key) = key {
                    request = request.header("secretKey", key);
                }
                let what = format!("{method} {path} {key:?}");
                let answer = api.answer(request);
                asked.push(async move {
                    assert_eq!(answer.await.refusal(), (401, "wrong_key"), "{what}");
                });
            }
        }
    }
    assert_eq!(asked.len(), 24 * 4);
    join_all(asked).await;
    assert_eq!(api.server.count().await[0], 0);
}

#[tokio::test]
async fn a_slip_in_a_parameter_is_named() {
    let api = Api::start().await;
    for (path, methods) in api.description["paths"].as_object().unwrap() {
        let code = "0".repeat(40);
        let path = path.replace("{code}", &code).replace("{number}", "7");
        for (method, _) in methods.as_object().unwrap() {
            if method == "parameters" {
                continue;
            }
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let path = format!("{path}?topci=t");
            let request = api.request(method.clone(), &path).json(&json!({}));
            let answer = api.answer(request).await;
            assert_eq!(
                answer.refusal(),
                (400, "unknown_parameter"),
                "{method} {path}"
            );
            assert!(
                answer.message().contains("\"topci\""),
                "{}",
                answer.message()
            );
        }
    }
    for (path, said) in [
        (
            "/api/messages?limit=0",
            "limit is a whole number from 1 to 500, not \"0\"",
        ),
        ("/api/messages?limit=501", "limit is"),
        (
            "/api/messages?status=done",
            "one of accepted, not_consumed, consumed, not \"done\"",
        ),
        (
            "/api/messages?from=now",
            "from is a time in Unix seconds, not \"now\"",
        ),
        (
            "/api/messages?from=2&to=1",
            "from is a time that is not after to",
        ),
        ("/api/messages?to=-1", "to is"),
        ("/api/messages?topic=a%7Cb", "the topic contains '|'"),
        ("/api/messages?cursor=x", "cursor is what came as next"),
        (
            "/api/messages?topic=a&topic=b",
            "topic is given more than once",
        ),
        ("/api/messages/123", "code is 40 hex digits"),
        (
            "/api/topics?sort=size",
            "sort is one of waiting, name, oldest, consumers, rate",
        ),
        ("/api/topics?order=up", "order is one of asc, desc"),
        ("/api/topics?cursor=x", "cursor is what came as next"),
        ("/api/clients?role=admin", "role is one of"),
        ("/api/clients?cursor=x", "cursor is what came as next"),
        (
            "/api/series?step=2",
            "step is one of 1, 60, 3600, not \"2\"",
        ),
        ("/api/series?points=0", "points is"),
        ("/api/growth?bucket=week", "bucket is one of day, quarter"),
        (
            "/api/growth?days=401",
            "days is a whole number from 1 to 400",
        ),
        (
            "/api/growth?bucket=quarter&days=32",
            "days is a whole number from 1 to 31",
        ),
        ("/api/search?text=a&look=0", "look is"),
        ("/api/search?text=", "text is missing or empty"),
        ("/api/search", "text is missing or empty"),
    ] {
        let answer = api.get(path).await;
        assert_eq!(answer.status, 400, "{path}");
        assert!(
            answer.message().contains(said),
            "{path}: {}",
            answer.message()
        );
    }
    let long = "x".repeat(5000);
    let answer = api.get(&format!("/api/messages?status={long}")).await;
    assert!(answer.message().len() < 400, "{}", answer.message());
    let answer = api.get(&format!("/api/search?text={long}")).await;
    assert_eq!(answer.refusal(), (400, "bad_parameter"));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_told_in_the_form_of_the_api() {
    let api = Api::start().await;
    for (method, path, status, code) in [
        (Method::GET, "/api", 404, "no_such_path"),
        (Method::GET, "/api/", 404, "no_such_path"),
        (Method::GET, "/api/nowhere", 404, "no_such_path"),
        (Method::POST, "/api/config", 405, "wrong_method"),
        (Method::PUT, "/api/messages", 405, "wrong_method"),
        (Method::DELETE, "/api/topics/t", 405, "wrong_method"),
    ] {
        let response = api.request(method.clone(), path).send().await.unwrap();
        assert_eq!(response.status(), status, "{method} {path}");
        assert_eq!(response.headers().contains_key("allow"), status == 405);
        assert_eq!(response.headers()["access-control-allow-origin"], "*");
        let methods = &response.headers()["access-control-allow-methods"];
        assert_eq!(methods, "POST, GET, OPTIONS");
        let failure = response.json().await.unwrap();
        api.expect_named("Failure", &failure);
        assert_eq!(failure["error"]["code"], code, "{method} {path}");
    }
}

#[tokio::test]
async fn a_body_is_json_of_known_fields_within_the_limit() {
    let api = Api::start().await;
    let post = |kind: &'static str, body: String| {
        let request = api.request(Method::POST, "/api/messages");
        api.answer(request.header("content-type", kind).body(body))
    };
    let good = r#"{"topic":"t","data":"d"}"#;
    for kind in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/jsonx",
    ] {
        let answer = post(kind, good.into()).await;
        assert_eq!(answer.refusal(), (415, "wrong_content_type"), "{kind}");
    }
    let json = "application/json";
    for (body, code, said) in [
        ("", "bad_body", "EOF"),
        ("{", "bad_body", "EOF"),
        ("[]", "bad_body", ""),
        (r#"{"topic":"t"}"#, "bad_body", "missing field `data`"),
        (r#"{"topic":"t","data":1}"#, "bad_body", "expected a string"),
        (
            r#"{"topic":"t","data":"d","x":1}"#,
            "bad_body",
            "unknown field `x`",
        ),
        (r#"{"topic":"","data":"d"}"#, "missing_parameter", "topic"),
        (r#"{"topic":"t","data":""}"#, "missing_parameter", "data"),
        (
            r#"{"topic":"a|b","data":"d"}"#,
            "bad_parameter",
            "contains '|'",
        ),
    ] {
        let answer = post(json, body.into()).await;
        assert_eq!(answer.refusal(), (400, code), "{body}");
        assert!(
            answer.message().contains(said),
            "{body}: {}",
            answer.message()
        );
    }
    let large = "x".repeat((16 << 20) + 1);
    let answer = post(json, json!({"topic": "t", "data": large}).to_string()).await;
    assert_eq!(answer.refusal(), (413, "too_large"));
    // A client that waits to be asked for its body need not send it.
    let head = format!(
        "POST /api/messages HTTP/1.1\r\nHost: h\r\nsecretKey: {KEY}\r\nContent-Type: {json}\r\n\
         Content-Length: 60000000\r\nExpect: 100-continue\r\n\r\n"
    );
    let answer = api.server.raw(head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert_eq!(api.server.count().await[0], 0);
    let answer = post("Application/JSON; charset=utf-8", good.into()).await;
    assert_eq!(answer.status, 201);
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
async fn the_overview_tells_how_the_broker_does() {
    let api = Api::start().await;
    let mut consumer = api.server.consumer("t", "c1").await;
    let _producer = api.server.producer("u", "p1").await;
    api.publish("t", "d").await;
    consumer.message().await;
    api.publish("u", "d").await;
    let overview = async || api.ok("/api/overview").await;
    eventually("the counts", async || {
        overview().await["counts"]
            == json!({"all": 2, "accepted": 0, "notConsumed": 1, "consumed": 1})
    })
    .await;
    eventually("the rates", async || {
        overview().await["rates"]["delivered"].as_f64() > Some(0.0)
    })
    .await;
    let overview = overview().await;
    assert_eq!(
        overview["health"],
        json!({"state": "ok", "reasons": [], "damage": [], "keys": null})
    );
    assert_eq!(overview["clients"], json!({"consumers": 1, "producers": 1}));
    assert_eq!(
        (&overview["topics"], &overview["durability"]),
        (&json!(2), &json!("disk"))
    );
    assert_eq!(overview["backlog"]["waiting"], 1);
    assert!((overview["nowMs"].as_i64().unwrap() / 1000 - now()).abs() < 10);
    assert!((now() - overview["startedAt"].as_i64().unwrap()) < 60);
    assert!(overview["memory"]["residentBytes"].as_u64() > Some(1 << 20));
    let disk = &overview["disk"];
    assert!(disk["freeBytes"].as_u64() > Some(0) && disk["totalBytes"].as_u64() > Some(0));
    assert!(disk["logBytes"].as_u64() > Some(0), "{disk}");
}

#[tokio::test]
async fn a_store_in_memory_has_no_disk() {
    let api = Api::of(Setup::new().set("isPersistent", 0).start().await).await;
    api.publish("t", "d").await;
    let overview = api.ok("/api/overview").await;
    assert_eq!(
        (&overview["durability"], &overview["disk"]),
        (&json!("memory"), &Value::Null)
    );
    assert_eq!(overview["counts"]["all"], 1);
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
async fn the_overview_counts_the_topics_that_are_listed() {
    let api = Api::start().await;
    api.publish("stored", "1").await;
    let _consumer = api.server.consumer("listened", "c1").await;
    let _producer = api.server.producer("written", "p1").await;
    eventually("both agree", async || {
        let listed = api.ok("/api/topics").await["total"].clone();
        listed == 3 && api.ok("/api/overview").await["topics"] == 3
    })
    .await;
}

#[tokio::test]
async fn the_overview_comes_at_once_and_then_each_second() {
    let api = Api::start().await;
    let begin = Instant::now();
    let mut events = api.events("/api/events").await;
    let mut at = vec![];
    for _ in 0..3 {
        let (name, overview) = events.next().await.unwrap();
        assert_eq!(name, "overview");
        api.expect_named("Overview", &overview);
        at.push(overview["nowMs"].as_u64().unwrap());
        if at.len() == 1 {
            assert!(begin.elapsed() < Duration::from_secs(1), "at once");
        }
    }
    assert!(
        at.windows(2)
            .all(|two| (500..2000).contains(&(two[1] - two[0]))),
        "{at:?}"
    );
    let mut another = api.events("/api/events").await;
    let (_, shared) = another.next().await.unwrap();
    assert_eq!(shared["nowMs"], at[2], "one is built for all");
}

#[tokio::test]
async fn there_are_so_many_streams_and_no_more() {
    let api = Api::start().await;
    let mut open = vec![];
    for n in 0..64 {
        let path = ["/api/events", "/api/topics/t/watch"][n % 2];
        open.push(api.events(path).await);
    }
    for path in ["/api/events", "/api/topics/t/watch"] {
        assert_eq!(api.get(path).await.refusal(), (503, "too_many"));
    }
    drop(open.pop());
    eventually("a place is free", async || {
        let request = api.request(Method::GET, "/api/topics/t/watch");
        request.send().await.unwrap().status() == StatusCode::OK
    })
    .await;
}

#[tokio::test]
async fn streams_end_when_the_server_stops() {
    let mut api = Api::start().await;
    let mut streams = [
        api.events("/api/events").await,
        api.events("/api/topics/t/watch").await,
    ];
    let begin = Instant::now();
    api.server.terminate();
    for stream in &mut streams {
        while stream.next().await.is_some() {}
    }
    let status = api.server.ended().await;
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(
        begin.elapsed() < Duration::from_secs(5),
        "nothing waited for the streams"
    );
}

#[tokio::test]
async fn a_series_has_columns_of_what_flowed() {
    let api = Api::start().await;
    for _ in 0..3 {
        api.publish("t", "d").await;
    }
    let sum = |series: &Value, name: &str| -> u64 {
        series[name]
            .as_array()
            .unwrap()
            .iter()
            .map(|count| count.as_u64().unwrap())
            .sum()
    };
    eventually("three were accepted", async || {
        sum(&api.ok("/api/series?step=1&points=60").await, "accepted") == 3
    })
    .await;
    let series = api.ok("/api/series").await;
    let points = series["accepted"].as_array().unwrap().len();
    for name in ["delivered", "consumed", "notConsumed", "waiting"] {
        assert_eq!(series[name].as_array().unwrap().len(), points, "{name}");
    }
    assert!(series["start"].as_i64() >= series["since"].as_i64().map(|since| since - 1));
    assert_eq!(api.ok("/api/series?points=1").await["waiting"], json!([3]));
    for step in [60, 3600] {
        assert_eq!(
            api.ok(&format!("/api/series?step={step}")).await["step"],
            step
        );
    }
}

#[tokio::test]
async fn growth_has_every_day_and_every_quarter() {
    let api = Api::start().await;
    api.publish("t", "d").await;
    let growth = api.ok("/api/growth").await;
    let buckets = growth["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &growth["zone"]), (7, &json!("+08:00")));
    for (bucket, back) in buckets.iter().rev().zip(0..) {
        let start = bucket["start"].as_i64().unwrap();
        assert_eq!(
            (start + 8 * 3600) % 86_400,
            0,
            "a day begins at midnight here"
        );
        assert_eq!((now() - start) / 86_400, back);
        assert_eq!(bucket["accepted"], u8::from(back == 0));
    }
    let growth = api.ok("/api/growth?bucket=quarter&days=31").await;
    let buckets = growth["buckets"].as_array().unwrap();
    assert_eq!((buckets.len(), &growth["zone"]), (31 * 96, &json!("UTC")));
    let last = buckets.last().unwrap();
    assert_eq!(last["accepted"], 1);
    assert_eq!(last["start"].as_i64().unwrap() % 900, 0);
    assert_eq!(
        api.ok("/api/growth?days=400").await["buckets"]
            .as_array()
            .unwrap()
            .len(),
        400
    );
}

#[tokio::test]
async fn the_settings_are_shown_but_the_secret() {
    let api = Api::start().await;
    let config = api.ok("/api/config").await;
    let settings = config["settings"].as_array().unwrap();
    let find = |key: &str| {
        settings
            .iter()
            .find(|setting| setting["key"] == key)
            .unwrap()
    };
    let count = find("mq.sendCount");
    assert_eq!(
        (&count["value"], &count["source"]),
        (&json!("100"), &json!("default"))
    );
    let speed = find("mq.checkSpeed");
    assert_eq!(
        (&speed["value"], &speed["default"]),
        (&json!("0.2"), &json!("5"))
    );
    assert_eq!(speed["source"], "config/application.yaml");
    let reloads = |key: &str| find(key)["reloads"].as_bool().unwrap();
    assert!(reloads("mq.checkSpeed") && reloads("mq.secretKey"));
    assert!(!reloads("mq.segmentMiB") && !reloads("log.format"));
    let key = find("mq.secretKey");
    assert_eq!(
        (&key["value"], &key["default"], &key["secret"]),
        (&Value::Null, &Value::Null, &json!(true))
    );
    assert!(settings.iter().all(|setting| setting["value"] != KEY));
}

#[tokio::test]
async fn what_changes_something_is_logged_without_data() {
    let api = Api::start().await;
    let code = api.publish("t", "confidential-data").await;
    api.delete(&format!("/api/messages/{code}?confirm=t")).await;
    api.post(
        "/api/topics/t/purge",
        &json!({"confirm": "t", "what": "all"}),
    )
    .await;
    api.post("/api/exports", &json!({"format": "csv"})).await;
    let logged = [
        "published message",
        "deleted message",
        "purged topic",
        "opened a link",
    ];
    eventually("all of it is logged", async || {
        let log = api.server.log();
        logged.iter().all(|text| {
            log.iter()
                .any(|line| line.contains(text) && line.contains("127.0.0.1"))
        })
    })
    .await;
    assert!(
        !api.server
            .log()
            .iter()
            .any(|line| line.contains("confidential-data"))
    );
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

#[tokio::test]
async fn a_body_is_an_object_and_not_packed() {
    let api = Api::start().await;
    api.server.publish("t", "kept").await;
    for (path, body) in [
        ("/api/topics/t/purge", json!(["t", "all"])),
        ("/api/topic/purge?topic=t", json!(["t", "all"])),
        ("/api/messages", json!(["t", "data"])),
        ("/api/exports", json!(["csv", "t", null, null, null, null])),
    ] {
        let answer = api.post(path, &body).await;
        assert_eq!(answer.refusal(), (400, "bad_body"), "{path}");
        let packed = api
            .request(Method::POST, path)
            .header("content-encoding", "gzip");
        let answer = api.answer(packed.json(&json!({}))).await;
        assert_eq!(answer.refusal(), (415, "wrong_content_type"), "{path}");
        assert!(answer.message().contains("gzip"), "{}", answer.message());
    }
    assert_eq!(api.server.count().await[0], 1);
}

#[tokio::test]
async fn streams_ask_proxies_to_keep_nothing_back() {
    let api = Api::start().await;
    for n in 0..3 {
        api.server.publish("t", &format!("{n:060000}")).await;
    }
    let streams = [
        "/api/events",
        "/api/topic/watch?topic=t",
        "/api/search?text=x",
        "/api/backup",
    ];
    for path in streams {
        let reply = api.request(Method::GET, path).send().await.unwrap();
        let cache: Vec<_> = reply.headers().get_all("cache-control").iter().collect();
        assert_eq!(cache, ["no-store", "no-transform"], "{path}");
        assert_eq!(reply.headers()["x-accel-buffering"], "no", "{path}");
    }
    let list = api
        .request(Method::POST, "/Console/GetMessageList")
        .send()
        .await
        .unwrap();
    assert_eq!(list.headers()["x-accel-buffering"], "no");
    assert_eq!(list.headers()["cache-control"], "no-transform");
    let whole = api
        .request(Method::GET, "/api/overview")
        .send()
        .await
        .unwrap();
    assert!(!whole.headers().contains_key("x-accel-buffering"));
}
