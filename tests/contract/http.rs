//! The HTTP part of the wire contract: bodies, the key, replies, CORS.

use futures_util::future::join_all;
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::common::{KEY, Setup, TestServer, multipart};

const ROUTES: [&str; 6] = [
    "/Producer/Send",
    "/Console/Ping",
    "/Console/GetConsumers",
    "/Console/GetConfig",
    "/Console/GetMessageList",
    "/Console/CountMessage",
];
const WRONG_KEY: &str = r#"{"code":-1,"msg":"Secret key matching error"}"#;
const MISSING: &str = r#"{"code":-1,"msg":"Required data cannot be empty"}"#;
/// A key that nobody else knows: any page may ask.
const OWN: &str = "a key of this test alone";
const JSON: &str = "application/json; charset=utf-8";

/// The text of a reply, which has to be 200 and JSON with CORS headers.
async fn reply(request: reqwest::RequestBuilder) -> String {
    let response = request.send().await.unwrap();
    assert_eq!(response.status(), 200);
    assert_eq!(header(&response, "content-type"), JSON);
    expect_cors(&response);
    response.text().await.unwrap()
}

fn header<'a>(response: &'a Response, name: &str) -> &'a str {
    match response.headers().get(name) {
        Some(value) => value.to_str().unwrap(),
        None => panic!(
            "no header {name} at {}: {:?}",
            response.url(),
            response.headers()
        ),
    }
}

fn expect_cors(response: &Response) {
    for (name, wanted) in [
        ("origin", "*"),
        ("methods", "POST, GET, OPTIONS"),
        (
            "headers",
            "Content-Type, AccessToken, X-CSRF-Token, Authorization, Token, secretKey",
        ),
    ] {
        let name = format!("access-control-allow-{name}");
        assert_eq!(header(response, &name), wanted, "{name}");
        let count = response.headers().get_all(&name).iter().count();
        assert_eq!(count, 1, "{name} at {}", response.url());
    }
    assert_eq!(
        header(response, "access-control-expose-headers"),
        "Content-Length, Access-Control-Allow-Origin, Access-Control-Allow-Headers, Content-Type"
    );
}

fn expect_sent(text: &str) -> String {
    let reply: Value = serde_json::from_str(text).unwrap();
    let code = reply["msg"].as_str().unwrap();
    assert_eq!(text, format!(r#"{{"code":0,"msg":"{code}"}}"#));
    assert_eq!(code.len(), 40, "{code}");
    code.to_owned()
}

#[tokio::test]
async fn send_takes_a_urlencoded_body() {
    let server = TestServer::start().await;
    let form = [("messageData", "a&b=ü + %"), ("topic", "t 1")];
    let request = server.post("/Producer/Send").header("secretKey", KEY);
    let code = expect_sent(&reply(request.form(&form)).await);
    let message = server.message(&code).await.unwrap();
    assert_eq!((&*message.data, &*message.topic), ("a&b=ü + %", "t 1"));
}

#[tokio::test]
async fn send_takes_a_multipart_body() {
    let server = TestServer::start().await;
    let form = multipart(&[("messageData", "a\r\n--b=ü"), ("topic", "t 1")]);
    let request = server.post("/Producer/Send").header("secretKey", KEY);
    let code = expect_sent(&reply(request.multipart(form)).await);
    let message = server.message(&code).await.unwrap();
    assert_eq!((&*message.data, &*message.topic), ("a\r\n--b=ü", "t 1"));
}

#[tokio::test]
async fn send_takes_a_json_body() {
    let server = TestServer::start().await;
    let body = json!({"messageData": "{\"a\":\"ü\"}\n", "topic": "t 1"});
    let request = server.post("/Producer/Send").header("secretKey", KEY);
    let code = expect_sent(&reply(request.json(&body)).await);
    let message = server.message(&code).await.unwrap();
    assert_eq!(
        (&*message.data, &*message.topic),
        ("{\"a\":\"ü\"}\n", "t 1")
    );
}

#[tokio::test]
async fn the_content_type_may_have_parameters_and_any_case() {
    let server = TestServer::start().await;
    for (content_type, body) in [
        (
            "application/x-www-form-urlencoded; charset=UTF-8",
            "topic=t&messageData=d",
        ),
        ("Application/X-WWW-Form-Urlencoded", "topic=t&messageData=d"),
        (
            "application/json; charset=utf-8",
            r#"{"topic":"t","messageData":"d"}"#,
        ),
        (
            "multipart/form-data; charset=utf-8; boundary=\"x y\"",
            "--x y\r\nContent-Disposition: form-data; name=\"topic\"\r\n\r\nt\r\n\
             --x y\r\nContent-Disposition: form-data; name=\"messageData\"\r\n\r\nd\r\n--x y--\r\n",
        ),
    ] {
        let request = server
            .post("/Producer/Send")
            .header("secretKey", KEY)
            .header("content-type", content_type)
            .body(body);
        expect_sent(&reply(request).await);
    }
}

#[tokio::test]
async fn send_needs_both_fields() {
    let server = TestServer::start().await;
    let send = || server.post("/Producer/Send").header("secretKey", KEY);
    let incomplete: [&[(&'static str, &str)]; 5] = [
        &[],
        &[("topic", "t")],
        &[("messageData", "d")],
        &[("topic", ""), ("messageData", "d")],
        &[("topic", "t"), ("messageData", "")],
    ];
    for fields in incomplete {
        let map: serde_json::Map<String, Value> = fields
            .iter()
            .map(|(name, value)| ((*name).to_owned(), json!(value)))
            .collect();
        assert_eq!(reply(send().form(fields)).await, MISSING, "{fields:?}");
        assert_eq!(
            reply(send().multipart(multipart(fields))).await,
            MISSING,
            "{fields:?}"
        );
        assert_eq!(reply(send().json(&map)).await, MISSING, "{fields:?}");
    }
    assert_eq!(reply(send()).await, MISSING);
    assert_eq!(server.count().await[0], 0);
}

#[tokio::test]
async fn send_refuses_a_topic_with_a_bar() {
    let server = TestServer::start().await;
    let form = [("messageData", "d"), ("topic", "a|b")];
    let request = server.post("/Producer/Send").header("secretKey", KEY);
    let text = reply(request.form(&form)).await;
    let refusal: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(refusal["code"], -1);
    assert!(!refusal["msg"].as_str().unwrap().is_empty());
    assert_eq!(server.count().await[0], 0);
}

#[tokio::test]
async fn the_page_s_multipart_without_boundary_is_a_body_without_fields() {
    let server = TestServer::start().await;
    for body in ["{}", ""] {
        for route in ROUTES {
            let request = server
                .post(route)
                .header("secretKey", KEY)
                .header("accept", "application/json, text/plain, */*")
                .header("content-type", "multipart/form-data")
                .body(body);
            let text = reply(request).await;
            if route == "/Producer/Send" {
                assert_eq!(text, MISSING);
            } else {
                assert!(text.starts_with(r#"{"code":0"#), "{route} {body:?}: {text}");
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_is_nothing_known_is_a_body_without_fields() {
    let server = TestServer::start().await;
    for (content_type, body) in [
        ("text/plain", "hello"),
        ("application/octet-stream", "\u{0}\u{1}"),
        ("", ""),
    ] {
        let request = server
            .post("/Console/Ping")
            .header("secretKey", KEY)
            .header("content-type", content_type)
            .body(body);
        assert_eq!(reply(request).await, r#"{"code":0}"#, "{content_type}");
    }
}

#[tokio::test]
async fn without_the_right_key_every_route_refuses() {
    let trusts = Setup::new().environment("DPMQ_SERVER_TRUSTEDPROXIES", "127.0.0.0/8");
    let server = trusts.start().await;
    let form = [("messageData", "d"), ("topic", "t")];
    let mut asked = vec![];
    for (n, route) in ROUTES.into_iter().enumerate() {
        // Each from an address of its own: many wrong keys of one are not looked at.
        let post = || {
            let post = server.post(route);
            post.header("X-Forwarded-For", format!("203.0.113.{n}"))
        };
        asked.push(post().form(&form));
        for key in ["", "wrong", "DPMQ", "dpm", "dpmqq"] {
            asked.push(post().header("secretKey", key).form(&form));
        }
        asked.push(post().header("secretKey", "wrong"));
    }
    for reply in join_all(asked.into_iter().map(reply)).await {
        assert_eq!(reply, WRONG_KEY);
    }
    assert_eq!(server.count().await[0], 0);
}

#[tokio::test]
async fn the_key_is_the_one_of_the_configuration() {
    let server = Setup::new().set("secretKey", "another-key-1").start().await;
    let ping = |key| server.post("/Console/Ping").header("secretKey", key);
    assert_eq!(reply(ping(KEY)).await, WRONG_KEY);
    assert_eq!(reply(ping("another-key-1")).await, r#"{"code":0}"#);
    server.producer("t", "p1").await;
}

#[tokio::test]
async fn options_on_any_route_answers_204() {
    let server = Setup::new().set("secretKey", OWN).start().await;
    for route in ROUTES
        .into_iter()
        .chain(["/", "/nowhere", "/Consumers/Conn/t/c1"])
    {
        let plain = server.request(Method::OPTIONS, route);
        let preflight = server
            .request(Method::OPTIONS, route)
            .header("origin", "http://elsewhere.example")
            .header("access-control-request-method", "POST")
            .header("access-control-request-headers", "content-type,secretkey");
        for request in [plain, preflight] {
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), 204, "{route}");
            expect_cors(&response);
            assert_eq!(response.text().await.unwrap(), "");
        }
    }
}

#[tokio::test]
async fn cors_headers_are_on_every_reply() {
    let server = Setup::new().set("secretKey", OWN).start().await;
    for (method, route, status) in [
        (Method::GET, "/", 200),
        (Method::GET, "/nowhere", 404),
        (Method::POST, "/nowhere", 404),
        (Method::POST, "/null/Console/Ping", 404),
        (Method::GET, "/view/nowhere.js", 404),
        (Method::POST, "/Console/Ping", 200),
        (Method::POST, "/Producer/Send", 200),
        (Method::GET, "/Consumers/Conn/a%7Cb/c1", 400),
    ] {
        for origin in [None, Some("http://elsewhere.example")] {
            let mut request = server.request(method.clone(), route);
            if let Some(origin) = origin {
                request = request.header("origin", origin);
            }
            let response = request.send().await.unwrap();
            assert_eq!(response.status(), status, "{method} {route}");
            expect_cors(&response);
        }
    }
}

#[tokio::test]
async fn the_console_page_is_at_the_root() {
    let server = TestServer::start().await;
    let response = server.request(Method::GET, "/").send().await.unwrap();
    assert_eq!(response.status(), 200);
    let content_type = header(&response, "content-type");
    assert!(content_type.starts_with("text/html"), "{content_type}");
    let page = response.text().await.unwrap();
    let files: Vec<&str> = page
        .split('"')
        .filter(|s| s.trim_start_matches(['.', '/']).starts_with("view/"))
        .collect();
    assert!(
        !files.is_empty(),
        "the page names no file under view/: {page}"
    );
    for file in files {
        let route = format!("/{}", file.trim_start_matches(['.', '/']));
        let response = server.request(Method::GET, &route).send().await.unwrap();
        assert_eq!(response.status(), 200, "{route}");
    }
}

#[tokio::test]
async fn a_large_message_is_taken() {
    let server = TestServer::start().await;
    let data = "0123456789abcdef".repeat(16 * 1024);
    let code = server.publish("t", &data).await;
    assert_eq!(server.message(&code).await.unwrap().data, data);
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let server = TestServer::start().await;
    let address = server.address();
    for (version, hosts, status) in [
        ("1.1", vec![address], 200),
        ("1.1", vec![""], 200),
        ("1.1", vec!["mq.example"], 200),
        ("1.1", vec!["[::1]:8011"], 200),
        ("1.1", vec![], 400),
        ("1.1", vec![address, address], 400),
        ("1.1", vec!["a b"], 400),
        ("1.1", vec!["user@mq.example"], 400),
        ("1.0", vec![], 200),
        ("1.0", vec![address], 200),
        ("1.0", vec![address, "mq.example"], 400),
    ] {
        let hosts: String = hosts.iter().map(|it| format!("Host: {it}\r\n")).collect();
        let request = format!(
            "POST /Console/Ping HTTP/{version}\r\n{hosts}secretKey: {KEY}\r\nContent-Length: 0\r\n\r\n"
        );
        let answer = server.raw(request.as_bytes()).await;
        let start = format!("HTTP/{version} {status} ");
        assert!(answer.starts_with(&start), "{request}: {answer}");
        assert_eq!(
            answer.to_lowercase().contains("connection: close"),
            status == 400,
            "{answer}"
        );
    }
}

#[tokio::test]
async fn a_slash_at_the_end_leads_to_the_path_without() {
    let server = TestServer::start().await;
    // As clients follow it: with method, key and body.
    for path in ["/Producer/Send/", "/Console/Ping/"] {
        let reply = server
            .http(path, &[("topic", "t"), ("messageData", "d")])
            .await;
        assert_eq!(reply["code"], 0, "{path}: {reply}");
    }
    assert_eq!(server.count().await[0], 1);
    for (request, location) in [
        ("POST /Producer/Send/", "../Send"),
        ("POST /Console/CountMessage/?a=b&c", "../CountMessage?a=b&c"),
        ("GET /metrics/", "../metrics"),
        ("GET /api/topics/a%2Fb%20/", "../a%2Fb%20"),
        ("DELETE /api/clients/7/?confirm=t", "../7?confirm=t"),
    ] {
        let request = format!("{request} HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 307 "), "{answer}");
        assert!(
            answer.contains(&format!("location: {location}\r\n")),
            "{answer}"
        );
        assert!(
            answer.contains("access-control-allow-origin: *\r\n"),
            "{answer}"
        );
    }
    for request in ["POST /Producer/Send//", "GET /none/", "GET /Producer/Send/"] {
        let request = format!("{request} HTTP/1.1\r\nHost: h\r\n\r\n");
        let answer = server.raw(request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 40"), "{answer}");
    }
}

#[tokio::test]
async fn a_body_that_cannot_be_read_is_told_by_its_type() {
    let server = TestServer::start().await;
    let send = async |headers: &[(&str, &str)], body: &'static str| {
        let mut request = server
            .post("/Producer/Send")
            .header("secretKey", KEY)
            .body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let reply: Value = request.send().await.unwrap().json().await.unwrap();
        (
            reply["code"].as_i64().unwrap(),
            reply["msg"].as_str().unwrap().to_owned(),
        )
    };
    let fields = "topic=t&messageData=d";
    let form = ("content-type", "application/x-www-form-urlencoded");
    for (headers, body, told) in [
        (
            vec![("content-type", "text/plain")],
            fields,
            "the Content-Type \"text/plain\"",
        ),
        (
            vec![("content-type", "application/xml")],
            "<a/>",
            "the Content-Type \"application/xml\"",
        ),
        (vec![], fields, "no Content-Type"),
        (
            vec![form, ("content-encoding", "gzip")],
            fields,
            "the Content-Encoding \"gzip\"",
        ),
        (
            vec![form, ("content-encoding", "br")],
            fields,
            "the Content-Encoding \"br\"",
        ),
    ] {
        let (code, msg) = send(&headers, body).await;
        assert_eq!(code, -1, "{headers:?}");
        assert!(msg.contains(told), "{headers:?}: {msg}");
    }
    for (headers, body) in [
        (vec![], ""),
        (vec![("content-type", "text/plain")], ""),
        (vec![form], "topic=t"),
        (vec![("content-type", "application/json")], "{}"),
    ] {
        let expected = (-1, "Required data cannot be empty".to_owned());
        assert_eq!(send(&headers, body).await, expected, "{headers:?} {body}");
    }
    assert_eq!(
        send(&[form, ("content-encoding", "identity")], fields)
            .await
            .0,
        0
    );
    // What needs no fields never looked at the type.
    let ping = server.post("/Console/Ping").header("secretKey", KEY);
    let ping = ping
        .header("content-type", "text/plain")
        .body("x")
        .send()
        .await;
    assert_eq!(ping.unwrap().text().await.unwrap(), r#"{"code":0}"#);
}
