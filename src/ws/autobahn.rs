//! The test suite of Autobahn against an echo server that is made of this upgrade and this
//! intake. It is a program of its own, `wstest` of the package autobahntestsuite 0.8.2 for
//! Python 2.7; `WSTEST` is how it is started.

use std::collections::BTreeMap;
use std::process::Stdio;

use axum::response::Response;
use axum::{Extension, Router};
use futures_util::{SinkExt, StreamExt};
use serde::Deserialize;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::Command;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;

use super::classic::Classic;
use super::intake::Limits;
use super::socket::Socket;
use super::upgrade::{Upgrade, WebSocket};
use crate::connection::connection_stats::ConnectionStats;
use crate::connection::line::Line;
use crate::limits::memory_budget::MemoryBudget;
use crate::session::{self, Connection, Frame, SessionEnd};

const MESSAGE_BYTES: usize = 64 << 20;

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    behavior: String,
    behavior_close: String,
}

async fn upgrade(upgrade: Upgrade) -> Response {
    let config = WebSocketConfig::default()
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let limits = Limits {
        message_bytes: MESSAGE_BYTES,
        memory: MemoryBudget::new(2 * MESSAGE_BYTES),
    };
    upgrade.accept(config, limits, echo)
}

/// Sends back what comes, and ends as sessions do.
async fn echo(stream: WebSocket, line: Line) {
    let dialect = Classic::Consumer;
    let mut socket = Socket::new(stream, line, dialect);
    socket.logged_in();
    let end = loop {
        match socket.next().await {
            Some(Ok(frame @ (Frame::Text(_) | Frame::Binary(_)))) => {
                if socket.send(frame).await.is_err() {
                    break SessionEnd::ByClient;
                }
            }
            Some(Ok(_)) => {}
            Some(Err(end)) => break end,
            None => break SessionEnd::ByClient,
        }
    };
    session::close(
        &mut socket,
        &dialect,
        end,
        None,
        &ConnectionStats::default(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs wstest, see the top of this file"]
async fn no_case_fails() {
    let program = std::env::var("WSTEST").expect("WSTEST is how wstest is started");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("ws://{}", listener.local_addr().unwrap());
    // Nobody asks it, so any will do.
    let address = listener.local_addr().unwrap();
    let line = Line::new(TcpStream::connect(address).await.unwrap());
    let app = Router::new().fallback(upgrade).layer(Extension(line));
    tokio::spawn(async move { axum::serve(listener, app).await });
    let dir = tempfile::tempdir().unwrap();
    let specification = serde_json::json!({
        "outdir": dir.path(),
        "servers": [{ "agent": "dpmq", "url": url }],
        // 12 and 13 are about compression, which is not negotiated.
        "cases": ["*"], "exclude-cases": ["12.*", "13.*"], "exclude-agent-cases": {},
    });
    let file = dir.path().join("specification.json");
    std::fs::write(&file, specification.to_string()).unwrap();
    let words: Vec<&str> = program.split_whitespace().collect();
    let status = Command::new(words[0])
        .args(&words[1..])
        .args(["--mode", "fuzzingclient", "--spec"])
        .arg(&file)
        .stdout(Stdio::null())
        .status();
    assert!(status.await.unwrap().success());
    let index = std::fs::read(dir.path().join("index.json")).unwrap();
    let index: BTreeMap<String, BTreeMap<String, Outcome>> =
        serde_json::from_slice(&index).unwrap();
    let cases = &index["dpmq"];
    let mut counts = BTreeMap::<(&str, &str), usize>::new();
    for outcome in cases.values() {
        let what = (&*outcome.behavior, &*outcome.behavior_close);
        *counts.entry(what).or_default() += 1;
    }
    println!("{} cases: {counts:?}", cases.len());
    assert!(cases.len() > 200);
    let passed = ["OK", "INFORMATIONAL", "NON-STRICT"];
    let failed = cases.iter().filter(|(_, outcome)| {
        !passed.contains(&&*outcome.behavior) || !passed.contains(&&*outcome.behavior_close)
    });
    let failed: Vec<_> = failed.collect();
    assert!(failed.is_empty(), "{failed:#?}");
}
