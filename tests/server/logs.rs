//! What a server logs: as text or JSON, as much as is asked for, on standard error and in files.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::time::timeout;

use crate::common::{KEY, PATIENCE, Setup, TestServer, eventually};

/// The lines on standard error of a server with these arguments, up to the one that says where it
/// listens.
async fn lines(server: &TestServer, args: &[&str]) -> Vec<String> {
    let args = [args, &["--port", "0"]].concat();
    let mut command = server.command(&args);
    let mut process = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stderr.take().unwrap()).lines();
    let mut seen = vec![];
    while let Some(line) = timeout(PATIENCE, lines.next_line()).await.unwrap().unwrap() {
        let listens = line.contains("listening on 127.0.0.1:");
        seen.push(line);
        if listens {
            break;
        }
    }
    process.kill().await.unwrap();
    seen
}

#[tokio::test]
async fn a_pace_that_is_set_is_one_line_at_the_start() {
    let server = Setup::new().unset("pushMessagesSpeed").stopped();
    let said = async |args: &[&str]| -> Vec<String> {
        let lines = lines(&server, &[&["serve"], args].concat()).await;
        let paces = lines
            .into_iter()
            .filter(|line| line.contains("a pace is set"));
        paces.collect()
    };
    assert_eq!(said(&[]).await, [""; 0]);
    let said = said(&["--set", "mq.pushMessagesSpeed=0.5"]).await;
    let expected = "a pace is set: at most 200 messages a second leave, for all topics together";
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(
        said[0].contains(" INFO ") && said[0].contains(expected),
        "{said:?}"
    );
}

#[tokio::test]
async fn a_log_of_json_has_an_object_a_line_everywhere() {
    let server = Setup::new()
        .environment("DPMQ_LOG_FORMAT", "json")
        .environment("DPMQ_LOG_AUDITFILE", "audit.log")
        .file("keys.yaml", b"[]\n")
        .environment("DPMQ_SERVER_KEYSFILE", "keys.yaml")
        .stopped();
    let lines = lines(&server, &["serve"]).await;
    let listens: Value = serde_json::from_str(lines.last().unwrap()).unwrap();
    assert_eq!(listens["level"], "INFO");
    assert_eq!(listens["target"], "dpmq::server");
    let message = listens["message"].as_str().unwrap();
    assert!(message.starts_with("listening on 127.0.0.1:"), "{listens}");
    chrono::DateTime::parse_from_rfc3339(listens["timestamp"].as_str().unwrap()).unwrap();

    let month = fs::read_dir(server.dir().join("log"))
        .unwrap()
        .next()
        .unwrap();
    let files = [month.unwrap().path(), server.dir().join("audit.log")];
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.is_empty(), "{}", file.display());
        for line in lines.iter().map(String::as_str).chain(text.lines()) {
            let line: Value = serde_json::from_str(line).unwrap();
            assert!(line["message"].is_string(), "{line}");
        }
    }
}

#[tokio::test]
async fn the_command_line_says_what_is_logged() {
    let server = Setup::new().stopped();
    for args in [
        &["--log", "info,dpmq::store=off"][..],
        &["serve", "--log", "warn,dpmq::server=info"],
    ] {
        let lines = lines(&server, args).await;
        assert!(
            lines.iter().any(|line| line.contains(" INFO ")),
            "{lines:?}"
        );
        assert!(
            !lines.iter().any(|line| line.contains("dpmq::store")),
            "{lines:?}"
        );
    }
}

/// The path of the log of this month.
fn monthly(server: &TestServer) -> PathBuf {
    let mut files = fs::read_dir(server.dir().join("log")).unwrap();
    files.next().unwrap().unwrap().path()
}

#[tokio::test]
async fn files_that_are_moved_away_are_made_anew_and_lose_nothing() {
    let server = Setup::new()
        .environment("DPMQ_LOG_AUDITFILE", "audit.log")
        .start()
        .await;
    let purge = async |topic: &str| {
        let request = server.post(&format!("/api/topics/{topic}/purge"));
        let purge = json!({ "confirm": topic, "what": "all" });
        let answer = request.header("secretKey", KEY).json(&purge).send();
        let answer = answer.await.unwrap();
        assert!(answer.status().is_success(), "{}", answer.status());
    };
    let has = |path: &Path, text: &str| fs::read_to_string(path).is_ok_and(|it| it.contains(text));
    let audit = server.dir().join("audit.log");
    let log = monthly(&server);
    purge("first").await;
    for file in [&audit, &log] {
        eventually("it is told", async || has(file, "first")).await;
    }
    let moved = [&audit, &log].map(|file| {
        let moved = server
            .dir()
            .join(file.file_name().unwrap())
            .with_extension("1");
        fs::rename(file, &moved).unwrap();
        moved
    });
    server.signal("HUP");
    purge("second").await;
    for (file, moved) in [&audit, &log].into_iter().zip(&moved) {
        eventually("it is told in the new file", async || has(file, "second")).await;
        assert!(
            has(moved, "first") && !has(moved, "second"),
            "{}",
            file.display()
        );
    }
}

#[tokio::test]
async fn each_session_that_the_server_ends_is_a_line() {
    let setup = Setup::new().environment("DPMQ_SERVER_MAXMESSAGEBYTES", "1000");
    let server = setup.start().await;
    let ended = || -> Vec<String> {
        let log = server.log();
        let lines = log.iter().filter(|line| line.contains(" was ended"));
        lines.cloned().collect()
    };
    server.consumer("t", "leaves").await.close().await;
    let mut too_large = server.producer_ack("t", "too \"large\"\n").await;
    too_large.send(&"x".repeat(1001)).await;
    too_large.closed().await;
    let mut unwanted = server.consumer("t", "unwanted").await;
    let clients = server.request(reqwest::Method::GET, "/api/clients");
    let clients = clients.header("secretKey", KEY).send().await.unwrap();
    let clients: Value = clients.json().await.unwrap();
    let client = clients["clients"].as_array().unwrap().iter();
    let mut number = client.filter(|client| client["id"] == "unwanted");
    let number = &number.next().unwrap()["number"];
    let path = format!("/api/clients/{number}?confirm=t");
    let delete = server.request(reqwest::Method::DELETE, &path);
    let deleted = delete.header("secretKey", KEY).send().await.unwrap();
    assert!(deleted.status().is_success());
    unwanted.closed().await;
    // Those that were not let in are others' business.
    let mut stranger = server.open("/Consumers/Conn/t/stranger").await;
    for _ in 0..5 {
        stranger.recv().await;
        stranger.send("wrong").await;
    }
    stranger.closed().await;

    eventually("both are told of", async || ended().len() == 2).await;
    for fields in [
        &[
            "INFO",
            "the session of a producer was ended",
            r#"client="too \"large\"\n" topic="t" address=127.0.0.1 key="secretKey" code=1009"#,
            r#"reason="a message is too long: 1001 > 1000" is_told=true"#,
        ],
        &[
            "INFO",
            "the session of a consumer was ended",
            r#"client="unwanted" topic="t" address=127.0.0.1 key="secretKey" code=1008"#,
            r#"reason="disconnected by the operator" is_told=true missed_messages=0"#,
        ],
    ] {
        let ended = ended();
        let is_told = |line: &String| fields.iter().all(|field| line.contains(field));
        assert!(ended.iter().any(is_told), "{fields:?}: {ended:#?}");
    }
}

#[tokio::test]
async fn neither_keys_nor_messages_are_in_the_log_at_any_level() {
    const OWN: &str = "unmistakable-key-7f3a";
    const DATA: &str = "unmistakable data 9c1e";
    for level in [
        "trace",
        "trace,tungstenite=trace,tungstenite::protocol=trace",
    ] {
        let server = Setup::new()
            .set("secretKey", OWN)
            .environment("DPMQ_LOG_LEVEL", level)
            .start()
            .await;
        let mut consumer = server.consumer("t", "c").await;
        let mut producer = server.producer_ack("t", "p").await;
        producer.send(DATA).await;
        producer.ack().await;
        server.publish("t", DATA).await;
        assert_eq!(consumer.data(2).await, [DATA, DATA]);
        let mut wrong = server.open("/Consumers/Conn/t/wrong").await;
        for _ in 0..5 {
            wrong.send(&format!("nearly-{OWN}")).await;
        }
        wrong.closed().await;
        let log = async || {
            let file = fs::read_to_string(monthly(&server)).unwrap();
            [server.log().join("\n"), file].concat()
        };
        eventually("what the server itself says is there", async || {
            log().await.matches("DEBUG dpmq::").count() >= 2
        })
        .await;
        let log = log().await;
        for secret in [OWN, DATA] {
            let bytes = const_hex::encode(secret);
            let list = format!("{:?}", secret.as_bytes());
            for form in [secret, &bytes, list.trim_matches(['[', ']'])] {
                assert!(!log.contains(form), "{form} is in the log at {level}");
            }
        }
        for line in log.lines().filter(|line| line.contains(" TRACE ")) {
            assert!(line.contains(" TRACE dpmq"), "{line}");
        }
    }
}
