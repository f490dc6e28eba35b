//! What `docs/operations.md`, `docs/backup.md` and `docs/security.md` say holds: their commands run,
//! their options are there, and every line of the log that asks for something has its row.

use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use dpmq::config::ListenHost;
use tokio::time::timeout;

use crate::common::{Setup, TestServer};

/// A shell that sleeps for whole seconds takes a few of them.
const SCRIPT_TIME: Duration = Duration::from_secs(60);

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn page(name: &str) -> String {
    fs::read_to_string(root().join("docs").join(name)).unwrap()
}

/// The blocks of commands below a heading of the page; of all of it, if the heading is empty.
fn commands(page: &str, heading: &str) -> Vec<String> {
    let start = format!("\n## {heading}");
    let (_, section) = page.split_once(&start).unwrap();
    let section = match heading {
        "" => page,
        _ => section.split("\n## ").next().unwrap(),
    };
    let blocks = section.split("```sh\n").skip(1);
    blocks
        .map(|block| block.split("```").next().unwrap().to_owned())
        .collect()
}

fn free_port() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Runs commands of the page as they are, in the folder of `server`; what they print.
async fn run(server: &TestServer, commands: &str, port: &str) -> String {
    let bin = tempfile::tempdir().unwrap();
    let program = server.command(&[]).as_std().get_program().to_owned();
    std::os::unix::fs::symlink(program, bin.path().join("dpmq")).unwrap();
    // What is left over when a command fails ends with the shell.
    let script = format!("trap 'trap \"\" TERM; kill 0' EXIT\n{commands}\ntrap - EXIT\n");
    let path = format!(
        "{}:{}",
        bin.path().display(),
        std::env::var("PATH").unwrap()
    );
    let mut shell = tokio::process::Command::new("sh");
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("DPMQ_") {
            shell.env_remove(name);
        }
    }
    shell
        .args(["-euc", &script])
        .current_dir(server.dir())
        .env("PATH", path)
        .env("DPMQ_SERVER_PORT", port)
        .env("DPMQ_MQ_CHECKSPEED", "0.2")
        .stdin(Stdio::null())
        .process_group(0)
        .kill_on_drop(true);
    let output = timeout(SCRIPT_TIME, shell.output())
        .await
        .expect("it ends")
        .unwrap();
    let (out, err) = (&output.stdout, &output.stderr);
    let (out, err) = (
        String::from_utf8_lossy(out).into_owned(),
        String::from_utf8_lossy(err),
    );
    assert!(output.status.success(), "{out}{err}");
    assert!(!err.contains("error: "), "{err}");
    out
}

#[tokio::test]
async fn the_first_start_is_as_the_page_says() {
    let page = page("operations.md");
    let [commands] = &commands(&page, "First start")[..] else {
        panic!("one block of commands");
    };
    let empty = Setup::new().stopped();
    let printed = run(&empty, commands, &free_port()).await;
    assert!(printed.contains("ready\n"), "{printed}");
    assert!(printed.contains("\nhello\n"), "{printed}");
    assert!(!printed.contains("\nfail "), "{printed}");
}

#[tokio::test]
async fn the_drill_restores_what_the_backup_has() {
    let page = page("backup.md");
    let [commands] = &commands(&page, "A drill")[..] else {
        panic!("one block of commands");
    };
    let server = TestServer::start().await;
    for n in 0..50 {
        server.publish("orders", &format!("order {n}")).await;
    }
    let port = server.address().rsplit_once(':').unwrap().1;
    let commands = commands.replace("8012", &free_port());
    let printed = run(&server, &commands, port).await;
    let totals: Vec<&str> = printed
        .lines()
        .filter(|line| line.starts_with("50 messages of 1 topic: "))
        .collect();
    assert_eq!(printed.matches("\nwhole\n").count(), 2, "{printed}");
    assert!(
        totals.len() >= 3,
        "backup, its check, the check of the store: {printed}"
    );
    assert!(printed.contains("ready\n"), "{printed}");
    assert_eq!(server.count().await[0], 50);
    assert!(!server.dir().join("drill").exists());
}

#[tokio::test]
async fn every_command_and_option_of_the_pages_is_there() {
    let program = Setup::new().stopped();
    let (mut checked, mut helps) = (0, BTreeMap::new());
    for name in [
        "backup.md",
        "bench.md",
        "clients.md",
        "configuration.md",
        "keys.md",
        "migrating.md",
        "operations.md",
        "security.md",
    ] {
        let blocks = commands(&page(name), "").concat();
        for (command, options) in blocks.lines().flat_map(calls) {
            if !helps.contains_key(command) {
                let names: Vec<&str> = command.split(' ').collect();
                let help = program.run(&[&names[..], &["--help"]].concat()).await;
                assert!(help.status.success(), "{name}: no command {command}");
                helps.insert(command, String::from_utf8(help.stdout).unwrap());
            }
            for option in options {
                let words = helps[command].split_whitespace();
                let known = words
                    .map(|word| word.trim_end_matches(','))
                    .any(|it| it == option);
                assert!(known, "{name}: {command} has no {option}");
            }
            checked += 1;
        }
    }
    assert!(checked > 15, "{checked} commands");
}

/// The commands of the program in a line of a shell, each with its options.
fn calls(line: &str) -> Vec<(&'static str, Vec<String>)> {
    const COMMANDS: [&str; 16] = [
        "backup",
        "bench",
        "check-config",
        "doctor",
        "health",
        "import",
        "key list",
        "key new",
        "key revoke",
        "listen",
        "peek",
        "restore",
        "send",
        "topics",
        "verify",
        "watch",
    ];
    let line = line.split('#').next().unwrap();
    let calls = line.split("dpmq ").skip(1).filter_map(|call| {
        let call = call.split([';', '&', '<', '|']).next().unwrap();
        let is_it = |name: &&str| call.starts_with(*name);
        let command = match COMMANDS.into_iter().find(is_it) {
            Some(command) => command,
            None if call.is_empty() || call.starts_with("--set") || call.starts_with("--port") => {
                "serve"
            }
            // The name of something else.
            None => return None,
        };
        let options = call
            .split_whitespace()
            .filter(|word| word.starts_with("--"));
        let options = options.map(|word| word.split('=').next().unwrap().to_owned());
        Some((command, options.collect()))
    });
    calls.collect()
}

#[test]
fn every_file_of_the_project_that_is_installed_is_there() {
    let page = page("operations.md");
    let mut found = 0;
    for word in page.split_whitespace() {
        if word.starts_with("packaging/") || word.starts_with("config/") {
            assert!(root().join(word).exists(), "{word}");
            found += 1;
        }
    }
    assert!(found >= 3, "{found} files");
}

#[test]
fn every_line_that_asks_for_something_has_its_row() {
    let page = page("operations.md");
    let (_, table) = page.split_once("| line | level | what to do |\n").unwrap();
    let row = |line: &str| -> (String, String) {
        let mut cells = line.trim_matches('|').split('|').map(str::trim);
        let text = cells.next().unwrap().trim_matches('`').to_owned();
        (text, cells.next().unwrap().to_owned())
    };
    let rows: BTreeMap<String, String> = table
        .lines()
        .skip(1)
        .take_while(|line| line.starts_with('|'))
        .map(row)
        .collect();
    let files = crate::sources::below(&root().join("src"));
    let logged: BTreeMap<String, String> = files.iter().flat_map(|file| lines_of(file)).collect();
    assert!(logged.len() > 30, "{logged:#?}");
    for (line, level) in &logged {
        assert_eq!(
            rows.get(line),
            Some(level),
            "docs/operations.md on {line:?}"
        );
    }
    for line in rows.keys() {
        assert!(logged.contains_key(line), "nothing logs {line:?}");
    }
}

/// The texts of warnings and errors in a source, with `…` for what differs, and their level.
fn lines_of(file: &Path) -> Vec<(String, String)> {
    let source = fs::read_to_string(file).unwrap();
    let code = source.split("#[cfg(test)]\nmod tests {").next().unwrap();
    let mut found = vec![];
    for (call, level) in [("tracing::warn!(", "WARN"), ("tracing::error!(", "ERROR")] {
        for rest in code.split(call).skip(1) {
            let text =
                last_string(rest).unwrap_or_else(|| panic!("{}: {rest:.80}", file.display()));
            let text = match text.as_str() {
                "{}" => ListenHost::ADVICE.to_owned(),
                _ => without_values(&text),
            };
            found.push((text, level.to_owned()));
        }
    }
    found
}

/// The last string of a macro's arguments that stands for itself: not in another call.
fn last_string(rest: &str) -> Option<String> {
    let (mut depth, mut text, mut chars) = (0, None, rest.chars());
    while let Some(c) = chars.next() {
        match c {
            '(' => depth += 1,
            ')' if depth == 0 => break,
            ')' => depth -= 1,
            '"' => {
                let string: String = chars.by_ref().take_while(|c| *c != '"').collect();
                if depth == 0 {
                    text = Some(string);
                }
            }
            _ => {}
        }
    }
    text
}

fn without_values(text: &str) -> String {
    let mut parts = text.split('{');
    let first = parts.next().unwrap().to_owned();
    parts.fold(first, |all, part| {
        all + "…" + part.split_once('}').unwrap().1
    })
}
