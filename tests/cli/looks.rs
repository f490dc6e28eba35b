//! `listen`, `peek` and `watch` beside a real server: who consumes, who looks, who comes back.

use std::process::Stdio;

use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStderr, ChildStdout};
use tokio::time::timeout;

use crate::common::{KEY, PATIENCE, Setup, TestServer, eventually};

/// A command that runs, and its lines.
struct Running {
    child: Child,
    out: Lines<BufReader<ChildStdout>>,
    said: Lines<BufReader<ChildStderr>>,
}

impl Running {
    fn start(server: &TestServer, args: &[&str]) -> Running {
        let mut command = server.command(args);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = piped.kill_on_drop(true).spawn().unwrap();
        Running {
            out: BufReader::new(child.stdout.take().unwrap()).lines(),
            said: BufReader::new(child.stderr.take().unwrap()).lines(),
            child,
        }
    }

    async fn shown(&mut self) -> String {
        let line = timeout(PATIENCE, self.out.next_line()).await;
        line.unwrap().unwrap().unwrap()
    }

    async fn said(&mut self) -> String {
        let line = timeout(PATIENCE, self.said.next_line()).await;
        line.unwrap().unwrap().unwrap()
    }

    async fn ended(mut self) -> Option<i32> {
        let status = timeout(PATIENCE, self.child.wait()).await;
        status.unwrap().unwrap().code()
    }
}

#[tokio::test]
async fn listening_says_how_many_messages_it_consumes() {
    let server = TestServer::start().await;
    for n in 0..3 {
        let code = server.publish("a &/ü", &format!("{n}")).await;
        server.until_status(&code, 0).await;
    }
    let url = server.url("");
    let listen = ["listen", "a &/ü", "--count", "3", "--url", &url];
    let output = server.run(&listen).await;
    assert_eq!(output.stdout, b"0\n1\n2\n");
    let said = String::from_utf8(output.stderr).unwrap();
    let expected =
        "listening to a &/ü consumes: 3 messages wait there; dpmq peek and watch only look\n";
    assert_eq!(said, expected);
    server.publish("a &/ü", "another").await;
    let args = ["listen", "a &/ü", "--quiet", "--count", "1", "--url", &url];
    assert_eq!(server.run(&args).await.stderr, b"");
}

#[tokio::test]
async fn a_listener_comes_back_when_the_server_does() {
    let mut server = Setup::new().start().await;
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let url = server.url("");
    let mut listens = Running::start(&server, &["listen", "t", "--count", "2", "--url", &url]);
    let mut once = Running::start(&server, &["listen", "u", "--once", "--url", &url]);
    eventually("both listen", async || {
        server.consumer_ids().await.len() == 2
    })
    .await;
    server.publish("t", "before").await;
    assert_eq!(listens.shown().await, "before");
    server.stop().await;
    let said = listens.said().await;
    assert_eq!(
        said,
        "the server closed the connection: the server is stopping; again in 1 s"
    );
    let said = once.said().await;
    assert_eq!(
        said,
        "error: the server closed the connection: the server is stopping"
    );
    assert_eq!(once.ended().await, Some(1));

    let mut command = server.command(&["serve", "--port", &port]);
    let mut again = command
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    loop {
        let said = listens.said().await;
        if said == "listening to t again" {
            break;
        }
        assert!(said.contains("; again in "), "{said}");
    }
    let sent = server.run(&["send", "t", "after", "--url", &url]).await;
    assert!(sent.status.success(), "{sent:?}");
    assert_eq!(listens.shown().await, "after");
    assert_eq!(listens.ended().await, Some(0));
    again.kill().await.unwrap();
}

#[tokio::test]
async fn a_listener_that_is_not_wanted_does_not_come_back() {
    let server = TestServer::start().await;
    let url = server.url("");
    let mut listens = Running::start(&server, &["listen", "t", "--url", &url]);
    eventually("it listens", async || {
        server.consumer_ids().await.len() == 1
    })
    .await;
    let list = server.request(reqwest::Method::GET, "/api/clients?topic=t");
    let list: Value = list
        .header("secretKey", KEY)
        .send()
        .await
        .unwrap()
        .json()
        .await
        .unwrap();
    let number = list["clients"][0]["number"].as_u64().unwrap();
    let route = format!("/api/clients/{number}?confirm=t");
    let asked = server.request(reqwest::Method::DELETE, &route);
    let answer = asked.header("secretKey", KEY).send().await.unwrap();
    assert!(answer.status().is_success(), "{answer:?}");
    let said = listens.said().await;
    assert_eq!(
        said,
        "error: the server closed the connection: disconnected by the operator"
    );
    assert_eq!(listens.ended().await, Some(1));
}

#[tokio::test]
async fn peek_and_watch_show_messages_and_consume_none() {
    let server = TestServer::start().await;
    let url = server.url("");
    let code = server.publish("t", "one\ttab").await;
    server.until_status(&code, 0).await;
    let newest = server.publish("t", "two").await;
    server.until_status(&newest, 0).await;
    let peek = server.run(&["peek", "t", "--url", &url]).await;
    let shown = String::from_utf8(peek.stdout).unwrap();
    let lines: Vec<&str> = shown
        .lines()
        .map(|line| line.split_once('\t').unwrap().1)
        .collect();
    let expected = [
        format!("not_consumed\t{newest}\ttwo"),
        format!("not_consumed\t{code}\tone\\ttab"),
    ];
    assert_eq!(lines, expected);
    let args = ["peek", "t", "--count", "1", "--json", "--url", &url];
    let shown: Value = serde_json::from_slice(&server.run(&args).await.stdout).unwrap();
    assert_eq!(shown["code"], newest.as_str());
    let args = ["peek", "t", "--status", "consumed", "--url", &url];
    assert_eq!(server.run(&args).await.stdout, b"");

    let mut watches = Running::start(&server, &["watch", "t", "--count", "1", "--url", &url]);
    assert_eq!(watches.said().await, "watching t");
    server.publish("t", "three").await;
    assert_eq!(watches.shown().await, "three");
    assert_eq!(watches.ended().await, Some(0));
    let counts = server.topic_counts().await;
    assert_eq!(counts["t"][1], 0, "nothing is consumed: {counts:?}");
}

#[tokio::test]
async fn topics_are_listed_and_completed() {
    let server = TestServer::start().await;
    let url = server.url("");
    for topic in ["orders", "orders eu", "bills"] {
        let code = server.publish(topic, "x").await;
        server.until_status(&code, 0).await;
    }
    let _consumer = server.consumer("bills", "c").await;
    eventually("it is consumed", async || {
        let listed = server.run(&["topics", "--url", &url]).await.stdout;
        listed == b"bills\t0\t1\norders\t1\t0\norders eu\t1\t0\n"
    })
    .await;

    let complete = r#"
        dpmq() { "$DPMQ" "$@"; }
        source <(dpmq completions bash)
        COMP_WORDS=("$@")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
        _dpmq_or_topics dpmq "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let completed = async |words: &[&str]| {
        let mut command = tokio::process::Command::new("bash");
        command.args(["-c", complete, "bash"]).args(words);
        command
            .env("DPMQ", env!("CARGO_BIN_EXE_dpmq"))
            .env("DPMQ_URL", &url);
        let output = command
            .env("DPMQ_MQ_SECRETKEY", KEY)
            .output()
            .await
            .unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        completed(&["dpmq", "listen", "or"]).await,
        "orders\norders\\ eu\n"
    );
    assert_eq!(completed(&["dpmq", "pe"]).await, "peek\n");
    let rights = completed(&["dpmq", "key", "new", "k", "--rights", "console"]).await;
    assert_eq!(rights, "console-read\nconsole-change\n");
}
