//! A server that dies again and again, and what is done with it in between.

use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use crate::common::{Listed, PATIENCE, Setup, TestServer, eventually, local, now};
use crate::disk::{Action, Preload, Rule};
use crate::kill_9::ledger::{self, Allow, Checked, Ledger, TOPICS, UNHEARD};
use crate::kill_9::load::{Clients, heard};
use crate::kill_9::moments::{self, Moment};
use crate::kill_9::random::Random;
use crate::kill_9::tally::Tally;
use crate::kill_9::volatile::Disk;

/// The longest that a backlog takes to be delivered.
const DRAIN: Duration = Duration::from_secs(60);
/// More than one segment of 1 MiB, and messages that are enough for it.
const FILL_BYTES: u64 = 5 << 19;
const FILL_MESSAGES: usize = 30_000;

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

/// How a server dies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Death {
    /// By SIGKILL, at any time.
    Kill,
    /// By SIGKILL, also at a chosen operation on a file.
    KillAt,
    /// As before, and with it the power of its disk goes, but now and then.
    PowerCut,
}

/// A server that is killed, and what is known of it.
pub(crate) struct Victim {
    pub(crate) server: TestServer,
    pub(crate) ledger: Arc<Ledger>,
    /// What it took over from the original.
    pub(crate) imported: Vec<Listed>,
    /// Messages older than this many seconds expire.
    pub(crate) expires: Option<i64>,
    /// The mirror is taken away before the next start.
    pub(crate) without_mirror: bool,
    pub(crate) tally: Tally,
    death: Death,
    preload: Preload,
    /// The disk as far as it would outlive a power cut, from the first start on.
    disk: Option<Disk>,
    /// What was said of holes that power cuts left.
    holes: HashSet<(PathBuf, u64)>,
}

impl Victim {
    pub(crate) fn new(setup: Setup, death: Death, random: &mut Random) -> Victim {
        let preload = Preload::new();
        let setup = match death {
            Death::Kill => setup,
            Death::KillAt => preload.disturb(setup),
            Death::PowerCut => preload.record(setup),
        };
        let setup = setup.set("persistentTime", 0.2).set("segmentMiB", 1);
        Victim {
            server: setup.keep().stopped(),
            ledger: Arc::new(Ledger::new(random)),
            imported: vec![],
            expires: None,
            without_mirror: false,
            tally: Tally::default(),
            death,
            preload,
            disk: None,
            holes: HashSet::new(),
        }
    }

    pub(crate) fn dir(&self) -> &Path {
        self.server.dir()
    }

    /// What the test does to the files of a server that does not run is durable.
    pub(crate) fn change_files(&mut self, change: impl FnOnce(&Path)) {
        change(self.server.dir());
        if self.death == Death::PowerCut {
            self.preload.take_journal();
            self.disk = Some(Disk::of(self.server.dir()));
        }
    }

    /// What becomes of the disk when the server has been killed.
    fn lose_power(&mut self, random: &mut Random) {
        self.tally.kills += 1;
        let Some(disk) = &mut self.disk else {
            return;
        };
        disk.replay(self.preload.take_journal());
        if random.one_in(4) {
            return;
        }
        disk.cut(self.server.dir(), random);
        self.ledger.power_cut();
        self.tally.power_cuts += 1;
    }

    /// Starts it under a rule that kills it at a moment of the start, or of what follows under
    /// load.
    pub(crate) async fn die_starting(&mut self, moment: &Moment, random: &mut Random) {
        self.watch();
        self.preload.rules(&[moment.rule(random)]);
        let survived = self.server.try_start().await;
        if survived && moment.loaded {
            self.live_until(moment, random).await;
        } else {
            self.preload.rules(&[]);
            if survived {
                self.server.kill().await;
            }
            self.tally.moment(moment, !survived);
        }
        self.lose_power(random);
    }

    /// Waits until it dies at a moment that its clients, or nothing but time, lead to.
    pub(crate) async fn die_living(&mut self, moment: &Moment, random: &mut Random) {
        self.preload.rules(&[moment.rule(random)]);
        self.live_until(moment, random).await;
        self.lose_power(random);
    }

    /// Lives under load until the rule that is set ends it.
    async fn live_until(&mut self, moment: &Moment, random: &mut Random) {
        let messages = if moment.loaded { FILL_MESSAGES } else { 0 };
        let mut clients = Clients::new(self.server.address(), &self.ledger, messages);
        if moment.loaded {
            clients.producer("steady", true, random.fork());
            clients.crowd(random);
        }
        let deadline = Instant::now() + PATIENCE;
        while !self.server.has_ended() && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(3)).await;
        }
        let hit = self.server.has_ended();
        self.preload.rules(&[]);
        self.check_log();
        self.server.kill().await;
        clients.end().await;
        self.tally.moment(moment, hit);
        self.tally.rounds += 1;
    }

    /// Leads it to a moment, and kills it there.
    pub(crate) async fn die_at(&mut self, moment: &Moment, random: &mut Random) {
        // Nobody waits for room in the queue, or the moment may not come.
        self.server.set("messageChanBuffer", 1_000_000);
        if moment.cuts {
            self.start(random).await;
            // The power stays: it would take the half of a frame.
            self.preload.rules(&[moments::APPENDING.rule(random)]);
            self.live_until(&moments::APPENDING, random).await;
        }
        if let Some(without) = moment.without {
            // The snapshot is to have everything.
            self.start(random).await;
            self.server.stop().await;
            self.change_files(|dir| remove(&dir.join(without)));
        }
        if moment.loaded && moment.without.is_none() {
            self.start(random).await;
            self.die_living(moment, random).await;
        } else {
            // It makes what is gone as soon as it runs, once: no other start may do that.
            self.die_starting(moment, random).await;
        }
    }

    /// Whether a life on a disk whose syncs do nothing ends with messages lost, as it should if
    /// only the power cut takes enough.
    pub(crate) async fn is_seen_to_lose(&mut self, random: &mut Random) -> bool {
        self.start(random).await;
        self.preload
            .rules(&[Rule::all(Action::Lie, "sync", "data.db/log/*")]);
        let mut clients = Clients::new(self.server.address(), &self.ledger, 500);
        clients.producer("steady", true, random.fork());
        let (before, ledger) = (self.ledger.answers(), self.ledger.clone());
        let answered = async || ledger.answers() > before + 50;
        eventually("messages are answered", answered).await;
        self.server.kill().await;
        clients.end().await;
        self.lose_power(random);
        self.preload.rules(&[]);
        if !self.server.try_start().await {
            return true;
        }
        let present = self.ledger.present();
        let all = self.server.all().await;
        self.ledger.check(&all, &present, Allow::default());
        self.server.kill().await;
        self.lose_power(random);
        self.ledger.faults() > 0
    }

    /// SIGKILL, with nobody connected.
    pub(crate) async fn kill(&mut self, random: &mut Random) {
        self.check_log();
        self.server.kill().await;
        self.lose_power(random);
    }

    /// Leads it to a moment of expiry, and kills it there: it has several segments of messages
    /// that nobody got, and nothing else to do than to delete them.
    pub(crate) async fn die_expiring(
        &mut self,
        moment: &Moment,
        seconds: i64,
        random: &mut Random,
    ) {
        self.server.set("cleanTime", 1000);
        self.server.set("pushMessagesSpeed", 0);
        self.server.set("messageChanBuffer", 1_000_000);
        self.server.set("isRePush", 0);
        self.start(random).await;
        let mut clients = Clients::new(self.server.address(), &self.ledger, FILL_MESSAGES);
        clients.producer(UNHEARD, true, random.fork());
        let server = &self.server;
        let filled = async || folder_bytes(&server.dir().join("data.db/log")) > FILL_BYTES;
        eventually("the log has several segments", filled).await;
        clients.end().await;
        let tried = async || server.count().await[3] == 0;
        eventually("every message was pushed to nobody", tried).await;
        let filled = now();
        self.check_log();
        self.server.stop().await;
        let expired = async || now() > filled + seconds;
        eventually("every message is old enough", expired).await;
        self.server.set("cleanTime", seconds);
        self.server.set("checkSpeed", 0.3);
        self.server.start_again().await;
        self.die_living(moment, random).await;
        self.server.set("isRePush", 1);
    }

    /// From now on it is known what is durable.
    fn watch(&mut self) {
        if self.death == Death::PowerCut && self.disk.is_none() {
            self.disk = Some(Disk::of(self.server.dir()));
        }
    }

    /// Other sizes and speeds for the next life: small ones make rare paths common.
    pub(crate) fn settings(&mut self, random: &mut Random) {
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
    pub(crate) async fn start(&mut self, random: &mut Random) {
        self.watch();
        if self.without_mirror && self.dir().join("data.db/sled").exists() {
            self.change_files(|dir| fs::remove_dir_all(dir.join("data.db/sled")).unwrap());
        }
        if random.one_in(4) {
            for _ in 0..random.between(1, 3) {
                let time = random.millis(5, 300);
                self.start_and_die(time, random).await;
            }
        }
        let begin = Instant::now();
        self.server.start_again().await;
        self.tally.longest_start = self.tally.longest_start.max(begin.elapsed());
        let log = self.server.log();
        let has = |text: &str| log.iter().any(|line| line.contains(text));
        self.tally.torn += usize::from(has("a write that was not finished"));
        let rebuilt = has("the mirror was rebuilt");
        self.tally.mirrors_rebuilt += usize::from(rebuilt && !self.without_mirror);
        self.without_mirror = false;
        self.check_log();
    }

    pub(crate) async fn start_and_die(&mut self, time: Duration, random: &mut Random) {
        self.watch();
        self.server.start_and_kill(time).await;
        self.lose_power(random);
    }

    /// SIGKILL alone damages nothing, and a power cut nothing that was synced.
    pub(crate) fn check_log(&mut self) {
        for line in self.server.log() {
            let wrong = ["panicked", "ERROR", "damaged"];
            // sled tells what it finds in the mirror, which is rebuilt then.
            let of_mirror = self.death != Death::Kill && line.contains("sled");
            let wrong = wrong.iter().any(|wrong| line.contains(wrong));
            if wrong && !of_mirror && !self.is_hole(&line) {
                self.ledger.fault(format!("the server says: {line}"));
            }
        }
    }

    /// Whether a line tells of damage where the last power cut took bytes that were not synced,
    /// or an earlier one. To the server it looks like any other damage: it cannot know what had
    /// been synced.
    fn is_hole(&mut self, line: &str) -> bool {
        let Some((path, from)) = damaged(line) else {
            return false;
        };
        let path = self.dir().join(path);
        if self.holes.contains(&(path.clone(), from)) {
            return true;
        }
        let synced = self.disk.as_ref().and_then(|disk| disk.synced_bytes(&path));
        let is_hole = synced.is_some_and(|synced| from >= synced);
        if is_hole {
            self.holes.insert((path, from));
            self.tally.holes += 1;
        }
        is_hole
    }

    /// Everything that is known must be there, as it was, while nobody is connected.
    pub(crate) async fn check(&mut self, random: &mut Random, when: &str) {
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

    pub(crate) fn count(&mut self, checked: Checked) {
        self.tally.listed += checked.listed;
        self.tally.answered += checked.answered;
    }

    pub(crate) async fn expect_codes(&self, form: &[(&str, &str)], expected: Vec<String>) {
        let listed = self.server.list(form).await;
        let codes: Vec<String> = listed.into_iter().map(|message| message.code).collect();
        if codes != expected {
            let fault = format!("{form:?} lists {}, not {}", codes.len(), expected.len());
            self.ledger.fault(fault);
        }
    }

    /// All messages, once counts and lists by status say the same.
    pub(crate) async fn settled(&self) -> Vec<Listed> {
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
    pub(crate) async fn still_count(&self) -> [u64; 4] {
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
    pub(crate) fn without_imported(&self, all: Vec<Listed>) -> Vec<Listed> {
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
    pub(crate) async fn live(&mut self, random: &mut Random, time: Duration) {
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
        self.tally.rounds += 1;
        self.lose_power(random);
    }

    /// Waits for the next change of the snapshot, and a moment more.
    pub(crate) async fn snapshot_tick(&self, then: Duration) {
        let snapshot = self.dir().join("data");
        let before = changed(&snapshot);
        let deadline = Instant::now() + Duration::from_millis(500);
        while changed(&snapshot) == before && Instant::now() < deadline {
            tokio::time::sleep(Duration::from_micros(300)).await;
        }
        tokio::time::sleep(then).await;
    }

    /// Whoever listens gets everything that waits.
    pub(crate) async fn drain(&mut self, topics: &[&'static str], random: &mut Random, when: &str) {
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
    pub(crate) async fn check_backup(&mut self, when: &str) {
        let Ok(backup) = fs::read(self.dir().join("data")) else {
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
    pub(crate) async fn rounds(&mut self, rounds: usize, random: &mut Random) {
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
    pub(crate) async fn end(&mut self, random: &mut Random) {
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
        self.change_files(|dir| fs::remove_dir_all(dir.join("data.db")).unwrap());
        self.server.start_again().await;
        self.check(random, "restored from the snapshot").await;
        self.tally.answers += self.ledger.answers();
    }
}

/// The file and the first byte that a line calls damaged.
fn damaged(line: &str) -> Option<(&str, u64)> {
    let (path, rest) = match line.split_once("damaged: ") {
        Some((_, place)) => place.split_once(" from byte ")?,
        None => line.split_once(" file=")?.1.split_once(" from=")?,
    };
    Some((path, rest.split(' ').next()?.parse().ok()?))
}

fn remove(path: &Path) {
    match path.is_dir() {
        true => fs::remove_dir_all(path).unwrap(),
        false => fs::remove_file(path).unwrap(),
    }
}

fn folder_bytes(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).unwrap();
    let files = entries.filter_map(|entry| entry.unwrap().metadata().ok());
    files.map(|file| file.len()).sum()
}

fn changed(path: &Path) -> Option<(SystemTime, u64)> {
    let facts = fs::metadata(path).ok()?;
    Some((facts.modified().ok()?, facts.len()))
}
