//! The server is killed with SIGKILL again and again, at random moments under random load, and
//! goes on with what it had: nothing that was answered, pushed or listed may be lost or change.
//!
//! Every choice but the machine's timing comes from one seed, which is printed; `DPMQ_SEED`
//! repeats it. `DPMQ_KILL_ROUNDS` sets how many times the server is killed under load.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step fails its test, and a seed that is not printed cannot be used again"
)]

#[path = "../common/mod.rs"]
mod common;
mod ledger;
mod load;
mod random;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use common::{Listed, PATIENCE, Setup, TestServer, files_with, fixture, local, now};
use ledger::{Allow, Checked, Ledger, TOPICS};
use load::{Clients, heard};
use random::Random;

/// Rounds where the environment does not say how many; a quarter of them go to each of the
/// two smaller tests.
const ROUNDS: usize = 8;
/// Rounds after which a new server begins, so that lists stay short.
const EPOCH_ROUNDS: usize = 25;
/// The longest that a backlog takes to be delivered.
const DRAIN: Duration = Duration::from_secs(60);

/// The counts of each topic: all, consumed, not consumed, accepted.
fn by_topic(messages: &[Listed]) -> BTreeMap<String, [u64; 4]> {
    let mut topics: BTreeMap<String, [u64; 4]> = BTreeMap::new();
    for message in messages {
        let counts = topics.entry(message.topic.clone()).or_default();
        counts[0] += 1;
        counts[match message.status {
            1 => 1,
            0 => 2,
            _ => 3,
        }] += 1;
    }
    topics
}

fn rounds() -> usize {
    let rounds = std::env::var("DPMQ_KILL_ROUNDS").ok();
    rounds.map_or(ROUNDS, |rounds| rounds.parse().expect("a number of rounds"))
}

/// What was done, for whoever reads the output.
#[derive(Default)]
struct Tally {
    rounds: usize,
    kills: usize,
    listed: usize,
    answered: usize,
    answers: usize,
    /// Beside those that were taken away.
    mirrors_rebuilt: usize,
    torn: usize,
    longest_start: Duration,
}

impl Tally {
    fn say(&self, test: &str) {
        println!(
            "{test}: {} rounds, {} kills; {} messages answered; checked {} times an answered one, {} times a listed one; {} mirrors rebuilt unasked, {} torn tails; longest start {:.1?}",
            self.rounds,
            self.kills,
            self.answers,
            self.answered,
            self.listed,
            self.mirrors_rebuilt,
            self.torn,
            self.longest_start
        );
    }
}

/// A server that is killed, and what is known of it.
struct Victim {
    server: TestServer,
    ledger: Arc<Ledger>,
    /// What it took over from the original.
    imported: Vec<Listed>,
    /// Messages older than this many seconds expire.
    expires: Option<i64>,
    /// The mirror is taken away before the next start.
    without_mirror: bool,
    tally: Tally,
}

impl Victim {
    fn new(setup: Setup, random: &mut Random) -> Victim {
        Victim {
            server: setup.set("persistentTime", 0.2).keep().stopped(),
            ledger: Arc::new(Ledger::new(random)),
            imported: vec![],
            expires: None,
            without_mirror: false,
            tally: Tally::default(),
        }
    }

    /// Other sizes and speeds for the next life: small ones make rare paths common.
    fn settings(&mut self, random: &mut Random) {
        let server = &mut self.server;
        server.set("queueMemoryMiB", random.of(&[1, 1, 64]));
        server.set("messageChanBuffer", random.of(&[300, 1_000_000]));
        // The last one holds back all but the first batch.
        let (count, pause) = random.of(&[(7, "0"), (100, "0"), (100, "0.01"), (300, "60")]);
        server.set("sendCount", count);
        server.set("pushMessagesSpeed", pause);
        server.set("outboxMessages", random.of(&[20, 1000, 65_536]));
        server.set("outboxMiB", random.of(&[1, 16]));
        server.set("checkSpeed", random.of(&["0.03", "0.2"]));
        server.set("sendRetryCount", random.of(&[0, 1]));
    }

    /// Starts it, perhaps after it was killed while starting.
    async fn start(&mut self, random: &mut Random) {
        if self.without_mirror && self.server.dir().join("data.db/sled").exists() {
            fs::remove_dir_all(self.server.dir().join("data.db/sled")).unwrap();
        }
        if random.one_in(4) {
            for _ in 0..random.between(1, 3) {
                let time = random.millis(5, 300);
                self.server.start_and_kill(time).await;
                self.tally.kills += 1;
            }
        }
        let begin = Instant::now();
        self.server.start_again().await;
        self.tally.longest_start = self.tally.longest_start.max(begin.elapsed());
        let log = self.server.log();
        let has = |text: &str| log.iter().any(|line| line.contains(text));
        self.tally.torn += usize::from(has("of an unfinished write"));
        let rebuilt = has("the mirror was built anew");
        self.tally.mirrors_rebuilt += usize::from(rebuilt && !self.without_mirror);
        self.without_mirror = false;
        self.check_log();
    }

    /// SIGKILL alone damages nothing.
    fn check_log(&self) {
        for line in self.server.log() {
            if line.contains("panicked") || line.contains("ERROR") || line.contains("damaged") {
                self.ledger.fault(format!("the server says: {line}"));
            }
        }
    }

    /// Everything that is known must be there, as it was, while nobody is connected.
    async fn check(&mut self, random: &mut Random, when: &str) {
        self.check_log();
        let present = self.ledger.present();
        let all = self.settled().await;
        let filter = |keep: &dyn Fn(&Listed) -> bool| {
            let kept = all.iter().filter(|message| keep(message));
            kept.map(|message| message.code.clone()).collect()
        };
        // The same messages by another way; what expires meanwhile is in one of them only.
        if self.expires.is_none() && !all.is_empty() && random.one_in(3) {
            let topic = random.of(&TOPICS);
            let of_topic: Vec<String> = filter(&|message| message.topic == topic);
            self.expect_codes(&[("topic", topic)], of_topic).await;
            let time = all[random.between(0, all.len() - 1)].created;
            let until: Vec<String> = filter(&|message| message.created <= time);
            self.expect_codes(&[("endTime", &local(time))], until).await;
        }
        let allow = Allow {
            expired_before: self.expires.map(|seconds| now() - seconds),
            ..Allow::default()
        };
        let all = self.without_imported(all);
        let checked = self.ledger.check(&all, &present, allow);
        self.count(checked);
        self.ledger.assert_no_fault(when);
    }

    fn count(&mut self, checked: Checked) {
        self.tally.listed += checked.listed;
        self.tally.answered += checked.answered;
    }

    async fn expect_codes(&self, form: &[(&str, &str)], expected: Vec<String>) {
        let listed = self.server.list(form).await;
        let codes: Vec<String> = listed.into_iter().map(|message| message.code).collect();
        if codes != expected {
            let fault = format!("{form:?} lists {}, not {}", codes.len(), expected.len());
            self.ledger.fault(fault);
        }
    }

    /// All messages, once counts and lists by status say the same.
    async fn settled(&self) -> Vec<Listed> {
        let deadline = Instant::now() + 2 * PATIENCE;
        loop {
            let before = self.still_count().await;
            let all = self.server.all().await;
            let of = |status| all.iter().filter(|m| m.status == status).count() as u64;
            let listed = [all.len() as u64, of(1), of(0), of(-1)];
            let mut by_status = [0; 3];
            for (count, status) in by_status.iter_mut().zip(["1", "0", "-1"]) {
                let route = "/Console/GetMessageList";
                let list = self.server.http_text(route, &[("status", status)]).await;
                *count = list.matches(r#"{"MessageCode":""#).count() as u64;
            }
            let topics = self.server.topic_counts().await;
            let after = self.server.count().await;
            let same = by_topic(&all) == topics && listed[1..] == by_status;
            if before == listed && listed == after && same {
                if !all.is_sorted_by(|a, b| a.created >= b.created) {
                    self.ledger.fault("the list is not in order".to_owned());
                }
                return all;
            }
            if Instant::now() > deadline {
                self.ledger.fault(format!(
                    "counts {before:?}, list {listed:?}, by status {by_status:?}, by topic {topics:?}, counts {after:?}"
                ));
                return all;
            }
        }
    }

    /// The counts, once they do not change from one moment to the next.
    async fn still_count(&self) -> [u64; 4] {
        let mut before = self.server.count().await;
        let deadline = Instant::now() + PATIENCE;
        loop {
            tokio::time::sleep(Duration::from_millis(30)).await;
            let count = self.server.count().await;
            if count == before || Instant::now() > deadline {
                return count;
            }
            before = count;
        }
    }

    /// Without what came from the original, of which nothing is missing or changed.
    fn without_imported(&self, all: Vec<Listed>) -> Vec<Listed> {
        let ours = |message: &Listed| TOPICS.contains(&&*message.topic);
        let (all, mut others): (Vec<_>, Vec<_>) = all.into_iter().partition(ours);
        let mut imported = self.imported.clone();
        for messages in [&mut imported, &mut others] {
            for message in messages.iter_mut() {
                // Not consumed or on its way to be pushed again: both are as they were.
                message.status = message.status.max(0);
            }
            messages.sort_by(|a, b| a.code.cmp(&b.code));
        }
        if others != imported {
            self.ledger.fault(format!(
                "{} messages of the original, of {} that came over",
                others.len(),
                imported.len()
            ));
        }
        all
    }

    /// One life under load, up to its violent end.
    async fn live(&mut self, random: &mut Random, time: Duration) {
        let messages = random.between(50, 1500);
        let mut clients = Clients::new(self.server.address(), &self.ledger, messages);
        clients.crowd(random);
        let look = random.one_in(2);
        let moment = random.between(0, 5);
        let lived = Instant::now();
        if look {
            tokio::time::sleep(time / 2).await;
            let present = self.ledger.present();
            let all = self.server.all().await;
            let allow = Allow {
                expired_before: self.expires.map(|seconds| now() - seconds),
                unread: true,
                ..Allow::default()
            };
            let all = self.without_imported(all);
            let checked = self.ledger.check(&all, &present, allow);
            self.count(checked);
        }
        tokio::time::sleep(time.saturating_sub(lived.elapsed())).await;
        match moment {
            0..2 => self.snapshot_tick(random.millis(0, 4)).await,
            2 => {
                self.server.terminate();
                tokio::time::sleep(random.millis(0, 60)).await;
            }
            _ => {}
        }
        self.check_log();
        self.server.kill().await;
        clients.end().await;
        self.tally.kills += 1;
        self.tally.rounds += 1;
    }

    /// Waits for the next change of the snapshot, and a moment more.
    async fn snapshot_tick(&self, then: Duration) {
        let snapshot = self.server.dir().join("data");
        let before = changed(&snapshot);
        let deadline = Instant::now() + Duration::from_millis(500);
        while changed(&snapshot) == before && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        tokio::time::sleep(then).await;
    }

    /// Whoever listens gets everything that waits.
    async fn drain(&mut self, topics: &[&'static str], random: &mut Random, when: &str) {
        let mut clients = Clients::new(self.server.address(), &self.ledger, 0);
        clients.listeners(topics, random);
        let deadline = Instant::now() + DRAIN;
        loop {
            let mut waiting = vec![];
            for topic in topics {
                for status in ["-1", "0"] {
                    let form = [("topic", *topic), ("status", status)];
                    let list = self.server.list(&form).await;
                    waiting.extend(list.into_iter().map(|message| message.code));
                }
            }
            if waiting.is_empty() {
                break;
            }
            if Instant::now() > deadline {
                let (count, first) = (waiting.len(), &waiting[0]);
                self.ledger.fault(format!(
                    "{count} messages of {topics:?} are not delivered, {first} is one"
                ));
                break;
            }
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
        clients.end().await;
        for topic in topics.iter().filter(|topic| **topic != ledger::RUDE) {
            let unread = self.ledger.unread(topic);
            if self.expires.is_none() && !unread.is_empty() {
                let fault = format!("nobody got {} of {topic}: {unread:?}", unread.len());
                self.ledger.fault(fault);
            }
        }
        self.ledger.assert_no_fault(when);
    }

    /// A copy of the snapshot is a state that the server really had.
    async fn check_backup(&mut self, when: &str) {
        let Ok(backup) = fs::read(self.server.dir().join("data")) else {
            return;
        };
        let present = self.ledger.present();
        let setup = Setup::new().set("isClean", 0).file("data", &backup).keep();
        let restored = setup.start().await;
        let all = restored.all().await;
        let count = usize::try_from(restored.count().await[0]).unwrap();
        if count != all.len() {
            let fault = format!("the backup counts {count} and lists {}", all.len());
            self.ledger.fault(fault);
        }
        let ours = |message: &Listed| TOPICS.contains(&&*message.topic);
        let all: Vec<_> = all.into_iter().filter(ours).collect();
        let allow = Allow {
            backup: true,
            ..Allow::default()
        };
        self.ledger.check(&all, &present, allow);
        self.ledger.assert_no_fault(when);
    }

    /// Rounds of lives, checks and now and then a drained backlog.
    async fn rounds(&mut self, rounds: usize, random: &mut Random) {
        for round in 0..rounds {
            let when = format!("after {round} rounds of this server");
            self.settings(random);
            let drained = random.one_in(4);
            if drained {
                self.server.set("pushMessagesSpeed", 0);
            }
            self.without_mirror = random.one_in(7);
            self.start(random).await;
            // Otherwise the load begins while the backlog is still read back.
            if !random.one_in(4) {
                self.check(random, &when).await;
            }
            if drained {
                let topics = heard();
                let topic = random.of(&topics);
                self.drain(&[topic], random, &when).await;
            }
            let time = random.millis(20, 700);
            self.live(random, time).await;
            self.ledger.assert_no_fault(&when);
            if random.one_in(6) {
                self.check_backup(&when).await;
            }
        }
    }

    /// The last life: everything is delivered, and stays through every kind of restart.
    async fn end(&mut self, random: &mut Random) {
        self.settings(random);
        self.server.set("pushMessagesSpeed", 0);
        self.start(random).await;
        self.check(random, "at the last start").await;
        self.drain(&TOPICS, random, "at the end").await;
        self.check(random, "at the end, with everything delivered")
            .await;
        self.server.restart().await;
        self.check(random, "after an orderly restart").await;
        self.server.stop().await;
        fs::remove_dir_all(self.server.dir().join("data.db")).unwrap();
        self.server.start_again().await;
        self.check(random, "restored from the snapshot").await;
        self.tally.answers += self.ledger.answers();
    }
}

fn changed(path: &Path) -> Option<(SystemTime, u64)> {
    let facts = fs::metadata(path).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_answered_is_lost_or_changed() {
    let test = "nothing_answered_is_lost_or_changed";
    let mut random = Random::of_this_run(test);
    let mut left = rounds();
    while left > 0 {
        let rounds = left.min(EPOCH_ROUNDS);
        left -= rounds;
        let setup = Setup::new().set("isClean", 0);
        let mut victim = Victim::new(setup, &mut random);
        victim.rounds(rounds, &mut random).await;
        victim.end(&mut random).await;
        victim.tally.say(test);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_import_that_is_killed_is_done_at_the_next_start() {
    let test = "an_import_that_is_killed_is_done_at_the_next_start";
    let mut random = Random::of_this_run(test);
    let file = fixture("go-data-206");
    let still = || Setup::new().set("isClean", 0).set("isRePush", 0);
    let reference = still().file("data", &file).start().await;
    let imported = reference.all().await;
    assert_eq!(imported.len(), 206);
    let mut tally = Tally::default();
    for _ in 0..(rounds() / 4).max(1) {
        let setup = Setup::new().set("isClean", 0).file("data", &file);
        let mut victim = Victim::new(setup, &mut random);
        victim.imported = imported.clone();
        victim.tally = tally;
        for _ in 0..random.between(1, 6) {
            let time = random.millis(5, 120);
            victim.server.start_and_kill(time).await;
            victim.tally.kills += 1;
        }
        victim.start(&mut random).await;
        victim.check(&mut random, "after the import").await;
        let kept = files_with(victim.server.dir(), &file);
        assert_eq!(kept.len(), 1, "the original's file is kept as {kept:?}");
        victim.live(&mut random, Duration::from_millis(100)).await;
        victim.end(&mut random).await;
        tally = victim.tally;
    }
    tally.say(test);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_expires_while_it_is_killed_is_gone_and_nothing_else() {
    const SECONDS: i64 = 2;
    let test = "what_expires_while_it_is_killed_is_gone_and_nothing_else";
    let mut random = Random::of_this_run(test);
    let setup = Setup::new().set("isClean", 1).set("cleanTime", SECONDS);
    let mut victim = Victim::new(setup, &mut random);
    victim.expires = Some(SECONDS);
    for round in 0..(rounds() / 4).max(1) {
        let when = format!("after {round} rounds");
        victim.settings(&mut random);
        victim.without_mirror = random.one_in(5);
        victim.start(&mut random).await;
        victim.check(&mut random, &when).await;
        // Long enough that some, all or none of it has expired at the end.
        let time = random.millis(100, 4000);
        victim.live(&mut random, time).await;
        victim.ledger.assert_no_fault(&when);
    }
    victim.server.set("checkSpeed", 0.1);
    victim.start(&mut random).await;
    victim.check(&mut random, "at the last start").await;
    let emptied = async || victim.server.count().await[0] == 0;
    common::eventually("everything has expired", emptied).await;
    victim.server.kill().await;
    victim.start(&mut random).await;
    assert_eq!(victim.server.count().await, [0; 4]);
    victim.check(&mut random, "with everything expired").await;
    victim.tally.answers = victim.ledger.answers();
    victim.tally.say(test);
}
