//! `bench` against a broker with faults: each is found, named, and a failure.

use std::net::{Ipv4Addr, TcpListener};

use serde_json::Value;
use tokio_tungstenite::tungstenite::{Message, accept};

use crate::program::run;
use crate::stub::log_in;

/// What becomes of a message.
struct Fate {
    refused: bool,
    /// What the consumer gets.
    pushed: Vec<String>,
}

fn pushed(data: impl IntoIterator<Item = String>) -> Fate {
    Fate {
        refused: false,
        pushed: data.into_iter().collect(),
    }
}

/// Listens for one consumer and then one producer; `fate` decides over each message by its
/// number. Its URL.
fn broker(mut fate: impl FnMut(usize, String) -> Fate + Send + 'static) -> String {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let join = || {
            let mut socket = accept(listener.accept().unwrap().0).unwrap();
            log_in(&mut socket);
            socket
        };
        let (mut consumer, mut producer) = (join(), join());
        // It has no other routes.
        std::thread::spawn(move || listener.incoming().for_each(drop));
        let mut number = 0;
        while let Ok(frame) = producer.read() {
            let Message::Text(data) = frame else {
                continue;
            };
            let fate = fate(number, data.to_string());
            let answer = match fate.refused {
                true => r#"{"code":-1,"msg":"not today"}"#,
                false => r#"{"code":0,"msg":"c"}"#,
            };
            producer.send(Message::text(answer)).unwrap();
            for data in fate.pushed {
                let frame = format!(r#"{{"MessageCode":"c","MessageData":"{data}","Topic":"t"}}"#);
                consumer.send(Message::text(frame)).unwrap();
            }
            number += 1;
        }
        while consumer.read().is_ok() {}
    });
    url
}

/// Measures with one producer; the exit code, the report, and what was said of it.
fn bench(url: &str) -> (i32, Value, String) {
    let run = run(&[
        "bench",
        "--url",
        url,
        "--producers",
        "1",
        "--count",
        "50",
        "--idle",
        "0.5",
        "--json",
        "--quiet",
    ]);
    let report = serde_json::from_str(&run.stdout).unwrap();
    (run.code, report, run.stderr)
}

#[test]
fn a_broker_without_fault_passes_whatever_it_says_of_itself() {
    let (code, report, stderr) = bench(&broker(|_, data| pushed([data])));
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert_eq!(report["received"], 50);
    assert_eq!(report["server"]["version"], Value::Null);
    let note = report["notes"][0].as_str().unwrap();
    assert!(
        note.starts_with("the messages stay on topic bench-"),
        "{note}"
    );
}

#[test]
fn a_message_that_is_missing_is_found() {
    let (code, report, stderr) = bench(&broker(|number, data| match number {
        10 => pushed([]),
        _ => pushed([data]),
    }));
    assert_eq!((code, &report["missing"]), (1, &1.into()));
    let expected =
        "error: messages missing: 1; nothing moved for 0.5 s: 0 unanswered, 0 undelivered\n";
    assert_eq!(stderr, expected);
}

#[test]
fn a_message_that_comes_twice_is_found() {
    let (code, report, stderr) = bench(&broker(|number, data| match number {
        10 => pushed([data.clone(), data]),
        _ => pushed([data]),
    }));
    assert_eq!((code, &report["duplicates"]), (1, &1.into()));
    assert_eq!(stderr, "error: messages received twice: 1\n");
}

#[test]
fn a_message_that_comes_out_of_order_is_found() {
    let mut held = None;
    let (code, report, stderr) = bench(&broker(move |number, data| match number {
        10 => {
            held = Some(data);
            pushed([])
        }
        _ => pushed([data].into_iter().chain(held.take())),
    }));
    assert_eq!((code, &report["out_of_order"]), (1, &1.into()));
    assert_eq!(stderr, "error: messages received out of order: 1\n");
}

#[test]
fn a_message_that_has_changed_is_found() {
    let (code, report, stderr) = bench(&broker(|number, data| match number {
        10 => pushed([format!("{}!", &data[..data.len() - 1])]),
        _ => pushed([data]),
    }));
    assert_eq!(
        (code, &report["changed"], &report["missing"]),
        (1, &1.into(), &1.into())
    );
    assert!(
        stderr.contains("messages received with other bytes: 1;"),
        "{stderr}"
    );
}

#[test]
fn a_message_that_nobody_sent_is_found() {
    let (code, report, stderr) = bench(&broker(|number, data| match number {
        10 => pushed([data, "hello".to_owned()]),
        _ => pushed([data]),
    }));
    assert_eq!((code, &report["foreign"]), (1, &1.into()));
    assert_eq!(
        stderr,
        "error: messages received that are not of this run: 1\n"
    );
}

#[test]
fn a_message_that_is_refused_is_a_failure_and_not_missed() {
    let (code, report, stderr) = bench(&broker(|number, data| match number {
        10 | 11 => Fate {
            refused: true,
            pushed: vec![],
        },
        _ => pushed([data]),
    }));
    assert_eq!(
        (code, &report["refused"], &report["missing"]),
        (1, &2.into(), &0.into())
    );
    assert_eq!(report["acknowledged"], 48);
    assert_eq!(stderr, "error: messages refused (not today): 2\n");
}
