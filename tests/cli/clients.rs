//! `send` and `listen` against a small server.

use std::fs;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::program::{Run, dir, program, run, run_with_input};
use crate::stub::{Script, Stub};

#[test]
fn no_server_is_a_failure_with_its_address() {
    let run = run(&["send", "t", "x", "--url", "http://127.0.0.1:1"]);
    assert_eq!(run.code, 1);
    assert!(
        run.stderr
            .starts_with("error: cannot connect to 127.0.0.1:1: "),
        "{}",
        run.stderr
    );
}

#[test]
fn send_prints_the_code_of_one_message() {
    let stub = Stub::start(Script::default());
    let run = run(&[
        "send", "a topic", "hello", "--id", "me/1", "--url", &stub.url, "--key", "k",
    ]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "code-of-hello\n"),
        "{}",
        run.stderr
    );
    let seen = stub.seen();
    assert_eq!(seen.path, "/Producers/Conn/a%20topic/me%2F1?ack=1");
    assert_eq!(seen.key, "k");
}

#[test]
fn send_sends_each_line_of_standard_input() {
    let stub = Stub::start(Script::default());
    let input: String = (0..5000).map(|n| format!("{n}\n\n")).collect();
    let run = run_with_input(&["send", "t", "--url", &stub.url], &input);
    assert_eq!(run.code, 0, "{}", run.stderr);
    let expected: String = (0..5000).map(|n| format!("code-of-{n}\n")).collect();
    assert_eq!(run.stdout, expected);
    assert_eq!(stub.seen().key, "dpmq");
}

#[test]
fn send_goes_on_when_nobody_reads_the_codes() {
    let stub = Stub::start(Script::default());
    let dir = dir();
    let input = dir.path().join("input");
    let lines: String = (0..20_000).map(|n| format!("{n}\n")).collect();
    fs::write(&input, lines).unwrap();
    let mut child = program(dir.path())
        .args(["send", "t", "--url", &stub.url])
        .stdin(fs::File::open(input).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut codes = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    codes.read_line(&mut first).unwrap();
    assert_eq!(first, "code-of-0\n");
    drop(codes);
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let expected = "20000 messages sent to t; of their codes ";
    assert!(run.stderr.starts_with(expected), "{}", run.stderr);
    assert_eq!(stub.seen().messages, 20_000);
}

#[test]
fn send_takes_a_file_or_all_of_standard_input_as_one_message() {
    let dir = dir();
    let whole = "a\n\nb\r\n";
    fs::write(dir.path().join("file"), whole).unwrap();
    fs::write(dir.path().join("bytes"), b"\xff\x00").unwrap();
    for (args, input, expected) in [
        (&["--file", "file"][..], "", whole.as_bytes()),
        (&["--file", "bytes"], "", b"\xff\x00"),
        (&["-"], whole, whole.as_bytes()),
    ] {
        let stub = Stub::start(Script::default());
        let mut command = program(dir.path());
        command.args(["send", "t", "--url", &stub.url]).args(args);
        let path = dir.path().join("input");
        fs::write(&path, input).unwrap();
        command.stdin(fs::File::open(path).unwrap());
        let run = Run::from(command.output().unwrap());
        assert_eq!(run.code, 0, "{args:?}: {}", run.stderr);
        let seen = stub.seen();
        assert_eq!((seen.messages, &seen.last[..]), (1, expected), "{args:?}");
    }
    for (args, expected) in [
        (&["--file", "none"][..], "error: cannot read none: "),
        (
            &["--file", "file", "--set", "server.maxMessageBytes=5"],
            "error: file: it has more than 5 bytes",
        ),
        (
            &["-"],
            "error: standard input: it is empty, and no message is",
        ),
    ] {
        let stub = Stub::start(Script::default());
        let mut command = program(dir.path());
        command.args(["send", "t", "--url", &stub.url]).args(args);
        let run = Run::from(command.output().unwrap());
        assert_eq!(run.code, 1, "{args:?}");
        assert!(run.stderr.starts_with(expected), "{args:?}: {}", run.stderr);
        assert_eq!(stub.seen().messages, 0);
    }
}

#[test]
fn send_repeats_a_message_at_a_rate_and_may_be_quiet() {
    let stub = Stub::start(Script::default());
    let begun = Instant::now();
    let run = run(&[
        "send", "t", "x", "--count", "5", "--rate", "10", "--quiet", "--url", &stub.url,
    ]);
    assert!(begun.elapsed() >= Duration::from_millis(400));
    assert_eq!((run.code, &*run.stdout, &*run.stderr), (0, "", ""));
    assert_eq!(stub.seen().messages, 5);
    let run = run_with_input(
        &["send", "t", "--count", "5", "--url", "127.0.0.1:1"],
        "x\n",
    );
    assert_eq!(run.code, 64);
    assert!(
        run.stderr
            .contains("--count is how often one message is sent"),
        "{}",
        run.stderr
    );
}

#[test]
fn send_of_nothing_sends_nothing() {
    let stub = Stub::start(Script::default());
    let run = run_with_input(&["send", "t", "--url", &stub.url], "");
    assert_eq!((run.code, run.stdout.as_str()), (0, ""), "{}", run.stderr);
}

#[test]
fn send_goes_on_after_a_refusal_and_fails_in_the_end() {
    let stub = Stub::start(Script::default());
    let run = run_with_input(&["send", "t", "--url", &stub.url], "a\nrefuse\nb\n");
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (1, "code-of-a\ncode-of-b\n")
    );
    assert_eq!(
        run.stderr,
        "message 2: not today\nerror: 1 of 3 messages were refused\n"
    );
}

#[test]
fn send_stops_at_a_line_that_is_too_long() {
    let stub = Stub::start(Script::default());
    let args = [
        "send",
        "t",
        "--url",
        &stub.url,
        "--set",
        "server.maxMessageBytes=3",
    ];
    let run = run_with_input(&args, "abc\nabcd\nx\n");
    assert_eq!((run.code, run.stdout.as_str()), (1, "code-of-abc\n"));
    assert_eq!(
        run.stderr,
        "error: line 2 of standard input: it has more than 3 bytes (server.maxMessageBytes)\n"
    );
}

#[test]
fn send_says_what_is_unanswered_when_the_server_leaves() {
    let stub = Stub::start(Script::default());
    let run = run_with_input(&["send", "t", "--url", &stub.url], "a\nleave\n");
    assert_eq!((run.code, run.stdout.as_str()), (1, "code-of-a\n"));
    assert_eq!(
        run.stderr,
        "error: 1 of 2 messages sent are unanswered: the server closed the connection: enough\n"
    );
}

#[test]
fn a_wrong_key_is_a_failure() {
    let stub = Stub::start(Script::default());
    let output = program(dir().path())
        .args(["listen", "t", "--url", &stub.url])
        .env("DPMQ_MQ_SECRETKEY", "wrong")
        .output();
    let run = Run::from(output.unwrap());
    assert_eq!(run.code, 1);
    assert_eq!(
        run.stderr,
        "error: the server refused the secret key (--key, or DPMQ_MQ_SECRETKEY)\n"
    );
}

#[test]
fn a_refused_handshake_shows_the_servers_reason() {
    let stub = Stub::start(Script {
        refuse: true,
        ..Script::default()
    });
    let run = run(&["listen", "t", "--url", &stub.url]);
    assert_eq!(run.code, 1);
    let address = stub.url.trim_start_matches("http://");
    assert_eq!(
        run.stderr,
        format!("error: {address} refused the connection: HTTP 400 Bad Request: no such topic\n")
    );
}

const PUSHED: &str = r#"{"MessageCode":"c","MessageData":"one","Topic":"t","CreateTime":1,"ConsumedTime":0,"Status":-1}"#;

#[test]
fn listen_prints_the_data_of_as_many_messages_as_asked() {
    let stub = Stub::start(Script {
        push: vec![PUSHED, PUSHED, PUSHED],
        ..Script::default()
    });
    let run = run(&[
        "listen", "t", "--id", "c 1", "--count", "2", "--url", &stub.url,
    ]);
    assert_eq!(
        (run.code, run.stdout.as_str()),
        (0, "one\none\n"),
        "{}",
        run.stderr
    );
    assert_eq!(stub.seen().path, "/Consumers/Conn/t/c%201");
}

#[test]
fn listen_prints_frames_as_received() {
    let stub = Stub::start(Script {
        push: vec![PUSHED],
        ..Script::default()
    });
    let run = run(&["listen", "t", "--json", "--count", "1", "--url", &stub.url]);
    assert_eq!(
        (run.code, run.stdout),
        (0, format!("{PUSHED}\n")),
        "{}",
        run.stderr
    );
}

#[test]
fn listen_fails_when_the_server_goes_away() {
    let stub = Stub::start(Script {
        push: vec![PUSHED],
        leave: true,
        ..Script::default()
    });
    let run = run(&["listen", "t", "--url", &stub.url]);
    assert_eq!((run.code, run.stdout.as_str()), (1, "one\n"));
    assert_eq!(
        run.stderr,
        "error: the server closed the connection: enough\n"
    );
}

#[cfg(unix)]
#[test]
fn listen_ends_cleanly_on_ctrl_c() {
    let stub = Stub::start(Script {
        push: vec![PUSHED],
        ..Script::default()
    });
    let dir = dir();
    let mut child = program(dir.path())
        .args(["listen", "t", "--url", &stub.url])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "one\n");
    let pid = child.id().to_string();
    assert!(
        Command::new("kill")
            .args(["-INT", &pid])
            .status()
            .unwrap()
            .success()
    );
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}
