//! `dpmq doctor` with the real binary: what it finds, what it says to do, and what it leaves.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::path::Path;
use std::process::Output;
use std::time::{Duration, SystemTime};

use rustix::fs::Mode;
use serde_json::Value;

use crate::common::{KEY, Setup, TestServer, eventually};
use dpmq::clock::Clock;
use dpmq::message::{Draft, UnixSeconds};
use dpmq::store::{DiskStore, Options, Store};

/// The findings of a check: its states, and everything that is said.
struct Found {
    code: i32,
    checks: Vec<Value>,
}

impl Found {
    fn from(output: Output) -> Found {
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let code = output.status.code().unwrap();
        assert_eq!(report["ok"], code == 0, "{report}");
        let checks = report["checks"].as_array().unwrap().clone();
        Found { code, checks }
    }

    /// The finding of `check` whose text has `part`.
    fn has(&self, check: &str, state: &str, part: &str) {
        let is_it = |it: &Value| {
            let text = it["text"].as_str().unwrap();
            it["check"] == check && it["state"] == state && text.contains(part)
        };
        let found = self.checks.iter().find(|it| is_it(it));
        let found = found.unwrap_or_else(|| panic!("no {check} {state} {part}: {self:#?}"));
        assert_eq!(found.get("advice").is_none(), state == "ok", "{found}");
    }
}

impl std::fmt::Debug for Found {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "exit code {}: {:#?}", self.code, self.checks)
    }
}

/// Runs it beside, or in the place of, a server with a key of its own.
async fn doctor(server: &TestServer, args: &[&str]) -> Found {
    let args = [&["doctor", "--json"], args].concat();
    Found::from(server.run(&args).await)
}

#[tokio::test]
async fn a_store_of_a_clock_that_was_ahead_is_told() {
    const DAY: u32 = 24 * 3600;
    let server = stopped();
    let now = Clock::system().now().0;
    let clock = Clock::manual(UnixSeconds(now + 100 * DAY));
    let options = Options {
        clock: clock.clone(),
        ..Options::new(server.dir().join("data"))
    };
    let draft = || vec![Draft::new("t".parse().unwrap(), "ahead".into())];
    let told = tokio::task::spawn_blocking(move || {
        let (store, _) = DiskStore::open(&options, Box::new(|_| {})).unwrap();
        store
            .append(draft(), None)
            .blocking_recv()
            .unwrap()
            .unwrap();
        clock.set(UnixSeconds(now + 200 * DAY));
        store
            .append(draft(), None)
            .blocking_recv()
            .unwrap()
            .unwrap();
        assert_eq!(store.expire(UnixSeconds(now + 150 * DAY)).unwrap().all(), 1);
        store.close().unwrap();
    });
    told.await.unwrap();
    let found = doctor(&server, &[]).await;
    found.has("clock", "fail", "1 messages are dated ahead");
    found.has("clock", "warn", "has expired, and that is still to come");
    assert_eq!(found.code, 1, "{found:?}");
}

/// A server that is not started, with a key of its own.
fn stopped() -> TestServer {
    Setup::new()
        .environment("DPMQ_MQ_SECRETKEY", "a key of this test alone")
        .environment("DPMQ_LOG_FILE", "0")
        .stopped()
}

/// A server that has stored something, and was stopped.
async fn used() -> TestServer {
    let mut server = TestServer::start().await;
    server.publish("t", "kept").await;
    assert!(server.stop().await.success());
    server
}

fn names(dir: &Path) -> Vec<String> {
    let name = |entry: fs::DirEntry| entry.file_name().into_string().unwrap();
    let mut names: Vec<String> = fs::read_dir(dir)
        .unwrap()
        .map(|it| name(it.unwrap()))
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_good_place_has_no_failure_and_nothing_is_left_there() {
    let server = stopped();
    let output = server.run(&["doctor"]).await;
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{text}");
    for check in [
        "configuration",
        "keys",
        "port",
        "open files",
        "permissions",
        "privacy",
        "disk speed",
        "disk space",
        "store",
        "clock",
    ] {
        assert!(text.contains(&format!(" {check} ")), "{check}: {text}");
    }
    assert!(!text.contains("fail"), "{text}");
    assert!(text.contains("append and sync: p50 "), "{text}");
    assert!(
        text.contains("there is none at data; a server makes it"),
        "{text}"
    );
    assert_eq!(names(server.dir()), Vec::<String>::new());
}

#[tokio::test]
async fn beside_a_running_server_it_says_so() {
    let server = TestServer::start().await;
    let port = format!(
        "server.port={}",
        server.address().rsplit_once(':').unwrap().1
    );
    let found = doctor(&server, &["--set", &port]).await;
    found.has("port", "ok", "and is ready");
    found.has("store", "ok", "a server has it open");
    found.has("configuration", "warn", "only this machine can connect");
    assert_eq!(found.code, 0, "{found:?}");
    assert_eq!(server.count().await, [0; 4]);
}

#[tokio::test]
async fn a_port_of_another_program_fails() {
    let server = stopped();
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    // One that answers nothing is not waited for.
    let answer = std::thread::spawn({
        let other = other.try_clone().unwrap();
        move || drop(other.accept())
    });
    let port = format!("server.port={}", other.local_addr().unwrap().port());
    let found = doctor(&server, &["--set", &port, "--set", "server.host=127.0.0.1"]).await;
    answer.join().unwrap();
    found.has("port", "fail", "another program listens on 127.0.0.1:");
    assert_eq!(found.code, 1);
    let found = doctor(&server, &["--set", "server.host=192.0.2.1"]).await;
    found.has("port", "fail", "192.0.2.1:8011 cannot be listened on");
}

#[tokio::test]
async fn a_configuration_that_cannot_be_used_is_a_finding_and_exit_code_64() {
    let server = stopped();
    let found = doctor(&server, &["--set", "mq.sendCount=many"]).await;
    found.has("configuration", "fail", "mq.sendCount");
    assert_eq!(found.code, 64);
}

#[tokio::test]
async fn a_file_of_keys_that_cannot_be_used_fails() {
    let server = Setup::new().file("keys.yaml", b"a letter").stopped();
    let args = ["--set", "server.keysFile=keys.yaml"];
    let found = doctor(&server, &args).await;
    found.has("keys", "fail", "keys.yaml: not a list of keys");
    assert_eq!(found.code, 1);
    doctor(&server, &[])
        .await
        .has("keys", "ok", "0 named keys in config/keys.yaml");
}

#[tokio::test]
async fn settings_that_lose_messages_are_named() {
    let server = stopped();
    let found = doctor(&server, &["--set", "mq.isPersistent=0"]).await;
    found.has("configuration", "warn", "mq.isPersistent is 0");
    assert!(found.checks.iter().all(|it| it["check"] != "disk speed"));
    let found = doctor(&server, &["--set", "mq.recoveryStrategy=0"]).await;
    found.has("configuration", "warn", "mq.recoveryStrategy is 0");
    let open = [
        "--set",
        "mq.secretKey=dpmq",
        "--set",
        "server.allowDefaultKey=1",
    ];
    let found = doctor(&server, &open).await;
    found.has("configuration", "warn", "lets everybody in");
}

#[tokio::test]
async fn a_network_without_tls_is_named() {
    let server = stopped();
    let with = async |host: &str| {
        let host = format!("server.host={host}");
        doctor(&server, &["--set", &host, "--set", "server.port=0"]).await
    };
    for host in ["0.0.0.0", "::", "[::]", "::ffff:0.0.0.0"] {
        let text = "every address of this machine is listened on (";
        with(host).await.has("configuration", "warn", text);
    }
    let text = "an address beyond this machine is listened on (192.0.2.1), without TLS";
    with("192.0.2.1").await.has("configuration", "warn", text);
    for host in ["127.0.0.1", "::1", "localhost"] {
        let found = with(host).await;
        assert!(!format!("{found:?}").contains("without TLS"), "{found:?}");
    }
    // A guessable key is not let out of this machine.
    let found = doctor(&server, &["--set", "mq.secretKey=dpmq"]).await;
    assert!(!format!("{found:?}").contains("without TLS"), "{found:?}");
    let tls = ["server.tlsCert=c.pem", "server.tlsKey=k.pem"];
    let found = doctor(&server, &["--set", tls[0], "--set", tls[1]]).await;
    assert!(!format!("{found:?}").contains("without TLS"), "{found:?}");
}

#[tokio::test]
async fn a_pace_is_named() {
    let server = stopped();
    let found = doctor(&server, &["--set", "mq.pushMessagesSpeed=0.5"]).await;
    found.has("configuration", "warn", "at most 200 messages a second");
    let found = doctor(&server, &["--set", "mq.pushMessagesSpeed=0"]).await;
    assert!(!format!("{found:?}").contains("a pace is set"), "{found:?}");
}

#[tokio::test]
async fn the_age_of_the_last_backup_is_told() {
    const DAY: u64 = 24 * 3600;
    let mut server = TestServer::start().await;
    server.publish("t", "kept").await;
    let none = "no server of this store has ever sent one";
    doctor(&server, &[]).await.has("backup", "warn", none);

    // One that breaks off is none; nor is a question for its length.
    let data = "x".repeat(1 << 20);
    for _ in 0..24 {
        server.publish("large", &data).await;
    }
    let ask = |method| {
        let request = server.request(method, "/api/backup");
        request.header("secretKey", KEY).send()
    };
    assert_eq!(ask(reqwest::Method::HEAD).await.unwrap().status(), 200);
    drop(ask(reqwest::Method::GET).await.unwrap());
    eventually("it breaks off", async || {
        let log = server.log();
        log.iter().any(|line| line.contains("a backup broke off"))
    })
    .await;
    doctor(&server, &[]).await.has("backup", "warn", none);

    let url = server.url("");
    let made = server.run(&["backup", "one", "--url", &url]).await;
    assert!(made.status.success(), "{made:?}");
    let file = server.dir().join("data.db/last-backup");
    eventually("it is noted", async || file.exists()).await;
    let now = "the last one was taken less than a day ago";
    // Also beside a server that runs, and after it has ended.
    doctor(&server, &[]).await.has("backup", "ok", now);
    server.restart().await;
    let metrics = server.request(reqwest::Method::GET, "/metrics");
    let metrics = metrics.header("secretKey", KEY).send().await;
    let noted = fs::read_to_string(&file).unwrap();
    let line = format!("dpmq_last_backup_time_seconds {noted}");
    let text = metrics.unwrap().text().await.unwrap();
    assert!(text.contains(&line), "{line}{text}");
    assert!(server.stop().await.success());
    doctor(&server, &[]).await.has("backup", "ok", now);

    let today: u64 = noted.trim().parse().unwrap();
    for (days, state, said) in [
        (1, "ok", "taken a day ago, at 20"),
        (6, "ok", "taken 6 days ago"),
        (7, "warn", "taken 7 days ago"),
    ] {
        fs::write(&file, format!("{}\n", today - days * DAY)).unwrap();
        doctor(&server, &[]).await.has("backup", state, said);
    }
    // What is not understood is none, and keeps no store closed.
    fs::write(&file, "yesterday").unwrap();
    doctor(&server, &[]).await.has("backup", "warn", none);
    server.start_again().await;
    assert!(server.stop().await.success());

    // Where there is no store there is nothing to have a backup of.
    let found = doctor(&stopped(), &[]).await;
    assert!(found.checks.iter().all(|it| it["check"] != "backup"));
}

#[tokio::test]
async fn a_key_that_can_be_guessed_is_named() {
    let server = stopped();
    let with = async |key: &str, allow: &str| {
        let key = format!("mq.secretKey={key}");
        let allow = format!("server.allowDefaultKey={allow}");
        doctor(&server, &["--set", &key, "--set", &allow]).await
    };
    let few = "mq.secretKey has fewer than 8 characters";
    let alone = with("a", "0").await;
    alone.has(
        "configuration",
        "warn",
        &format!("only this machine can connect: {few}"),
    );
    let open = with("a", "1").await;
    open.has(
        "configuration",
        "warn",
        &format!("{few}, and server.allowDefaultKey lets"),
    );
    let short = with("eight123", "0").await;
    short.has(
        "configuration",
        "warn",
        "mq.secretKey has fewer than 16 characters",
    );
    let long = with("sixteen-letters!", "0").await;
    assert!(!format!("{long:?}").contains("fewer than"), "{long:?}");
}

#[tokio::test]
async fn a_key_that_everybody_can_read_is_a_warning() {
    let server = Setup::new()
        .file("own.yaml", b"mq:\n  secretKey: own\n")
        .stopped();
    let file = server.dir().join("own.yaml");
    for (mode, expected) in [(0o644, true), (0o640, false)] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let found = doctor(&server, &["--config", "own.yaml"]).await;
        let warned = found
            .checks
            .iter()
            .any(|it| it["text"] == "everybody on this machine can read mq.secretKey in own.yaml");
        assert_eq!(warned, expected, "{found:?}");
    }
}

/// What is below `dir` that users other than the owner may use, as `mode path`.
fn open_to_others(dir: &Path) -> Vec<String> {
    let mut open = vec![];
    for name in names(dir) {
        let path = dir.join(name);
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        if mode & 0o077 != 0 {
            open.push(format!("{:o} {}", mode & 0o777, path.display()));
        }
        if path.is_dir() {
            open.extend(open_to_others(&path));
        }
    }
    open
}

#[tokio::test]
async fn what_the_program_writes_is_for_its_user_alone_whatever_the_umask() {
    // Of this process: what other tests write is as little private as it may be.
    rustix::process::umask(Mode::empty());
    let mut server = Setup::new()
        .environment("DPMQ_LOG_AUDITFILE", "audit/audit.log")
        .environment("DPMQ_MQ_SEGMENTMIB", "1")
        .environment("DPMQ_SERVER_KEYSFILE", "keys/keys.yaml")
        .start()
        .await;
    let dir = server.dir().to_owned();
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o755)).unwrap();
    server.publish("t", "kept").await;
    let port = server.address().rsplit_once(':').unwrap().1.to_owned();
    let address = format!("http://127.0.0.1:{port}/");
    let new = ["key", "new", "k", "--rights", "publish", "--topics", "t"];
    for args in [&new[..], &["backup", "backup", "--url", &address]] {
        let output = server.run(args).await;
        assert!(output.status.success(), "{output:?}");
    }
    assert!(server.stop().await.success());
    fs::create_dir(dir.join("restored")).unwrap();
    let restored = "mq.persistentFile=restored/data";
    let output = server.run(&["restore", "backup", "--set", restored]).await;
    assert!(output.status.success(), "{output:?}");

    let mut open = open_to_others(&dir);
    let made_here = |it: &String| {
        it.ends_with("/config/application.yaml")
            || it.ends_with("/config")
            || it.ends_with("/restored")
    };
    open.retain(|it| !made_here(it));
    assert_eq!(open, [""; 0]);
    for there in [
        "audit/audit.log",
        "backup",
        "keys/keys.yaml",
        "log",
        "data.db/log",
        "restored/data.db",
    ] {
        assert!(dir.join(there).exists(), "{there}");
    }
    let found = doctor(&server, &[]).await;
    found.has("privacy", "ok", "no other user of this machine");
}

#[tokio::test]
async fn what_other_users_can_look_into_is_named() {
    let server = used().await;
    let mode = |name: &str, mode| {
        let path = server.dir().join(name);
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    mode("data.db", 0o750);
    mode("data.db/log", 0o755);
    mode("log", 0o701);
    mode(".", 0o700);
    let found = doctor(&server, &[]).await;
    found.has("privacy", "ok", "");
    mode(".", 0o711);
    let found = doctor(&server, &[]).await;
    let open = "other users of this machine can look into data.db, data.db/log, log";
    found.has("privacy", "warn", open);
    let advice = &found
        .checks
        .iter()
        .find(|it| it["check"] == "privacy")
        .unwrap()["advice"];
    assert_eq!(advice, "chmod -R go= data.db log");
    mode("data.db", 0o700);
    mode("log", 0o700);
    doctor(&server, &[]).await.has("privacy", "ok", "");
}

#[tokio::test]
async fn files_of_keys_that_everybody_can_read_or_change_are_warnings() {
    let server = Setup::new()
        .environment("DPMQ_SERVER_KEYSFILE", "keys.yaml")
        .file("keys.yaml", b"[]")
        .stopped();
    let file = server.dir().join("keys.yaml");
    for (mode, can) in [
        (0o604, "read"),
        (0o602, "change"),
        (0o666, "read and change"),
    ] {
        fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
        let text = format!("everybody on this machine can {can} the named keys in keys.yaml");
        doctor(&server, &[])
            .await
            .has("configuration", "warn", &text);
    }
    fs::set_permissions(&file, fs::Permissions::from_mode(0o660)).unwrap();
    let found = doctor(&server, &[]).await;
    assert!(
        !format!("{found:?}").contains("everybody on this machine"),
        "{found:?}"
    );
}

#[tokio::test]
async fn files_that_the_server_may_not_use_are_named() {
    let server = used().await;
    let snapshot = server.dir().join("data");
    if fs::metadata(&snapshot).unwrap().uid() == 0 {
        chown(&snapshot, Some(4242), None).unwrap();
        doctor(&server, &[])
            .await
            .has("permissions", "warn", "not of the owner of ");
    } else {
        fs::set_permissions(&snapshot, fs::Permissions::from_mode(0o000)).unwrap();
        let found = doctor(&server, &[]).await;
        found.has("permissions", "fail", "may not read and write data");
        assert_eq!(found.code, 1);
    }
}

#[tokio::test]
async fn a_place_that_takes_no_file_fails() {
    let server = stopped();
    let found = doctor(&server, &["--set", "mq.persistentFile=/proc/self/data"]).await;
    found.has(
        "disk speed",
        "fail",
        "cannot write and sync in /proc/self: ",
    );
    assert_eq!(found.code, 1);
}

#[tokio::test]
async fn what_keeps_a_server_from_starting_fails() {
    let server = used().await;
    let store = server.dir().join("data.db");
    doctor(&server, &[])
        .await
        .has("store", "ok", "its format is known");

    let format = fs::read(store.join("format")).unwrap();
    fs::write(store.join("format"), "dpmq store 999\n").unwrap();
    let found = doctor(&server, &[]).await;
    found.has("store", "fail", "has format 999");
    assert_eq!(found.code, 1);
    fs::write(store.join("format"), format).unwrap();

    fs::rename(&store, server.dir().join("data.db.restoring")).unwrap();
    doctor(&server, &[])
        .await
        .has("store", "fail", "a restore was cut off");
    fs::rename(server.dir().join("data.db.restoring"), &store).unwrap();

    let fresh = stopped();
    fs::write(fresh.dir().join("data"), "a letter to somebody").unwrap();
    doctor(&fresh, &[])
        .await
        .has("store", "fail", "neither a snapshot nor");
}

#[tokio::test]
async fn a_damaged_file_of_the_log_is_named() {
    let server = used().await;
    let log = server.dir().join("data.db/log");
    let segment = log.join(names(&log).pop().unwrap());
    let mut bytes = fs::read(&segment).unwrap();
    bytes[0] ^= 1;
    fs::write(&segment, bytes).unwrap();
    doctor(&server, &[]).await.has("store", "warn", "damaged: ");
}

#[tokio::test]
async fn a_clock_that_expires_everything_is_a_warning() {
    let server = used().await;
    doctor(&server, &[])
        .await
        .has("clock", "ok", "the store was written to at ");
    set_times(
        server.dir(),
        SystemTime::now() - Duration::from_secs(300_000),
    );
    doctor(&server, &[])
        .await
        .has("clock", "warn", "the first check deletes all of it");
    set_times(server.dir(), SystemTime::now() + Duration::from_secs(3600));
    doctor(&server, &[])
        .await
        .has("clock", "warn", "which is later");
}

fn set_times(path: &Path, time: SystemTime) {
    if path.is_dir() {
        for name in names(path) {
            set_times(&path.join(name), time);
        }
    }
    File::open(path).unwrap().set_modified(time).unwrap();
}
