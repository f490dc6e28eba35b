//! A history: lives of a broker on one disk, each with producers, consumers, an operator, a
//! clock that jumps and a disk that fails, and an end of some kind. One seed decides it all.

use std::collections::BTreeSet;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use dpmq::broker::{
    Blocking, Broker, ClientInfo, Encoding, Inbox, OutboxLimits, Pace, Settings, Subscription,
    Tasks, Ticket, Turns,
};
use dpmq::clock::Clock;
use dpmq::message::{
    Draft, Message, MessageCode, Sequence, Status, StatusKind, Topic, UnixSeconds,
};
use dpmq::store::{DiskStore, Files, Options, Stats, Store, Work};
use futures_util::FutureExt;
use tokio::task::JoinSet;

use crate::common_store::{NOON, Random, copy_dir, memory_dir, topic};
use crate::histories::{Aside, Doubt};
use crate::ledger::{Deleted, End, Ledger};
use crate::simulated_disk::{Cut, Faults, Others, SimDisk};
use crate::times::Times;
use crate::watched::Watched;

/// Steps of a life at the most.
const STEPS_MAX: u64 = 90;
/// Steps in which a backlog is delivered when nothing is in the way.
const DRAIN_STEPS: usize = 3000;
/// Rounds without any change after which nothing happens any more by itself.
const STILL_ROUNDS: usize = 30;

/// The longest time between two checks.
const CHECK_MS_MAX: u64 = 5000;
/// Quarters of the time for which messages are kept, after which everything is old: a clock that
/// was set is believed after one such time, and then there is one more.
const GROWING_STEPS: usize = 12;

/// What histories had in them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Tally {
    pub(crate) lives: u64,
    pub(crate) killed: u64,
    pub(crate) power_cuts: u64,
    pub(crate) cut_while_opening: u64,
    pub(crate) restored: u64,
    pub(crate) without_mirror: u64,
    pub(crate) older_mirror: u64,
    pub(crate) other_histories: u64,
    pub(crate) turned: u64,
    pub(crate) faults: u64,
    pub(crate) torn: u64,
    pub(crate) stored: u64,
    pub(crate) consumed: u64,
    pub(crate) checks: u64,
    pub(crate) drained: u64,
    pub(crate) grown_old: u64,
    pub(crate) far_ahead: u64,
    pub(crate) compared: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Tally) {
        self.lives += other.lives;
        self.killed += other.killed;
        self.power_cuts += other.power_cuts;
        self.cut_while_opening += other.cut_while_opening;
        self.restored += other.restored;
        self.without_mirror += other.without_mirror;
        self.older_mirror += other.older_mirror;
        self.other_histories += other.other_histories;
        self.turned += other.turned;
        self.faults += other.faults;
        self.torn += other.torn;
        self.stored += other.stored;
        self.consumed += other.consumed;
        self.checks += other.checks;
        self.drained += other.drained;
        self.grown_old += other.grown_old;
        self.far_ahead += other.far_ahead;
        self.compared += other.compared;
    }
}

/// See the module.
pub(crate) struct World {
    pub(crate) random: Random,
    pub(crate) root: tempfile::TempDir,
    pub(crate) disk: SimDisk,
    pub(crate) clock: Clock,
    pub(crate) times: Times,
    /// How often the broker had looked at the clock when that was set.
    set_at: Option<u64>,
    pub(crate) ledger: Arc<Mutex<Ledger>>,
    pub(crate) options: Options,
    topics: Vec<Topic>,
    /// Messages sent so far: each has its number in its data.
    sent: u64,
    /// How the life before ended.
    pub(crate) end: End,
    /// Of so many times between two lives, somebody may be at work with copies in one.
    pub(crate) copies: u64,
    /// A copy of the store.
    pub(crate) aside: Option<Aside>,
    pub(crate) doubt: Doubt,
    /// The log has damage that the snapshot beside it has whole.
    pub(crate) turned: bool,
    pub(crate) tally: Tally,
    trace: bool,
}

/// What was published, and whether it is stored.
type Answers = Arc<Mutex<Vec<(Vec<Draft>, bool)>>>;

/// One life.
pub(crate) struct Life {
    pub(crate) store: Arc<Watched>,
    broker: Broker,
    queue_bytes: usize,
    tasks: Tasks,
    /// Work with the store that waits for its turn.
    turns: Turns,
    /// Of a hundred looks, so many let somebody have a turn.
    prompt: u64,
    producers: JoinSet<()>,
    operators: JoinSet<()>,
    answers: Answers,
    deleted: Arc<Mutex<Vec<Deleted>>>,
    consumers: Vec<SimConsumer>,
    faults: Faults,
    drains: bool,
}

struct SimConsumer {
    subscription: Subscription,
    topic: Topic,
    held: Vec<Ticket>,
    /// The last message that came in order.
    last: u64,
    /// What came, and how often it had come back to the queue by then.
    came: BTreeSet<(u64, u32)>,
    /// What becomes of what it gets, in percent: written, failed; the rest is held back.
    writes: u64,
    fails: u64,
}

impl World {
    pub(crate) fn new(seed: u64, trace: bool) -> World {
        let mut random = Random::new(seed);
        let root = memory_dir();
        let disk = SimDisk::new(root.path(), random.next());
        let clock = Clock::manual(NOON);
        // DPMQ_COPIES=1 looks for what two histories of one store do to each other.
        let copies = std::env::var("DPMQ_COPIES").map_or(3, |often| often.parse().unwrap());
        let options = Options {
            clock: clock.clone(),
            files: Arc::new(disk.clone()),
            segment_bytes: match copies {
                1 => 2 << 10,
                _ => *random.of(&[2 << 10, 16 << 10, 128 << 10]),
            },
            snapshot_every: Duration::from_secs(3600),
            reserve_bytes: 4 << 10,
            ..Options::new(root.path().join("data"))
        };
        World {
            topics: (0..random.between(1, 4))
                .map(|n| topic(&format!("t{n}")))
                .collect(),
            random,
            root,
            disk,
            clock,
            times: Times::default(),
            set_at: None,
            ledger: Arc::default(),
            options,
            sent: 0,
            end: End::Closed,
            copies,
            aside: None,
            doubt: Doubt::default(),
            turned: false,
            tally: Tally::default(),
            trace,
        }
    }

    /// Runs the whole history; what it had in it, and a number that stands for all that was
    /// done to the disk.
    pub(crate) fn run(mut self) -> (Tally, u64) {
        let lives = self.random.between(2, 9);
        for life in 0..=lives {
            self.tally.lives += 1;
            self.life(life == lives);
        }
        let ledger = lock(&self.ledger);
        self.tally.stored = ledger.stored;
        self.tally.consumed = ledger.consumed;
        self.tally.checks = ledger.checks;
        (self.tally, self.disk.trace())
    }

    pub(crate) fn ledger(&self) -> MutexGuard<'_, Ledger> {
        lock(&self.ledger)
    }

    pub(crate) fn say(&self, what: impl FnOnce() -> String) {
        if self.trace {
            eprintln!("{}: {}", self.disk.operations(), what());
        }
    }

    // ---- from one life to the next

    fn life(&mut self, last: bool) {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        self.begin_times();
        let files = self.compared_files();
        let cut = self.tally.cut_while_opening;
        runtime.block_on(async {
            let mut life = self.open();
            if let Some(files) = files.filter(|_| self.tally.cut_while_opening == cut) {
                self.compare(&life.store.store, &files);
            }
            self.settle_doubt(&life.store.store);
            self.set_clock();
            self.ledger().recovered(&life.store.store, self.end);
            self.let_others_in(&life);
            self.live(&mut life, last).await;
            self.disk.set_others(None);
            self.end = self.end_life(&mut life);
        });
        // With it everything that held the store open is gone.
        drop(runtime);
        self.between();
    }

    /// Lets the parts of the store do steps in the midst of each other's, as their threads do.
    fn let_others_in(&mut self, life: &Life) {
        let often = *self.random.of(&[None, Some(2), Some(10)]);
        let random = Mutex::new(Random::new(self.random.next()));
        let store = Arc::downgrade(&life.store);
        let others = often.map(|often| -> Others {
            Arc::new(move || {
                let mut random = random.lock().unwrap();
                if !random.one_in(often) {
                    return;
                }
                let work = *random.of(&[Work::Write(1), Work::Take, Work::Mirror, Work::Snapshot]);
                drop(random);
                if let Some(store) = store.upgrade() {
                    // Those who asked for something are told; a mirror or a snapshot may fail.
                    let _ = store.store.work(work);
                }
            })
        });
        self.disk.set_others(others);
    }

    /// Opens the store, at the first try or after some that were cut off.
    fn open(&mut self) -> Life {
        loop {
            let short = self.random.one_in(4);
            let power_after = self.random.one_in(4).then(|| self.random.between(0, 40));
            let faults = Faults {
                short,
                power_after,
                ..Faults::default()
            };
            self.disk.set_faults(faults);
            let queue_bytes = *self.random.of(&[1, 5_000, 1 << 20]);
            let inbox = Inbox::new(
                usize::try_from(*self.random.of(&[3, 50, 1000, 100_000])).unwrap(),
                queue_bytes,
            );
            let mut queued = inbox.committed();
            let ledger = self.ledger.clone();
            let committed = Box::new(move |messages: Vec<Message>| {
                lock(&ledger).committed(&messages);
                queued(messages);
            });
            let opened = DiskStore::open_by_hand(&self.options, committed);
            if self.disk.is_off() {
                self.say(|| "the power goes out while it opens".into());
                self.tally.cut_while_opening += 1;
                if let Ok((store, _)) = opened {
                    store.abandon();
                }
                self.cut();
                continue;
            }
            let (store, recovered) = opened.unwrap();
            self.say(|| format!("open after {:?}: {recovered:?}", self.end));
            // What a power cut tore stays in the log.
            if self.tally.power_cuts == 0 {
                assert_eq!(recovered.damage, [""; 0]);
                assert_eq!(recovered.torn_bytes, 0);
            }
            if self.tally.other_histories == 0 {
                let ahead = |text: &&String| text.contains("was written up to byte");
                let ahead = recovered.damage.iter().find(ahead);
                assert_eq!(ahead, None, "mirror and snapshot are behind the log");
            }
            self.tally.torn += u64::from(recovered.torn_bytes > 0);
            let store = Arc::new(Watched::new(store, self.ledger.clone()));
            let turns = Turns::default();
            let settings = self.settings(turns.clone());
            self.times.keep(settings.clean_after_seconds);
            self.set_clock();
            let drains = settings.re_push;
            self.say(|| format!("{settings:?}, {inbox:?}"));
            let (broker, tasks) = Broker::start(store.clone(), inbox, settings);
            return Life {
                queue_bytes,
                store,
                broker,
                tasks,
                turns,
                prompt: *self.random.of(&[100, 50, 10]),
                producers: JoinSet::new(),
                operators: JoinSet::new(),
                answers: Arc::default(),
                deleted: Arc::default(),
                consumers: vec![],
                faults: Faults {
                    power_after: None,
                    ..faults
                },
                drains,
            };
        }
    }

    fn settings(&mut self, turns: Turns) -> Settings {
        let random = &mut self.random;
        Settings {
            pace: Pace {
                batch_messages: *random.of(&[1, 7, 100]),
                pause: Duration::from_millis(*random.of(&[0, 0, 10, 1000])),
            },
            retries: *random.of(&[0, 1, 3]),
            outbox: OutboxLimits {
                messages: *random.of(&[2, 30, 1000]),
                bytes: *random.of(&[1000, 1 << 20]),
            },
            re_push: !random.one_in(8),
            clean_after_seconds: *random.of(&[None, Some(20), Some(500), Some(50_000)]),
            check_every: Duration::from_millis(*random.of(&[50, 1000, CHECK_MS_MAX])),
            clock: self.clock.clone(),
            blocking: Blocking::InTurn(turns),
        }
    }

    /// Ends a life; how.
    fn end_life(&mut self, life: &mut Life) -> End {
        life.store.pass_answers();
        if self.disk.is_off() {
            life.store.store.abandon();
            return End::PowerCut;
        }
        let bits_turn = self.random.one_in(3);
        if bits_turn {
            self.rot(life);
        }
        // What is copied is closed.
        let closes = self.copies == 1 && self.random.one_in(2);
        let last = match (closes, bits_turn) {
            (true, _) => 0,
            (false, true) => 1,
            (false, false) => 3,
        };
        match self.random.between(0, last) {
            0 => {
                let closed = life.store.close();
                self.say(|| format!("close: {closed:?}"));
                match closed {
                    Ok(()) => End::Closed,
                    Err(_) if self.disk.is_off() => End::PowerCut,
                    Err(_) => End::Killed,
                }
            }
            1 => {
                life.store.store.abandon();
                End::Killed
            }
            _ => {
                life.store.store.abandon();
                End::PowerCut
            }
        }
    }

    /// What becomes of the files while nothing runs.
    fn between(&mut self) {
        let sled = self.root.path().join("data.db/sled");
        match self.end {
            End::Closed if self.random.one_in(4) => {
                self.say(|| "the store is lost, the snapshot is not".into());
                self.tally.restored += 1;
                self.disk = self.disk.killed();
                let root = self.root.path();
                self.disk.remove_dir(&root.join("data.db")).unwrap();
                self.disk.sync_dir(root).unwrap();
                fs::remove_dir_all(&sled).unwrap();
            }
            End::Closed => {}
            End::Killed => {
                self.tally.killed += 1;
                self.disk = self.disk.killed();
            }
            End::PowerCut => self.cut(),
        }
        self.disk = self.disk.killed();
        self.options.files = Arc::new(self.disk.clone());
        let old = self.root.path().join("older");
        match self.random.between(0, 9) {
            0 if sled.exists() => {
                self.tally.without_mirror += 1;
                fs::remove_dir_all(&sled).unwrap();
            }
            1 if sled.exists() && old.exists() => {
                self.tally.older_mirror += 1;
                fs::remove_dir_all(&sled).unwrap();
                copy_dir(&old, &sled);
            }
            2 | 3 if sled.exists() => {
                let _ = fs::remove_dir_all(&old);
                copy_dir(&sled, &old);
            }
            _ => {}
        }
        self.other_histories();
    }

    fn cut(&mut self) {
        self.tally.power_cuts += 1;
        self.end = End::PowerCut;
        let how = *self.random.of(&[Cut::All, Cut::None, Cut::Some, Cut::Some]);
        self.say(|| format!("the power is cut: {how:?}"));
        self.disk = self.disk.cut(how);
        self.options.files = Arc::new(self.disk.clone());
    }

    // ---- a life

    async fn live(&mut self, life: &mut Life, last: bool) {
        for _ in 0..self.random.between(3, STEPS_MAX) {
            self.step(life).await;
            for _ in 0..self.random.between(0, 8) {
                self.turn(life);
                tokio::task::yield_now().await;
            }
            if self.disk.is_off() {
                return;
            }
            self.take_answers(life);
            if self.random.one_in(3) && !life.faults.reads {
                life.store.pass_answers();
                self.ledger().check(&life.store.store);
            }
        }
        if life.drains && (last || self.random.one_in(4)) {
            let drained = self.drain(life).await;
            if drained && (last || self.random.one_in(4)) {
                self.grow_old(life).await;
            }
        }
    }

    async fn step(&mut self, life: &mut Life) {
        match self.random.between(0, 99) {
            0..=19 => self.publish(life),
            20..=44 => {
                let most = *self.random.of(&[1, 3, usize::MAX]);
                life.store.work(Work::Write(most));
            }
            45..=46 => life.store.work(Work::Take),
            47..=49 => life.store.work(Work::Mirror),
            50..=51 => life.store.work(Work::Snapshot),
            52..=61 => {
                let ms = *self.random.of(&[1, 50, 1000, 7000]);
                self.time(ms).await;
            }
            62..=67 => self.join(life),
            68..=70 => self.leave(life),
            71..=83 => self.consume(life),
            84 => self.jump(life).await,
            85..=89 => self.operate(life),
            90 => self.hang_up(life),
            91..=93 => self.nudge(life).await,
            94..=98 => self.fault(life),
            _ => {
                let faults = Faults {
                    power_after: Some(self.random.between(0, 25)),
                    ..life.faults
                };
                self.say(|| format!("{faults:?}"));
                self.disk.set_faults(faults);
            }
        }
    }

    fn publish(&mut self, life: &mut Life) {
        let topic = self.random.of(&self.topics).clone();
        let most = *self.random.of(&[1, 5, 40]);
        let count = self.random.between(1, most);
        let count = count.min(life.broker.publish_messages_max() as u64);
        let drafts: Vec<Draft> = (0..count)
            .map(|_| {
                self.sent += 1;
                let longest = *self.random.of(&[20, 20, 20, 300, 300, 70_000]);
                let len = usize::try_from(self.random.between(1, longest)).unwrap();
                let data = format!("{} {}", self.sent, "x".repeat(len));
                Draft::new(topic.clone(), data.into())
            })
            .collect();
        self.say(|| format!("publish {count} to {topic}"));
        let (broker, answers) = (life.broker.clone(), life.answers.clone());
        life.producers.spawn(async move {
            let Ok(receipt) = broker.publish(drafts.clone()).await else {
                return;
            };
            let stored = receipt.codes().await;
            answers.lock().unwrap().push((drafts, stored.is_ok()));
        });
    }

    fn take_answers(&self, life: &mut Life) {
        for (drafts, stored) in life.answers.lock().unwrap().drain(..) {
            if stored {
                self.ledger().answered(&drafts);
            }
        }
        let deleted = std::mem::take(&mut *life.deleted.lock().unwrap());
        if !deleted.is_empty() {
            // What is in the outboxes by now may have been pushed before.
            for consumer in &mut life.consumers {
                consumer.take(usize::MAX, &self.ledger);
            }
        }
        for deleted in deleted {
            self.ledger().withdraw(&deleted);
        }
        // What is found in work that blocks is answered as by a store that is closed.
        assert!(!self.ledger.is_poisoned(), "see above");
        if let Some(why) = life.tasks.ended().now_or_never() {
            panic!("{why}");
        }
        for tasks in [&mut life.producers, &mut life.operators] {
            while let Some(done) = tasks.try_join_next() {
                let panicked = done.is_err_and(|error| error.is_panic());
                assert!(!panicked, "a client's task has panicked");
            }
        }
    }

    /// Lets some of the work with the store go on, in any order.
    fn turn(&mut self, life: &Life) {
        while life.turns.waiting() > 0 && self.random.between(1, 100) <= life.prompt {
            let last = life.turns.waiting() as u64 - 1;
            life.turns
                .pass(usize::try_from(self.random.between(0, last)).unwrap());
        }
    }

    async fn time(&mut self, ms: u64) {
        self.say(|| format!("{ms} ms pass"));
        self.times.pass(ms);
        self.set_clock();
        tokio::time::advance(Duration::from_millis(ms)).await;
    }

    pub(crate) fn set_clock(&self) {
        self.clock.set(self.times.clock());
        self.ledger().times = self.times.clone();
    }

    /// Some time after the life before; now and then the clock is far ahead, until the next one.
    fn begin_times(&mut self) {
        let stopped = *self.random.of(&[0, 0, 1, 60, 3600]);
        self.times.pass(self.random.between(0, stopped * 1000));
        let is_far = !self.times.was_far() && self.random.one_in(10);
        let days = if is_far {
            self.random.between(30, 200)
        } else {
            0
        };
        if is_far {
            self.say(|| format!("the clock is {days} days ahead"));
            self.tally.far_ahead += 1;
        }
        self.set_at = None;
        self.times.begin(i64::try_from(days * 24 * 3600).unwrap());
        self.set_clock();
    }

    /// The clock is set, in either direction, while nothing expires: what comes meanwhile with an
    /// older time could not be told from what has expired.
    async fn jump(&mut self, life: &Life) {
        while life.turns.waiting() > 0 {
            life.turns.pass(0);
            tokio::task::yield_now().await;
        }
        // Of two times between two looks at the clock nobody knows the first.
        let looks = self.ledger().looks;
        if self.set_at == Some(looks) {
            return;
        }
        self.set_at = Some(looks);
        let by = *self.random.of(&[30, 3600, 86_400]);
        let by = i64::try_from(self.random.between(1, by)).unwrap();
        let by = if self.random.one_in(2) { by } else { -by };
        self.say(|| format!("the clock is set by {by} s"));
        self.times.set(by);
        self.set_clock();
    }

    fn join(&mut self, life: &mut Life) {
        if life.consumers.len() > 8 {
            return;
        }
        let topic = self.random.of(&self.topics).clone();
        let (writes, fails) = *self
            .random
            .of(&[(100, 0), (100, 0), (60, 10), (10, 5), (0, 100)]);
        self.say(|| format!("a consumer of {topic}: writes {writes} %, fails {fails} %"));
        life.join(topic, writes, fails);
    }

    fn leave(&mut self, life: &mut Life) {
        if life.consumers.is_empty() {
            return;
        }
        let at = usize::try_from(self.random.between(0, life.consumers.len() as u64 - 1)).unwrap();
        self.say(|| "a consumer leaves".into());
        life.consumers.remove(at);
    }

    fn consume(&mut self, life: &mut Life) {
        let mut consumers = std::mem::take(&mut life.consumers);
        for consumer in &mut consumers {
            let limit = usize::try_from(*self.random.of(&[1, 4, 100])).unwrap();
            consumer.take(limit, &self.ledger);
            for ticket in std::mem::take(&mut consumer.held) {
                let chance = self.random.between(0, 99);
                if chance < consumer.writes {
                    consumer.write(&ticket, &self.ledger);
                } else if chance >= consumer.writes + consumer.fails {
                    consumer.held.push(ticket);
                }
            }
        }
        // Whom the broker wants to end ends.
        consumers.retain(|consumer| {
            let mut closed = consumer.subscription.close_signal();
            closed.closed().now_or_never().is_none()
        });
        life.consumers = consumers;
    }

    /// What an operator does.
    fn operate(&mut self, life: &mut Life) {
        let last = self.ledger().last_sequence();
        let number = self.random.between(0, last);
        let broker = life.broker.clone();
        let some = self.ledger().some(number);
        let Some(message) = some else { return };
        let kinds = match self.random.between(0, 3) {
            0 => &StatusKind::ALL[..],
            1 => &[StatusKind::Accepted, StatusKind::NotConsumed],
            2 => &[StatusKind::Accepted],
            _ => &[StatusKind::Consumed],
        };
        let what = self.random.between(0, 3);
        self.say(|| format!("an operator does {what} to {}", message.sequence.0));
        if what == 0 {
            return life.purge(message.topic, kinds);
        }
        let deleted = life.deleted.clone();
        life.operators.spawn(async move {
            let done = match what {
                1 => {
                    drop(broker.push_again(&message).await);
                    None
                }
                _ => {
                    let gone = broker.delete(&message).await;
                    gone.ok().map(|_| Deleted::Message(message.sequence))
                }
            };
            deleted.lock().unwrap().extend(done);
        });
    }

    /// Operators do not wait for their answers.
    fn hang_up(&mut self, life: &mut Life) {
        self.say(|| "operators hang up".into());
        life.operators.abort_all();
    }

    /// With consumers that take everything, whatever can go on without time does so by itself;
    /// perhaps after what was to be pushed to some of them is gone.
    async fn nudge(&mut self, life: &mut Life) {
        self.say(|| "everything that can goes on".into());
        if self.random.one_in(2) {
            let topic = self.random.of(&self.topics).clone();
            self.say(|| format!("without what waits of {topic}"));
            life.purge(topic, &[StatusKind::Accepted]);
        }
        let still = self.settle(life).await;
        drop(life.subscribe(topic("nobody's")));
        life.broker.keep_in_memory(life.queue_bytes);
        let nudged = self.settle(life).await;
        if let (Some(still), Some(nudged)) = (still, nudged) {
            assert_eq!(still, nudged, "it went on when it was nudged only");
        }
    }

    /// Waits until nothing happens any more while no time passes; what there is then, or `None`
    /// if the power is gone.
    async fn settle(&mut self, life: &mut Life) -> Option<(u64, String)> {
        let (mut last, mut still) = (None, 0);
        while still < STILL_ROUNDS {
            life.store.work(Work::Write(usize::MAX));
            if self.disk.is_off() {
                return None;
            }
            life.take_all(&self.ledger);
            while life.turns.waiting() > 0 {
                life.turns.pass(0);
            }
            tokio::task::yield_now().await;
            self.take_answers(life);
            let now = (
                self.ledger().asked(),
                format!("{:?}", life.broker.backlog()),
            );
            still = match last == Some(now.clone()) {
                true => still + 1,
                false => 0,
            };
            last = Some(now);
        }
        last
    }

    /// The disk begins to fail in some way, or works again.
    fn fault(&mut self, life: &mut Life) {
        let short = life.faults.short;
        let mut faults = Faults {
            short,
            ..Faults::default()
        };
        match self.random.between(0, 11) {
            0..=2 => {
                let room = self.random.between(0, 3000);
                faults.room_bytes = Some(usize::try_from(room).unwrap());
            }
            6 | 7 => {
                let room = self.random.between(0, 3000);
                let room = usize::try_from(room).unwrap();
                faults.capacity_bytes = Some(self.disk.used_bytes() + room);
            }
            3 => faults.writes = true,
            4 => faults.syncs = true,
            5 => faults.reads = true,
            8 => faults.next_sync = true,
            9 => faults.folder_syncs = true,
            _ => {}
        }
        self.tally.faults += 1;
        self.say(|| format!("{faults:?}"));
        life.faults = faults;
        self.disk.set_faults(faults);
    }

    /// With everything in order, everything that waits is delivered; whether it is.
    async fn drain(&mut self, life: &mut Life) -> bool {
        life.faults = Faults::default();
        self.disk.set_faults(life.faults);
        life.consumers.clear();
        for topic in self.topics.clone() {
            life.join(topic, 100, 0);
        }
        for _ in 0..DRAIN_STEPS {
            life.store.write_all();
            let trouble = life
                .store
                .health()
                .refusing
                .is_some_and(|why| why.contains("sync failed"));
            if trouble {
                return false;
            }
            life.take_all(&self.ledger);
            for _ in 0..4 {
                while life.turns.waiting() > 0 {
                    life.turns.pass(0);
                }
                tokio::task::yield_now().await;
            }
            self.take_answers(life);
            let asked = !life.producers.is_empty() || !life.operators.is_empty();
            if self.ledger().waiting().is_empty() && !asked {
                self.tally.drained += 1;
                life.store.pass_answers();
                self.ledger().check(&life.store.store);
                return true;
            }
            self.time(1000).await;
        }
        if let Some(message) = self.ledger().some_waiting() {
            eprintln!("{:?}", life.broker.whereabouts(&message));
        }
        panic!("not delivered: {:?}", self.ledger().waiting());
    }

    /// With everything in order, everything expires, whatever its date.
    async fn grow_old(&mut self, life: &mut Life) {
        let Some(keep_ms) = self.times.kept_ms() else {
            return;
        };
        for _ in 0..GROWING_STEPS {
            self.time(keep_ms / 4 + CHECK_MS_MAX).await;
            if self.settle(life).await.is_none() {
                return;
            }
        }
        self.tally.grown_old += 1;
        self.ledger()
            .grown_old(u32::try_from(keep_ms / 1000).unwrap());
        self.ledger().check(&life.store.store);
    }
}

impl Life {
    fn subscribe(&self, topic: Topic) -> Subscription {
        self.broker.join(ClientInfo {
            id: "c".into(),
            topic,
            ip: IpAddr::V4(Ipv4Addr::LOCALHOST),
            since: UnixSeconds(0),
            key: "secretKey".into(),
        })
    }

    /// An operator purges a topic.
    fn purge(&mut self, topic: Topic, kinds: &'static [StatusKind]) {
        let (broker, deleted) = (self.broker.clone(), self.deleted.clone());
        self.operators.spawn(async move {
            let purged = broker.purge(topic.clone(), kinds).await;
            let done = purged.ok().map(|_| Deleted::Topic(topic));
            deleted.lock().unwrap().extend(done);
        });
    }

    /// All consumers take what is there.
    fn take_all(&mut self, ledger: &Mutex<Ledger>) {
        for consumer in &mut self.consumers {
            consumer.take(usize::MAX, ledger);
            for ticket in std::mem::take(&mut consumer.held) {
                consumer.write(&ticket, ledger);
            }
        }
    }

    fn join(&mut self, topic: Topic, writes: u64, fails: u64) {
        let subscription = self.subscribe(topic.clone());
        self.consumers.push(SimConsumer {
            subscription,
            topic,
            held: vec![],
            last: 0,
            came: BTreeSet::new(),
            writes,
            fails,
        });
    }
}

impl SimConsumer {
    /// Takes what is in its outbox, and looks at it.
    fn take(&mut self, limit: usize, ledger: &Mutex<Ledger>) {
        let mut tickets = vec![];
        let _ = self
            .subscription
            .recv(&mut tickets, limit.min(1000))
            .now_or_never();
        for ticket in tickets {
            for frame in ticket.frames(&ENCODING) {
                let message = decode(frame);
                assert_eq!(message.topic, self.topic);
                let requeued = lock(ledger).pushed(&message);
                let sequence = message.sequence.0;
                let new = self.came.insert((sequence, requeued));
                assert!(new, "{sequence} comes twice");
                if requeued == 0 {
                    let last = self.last;
                    assert!(last < sequence, "{sequence} comes behind {last}");
                    self.last = sequence;
                }
            }
            self.held.push(ticket);
        }
    }

    fn write(&self, ticket: &Ticket, ledger: &Mutex<Ledger>) {
        for frame in ticket.frames(&ENCODING) {
            lock(ledger).delivered(decode(frame).sequence.0);
        }
        // Its outcome comes to the ledger by itself.
        ticket.written();
    }
}

/// A ledger that has found something is asked on while all comes to its end.
pub(crate) fn lock(ledger: &Mutex<Ledger>) -> MutexGuard<'_, Ledger> {
    ledger.lock().unwrap_or_else(PoisonError::into_inner)
}

/// All that the ledger compares.
const ENCODING: Encoding = Encoding {
    name: "simulation",
    write: encode,
    frame_bytes: |message| {
        let mut frame = vec![];
        encode(&mut frame, message);
        frame.len()
    },
};

fn encode(out: &mut Vec<u8>, message: &Message) {
    out.extend_from_slice(&message.sequence.0.to_le_bytes());
    out.extend_from_slice(&message.created.0.to_le_bytes());
    out.extend_from_slice(message.code.as_bytes());
    out.push(u8::from(message.status == Status::Accepted));
    out.push(u8::try_from(message.topic.as_str().len()).unwrap());
    out.extend_from_slice(message.topic.as_str().as_bytes());
    out.extend_from_slice(message.data.as_bytes());
}

fn decode(frame: &[u8]) -> Message {
    let topic_end = 34 + usize::from(frame[33]);
    Message {
        sequence: Sequence(u64::from_le_bytes(frame[..8].try_into().unwrap())),
        created: UnixSeconds(u32::from_le_bytes(frame[8..12].try_into().unwrap())),
        code: MessageCode::from_bytes(frame[12..32].try_into().unwrap()),
        status: if frame[32] == 1 {
            Status::Accepted
        } else {
            Status::NotConsumed
        },
        topic: std::str::from_utf8(&frame[34..topic_end])
            .unwrap()
            .parse()
            .unwrap(),
        data: String::from_utf8(frame[topic_end..].to_vec())
            .unwrap()
            .into(),
    }
}
