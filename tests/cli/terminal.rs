//! What a person at a terminal is told beside the results.

use std::fs::File;
use std::io::{ErrorKind, Read};
use std::process::{Child, Stdio};

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::program::{dir, program};
use crate::stub::{Script, Stub};

/// Runs with a terminal as standard error, and as standard input if `types`; what is seen there.
fn at_a_terminal(args: &[&str], types: bool) -> String {
    let terminal = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).unwrap();
    grantpt(&terminal).unwrap();
    unlockpt(&terminal).unwrap();
    let name = ptsname(&terminal, vec![]).unwrap();
    let open = || {
        let mut options = File::options();
        Stdio::from(
            options
                .read(true)
                .write(true)
                .open(name.to_str().unwrap())
                .unwrap(),
        )
    };
    let dir = dir();
    let mut command = program(dir.path());
    command.args(args).stderr(open()).stdout(Stdio::null());
    let mut terminal = File::from(terminal);
    if types {
        command.stdin(open());
        // Ctrl-D.
        std::io::Write::write_all(&mut terminal, b"typed\n\x04").unwrap();
    }
    let mut child: Child = command.spawn().unwrap();
    // The last one here that has it open.
    drop(command);
    let (mut seen, mut bytes) = (vec![], [0; 1024]);
    loop {
        match terminal.read(&mut bytes) {
            Ok(0) => break,
            Ok(len) => seen.extend_from_slice(&bytes[..len]),
            // What a terminal says that nobody has open any more.
            Err(error) if error.raw_os_error() == Some(5) => break,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => panic!("{error}"),
        }
    }
    assert!(child.wait().unwrap().success());
    String::from_utf8(seen).unwrap().replace("\r\n", "\n")
}

const PUSHED: &str = r#"{"MessageCode":"c","MessageData":"one","Topic":"t"}"#;

#[test]
fn listen_and_send_say_what_they_do_in_one_line() {
    let stub = Stub::start(Script {
        push: vec![PUSHED],
        ..Script::default()
    });
    let listen = ["listen", "t", "--count", "1", "--url", &stub.url];
    let seen = at_a_terminal(&listen, false);
    assert_eq!(seen, "listening to t, which consumes; Ctrl-C ends\n");

    let stub = Stub::start(Script::default());
    let seen = at_a_terminal(&["send", "t", "x", "--url", &stub.url], false);
    assert_eq!(seen, "1 message sent to t\n");

    let stub = Stub::start(Script::default());
    let seen = at_a_terminal(&["send", "t", "--url", &stub.url], true);
    let expected = "each line is a message to t; Ctrl-D ends\n1 message sent to t\n";
    assert!(seen.ends_with(expected), "{seen:?}");
    assert_eq!(stub.seen().last, b"typed");
}

#[test]
fn whoever_wants_it_quiet_is_told_nothing() {
    let stub = Stub::start(Script {
        push: vec![PUSHED],
        ..Script::default()
    });
    let listen = ["listen", "t", "--count", "1", "--quiet", "--url", &stub.url];
    assert_eq!(at_a_terminal(&listen, false), "");
    let stub = Stub::start(Script::default());
    let send = ["send", "t", "x", "--quiet", "--url", &stub.url];
    assert_eq!(at_a_terminal(&send, false), "");
}
