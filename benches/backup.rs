//! What a backup costs producers: the time to the acknowledgement under full load, with and without
//! `dpmq backup` at the same time.
//!
//! `cargo bench --bench backup` starts a server, fills it, and measures both in turn. Times on a
//! busy machine mean little, but their ratio holds.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

const KEY: &str = "bench";
const ROUNDS: usize = 3;
/// Messages in the store before the measurement begins.
const FILL_MESSAGES: usize = 100_000;
const FILL_BYTES: usize = 1024;
const DATA_BYTES: usize = 128;
const PRODUCERS: usize = 4;
/// Messages in flight of each producer.
const IN_FLIGHT: usize = 256;

fn main() -> anyhow::Result<()> {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR"))?;
    let (mut server, address) = start(dir.path())?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let measured = runtime.block_on(measure(dir.path(), &address));
    server.kill()?;
    server.wait()?;
    measured
}

async fn measure(dir: &Path, address: &str) -> anyhow::Result<()> {
    fill(address).await?;
    println!(
        "{PRODUCERS} producers, {IN_FLIGHT} messages of {DATA_BYTES} bytes in flight each; milliseconds to the answer\n"
    );
    println!("         without a backup     with one                                    ratio");
    println!("round    p50      p99        p50      p99      MB     seconds    MB/s    of p99");
    for round in 1..=ROUNDS {
        let started = Instant::now();
        let (mut with, bytes) = under_load(address, backup(dir, address)).await?;
        let took = started.elapsed();
        let (mut without, ()) = under_load(address, async {
            tokio::time::sleep(took).await;
            Ok(())
        })
        .await?;
        let megabytes = bytes as f64 / 1e6;
        let seconds = took.as_secs_f64();
        let (old, new) = (percentiles(&mut without), percentiles(&mut with));
        println!(
            "{round:>5} {:>6.2} {:>8.2} {:>10.2} {:>8.2} {megabytes:>7.0} {seconds:>11.1} {:>7.0} {:>9.2}",
            old.0,
            old.1,
            new.0,
            new.1,
            megabytes / seconds,
            new.1 / old.1
        );
    }
    Ok(())
}

fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpmq"));
    command.current_dir(dir).env("DPMQ_MQ_SECRETKEY", KEY);
    command
}

/// A server that takes all there is, and where it listens.
fn start(dir: &Path) -> anyhow::Result<(Child, String)> {
    let mut child = program(dir)
        .args(["serve", "--port", "0", "--host", "127.0.0.1"])
        .args(["--set", "mq.messageChanBuffer=100000000"])
        .args(["--set", "mq.pushMessagesSpeed=0"])
        .args(["--set", "mq.isRePush=0"])
        .stderr(Stdio::piped())
        .spawn()?;
    let mut lines = BufReader::new(child.stderr.take().context("a pipe")?).lines();
    let address = lines
        .by_ref()
        .map_while(Result::ok)
        .find_map(|line| {
            Some(
                line.split_once("http://")?
                    .1
                    .trim_end_matches('/')
                    .to_owned(),
            )
        })
        .context("a server that says where it listens")?;
    std::thread::spawn(move || lines.for_each(drop));
    Ok((child, address))
}

/// Makes a backup; returns its bytes.
async fn backup(dir: &Path, address: &str) -> anyhow::Result<u64> {
    let file = dir.join("backup");
    let url = format!("http://{address}");
    let mut command = tokio::process::Command::from(program(dir));
    let ran = command.arg("backup").arg(&file).args(["--url", &url]);
    let status = ran.stdout(Stdio::null()).status().await?;
    ensure!(status.success(), "the backup failed");
    let bytes = std::fs::metadata(&file)?.len();
    std::fs::remove_file(&file)?;
    Ok(bytes)
}

async fn fill(address: &str) -> anyhow::Result<()> {
    let mut producer = Producer::open(address, FILL_BYTES).await?;
    for _ in 0..FILL_MESSAGES / IN_FLIGHT {
        producer.send(IN_FLIGHT).await?;
        for _ in 0..IN_FLIGHT {
            producer.answer().await?;
        }
    }
    Ok(())
}

/// Lets all producers send until `work` is done; returns the time to each answer, and what `work`
/// returned.
async fn under_load<T>(
    address: &str,
    work: impl Future<Output = anyhow::Result<T>>,
) -> anyhow::Result<(Vec<Duration>, T)> {
    let done = Arc::new(AtomicBool::new(false));
    let mut loads = tokio::task::JoinSet::new();
    for _ in 0..PRODUCERS {
        loads.spawn(load(address.to_owned(), done.clone()));
    }
    let result = work.await;
    done.store(true, Ordering::Relaxed);
    let mut times = vec![];
    while let Some(load) = loads.join_next().await {
        times.extend(load??);
    }
    Ok((times, result?))
}

async fn load(address: String, done: Arc<AtomicBool>) -> anyhow::Result<Vec<Duration>> {
    let mut producer = Producer::open(&address, DATA_BYTES).await?;
    let mut sent = std::collections::VecDeque::new();
    let mut times = vec![];
    producer.send(IN_FLIGHT).await?;
    sent.extend(std::iter::repeat_n(Instant::now(), IN_FLIGHT));
    while let Some(at) = sent.pop_front() {
        producer.answer().await?;
        times.push(at.elapsed());
        if !done.load(Ordering::Relaxed) {
            producer.send(1).await?;
            sent.push_back(Instant::now());
        }
    }
    Ok(times)
}

struct Producer {
    socket: tokio_tungstenite::WebSocketStream<TcpStream>,
    data: String,
}

impl Producer {
    async fn open(address: &str, bytes: usize) -> anyhow::Result<Producer> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let url = format!("ws://{address}/Producers/Conn/bench/p?ack=1");
        let (mut socket, _) = client_async(url, stream).await?;
        socket.next().await.context("a question for the key")??;
        socket.send(Message::text(KEY)).await?;
        socket.next().await.context("an answer to the key")??;
        let data = "x".repeat(bytes);
        Ok(Producer { socket, data })
    }

    async fn send(&mut self, messages: usize) -> anyhow::Result<()> {
        for _ in 0..messages {
            self.socket.feed(Message::text(self.data.clone())).await?;
        }
        Ok(self.socket.flush().await?)
    }

    async fn answer(&mut self) -> anyhow::Result<()> {
        let frame = self.socket.next().await.context("an answer")??;
        ensure!(frame.to_text()?.contains("\"code\":0"), "{frame}");
        Ok(())
    }
}

/// The median and the 99th percentile, in milliseconds.
fn percentiles(times: &mut [Duration]) -> (f64, f64) {
    times.sort_unstable();
    let at = |share: usize| times[(times.len() - 1) * share / 100].as_secs_f64() * 1e3;
    (at(50), at(99))
}
