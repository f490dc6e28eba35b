//! The real server on a volume of its own that is full, over and over: what was answered is there
//! after a kill and a start, and when everything has expired or is purged it takes messages again,
//! by itself.
//!
//! Only root may mount; elsewhere the tests say so and are passed over. `DPMQ_FULL=1` tries
//! volumes of several sizes and kinds with messages of several sizes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use reqwest::Method;
use tempfile::TempDir;

use crate::common::{KEY, Setup, TestServer};

/// How long a full disk may take to be taken from again, when nothing on it is wanted any more.
const ROOM_AGAIN: Duration = Duration::from_secs(90);
/// Messages on their way at once.
const WINDOW: usize = 64;
/// How long messages are kept where none is to expire.
const LONG_SECONDS: u64 = 100_000;
/// Messages of so many bytes together are compared, and more are counted: a list takes its time.
const COMPARED_BYTES: usize = 8 << 20;

/// What a volume is made of.
#[derive(Clone, Copy, Debug)]
enum Kind {
    /// Memory.
    Tmpfs,
    /// A file that is a disk, with so many percent for root alone.
    Ext4 { reserved: u8 },
}

/// A mounted volume; it goes with this.
struct Volume {
    mount: TempDir,
    _image: Option<TempDir>,
}

impl Volume {
    /// A volume of so many MiB; `None` where nothing can be mounted.
    fn new(kind: Kind, mib: usize) -> Option<Volume> {
        let mount = TempDir::new().unwrap();
        let image = TempDir::new().unwrap();
        let file = image.path().join("image");
        let done = match kind {
            Kind::Tmpfs => run(Command::new("mount")
                .args(["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs"])
                .arg(mount.path())),
            Kind::Ext4 { reserved } => {
                let image = std::fs::File::create(&file).unwrap();
                image.set_len((mib << 20) as u64).unwrap();
                run(Command::new("mkfs.ext4")
                    .args(["-q", "-m", &reserved.to_string()])
                    .arg(&file))
                    && run(Command::new("mount")
                        .args(["-o", "loop"])
                        .arg(&file)
                        .arg(mount.path()))
            }
        };
        done.then_some(Volume {
            mount,
            _image: Some(image),
        })
    }

    fn path(&self) -> &Path {
        self.mount.path()
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        run(Command::new("umount").arg("--lazy").arg(self.path()));
    }
}

fn run(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// How a volume is emptied.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Empties {
    /// Everything expires while the server runs.
    Expiry,
    /// Everything has expired when it starts.
    ExpiryAtStart,
    /// Somebody purges the topic.
    Purge,
}

/// A server on a volume, and what it has answered as stored.
struct Filled {
    server: TestServer,
    bytes: usize,
    sent: usize,
    stored: BTreeSet<usize>,
}

impl Filled {
    async fn start(volume: &Volume, bytes: usize) -> Filled {
        let setup = Setup::new()
            .set("persistentFile", volume.path().join("data").display())
            .set("cleanTime", LONG_SECONDS);
        Filled {
            server: setup.start().await,
            bytes,
            sent: 0,
            stored: BTreeSet::new(),
        }
    }

    fn data(&self, number: usize) -> String {
        // A format's width ends at 65,535.
        let digits = number.to_string();
        "0".repeat(self.bytes - digits.len()) + &digits
    }

    /// Sends messages until one is refused.
    async fn fill(&mut self) {
        let mut producer = self.server.producer_ack("t", "p").await;
        let mut refused = false;
        while !refused {
            let numbers: Vec<usize> = (self.sent..self.sent + WINDOW).collect();
            self.sent += WINDOW;
            producer
                .send_all(numbers.iter().map(|number| self.data(*number)))
                .await;
            for number in numbers {
                let answer = producer.recv_json().await;
                match answer["code"].as_i64() {
                    Some(0) => drop(self.stored.insert(number)),
                    _ => refused = true,
                }
            }
        }
    }

    /// What was stored is there, and nothing else.
    async fn check(&self, when: &str) {
        let count = self.server.count().await[0];
        assert_eq!(count, self.stored.len() as u64, "{when}");
        if self.stored.len() * self.bytes.max(1000) > COMPARED_BYTES {
            return;
        }
        let listed = self.server.all().await;
        let number = |data: &str| {
            assert_eq!(data.len(), self.bytes, "{when}");
            data.parse::<usize>().unwrap()
        };
        let listed: BTreeSet<usize> = listed.iter().map(|m| number(&m.data)).collect();
        assert!(listed == self.stored, "{when}: not what was stored");
    }

    async fn start_again(&mut self, when: &str) {
        assert!(self.server.try_start().await, "no start {when}");
    }

    fn keep_for(&mut self, seconds: u64) {
        self.server.set("cleanTime", seconds);
    }

    /// Makes everything on the volume unwanted; the server says that nothing is left.
    async fn empty(&mut self, how: Empties) {
        match how {
            Empties::Expiry => {
                self.keep_for(1);
                self.server.reload();
            }
            Empties::ExpiryAtStart => {
                self.server.kill().await;
                self.keep_for(1);
                self.start_again("after everything has expired").await;
            }
            Empties::Purge => {
                let purged = self
                    .server
                    .request(Method::POST, "/api/topics/t/purge")
                    .header("secretKey", KEY)
                    .json(&serde_json::json!({"confirm": "t", "what": "all"}))
                    .send()
                    .await
                    .unwrap();
                assert!(purged.status().is_success(), "{purged:?}");
            }
        }
        self.stored.clear();
    }

    /// Waits until nothing is left, and then until a message is stored.
    async fn until_stored(&mut self) {
        let begun = Instant::now();
        let patient = async |what: &str, done: &mut dyn FnMut(u64) -> bool| {
            while !done(self.server.count().await[0]) {
                assert!(
                    begun.elapsed() < ROOM_AGAIN,
                    "{what}: {:?}",
                    self.server.log()
                );
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        };
        patient("nothing is left", &mut |count| count == 0).await;
        self.keep_for(LONG_SECONDS);
        self.server.reload();
        loop {
            let (number, data) = (self.sent, self.data(self.sent));
            self.sent += 1;
            let form = [("topic", "t"), ("messageData", &*data)];
            let answer = self.server.http("/Producer/Send", &form).await;
            if answer["code"] == 0 {
                self.stored.insert(number);
                return;
            }
            assert!(
                begun.elapsed() < ROOM_AGAIN,
                "{answer} {:?}",
                self.server.log()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    async fn round(&mut self, how: Empties, when: &str) {
        self.fill().await;
        let filled = self.stored.len();
        self.check(when).await;
        self.server.kill().await;
        self.start_again(when).await;
        self.check(when).await;
        self.fill().await;
        // A stop may not be able to write everything, and loses nothing all the same.
        self.server.stop().await;
        self.start_again(when).await;
        self.check(when).await;
        self.empty(how).await;
        let begun = Instant::now();
        self.until_stored().await;
        println!(
            "{when}: {filled} messages, takes them again after {:.1?}",
            begun.elapsed()
        );
        self.check(when).await;
        self.server.kill().await;
        self.start_again(when).await;
        self.check(when).await;
    }
}

async fn rounds(kind: Kind, mib: usize, bytes: usize, rounds: &[Empties]) {
    let Some(volume) = Volume::new(kind, mib) else {
        return println!("passed over: no {kind:?} can be mounted here");
    };
    let mut filled = Filled::start(&volume, bytes).await;
    for (number, how) in rounds.iter().enumerate() {
        let when = format!("{kind:?} of {mib} MiB, {bytes} bytes, {how:?}, round {number}");
        filled.round(*how, &when).await;
    }
    drop(filled);
}

const ALL: [Empties; 5] = [
    Empties::Expiry,
    Empties::Purge,
    Empties::ExpiryAtStart,
    Empties::Purge,
    Empties::Expiry,
];

#[tokio::test]
async fn a_volume_that_is_full_is_not_full_for_good() {
    if std::env::var_os("DPMQ_FULL").is_none() {
        return rounds(Kind::Tmpfs, 16, 20_000, &ALL[..3]).await;
    }
    for kind in [
        Kind::Tmpfs,
        Kind::Ext4 { reserved: 0 },
        Kind::Ext4 { reserved: 5 },
    ] {
        for mib in [30, 100, 600] {
            for bytes in [100, 1_000, 10_000, 100_000] {
                rounds(kind, mib, bytes, &ALL).await;
            }
        }
    }
}
