//! A pipe in the place of a file: nobody writes to it, and it is not waited for.

use std::fs;
use std::net::TcpListener;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rustix::fs::{CWD, Mode, mkfifoat};

use crate::program::{Run, dir, program};

#[test]
fn no_command_waits_for_a_pipe() {
    let dir = dir();
    let pipe = dir.path().join("pipe");
    mkfifoat(CWD, &pipe, Mode::RUSR | Mode::WUSR).unwrap();
    fs::write(dir.path().join("file"), "").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let rows: &[(&[&str], i32)] = &[
        (&["check-config", "--config", "pipe"], 64),
        (&["serve", "--config", "pipe"], 64),
        (&["check-config", "--set", "server.keysFile=pipe"], 1),
        (
            &["serve", "--set", "server.keysFile=pipe", "--port", "0"],
            1,
        ),
        (&["key", "list", "--set", "server.keysFile=pipe"], 1),
        (&["key", "revoke", "k", "--set", "server.keysFile=pipe"], 1),
        (&["import", "pipe"], 1),
        (&["restore", "pipe"], 1),
        (&["verify", "pipe"], 1),
        (
            &["serve", "--port", "0", "--set", "mq.persistentFile=pipe"],
            1,
        ),
        (
            &[
                "serve",
                "--port",
                "0",
                "--set",
                "server.tlsCert=pipe",
                "--set",
                "server.tlsKey=file",
            ],
            1,
        ),
        (&["health", "--url", &url, "--ca", "pipe"], 1),
    ];
    for (args, code) in rows {
        let run = within_patience(program(dir.path()).args(*args));
        assert!(
            run.stderr.contains("it is no regular file"),
            "{args:?}: {}",
            run.stderr
        );
        assert_eq!(run.code, *code, "{args:?}: {}", run.stderr);
    }
}

fn within_patience(command: &mut Command) -> Run {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut process = piped.spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    while process.try_wait().unwrap().is_none() {
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("{command:?} waits");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    process.wait_with_output().unwrap().into()
}
