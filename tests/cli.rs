//! The program from outside: exit codes, what it prints where, and its WebSocket clients
//! against a small server of their own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

mod stub;
use stub::{Script, Stub};

/// A finished run.
struct Run {
    code: i32,
    stdout: String,
    stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program in `dir`, with nothing configured by the environment of the tests.
fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpmq"));
    let ours = |name: &OsString| name.to_string_lossy().starts_with("DPMQ_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.current_dir(dir).stdin(Stdio::null());
    command
}

fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn run(args: &[&str]) -> Run {
    program(dir().path()).args(args).output().unwrap().into()
}

/// Runs with `input` on standard input.
fn run_with_input(args: &[&str], input: &str) -> Run {
    let dir = dir();
    let file = dir.path().join("input");
    fs::write(&file, input).unwrap();
    let mut command = program(dir.path());
    command.args(args).stdin(fs::File::open(file).unwrap());
    command.output().unwrap().into()
}

#[test]
fn help_and_version_are_no_failures() {
    let version = run(&["--version"]);
    assert_eq!(
        version.stdout,
        concat!("dpmq ", env!("CARGO_PKG_VERSION"), "\n")
    );
    assert_eq!((version.code, version.stderr.as_str()), (0, ""));
    for command in [
        "serve",
        "send",
        "listen",
        "import",
        "check-config",
        "completions",
    ] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0);
        assert!(help.stdout.contains("Example: dpmq "), "{}", help.stdout);
        assert!(run(&["--help"]).stdout.contains(command), "{command}");
    }
}

#[test]
fn wrong_arguments_exit_with_64() {
    for args in [
        &["--nothing"][..],
        &["send"],
        &["send", "a|b", "x"],
        &["send", "t", ""],
        &["listen", "t", "--count", "0"],
        &["listen", "t", "--url", "https://localhost"],
        &["--port", "1", "listen", "t"],
        &["--set", "mq.sendCount", "check-config"],
        &["completions", "none"],
    ] {
        let run = run(args);
        assert_eq!(run.code, 64, "{args:?}: {}", run.stderr);
        assert!(
            run.stderr.starts_with("error: "),
            "{args:?}: {}",
            run.stderr
        );
        assert_eq!(run.stdout, "");
    }
}

#[test]
fn a_wrong_configuration_is_one_line_and_exits_with_64() {
    let dir = dir();
    fs::create_dir(dir.path().join("config")).unwrap();
    fs::write(
        dir.path().join("config/application.yaml"),
        "mq:\n  sendCount: abc\n",
    )
    .unwrap();
    let in_dir = |args: &[&str]| Run::from(program(dir.path()).args(args).output().unwrap());
    let expected = "error: config/application.yaml: mq.sendCount: \"abc\" is not a whole number of 1 or more\n";
    for args in [
        &[][..],
        &["serve"],
        &["check-config"],
        &["send", "t", "x"],
        &["import", "x"],
    ] {
        let run = in_dir(args);
        assert_eq!((run.code, run.stderr.as_str()), (64, expected), "{args:?}");
    }
    let fixed = in_dir(&["check-config", "--set", "mq.sendCount=7"]);
    assert_eq!(fixed.code, 0, "{}", fixed.stderr);
    let port = in_dir(&["serve", "--set", "mq.sendCount=7", "--port", "70000"]);
    assert_eq!(port.code, 64);
    assert_eq!(
        port.stderr,
        "error: command line: server.port: \"70000\" is not a port number from 0 to 65535\n"
    );
    let file = in_dir(&["--config", "none.yaml", "check-config"]);
    assert_eq!(file.code, 64);
    assert!(
        file.stderr.starts_with("error: none.yaml: "),
        "{}",
        file.stderr
    );
}

#[test]
fn check_config_shows_every_setting_with_its_source() {
    let dir = dir();
    fs::write(
        dir.path().join("own.yaml"),
        "mq:\n  secretKey: hunter2\n  sendCount: 5\n",
    )
    .unwrap();
    let output = program(dir.path())
        .args([
            "check-config",
            "--config",
            "own.yaml",
            "--set",
            "mq.isClean=0",
        ])
        .env("DPMQ_SERVER_PORT", "9000")
        .output();
    let run = Run::from(output.unwrap());
    assert_eq!(run.code, 0, "{}", run.stderr);
    let lines: Vec<String> = run
        .stdout
        .lines()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    for expected in [
        "mq.sendCount = 5 (own.yaml)",
        "mq.secretKey = (hidden) (own.yaml)",
        "mq.isClean = 0 (command line)",
        "server.port = 9000 (DPMQ_SERVER_PORT)",
        "log.level = info (default)",
    ] {
        assert!(
            lines.iter().any(|line| line == expected),
            "{expected}: {lines:#?}"
        );
    }
    assert_eq!(lines.last().unwrap(), "ok");
    assert!(!run.stdout.contains("hunter2"));
}

#[test]
fn check_config_says_when_only_this_machine_is_listened_on() {
    assert!(
        run(&["check-config"])
            .stdout
            .contains("note: listening on this machine only")
    );
    let own = run(&["check-config", "--set", "mq.secretKey=own"]);
    assert!(!own.stdout.contains("note:"));
}

#[test]
fn completions_are_printed() {
    let run = run(&["completions", "bash"]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("check-config"));
}

#[test]
fn a_reader_that_leaves_is_no_failure() {
    let dir = dir();
    let mut child = program(dir.path())
        .args(["completions", "zsh"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let run = Run::from(child.wait_with_output().unwrap());
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
}

#[test]
fn the_log_of_a_month_is_below_the_working_directory() {
    let dir = dir();
    let import = |args: &[&str]| program(dir.path()).args(args).output().unwrap().into();
    let Run { code, .. } = import(&["import", "none", "--set", "log.file=0"]);
    assert_eq!((code, dir.path().join("log").exists()), (1, false));
    let Run { code, .. } = import(&["import", "none"]);
    assert_eq!(code, 1);
    let mut files = fs::read_dir(dir.path().join("log")).unwrap();
    let name = files.next().unwrap().unwrap().file_name();
    let name = name.to_str().unwrap();
    assert!(
        name.starts_with("dpmq-20") && name.ends_with(".log"),
        "{name}"
    );
}

#[test]
fn a_log_that_cannot_be_written_is_a_warning() {
    let dir = dir();
    fs::write(dir.path().join("log"), "in the way").unwrap();
    let run = Run::from(
        program(dir.path())
            .args(["import", "none"])
            .output()
            .unwrap(),
    );
    assert!(
        run.stderr.contains("no log file is written"),
        "{}",
        run.stderr
    );
    assert!(run.stderr.contains("\nerror: "), "{}", run.stderr);
}

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
    use std::io::{BufRead, BufReader};
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
