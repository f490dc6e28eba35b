//! `docs/asyncapi.yaml` and `docs/protocol.md` are true: their routes, close codes and examples are
//! those of the server, and the frames of a running one are as they are described.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use dpmq::access::{KeysFile, ListedKey, Token};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::{self, Message};

use crate::common::{KEY, Setup, Socket, TestServer};
use crate::disk::{Action, Preload, Rule};

/// `docs/asyncapi.yaml`.
struct Description(Value);

impl Description {
    fn read() -> Description {
        Description(serde_saphyr::from_str(&file("docs/asyncapi.yaml")).unwrap())
    }

    /// The object at `pointer`.
    fn object(&self, pointer: &str) -> &serde_json::Map<String, Value> {
        self.0.pointer(pointer).unwrap().as_object().unwrap()
    }

    fn message(&self, name: &str) -> &Value {
        &self.object("/components/messages")[name]
    }

    fn examples(&self, name: &str) -> &[Value] {
        let examples = self.message(name)["examples"].as_array();
        examples.map_or(&[], Vec::as_slice)
    }

    /// The codes in the examples of a close.
    fn example_codes(&self, name: &str) -> BTreeSet<u16> {
        codes(self.examples(name).iter().map(|it| &it["payload"]["code"]))
    }

    /// Holds a frame against the schema of its message, which is of draft 7 in AsyncAPI 3.0.
    fn expect(&self, name: &str, payload: &Value) {
        let schema = json!({
            "$ref": format!("#/components/messages/{name}/payload"),
            "components": self.0["components"],
        });
        let validator = jsonschema::draft7::new(&schema).unwrap();
        let errors: Vec<_> = validator.iter_errors(payload).collect();
        assert!(errors.is_empty(), "{name}: {errors:?} in {payload}");
    }

    /// Holds the next text frame against a message.
    async fn expect_text(&self, name: &str, socket: &mut Socket) {
        self.expect(name, &json!(socket.recv().await.as_str()));
    }

    /// Holds the next text frame, which is JSON, against a message.
    async fn expect_json(&self, name: &str, socket: &mut Socket) {
        self.expect(name, &socket.recv_json().await);
    }

    /// The server closes, with code and reason of the example.
    async fn expect_close(&self, example: &str, socket: &mut Socket) {
        let close = payload(&socket.closed().await);
        self.expect("close", &close);
        let mut examples = self.examples("close").iter();
        let example = examples.find(|it| it["name"] == example).unwrap();
        assert_eq!(close, example["payload"]);
    }
}

/// A file of the project.
fn file(name: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).unwrap()
}

fn codes<'a>(values: impl Iterator<Item = &'a Value>) -> BTreeSet<u16> {
    let code = |value: &Value| u16::try_from(value.as_u64().unwrap()).unwrap();
    values.map(code).collect()
}

fn payload(close: &CloseFrame) -> Value {
    json!({ "code": u16::from(close.code), "reason": close.reason.as_str() })
}

/// Every reference in `value`.
fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("$ref").and_then(Value::as_str));
            fields.values().for_each(|value| references(value, found));
        }
        Value::Array(values) => values.iter().for_each(|value| references(value, found)),
        _ => {}
    }
}

/// The paths that a page names, without query and fragment.
fn paths(page: &str) -> BTreeSet<String> {
    let words = page.split(|c: char| c.is_whitespace() || "`|()".contains(c));
    let paths = words.filter_map(|word| {
        let path = word.split_once("HOST:PORT").map_or(word, |(_, path)| path);
        let path = path.split(['?', '#']).next()?;
        path.starts_with('/').then(|| path.replace('…', "{*file}"))
    });
    paths.collect()
}

/// The text of the fenced block that begins so.
fn block<'a>(page: &'a str, begin: &str) -> &'a str {
    let at = page.find(&format!("\n{begin}")).unwrap() + 1;
    page[at..].split_once("\n```").unwrap().0
}

#[test]
fn every_reference_leads_somewhere_and_every_component_is_used() {
    let description = Description::read();
    let mut found = BTreeSet::new();
    references(&description.0, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(description.0.pointer(pointer).is_some(), "{reference}");
    }
    for kind in description.object("/components").keys() {
        for name in description.object(&format!("/components/{kind}")).keys() {
            let reference = format!("#/components/{kind}/{name}");
            assert!(found.contains(&*reference), "{reference} is not used");
        }
    }
    for channel in description.object("/channels").keys() {
        for name in description
            .object(&format!("/channels/{channel}/messages"))
            .keys()
        {
            let reference = format!("#/channels/{channel}/messages/{name}");
            assert!(found.contains(&*reference), "{reference} has no operation");
        }
    }
}

#[test]
fn the_channels_are_the_routes_of_the_server() {
    let description = Description::read();
    let channels = description.object("/channels");
    let addresses: BTreeSet<&str> = channels
        .values()
        .map(|channel| channel["address"].as_str().unwrap())
        .collect();
    let routes = dpmq::ws::ROUTES.iter().map(|(path, _)| *path);
    assert_eq!(addresses, routes.collect());
    for channel in channels.values() {
        let address = channel["address"].as_str().unwrap();
        let parameters = channel["parameters"].as_object().unwrap();
        assert_eq!(parameters.len(), address.matches('{').count());
        for name in parameters.keys() {
            assert!(address.contains(&format!("{{{name}}}")), "{address}");
        }
    }
}

#[test]
fn every_example_is_as_its_schema_says() {
    let description = Description::read();
    let mut checked = 0;
    for name in description.object("/components/messages").keys() {
        for example in description.examples(name) {
            description.expect(name, &example["payload"]);
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} examples");
    let page = file("docs/protocol.md");
    let message = block(&page, "{\"MessageCode\"");
    description.expect("message", &serde_json::from_str(message).unwrap());
}

#[test]
fn every_close_code_is_on_both_pages_and_in_the_server() {
    let description = Description::read();
    let page = file("docs/protocol.md");
    let table = page.split_once("### Close codes").unwrap().1;
    let table = table.split("\n## ").next().unwrap();
    let rows = table.lines().filter_map(|line| line.strip_prefix("| "));
    let written: BTreeSet<u16> = rows.filter_map(|row| row.get(..4)?.parse().ok()).collect();
    let own = description.example_codes("close");
    let of_clients = description.example_codes("closeAnswer");
    assert_eq!(&own | &of_clients, written);
    let named = &description.message("close")["payload"]["properties"]["code"]["enum"];
    assert_eq!(codes(named.as_array().unwrap().iter()), own);

    let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/ws");
    let sources: String = fs::read_dir(sources)
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let sent = (1000..1016).filter(|code| {
        let name = format!("CloseCode::{:?}", CloseCode::from(*code));
        sources.contains(&name)
    });
    assert_eq!(own, sent.collect());
}

#[test]
fn every_path_of_the_protocol_is_a_route_and_every_route_of_it_is_named() {
    let added = ["/api/", "/health/", "/metrics"];
    let routes = dpmq::http::routes().map(|(_, path, _)| path);
    // Those of WebSockets have their parameters in the path or in the query.
    let sockets = dpmq::ws::ROUTES.iter().flat_map(|(path, _)| {
        let (by_query, _) = path.split_once("/{topic}").unwrap();
        [*path, by_query]
    });
    let routes = routes.chain(sockets);
    let is_classic = |path: &str| !added.iter().any(|it| path.starts_with(it));
    let routes: BTreeSet<String> = routes
        .filter(|path| is_classic(path))
        .map(str::to_owned)
        .collect();
    let mut named = paths(&file("docs/protocol.md"));
    named.retain(|path| is_classic(path));
    assert_eq!(named, routes);
}

#[tokio::test]
async fn the_login_goes_as_the_protocol_tells() {
    let (description, server) = (Description::read(), TestServer::start().await);
    let page = file("docs/protocol.md");
    let login = block(&page, "server: ");
    let names = ["prompt", "key", "wrongKey", "prompt", "key", "rightKey"];
    assert_eq!(login.lines().count(), names.len());
    for path in ["/Producers/Conn/t/p", "/Consumers/Conn/t/c"] {
        let mut socket = server.open(path).await;
        for (line, name) in login.lines().zip(names) {
            let (who, said) = line.split_once(": ").unwrap();
            description.expect(name, &json!(said));
            match who {
                "server" => assert_eq!(socket.recv().await, said),
                _ => socket.send(said).await,
            }
        }
    }
}

#[tokio::test]
async fn messages_and_answers_are_as_described() {
    let description = Description::read();
    let setup = Setup::new().environment("DPMQ_SERVER_PINGSECONDS", "1");
    let server = setup.start().await;
    let mut consumer = server.consumer("t", "c").await;
    let mut producer = server.producer_ack("t", "p").await;
    for data in ["hello", "\"<&>\"\n\u{0}\u{1f980}"] {
        description.expect("data", &json!(data));
        producer.send(data).await;
        description.expect_json("stored", &mut producer).await;
        description.expect_json("message", &mut consumer).await;
    }
    for mut socket in [producer, consumer] {
        match socket.frame().await {
            Some(Ok(Message::Ping(data))) => {
                description.expect("ping", &json!(str::from_utf8(&data).unwrap()));
            }
            other => panic!("not a ping: {other:?}"),
        }
    }
}

#[tokio::test]
async fn an_ack_is_one_of_those_described() {
    let (description, server) = (Description::read(), TestServer::start().await);
    let ack = "/channels/producer/bindings/ws/query/properties/ack/enum";
    let values = description.0.pointer(ack).unwrap().as_array().unwrap();
    for value in values {
        let path = format!("/Producers/Conn/t/p?ack={}", value.as_str().unwrap());
        server.open(&path).await.login(KEY).await;
    }
    match server.try_open("/Producers/Conn/t/p?ack=2", &[]).await {
        Err(tungstenite::Error::Http(response)) => assert_eq!(response.status(), 400),
        other => panic!("not refused: {:?}", other.err()),
    }
}

#[tokio::test]
async fn what_is_not_stored_is_told_as_described() {
    let (description, preload) = (Description::read(), Preload::new());
    let server = preload.disturb(Setup::new()).start().await;
    let mut with_acks = server.producer_ack("t", "p").await;
    let mut without = server.producer("t", "p").await;
    preload.rules(&[Rule::all(Action::NoSpace, "write", "data.db/log/*")]);
    with_acks.send("a").await;
    let told = with_acks.recv_json().await;
    description.expect("notStored", &told);
    assert_eq!(told, description.examples("notStored")[0]["payload"]);
    without.send("b").await;
    description.expect_close("failed", &mut without).await;
}

#[tokio::test]
async fn bad_frames_are_closed_as_described() {
    let (description, server) = (Description::read(), TestServer::start().await);
    let too_large = (16_777_216_u64 + 1).to_be_bytes();
    // Each with a mask that changes nothing.
    for (example, frame) in [
        ("badFrame", &[0x83, 0x80, 0, 0, 0, 0][..]),
        ("notUtf8", &[0x81, 0x81, 0, 0, 0, 0, 0xff]),
        (
            "tooLarge",
            &[&[0x82, 0xff][..], &too_large, &[0; 4]].concat(),
        ),
    ] {
        let mut producer = server.producer("t", "p").await;
        producer.stream().write_all(frame).await.unwrap();
        description.expect_close(example, &mut producer).await;
    }
}

#[tokio::test]
async fn a_login_that_fails_is_closed_as_described() {
    let description = Description::read();
    let once = Setup::new().environment("DPMQ_SERVER_LOGINATTEMPTS", "1");
    let server = once.start().await;
    let mut wrong = server.open("/Consumers/Conn/t/c").await;
    description.expect_text("prompt", &mut wrong).await;
    wrong.send("qqq").await;
    description.expect_text("wrongKey", &mut wrong).await;
    description.expect_close("wrongKeys", &mut wrong).await;
    let quick = Setup::new().environment("DPMQ_SERVER_LOGINSECONDS", "1");
    let server = quick.start().await;
    let mut silent = server.open("/Producers/Conn/t/p").await;
    description.expect_close("noKey", &mut silent).await;
}

/// A server with one key, `shop`, to consume `orders`; the key.
async fn shop(expires: Option<&str>) -> (TestServer, KeysFile, String) {
    let mut server = Setup::new().stopped();
    let (file, token) = (
        KeysFile::at(server.dir().join("config/keys.yaml")),
        Token::random().unwrap(),
    );
    let (rights, topics) = (["consume".to_owned()], vec!["orders".to_owned()]);
    let key = ListedKey::new("shop", &rights, topics, expires, token.digest());
    file.add(&key.unwrap()).unwrap();
    server.start_again().await;
    (server, file, token.expose().to_owned())
}

#[tokio::test]
async fn a_key_that_is_not_good_for_it_is_closed_as_described() {
    let description = Description::read();
    let (server, file, key) = shop(None).await;
    for (example, path) in [
        ("otherTopic", "/Consumers/Conn/others/c"),
        ("noRight", "/Producers/Conn/orders/p"),
    ] {
        let mut socket = server.open(path).await;
        socket.send(&key).await;
        description.expect_close(example, &mut socket).await;
    }
    let mut consumer = server.open("/Consumers/Conn/orders/c").await;
    consumer.login(&key).await;
    file.remove("shop").unwrap();
    description.expect_close("revoked", &mut consumer).await;
}

#[tokio::test]
async fn a_key_that_expires_is_closed_as_described() {
    let description = Description::read();
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(5);
    let (server, _, key) = shop(Some(&soon.to_rfc3339())).await;
    let mut consumer = server.open("/Consumers/Conn/orders/c").await;
    consumer.login(&key).await;
    description
        .expect_close("expiredMeanwhile", &mut consumer)
        .await;
    let mut late = server.open("/Consumers/Conn/orders/c").await;
    late.send(&key).await;
    description.expect_close("expiredBefore", &mut late).await;
}

#[tokio::test]
async fn the_ends_of_sessions_are_as_described() {
    let (description, mut server) = (Description::read(), TestServer::start().await);
    for code in [1000, 4000] {
        let mut leaves = server.producer("t", "p").await;
        let close = CloseFrame {
            code: code.into(),
            reason: "".into(),
        };
        leaves.send_frame(Message::Close(Some(close.clone()))).await;
        let answer = leaves.closed().await;
        assert_eq!(answer, close);
        description.expect("closeAnswer", &payload(&answer));
    }
    let mut unwanted = server.consumer("t", "c").await;
    let request = |method, path: &str| server.request(method, path).header("secretKey", KEY);
    let listed = request(reqwest::Method::GET, "/api/clients?role=consumer");
    let listed: Value = listed.send().await.unwrap().json().await.unwrap();
    let path = format!("/api/clients/{}?confirm=t", listed["clients"][0]["number"]);
    let ended = request(reqwest::Method::DELETE, &path).send().await;
    assert_eq!(ended.unwrap().status(), 204);
    description
        .expect_close("disconnected", &mut unwanted)
        .await;

    let mut sockets = [
        server.producer("t", "p").await,
        server.consumer("t", "c").await,
    ];
    let (status, ()) = tokio::join!(server.stop(), async {
        for socket in &mut sockets {
            description.expect_close("stopping", socket).await;
        }
    });
    assert!(status.success());
}
