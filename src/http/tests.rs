//! Every row of protocol "HTTP", asked through the router.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::request::Builder;
use axum::http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;

use super::*;
use crate::access::{Access, KeysFile};
use crate::broker::{Broker, Inbox, Settings, fixture};
use crate::clock::Clock;
use crate::config::{Config, Live};
use crate::store::MemoryStore;

const FORM: &str = "application/x-www-form-urlencoded";
const REFUSED: &str = r#"{"code":-1,"msg":"Secret key matching error"}"#;
const ROUTES: [&str; 6] = [
    "/Producer/Send",
    "/Console/Ping",
    "/Console/GetConsumers",
    "/Console/GetConfig",
    "/Console/GetMessageList",
    "/Console/CountMessage",
];

/// The routes as they are served, with an empty broker behind them.
pub(super) fn app() -> Router {
    app_with(Config::default())
}

fn app_with(config: Config) -> Router {
    let (broker, _) = broker();
    let (secret, stop) = (config.mq.secret_key.clone(), CancellationToken::new());
    let config = Live::new(config);
    let access = Access::open(secret, KeysFile::at("/nowhere"), Clock::system()).unwrap();
    let state = HttpState::new(broker, config.clone(), access, stop, Arc::default());
    for_pages(router(state), config, Arc::default())
}

/// An empty broker, and the store that it is over.
pub(super) fn broker() -> (Broker, Arc<MemoryStore>) {
    let inbox = Inbox::new(1000, 1 << 20);
    let store = Arc::new(MemoryStore::new(Clock::system(), inbox.committed()));
    // Without its tasks the broker stores messages, and pushes none.
    let settings = Settings {
        re_push: false,
        check_every: Duration::from_secs(5),
        clock: Clock::system(),
        ..fixture::settings()
    };
    let (broker, _) = Broker::start(store.clone(), inbox, settings);
    (broker, store)
}

pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) text: String,
}

impl Reply {
    pub(super) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap()
    }
}

pub(super) async fn ask(app: &Router, request: Request) -> Reply {
    let response = app.clone().oneshot(request).await.unwrap();
    let (parts, body) = response.into_parts();
    let body = to_bytes(body, usize::MAX).await.unwrap();
    for (name, value) in front::pages::CORS {
        assert_eq!(parts.headers[name], value);
    }
    Reply {
        status: parts.status,
        headers: parts.headers,
        text: String::from_utf8(body.into()).unwrap(),
    }
}

pub(super) fn post_to(path: &str) -> Builder {
    Request::post(path).header("secretKey", "dpmq")
}

/// Posts a form with the right key, and expects what all replies have in common.
async fn post_form(app: &Router, path: &str, form: &str) -> Reply {
    let request = post_to(path).header("Content-Type", FORM);
    let reply = ask(app, request.body(Body::from(form.to_owned())).unwrap()).await;
    let kind = &reply.headers["Content-Type"];
    assert_eq!(reply.status, StatusCode::OK);
    assert_eq!(kind, "application/json; charset=utf-8");
    reply
}

fn is_code(text: &Value) -> bool {
    let hex = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    text.as_str()
        .is_some_and(|code| code.len() == 40 && code.bytes().all(hex))
}

#[tokio::test]
async fn send_replies_with_the_message_code() {
    let app = app();
    let reply = post_form(&app, "/Producer/Send", "messageData=hello&topic=t").await;
    assert!(is_code(&reply.json()["msg"]), "{}", reply.text);
    assert!(reply.text.starts_with(r#"{"code":0,"msg":""#));
    let list = post_form(&app, "/Console/GetMessageList", "").await.json();
    assert_eq!(list["data"][0]["MessageCode"], reply.json()["msg"]);
    assert_eq!(list["data"][0]["MessageData"], "hello");
    assert_eq!(list["data"][0]["Topic"], "t");
}

#[tokio::test]
async fn send_needs_data_and_topic() {
    for form in ["", "topic=t", "messageData=a", "messageData=&topic=t"] {
        let reply = post_form(&app(), "/Producer/Send", form).await;
        let expected = r#"{"code":-1,"msg":"Required data cannot be empty"}"#;
        assert_eq!(reply.text, expected);
    }
}

#[tokio::test]
async fn send_refuses_a_topic_with_a_bar() {
    let reply = post_form(&app(), "/Producer/Send", "messageData=a&topic=a|b").await;
    assert_eq!(reply.text, r#"{"code":-1,"msg":"the topic contains '|'"}"#);
}

#[tokio::test]
async fn send_takes_data_up_to_the_limit() {
    let bytes_max = Config::default().server.max_message_bytes;
    let fits = format!("topic=t&messageData={}", "%61".repeat(bytes_max));
    let reply = post_form(&app(), "/Producer/Send", &fits).await;
    assert_eq!(reply.json()["code"], 0);
    let reply = post_form(&app(), "/Producer/Send", &format!("{fits}a")).await;
    assert_eq!(reply.json()["code"], -1);
    let reason = format!(
        "messageData has {} bytes, more than {bytes_max}",
        bytes_max + 1
    );
    assert_eq!(reply.json()["msg"], reason);
    let reply = post_form(&app(), "/Producer/Send", &fits.repeat(2)).await;
    let reason = reply.json()["msg"].as_str().unwrap().to_owned();
    assert!(reason.starts_with("the body has more than"), "{reason}");
}

#[tokio::test]
async fn send_keeps_data_as_it_was_sent() {
    let app = app();
    let form = "topic=%E4%B8%BB%E9%A2%98&messageData=a%00%22%FF+%2B%0A";
    post_form(&app, "/Producer/Send", form).await;
    let list = post_form(&app, "/Console/GetMessageList", "").await.json();
    assert_eq!(list["data"][0]["MessageData"], "a\0\"\u{fffd} +\n");
    assert_eq!(list["data"][0]["Topic"], "主题");
}

#[tokio::test]
async fn ping_replies_with_the_code_alone() {
    let reply = post_form(&app(), "/Console/Ping", "").await;
    assert_eq!(reply.text, r#"{"code":0}"#);
}

#[tokio::test]
async fn get_consumers_is_an_empty_list_when_there_are_none() {
    let reply = post_form(&app(), "/Console/GetConsumers", "").await;
    assert_eq!(reply.text, r#"{"code":0,"data":[]}"#);
}

#[tokio::test]
async fn get_config_shows_the_13_keys_but_not_the_secret() {
    let reply = post_form(&app(), "/Console/GetConfig", "").await.json();
    let data = reply["data"].as_object().unwrap();
    let mut keys: Vec<_> = data.keys().map(String::as_str).collect();
    keys.sort_unstable();
    assert_eq!(
        keys.join(" "),
        "checkCount checkSpeed cleanTime isClean isPersistent isRePush messageChanBuffer \
         persistentFile persistentTime pushMessagesSpeed recoveryStrategy sendCount sendRetryCount"
    );
    assert!(data["persistentFile"].is_string());
    assert_eq!(data.values().filter(|value| value.is_number()).count(), 12);
}

#[tokio::test]
async fn get_message_list_is_an_empty_list_when_nothing_matches() {
    let app = app();
    post_form(&app, "/Producer/Send", "messageData=a&topic=t").await;
    for form in [
        "topic=other",
        "topic=a|b",
        "status=1",
        "endTime=2006-01-02 15:04:05",
        "startTime=2106-1-1 0:0:0&endTime=2006-1-1 0:0:0",
    ] {
        let reply = post_form(&app, "/Console/GetMessageList", form).await;
        assert_eq!(reply.text, r#"{"code":0,"data":[]}"#, "{form}");
    }
}

#[tokio::test]
async fn get_message_list_is_newest_first() {
    let app = app();
    for data in ["a", "b", "c"] {
        let form = format!("messageData={data}&topic=t");
        post_form(&app, "/Producer/Send", &form).await;
    }
    for form in [
        "",
        "status=3",
        "status=&topic=&startTime=&endTime=",
        "topic=t&startTime=2006-1-2 0:0:0",
        "endTime=2100-01-02 15:04:05",
    ] {
        let list = post_form(&app, "/Console/GetMessageList", form)
            .await
            .json();
        let messages = list["data"].as_array().unwrap();
        let data: Vec<_> = messages.iter().map(|one| &one["MessageData"]).collect();
        assert_eq!(json!(data), json!(["c", "b", "a"]), "{form}");
    }
}

#[tokio::test]
async fn get_message_list_says_what_it_cannot_read() {
    let app = app();
    for (form, reason) in [
        (
            "startTime=yesterday",
            r#"startTime is a time as in 2006-01-02 15:04:05, not "yesterday""#,
        ),
        (
            "endTime=2006-01-02",
            r#"endTime is a time as in 2006-01-02 15:04:05, not "2006-01-02""#,
        ),
        ("status=2", r#"status is -1, 0, 1, or 3 for all, not "2""#),
        ("status=x", r#"status is -1, 0, 1, or 3 for all, not "x""#),
    ] {
        let reply = post_form(&app, "/Console/GetMessageList", form).await;
        assert_eq!(reply.json(), json!({ "code": -1, "msg": reason }));
    }
}

#[tokio::test]
async fn count_message_counts_by_status() {
    let app = app();
    let none = r#"{"code":0,"data":{"all":0,"consumed":0,"notConsumed":0,"stateless":0}}"#;
    let reply = post_form(&app, "/Console/CountMessage", "").await;
    assert_eq!(reply.text, none);
    post_form(&app, "/Producer/Send", "messageData=a&topic=t").await;
    let reply = post_form(&app, "/Console/CountMessage", "").await;
    assert_eq!(reply.json()["data"]["all"], 1);
}

#[tokio::test]
async fn without_the_right_key_every_route_refuses() {
    for path in ROUTES {
        for (name, key) in [("secretKey", "qqq"), ("secretKey", ""), ("X-Other", "dpmq")] {
            let request = Request::post(path).header(name, key);
            let reply = ask(&app(), request.body(Body::from("topic=t")).unwrap()).await;
            assert_eq!((reply.status, &*reply.text), (StatusCode::OK, REFUSED));
            let kind = &reply.headers["Content-Type"];
            assert_eq!(kind, "application/json; charset=utf-8");
        }
    }
}

#[tokio::test]
async fn the_name_of_the_key_header_may_be_in_any_case() {
    for name in ["secretkey", "SECRETKEY", "Secretkey"] {
        let request = Request::post("/Console/Ping").header(name, "dpmq");
        let reply = ask(&app(), request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.text, r#"{"code":0}"#);
    }
}

#[tokio::test]
async fn the_page_of_the_original_gets_its_answers() {
    for (path, body) in [
        ("/Console/Ping", "{}"),
        ("/Console/GetConfig", "{}"),
        ("/Console/GetConsumers", "{}"),
        ("/Console/CountMessage", ""),
        ("/Console/GetMessageList", "{}"),
    ] {
        let request = post_to(path).header("Content-Type", "multipart/form-data");
        let reply = ask(&app(), request.body(Body::from(body)).unwrap()).await;
        assert_eq!(reply.json()["code"], 0, "{path}: {}", reply.text);
    }
}

/// A client that reads nothing before it has written all, as most do.
#[tokio::test]
async fn a_client_that_sends_too_much_gets_to_see_why() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut config = Config::default();
    config.server.max_message_bytes = 1024 * 1024;
    let server = tokio::spawn(axum::serve(listener, app_with(config)).into_future());
    let body = vec![b'a'; 12 * 1024 * 1024];
    for (key, reason) in [
        ("qqq", "Secret key matching error"),
        ("dpmq", "the body has more"),
    ] {
        let head = format!(
            "POST /Producer/Send HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\
             secretKey: {key}\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let mut client = tokio::net::TcpStream::connect(address).await.unwrap();
        client.write_all(head.as_bytes()).await.unwrap();
        client.write_all(&body).await.unwrap();
        let mut reply = String::new();
        client.read_to_string(&mut reply).await.unwrap();
        assert!(
            reply.starts_with("HTTP/1.1 200 OK") && reply.contains(reason),
            "{reply}"
        );
    }
    server.abort();
}

#[tokio::test]
async fn options_on_any_route_is_204() {
    for path in ROUTES.iter().chain(&["/", "/view/index.html", "/nowhere"]) {
        let request = Request::options(*path)
            .header("Origin", "http://localhost:8012")
            .header("Access-Control-Request-Headers", "content-type,secretkey");
        let reply = ask(&app(), request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::NO_CONTENT, "{path}");
        assert_eq!(reply.text, "");
    }
}

#[tokio::test]
async fn an_unknown_path_is_404() {
    for path in [
        "/nowhere",
        "/null/Console/Ping",
        "/view/x.js",
        "/view/../Cargo.toml",
        "/view/%ff",
    ] {
        let reply = ask(&app(), Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::NOT_FOUND);
        let reason = format!("no such path: {path}");
        assert_eq!(reply.json(), json!({ "code": -1, "msg": reason }));
    }
}

#[tokio::test]
async fn a_wrong_method_is_405() {
    for (method, path) in [
        ("GET", "/Console/Ping"),
        ("PUT", "/Producer/Send"),
        ("POST", "/"),
    ] {
        let request = Request::builder().method(method).uri(path);
        let reply = ask(&app(), request.body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::METHOD_NOT_ALLOWED);
        let reason = format!("{path} does not take {method}");
        assert_eq!(reply.json(), json!({ "code": -1, "msg": reason }));
        assert!(reply.headers.contains_key("Allow"), "{:?}", reply.headers);
    }
}

#[tokio::test]
async fn the_page_is_at_the_root_and_under_view() {
    for path in ["/", "/view/index.html"] {
        let reply = ask(&app(), Request::get(path).body(Body::empty()).unwrap()).await;
        assert_eq!(reply.status, StatusCode::OK);
        assert_eq!(reply.headers["Content-Type"], "text/html; charset=utf-8");
        assert!(reply.text.to_lowercase().starts_with("<!doctype html>"));
        assert_eq!(reply.headers["X-Content-Type-Options"], "nosniff");
        let policy = reply.headers["Content-Security-Policy"].to_str().unwrap();
        assert!(policy.starts_with("default-src 'self';"), "{policy}");
        let head = ask(&app(), Request::head(path).body(Body::empty()).unwrap()).await;
        assert_eq!((head.status, &*head.text), (StatusCode::OK, ""));
        assert_eq!(head.headers["ETag"], reply.headers["ETag"]);
    }
}

#[tokio::test]
async fn the_page_is_packed_for_those_who_take_it() {
    let ask_for = async |accepted: &str| {
        let request = Request::get("/").header("Accept-Encoding", accepted);
        let request = request.body(Body::empty()).unwrap();
        app().oneshot(request).await.unwrap()
    };
    let plain = ask_for("identity").await;
    assert!(!plain.headers().contains_key("Content-Encoding"));
    assert_eq!(plain.headers()["Vary"], "Accept-Encoding");
    let plain_tag = plain.headers()["ETag"].clone();
    let plain = to_bytes(plain.into_body(), usize::MAX).await.unwrap();
    for _ in 0..2 {
        let packed = ask_for("br, gzip").await;
        assert_eq!(packed.headers()["Content-Encoding"], "gzip");
        assert_eq!(packed.headers()["Content-Type"], "text/html; charset=utf-8");
        assert_ne!(packed.headers()["ETag"], plain_tag);
        let packed = to_bytes(packed.into_body(), usize::MAX).await.unwrap();
        let mut unpacked = vec![];
        let mut decoder = flate2::read::GzDecoder::new(&*packed);
        std::io::Read::read_to_end(&mut decoder, &mut unpacked).unwrap();
        assert_eq!(unpacked, plain);
    }
}

#[tokio::test]
async fn the_page_is_not_sent_twice() {
    let page = ask(&app(), Request::get("/").body(Body::empty()).unwrap()).await;
    let tag = page.headers["ETag"].to_str().unwrap();
    for known in [tag, &format!("\"x\", W/{tag}"), "*"] {
        let request = Request::get("/").header("If-None-Match", known);
        let reply = ask(&app(), request.body(Body::empty()).unwrap()).await;
        assert_eq!((reply.status, &*reply.text), (StatusCode::NOT_MODIFIED, ""));
        assert_eq!(reply.headers["ETag"], tag);
    }
    let request = Request::get("/").header("If-None-Match", "\"x\"");
    let reply = ask(&app(), request.body(Body::empty()).unwrap()).await;
    assert_eq!(reply.status, StatusCode::OK);
}
