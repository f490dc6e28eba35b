//! The program from outside: exit codes, and what it prints where.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backup;
mod bench;
mod bench_command;
mod clients;
#[path = "../common/mod.rs"]
mod common;
mod doctor;
mod looks;
mod pipes;
mod program;
mod stub;
mod terminal;
mod words;

use std::fs;
use std::process::Stdio;

use crate::program::{Run, dir, program, run};

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
        "topics",
        "peek",
        "watch",
        "bench",
        "health",
        "backup",
        "restore",
        "verify",
        "doctor",
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
        &["listen", "t", "--url", "https://localhost/?x"],
        &["--port", "1", "listen", "t"],
        &["--log", "info", "listen", "t"],
        &["--log", "verbose", "serve"],
        &["check-config", "--set", "log.format=xml"],
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
fn the_environment_may_name_the_configuration_and_the_server() {
    let dir = dir();
    fs::write(dir.path().join("own.yaml"), "mq:\n  sendCount: 5\n").unwrap();
    fs::write(dir.path().join("other.yaml"), "mq:\n  sendCount: 6\n").unwrap();
    let shown = |args: &[&str]| {
        let mut command = program(dir.path());
        command.env("DPMQ_CONFIG", "own.yaml").args(args);
        Run::from(command.output().unwrap()).stdout
    };
    assert!(shown(&["check-config"]).contains("(own.yaml)"));
    assert!(shown(&["check-config", "--config", "other.yaml"]).contains("(other.yaml)"));

    for named_again in [false, true] {
        let stub = stub::Stub::start(stub::Script::default());
        let address = stub.url.trim_start_matches("http://");
        let (url, args) = match named_again {
            false => (address, &["send", "t", "x"][..]),
            true => ("127.0.0.1:1", &["send", "t", "x", "--url", address][..]),
        };
        let mut command = program(dir.path());
        let run = Run::from(command.env("DPMQ_URL", url).args(args).output().unwrap());
        assert_eq!(
            (run.code, &*run.stdout),
            (0, "code-of-x\n"),
            "{}",
            run.stderr
        );
    }
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
    let own = run(&["check-config", "--set", "mq.secretKey=a key of my own"]);
    assert!(!own.stdout.contains("note:"));
}

#[test]
fn completions_are_printed() {
    let run = run(&["completions", "bash"]);
    assert_eq!(run.code, 0);
    assert!(run.stdout.contains("check-config"));
    for shell in ["bash", "fish", "zsh"] {
        let script = self::run(&["completions", shell]).stdout;
        assert!(script.contains("dpmq topics --names"), "{shell}");
    }
    let zsh = self::run(&["completions", "zsh"]).stdout;
    assert!(zsh.starts_with("#compdef dpmq\n"), "{zsh}");
    assert!(zsh.matches(":_dpmq_topics'").count() >= 4, "{zsh}");
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
