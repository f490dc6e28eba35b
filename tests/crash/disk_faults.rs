//! The disk of the real server is full, fails, or cannot sync: what was answered is on it all
//! the same, producers are told why theirs is not, and everybody else is served.

use serde_json::Value;

use crate::common::{KEY, Setup, TestServer, eventually};
use crate::disk::{Action, Preload, Rule};

const LOG: &str = "data.db/log/*";
const MIRROR: &str = "data.db/sled/*";
const NO_SPACE: &str = "No space left on device";
const FAILED: &str = "Input/output error";
const FAILED_SYNC: &str = "nothing more is stored since a sync failed";

/// A server whose disk can be made to fail.
struct Fragile {
    server: TestServer,
    preload: Preload,
}

impl Fragile {
    async fn start() -> Fragile {
        let preload = Preload::new();
        let setup = preload.disturb(Setup::new().set("persistentTime", 0.1));
        let server = setup.start().await;
        Fragile { server, preload }
    }

    /// The code of a message that was stored, or why it was not.
    async fn send(&self, data: &str) -> Result<String, String> {
        let form = [("topic", "t"), ("messageData", data)];
        let reply = self.server.http("/Producer/Send", &form).await;
        answer(&reply)
    }

    /// What the producers of messages over a WebSocket are told.
    async fn send_all(&self, data: &[&str]) -> Vec<Result<String, String>> {
        let mut producer = self.server.producer_ack("t", "p").await;
        producer
            .send_all(data.iter().map(|data| (*data).to_owned()))
            .await;
        let mut answers = vec![];
        for _ in data {
            answers.push(answer(&producer.recv_json().await));
        }
        answers
    }

    /// State and reasons of the server's health.
    async fn health(&self) -> (String, Vec<String>) {
        let request = self.server.request(reqwest::Method::GET, "/api/overview");
        let reply = request.header("secretKey", KEY).send().await.unwrap();
        let overview: Value = reply.json().await.unwrap();
        let reasons = overview["health"]["reasons"].as_array().unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let reasons = reasons.iter().map(text).collect();
        (text(&overview["health"]["state"]), reasons)
    }

    /// Waits until the server says that it takes messages, or that it does not; asks for
    /// nothing else meanwhile.
    async fn until_ready(&self, ready: bool) {
        eventually(&format!("ready is {ready}"), async || {
            let request = self.server.request(reqwest::Method::GET, "/health/ready");
            let reply = request.send().await.unwrap();
            let status = reply.status().as_u16();
            let text = reply.text().await.unwrap();
            match status {
                200 => assert_eq!(text, r#"{"ready":true}"#),
                _ => assert_eq!(text, r#"{"ready":false,"reason":"storage"}"#),
            }
            (status == 200) == ready
        })
        .await;
    }

    async fn until_health(&self, state: &str, reason: &str) {
        eventually(&format!("the health is {state}: {reason}"), async || {
            let (is, reasons) = self.health().await;
            is == state && reasons.join("; ").contains(reason)
        })
        .await;
    }

    /// Lists and counts have these messages and no others.
    async fn expect(&self, expected: &[&str]) {
        let mut listed: Vec<_> = self.server.all().await;
        listed.sort_by(|a, b| a.data.cmp(&b.data));
        let mut expected = expected.to_vec();
        expected.sort_unstable();
        assert_eq!(
            listed.iter().map(|m| &*m.data).collect::<Vec<_>>(),
            expected
        );
        assert_eq!(self.server.count().await[0], expected.len() as u64);
    }

    /// Waits for a line of the log, which comes by a pipe of its own.
    async fn until_logged(&self, text: &str) {
        eventually(text, async || self.log_has(text)).await;
    }

    fn log_has(&self, text: &str) -> bool {
        self.server.log().iter().any(|line| line.contains(text))
    }

    async fn restart_after_kill(&mut self) {
        self.server.kill().await;
        self.preload.rules(&[]);
        self.server.start_again().await;
    }
}

fn answer(reply: &Value) -> Result<String, String> {
    let text = reply["msg"].as_str().unwrap().to_owned();
    match reply["code"].as_i64() {
        Some(0) => Ok(text),
        Some(-1) => Err(text),
        _ => panic!("no answer: {reply}"),
    }
}

fn assert_refused(answers: &[Result<String, String>], reason: &str) {
    for answer in answers {
        let told = answer.as_ref().expect_err("it is not stored");
        assert!(told.contains(reason), "{told}");
    }
}

#[tokio::test]
async fn a_full_disk_refuses_until_there_is_space_again() {
    for (rules, later) in [
        (vec![Rule::all(Action::NoSpace, "write", LOG)], NO_SPACE),
        // Half of a frame, and then no space: as a disk gets full.
        (
            vec![
                Rule::one(Action::Short, "write", LOG, 0),
                Rule::all(Action::NoSpace, "write", LOG),
            ],
            NO_SPACE,
        ),
        // What was half written cannot be cut off either.
        (
            vec![
                Rule::one(Action::Short, "write", LOG, 0),
                Rule::all(Action::NoSpace, "write", LOG),
                Rule::all(Action::Fails, "truncate", LOG),
            ],
            FAILED,
        ),
        (vec![Rule::all(Action::NoSpace, "write", "*")], NO_SPACE),
    ] {
        let mut it = Fragile::start().await;
        it.send("before").await.unwrap();
        it.preload.rules(&rules);
        // What became of the message before may be written first, and be what finds no space.
        let told = it.send("over HTTP").await.expect_err("it is not stored");
        assert!(told.contains(NO_SPACE) || told.contains(later), "{told}");
        assert_refused(&it.send_all(&["one", "two", "three"]).await, later);
        let mut silent = it.server.producer("t", "silent").await;
        silent.send("without answers").await;
        let closed = silent.closed().await;
        assert_eq!(u16::from(closed.code), 1011);
        assert!(closed.reason.contains(later), "{}", closed.reason);
        it.until_health("refusing", later).await;
        it.expect(&["before"]).await;
        assert_eq!(it.server.consumer_ids().await.len(), 0);

        it.preload.rules(&[]);
        it.send("behind").await.unwrap();
        let answers = it.send_all(&["four", "five"]).await;
        assert!(answers.iter().all(Result::is_ok), "{answers:?}");
        it.until_health("ok", "").await;
        let stored = ["before", "behind", "four", "five"];
        it.expect(&stored).await;
        it.restart_after_kill().await;
        it.expect(&stored).await;
        assert!(!it.log_has("damaged"), "{:?}", it.server.log());
    }
}

#[tokio::test]
async fn a_full_disk_is_not_ready_and_is_again_though_nobody_sends() {
    let mut it = Fragile::start().await;
    it.until_ready(true).await;
    it.send("before").await.unwrap();
    it.preload
        .rules(&[Rule::all(Action::NoSpace, "write", LOG)]);
    assert_refused(&[it.send("refused").await], NO_SPACE);
    it.until_ready(false).await;
    it.preload.rules(&[]);
    it.until_ready(true).await;
    it.until_health("ok", "").await;
    it.send("behind").await.unwrap();
    it.restart_after_kill().await;
    it.expect(&["before", "behind"]).await;
    assert!(!it.log_has("damaged"), "{:?}", it.server.log());
}

#[tokio::test]
async fn a_write_that_fails_now_and_then_refuses_what_it_was_for() {
    let mut it = Fragile::start().await;
    let mut stored = vec![];
    let data: Vec<String> = (0..30).map(|n| format!("message {n}")).collect();
    for (n, data) in data.iter().enumerate() {
        if n % 3 == 0 {
            it.preload
                .rules(&[Rule::one(Action::Fails, "write", LOG, 0)]);
        }
        if it.send(data).await.is_ok() {
            stored.push(&**data);
        }
    }
    assert!(stored.len() >= 20, "{stored:?}");
    it.expect(&stored).await;
    it.restart_after_kill().await;
    it.expect(&stored).await;
}

#[tokio::test]
async fn after_a_failed_sync_nothing_is_accepted_until_a_restart() {
    let mut it = Fragile::start().await;
    it.send("before").await.unwrap();
    it.preload
        .rules(&[Rule::one(Action::Fails, "sync", LOG, 0)]);
    assert_refused(&[it.send("at the sync").await], FAILED_SYNC);
    // Syncs succeed again, but what they stand for is not known.
    assert_refused(&[it.send("over HTTP").await], FAILED_SYNC);
    assert_refused(&it.send_all(&["one", "two"]).await, FAILED_SYNC);
    it.until_health("refusing", FAILED_SYNC).await;
    it.until_ready(false).await;
    it.expect(&["before"]).await;
    it.until_ready(false).await;
    it.restart_after_kill().await;
    it.until_ready(true).await;
    it.until_health("ok", "").await;
    it.expect(&["before"]).await;
    it.send("behind").await.unwrap();
    it.expect(&["before", "behind"]).await;
}

#[tokio::test]
async fn a_failing_mirror_holds_nobody_up_and_is_made_up() {
    for rule in [
        Rule::all(Action::NoSpace, "write", MIRROR),
        Rule::all(Action::Fails, "write", MIRROR),
    ] {
        let mut it = Fragile::start().await;
        let mut consumer = it.server.consumer("t", "c").await;
        let first = it.send("before").await.unwrap();
        consumer.message().await;
        it.server.until_status(&first, 1).await;
        it.preload.rules(&[rule]);
        // sled says that it could not write something when it has more to write.
        let mut stored = vec!["before".to_owned()];
        while it.health().await.0 != "impaired" {
            assert!(stored.len() < 1000, "the mirror fails and nobody says so");
            stored.push(format!("meanwhile {}", stored.len()));
            it.send(&stored[stored.len() - 1]).await.unwrap();
            consumer.message().await;
        }
        it.until_health("impaired", "mirror").await;
        it.until_logged("mirror").await;
        stored.push("all the same".to_owned());
        let code = it.send("all the same").await.unwrap();
        consumer.message().await;
        it.server.until_status(&code, 1).await;
        let stored: Vec<&str> = stored.iter().map(|data| &**data).collect();
        it.expect(&stored).await;
        let consumed = it.server.message(&first).await.unwrap().consumed;

        it.preload.rules(&[]);
        it.until_health("ok", "").await;
        assert_eq!(it.server.message(&first).await.unwrap().consumed, consumed);
        it.restart_after_kill().await;
        it.expect(&stored).await;
        let all = stored.len() as u64;
        assert_eq!(it.server.count().await, [all, all, 0, 0]);
        assert_eq!(it.server.message(&first).await.unwrap().consumed, consumed);
        assert!(!it.log_has("the mirror was rebuilt"));
    }
}

#[tokio::test]
async fn a_snapshot_that_cannot_be_written_holds_nobody_up_and_is_made_up() {
    for (file, operation) in [("data", "write"), ("data", "sync"), ("data.tmp", "write")] {
        let mut it = Fragile::start().await;
        it.send("before").await.unwrap();
        let snapshot = it.server.dir().join("data");
        let written = async || snapshot.exists();
        eventually("the snapshot is written", written).await;
        if file == "data.tmp" {
            it.server.stop().await;
            std::fs::remove_file(it.server.dir().join("data")).unwrap();
            it.server.start_again().await;
        }
        it.preload
            .rules(&[Rule::all(Action::NoSpace, operation, file)]);
        it.send("meanwhile").await.unwrap();
        it.until_health("impaired", NO_SPACE).await;
        it.until_logged("the snapshot could not be written").await;
        it.send("all the same").await.unwrap();
        it.expect(&["before", "meanwhile", "all the same"]).await;

        it.preload.rules(&[]);
        it.until_health("ok", "").await;
        let backup = std::fs::read(it.server.dir().join("data")).unwrap();
        let restored = Setup::new().file("data", &backup).start().await;
        let restored = Fragile {
            server: restored,
            preload: Preload::new(),
        };
        restored
            .expect(&["before", "meanwhile", "all the same"])
            .await;
    }
}

/// A mirror could not be opened on a full disk, and no server started.
#[tokio::test]
async fn a_start_needs_no_room_on_the_disk() {
    let mut it = Fragile::start().await;
    it.send("before").await.unwrap();
    it.server.kill().await;
    it.preload.rules(&[
        Rule::all(Action::NoSpace, "create", "*"),
        Rule::all(Action::NoSpace, "write", MIRROR),
        Rule::all(Action::NoSpace, "write", "data.db/reserve"),
    ]);
    it.server.start_again().await;
    it.expect(&["before"]).await;
    assert!(
        it.log_has("too full to open the mirror"),
        "{:?}",
        it.server.log()
    );
    assert_refused(&[it.send("refused").await], NO_SPACE);
    it.until_health("refusing", NO_SPACE).await;
    it.preload.rules(&[]);
    it.send("behind").await.unwrap();
    it.until_health("ok", "").await;
    it.server.kill().await;
    it.server.start_again().await;
    it.expect(&["before", "behind"]).await;
    assert!(!it.log_has("the mirror was rebuilt"));
    assert!(!it.log_has("damaged"), "{:?}", it.server.log());
}

#[tokio::test]
async fn a_store_that_cannot_be_written_to_is_checked_and_kept_from_servers() {
    let mut it = Fragile::start().await;
    it.send("before").await.unwrap();
    let read_only = Rule::all(Action::ReadOnly, "open", "data.lock");
    it.preload.rules(&[read_only]);
    let refused = it.server.run(&["verify"]).await;
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("data.lock is locked"), "{said}");
    it.server.stop().await;
    let checked = it.server.run(&["verify"]).await;
    let said = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(checked.status.success(), "{said}");
}
