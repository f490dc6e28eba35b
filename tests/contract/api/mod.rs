//! The console API at its public door. Every answer is held against `docs/openapi.json`, as
//! the server gives it out.

mod downloads;
mod messages;
mod overview;
mod topics;

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
