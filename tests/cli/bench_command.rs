//! `dpmq bench` with the real binary against a real server.

use std::process::Output;

use serde_json::Value;

use crate::common::{Setup, TestServer, eventually};

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// All but the lines that say how it goes.
fn stderr(output: &Output) -> String {
    let lines = std::str::from_utf8(&output.stderr).unwrap().lines();
    let lines = lines.filter(|line| !line.contains(" answered/s, "));
    lines.map(|line| format!("{line}\n")).collect()
}

/// Runs `dpmq bench` against `server`.
async fn bench(server: &TestServer, args: &[&str]) -> Output {
    let url = server.url("");
    server
        .run(&[&["bench", "--url", &url], args].concat())
        .await
}

/// The report of a run that ended with `code`.
async fn report(server: &TestServer, code: i32, args: &[&str]) -> Value {
    let output = bench(server, &[&["--json"], args].concat()).await;
    assert_eq!(output.status.code(), Some(code), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Fields of a report.
fn counts<const N: usize>(report: &Value, names: [&str; N]) -> [u64; N] {
    names.map(|name| {
        report[name]
            .as_u64()
            .unwrap_or_else(|| panic!("{name}: {report}"))
    })
}

const FAULTS: [&str; 6] = [
    "missing",
    "undelivered",
    "duplicates",
    "out_of_order",
    "changed",
    "refused",
];

fn assert_sound(report: &Value) {
    assert_eq!(counts(report, FAULTS), [0; 6], "{report}");
    assert_eq!(report["ok"], true, "{report}");
    assert_eq!(report["problems"], serde_json::json!([]));
}

fn assert_percentiles(percentiles: &Value) {
    let names = ["p50", "p90", "p99", "p99_9", "max"];
    let values = names.map(|name| percentiles[name].as_f64().unwrap());
    assert!(values.is_sorted() && values[4] > 0.0, "{percentiles}");
}

#[tokio::test]
async fn everything_acknowledged_is_received_once_by_every_consumer() {
    let server = TestServer::start().await;
    let args = ["--count", "5001", "--producers", "3", "--consumers", "2"];
    let report = report(&server, 0, &args).await;
    assert_sound(&report);
    let names = ["sent", "acknowledged", "unanswered", "received"];
    assert_eq!(counts(&report, names), [5001, 5001, 0, 10002]);
    assert!(report["acknowledged_per_s"].as_f64().unwrap() > 0.0);
    assert!(report["delivered_mb_per_s"].as_f64().unwrap() > 0.0);
    assert_percentiles(&report["ack_ms"]);
    assert_percentiles(&report["receipt_ms"]);
    assert_eq!(report["server"]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(report["server"]["push_pause_s"], 0.0);
    let settings = &report["settings"];
    assert_eq!(
        counts(settings, ["producers", "consumers", "size_bytes", "count"]),
        [3, 2, 128, 5001]
    );
    assert_eq!(counts(settings, ["window"]), [256]);
    assert_eq!(settings["duration_s"], Value::Null);
    // The topic was made for the run.
    assert_eq!(server.count().await[0], 0);
}

#[tokio::test]
async fn every_field_of_a_report_is_described() {
    let server = TestServer::start().await;
    let report = report(&server, 0, &["--count", "10"]).await;
    let description = include_str!("../../docs/bench.md");
    let mut names: Vec<&String> = report.as_object().unwrap().keys().collect();
    for part in ["server", "settings", "ack_ms", "receipt_ms"] {
        names.extend(report[part].as_object().unwrap().keys());
    }
    for name in names {
        let (alone, in_server) = (format!("`{name}`"), format!("`server.{name}`"));
        let is_part = ["server", "settings"].contains(&name.as_str());
        let described = description.contains(&alone) || description.contains(&in_server);
        assert!(described || is_part, "{name}");
    }
}

#[tokio::test]
async fn people_are_told_the_same() {
    let server = TestServer::start().await;
    let output = bench(&server, &["--count", "1000"]).await;
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let text = stdout(&output);
    for expected in [
        "4 producers, 1 consumer, messages of 128 bytes",
        "1,000 of 1,000 sent, 0 refused",
        "1,000 received, 0 missing",
        "p99.9",
        "\nacknowledgement ",
        "\npublish to receipt ",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert_eq!(stderr(&output), "");
}

#[tokio::test]
async fn without_acks_the_end_is_when_the_server_has_read_all() {
    let server = TestServer::start().await;
    let args = ["--count", "5000", "--no-acks", "--keep"];
    let report = report(&server, 0, &args).await;
    assert_sound(&report);
    assert_eq!(
        counts(&report, ["sent", "acknowledged", "received"]),
        [5000, 0, 5000]
    );
    assert_eq!(report["acknowledged_per_s"], Value::Null);
    assert_eq!(report["ack_ms"], Value::Null);
    assert_eq!(report["settings"]["window"], Value::Null);
    assert_percentiles(&report["receipt_ms"]);
    // Kept, in a topic that the report names.
    let topic = report["settings"]["topic"].as_str().unwrap();
    assert!(topic.starts_with("bench-"), "{topic}");
    assert_eq!(server.topic_counts().await[topic][0], 5000);
}

#[tokio::test]
async fn http_is_one_request_at_a_time() {
    let server = TestServer::start().await;
    let args = [
        "--http",
        "--count",
        "301",
        "--producers",
        "2",
        "--topic",
        "a &/ü",
    ];
    let report = report(&server, 0, &args).await;
    assert_sound(&report);
    assert_eq!(
        counts(&report, ["sent", "acknowledged", "received"]),
        [301, 301, 301]
    );
    assert_percentiles(&report["ack_ms"]);
    assert_eq!(report["settings"]["http"], true);
    // Messages of a topic that was asked for stay.
    assert_eq!(server.topic_counts().await["a &/ü"][0], 301);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let server = TestServer::start().await;
    let args = ["--rate", "1000", "--duration", "0.5"];
    let report = report(&server, 0, &args).await;
    assert_sound(&report);
    let [sent] = counts(&report, ["sent"]);
    assert!(sent <= 500, "{sent}");
    assert!(report["elapsed_s"].as_f64().unwrap() >= 0.4, "{report}");
    assert_eq!(counts(&report["settings"], ["rate_per_s"]), [1000]);
    assert_eq!(report["settings"]["duration_s"], 0.5);
}

#[tokio::test]
async fn without_consumers_publishing_alone_is_measured() {
    let server = TestServer::start().await;
    let report = report(
        &server,
        0,
        &["--consumers", "0", "--count", "500", "--window", "1"],
    )
    .await;
    assert_sound(&report);
    assert_eq!(counts(&report, ["acknowledged", "received"]), [500, 0]);
    assert_eq!(report["receipt_ms"], Value::Null);
}

#[tokio::test]
async fn the_smallest_and_a_large_message_are_sent() {
    let server = TestServer::start().await;
    for (size, count) in [("48", "500"), ("1000000", "20")] {
        let report = report(&server, 0, &["--size", size, "--count", count]).await;
        assert_sound(&report);
    }
}

#[tokio::test]
async fn messages_of_others_on_the_topic_are_told_apart() {
    let server = TestServer::start().await;
    let args = ["--topic", "shared", "--rate", "100", "--count", "200"];
    let others = async {
        eventually("a consumer is there", async || {
            !server.consumer_ids().await.is_empty()
        })
        .await;
        server.publish("shared", "hello").await;
    };
    let (report, ()) = tokio::join!(report(&server, 0, &args), others);
    assert_sound(&report);
    assert_eq!(counts(&report, ["received", "foreign"]), [200, 1]);
}

#[tokio::test]
async fn a_pace_that_delivery_cannot_keep_is_named() {
    let server = Setup::new().set("pushMessagesSpeed", 1).start().await;
    let output = bench(&server, &["--count", "100000", "--drain", "5"]).await;
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let text = stderr(&output);
    let (note, error) = text.split_once('\n').unwrap();
    let expected = "note: the server has a pace of 100 messages a second for all topics together: \
                    these 100,000 take 1,000 s to be delivered; ";
    assert!(note.starts_with(expected), "{note}");
    assert!(
        error.starts_with("error: messages not delivered: ")
            && error.ends_with(" s at the server's pace\n"),
        "{error}"
    );
    let text = stdout(&output);
    assert!(
        text.contains("note: delivery is limited by the server's pace of 100 messages a second"),
        "{text}"
    );
    assert!(text.contains("--set mq.pushMessagesSpeed=0"), "{text}");
    // What it has left would hold up everybody else.
    assert_eq!(server.count().await[0], 0);
}

#[tokio::test]
async fn a_run_within_the_pace_is_not_warned() {
    let server = Setup::new().set("pushMessagesSpeed", 1).start().await;
    let args = ["--rate", "50", "--duration", "0.5"];
    let output = bench(&server, &args).await;
    assert_eq!(
        (output.status.code(), stderr(&output).as_str()),
        (Some(0), "")
    );
    let output = bench(&server, &["--duration", "0.1", "--drain", "0.1"]).await;
    let text = stderr(&output);
    let expected = "what is sent faster than that is not delivered in time";
    assert!(text.contains(expected), "{text}");
}

#[tokio::test]
async fn a_line_a_second_says_how_it_goes() {
    let server = TestServer::start().await;
    let args = ["--rate", "200", "--duration", "2.5"];
    let output = bench(&server, &args).await;
    let said = String::from_utf8(output.stderr).unwrap();
    let begins: Vec<&str> = said.lines().map(|line| &line[..5]).collect();
    assert_eq!(begins[..2], ["1 s: ", "2 s: "], "{said}");
    let output = bench(&server, &[&args[..], &["--quiet"]].concat()).await;
    assert_eq!(String::from_utf8(output.stderr).unwrap(), "");
}

#[tokio::test]
async fn what_comes_late_is_not_waited_for_longer_than_asked() {
    let server = Setup::new().set("pushMessagesSpeed", 1).start().await;
    let args = ["--count", "120", "--drain", "0.3"];
    let report = report(&server, 1, &args).await;
    assert_eq!(
        counts(&report, ["acknowledged", "undelivered", "missing"]),
        [120, 20, 0]
    );
    assert_eq!(report["ok"], false);
    let problem = report["problems"][0].as_str().unwrap();
    assert_eq!(
        problem,
        "messages not delivered within 0.3 s after the last was sent: 20"
    );
}

#[tokio::test]
async fn a_run_that_stands_still_is_ended() {
    let server = TestServer::start().await;
    let url = server.url("");
    let args = [
        "bench",
        "--url",
        &url,
        "--idle",
        "1",
        "--duration",
        "60",
        "--json",
    ];
    let stopped = async {
        answers_have_come(&server).await;
        server.signal("STOP");
    };
    let (output, ()) = tokio::join!(server.run(&args), stopped);
    server.signal("CONT");
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.starts_with("error: nothing moved for 1"), "{text}");
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(counts(&report, ["acknowledged"]) > [0]);
    assert_eq!(counts(&report, ["missing"]), [0]);
    let note = report["notes"][0].as_str().unwrap();
    assert!(
        note.starts_with("the messages stay on topic bench-"),
        "{note}"
    );
}

/// Waits until a run of the default size has had answers: it has no more messages than these in flight.
async fn answers_have_come(server: &TestServer) {
    const IN_FLIGHT: u64 = 4 * 256;
    eventually("answers come", async || server.count().await[0] > IN_FLIGHT).await;
}

#[tokio::test]
async fn a_server_that_goes_away_ends_the_run_with_a_report() {
    let mut server = TestServer::start().await;
    let url = server.url("");
    let mut command = server.command(&["bench", "--url", &url, "--duration", "60", "--json"]);
    let run = tokio::spawn(async move { command.output().await.unwrap() });
    answers_have_come(&server).await;
    server.kill().await;
    let output = run.await.unwrap();
    assert_eq!(output.status.code(), Some(1));
    assert!(
        stderr(&output).contains("connection"),
        "{}",
        stderr(&output)
    );
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(counts(&report, ["acknowledged"]) > [0]);
    assert_eq!(report["ok"], false);
}

#[tokio::test]
async fn a_signal_ends_early_with_a_report_and_leaves_nothing() {
    let server = TestServer::start().await;
    let url = server.url("");
    for (signal, way) in [("INT", "--json"), ("TERM", "--json"), ("INT", "--http")] {
        let args = ["bench", "--url", &url, "--duration", "60", "--json", way];
        let args: Vec<&str> = match way {
            "--json" => args[..6].into(),
            _ => args.into(),
        };
        let mut command = server.command(&args);
        let child = command
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        answers_have_come(&server).await;
        crate::common::signal(child.id().unwrap(), signal);
        let output = child.wait_with_output().await.unwrap();
        assert_eq!(output.status.code(), Some(0), "{signal} {way}");
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert!(counts(&report, ["acknowledged"]) > [0]);
        let notes = report["notes"].as_array().unwrap();
        assert_eq!(notes.len(), 1, "{report}");
        let note = notes[0].as_str().unwrap();
        assert!(note.starts_with("ended early: "), "{note}");
        assert_eq!(server.count().await[0], 0, "{signal} {way}");
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_before_anything_is_sent() {
    let server = TestServer::start().await;
    for args in [
        &["--key", "wrong"][..],
        &["--key", "wrong", "--http", "--consumers", "0"],
    ] {
        let output = bench(&server, args).await;
        assert_eq!(output.status.code(), Some(1), "{args:?}");
        let text = stderr(&output);
        assert!(
            text.starts_with("error: ") && text.contains("--key"),
            "{text}"
        );
        assert_eq!(stdout(&output), "");
    }
    assert_eq!(server.count().await[0], 0);
}

#[tokio::test]
async fn no_server_is_a_failure_with_its_address() {
    let server = TestServer::start().await;
    for args in [&[][..], &["--http", "--consumers", "0"]] {
        let url = ["bench", "--url", "http://127.0.0.1:1"];
        let output = server.run(&[&url, args].concat()).await;
        assert_eq!(output.status.code(), Some(1));
        let text = stderr(&output);
        assert!(
            text.starts_with("error: cannot connect to 127.0.0.1:1"),
            "{text}"
        );
    }
}

#[tokio::test]
async fn settings_that_make_no_sense_are_refused() {
    let server = TestServer::start().await;
    for (args, expected) in [
        (
            &["--size", "47"][..],
            "--size 47: a message has at least 48 bytes",
        ),
        (&["--producers", "0"], "--producers"),
        (&["--window", "0"], "--window"),
        (&["--count", "1", "--duration", "1"], "cannot be used with"),
        (&["--http", "--window", "1"], "cannot be used with"),
        (&["--http", "--no-acks"], "cannot be used with"),
        (&["--topic", "t", "--keep"], "cannot be used with"),
        (&["--topic", "a|b"], "--topic"),
        (&["--duration", "0"], "expected more than 0 seconds"),
        (&["--drain", "soon"], "expected a number of seconds"),
    ] {
        let output = bench(&server, args).await;
        assert_eq!(output.status.code(), Some(64), "{args:?}");
        let text = stderr(&output);
        assert!(text.contains(expected), "{args:?}: {text}");
    }
}

#[tokio::test]
async fn a_message_that_is_too_large_for_the_server_is_its_reason() {
    let server = TestServer::start().await;
    let args = ["--size", "16777217", "--producers", "1", "--count", "1"];
    let output = bench(&server, &args).await;
    assert_eq!(output.status.code(), Some(1));
    let text = stderr(&output);
    assert!(text.contains("16777217"), "{text}");
}
