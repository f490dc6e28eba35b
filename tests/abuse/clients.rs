//! Clients that take and give nothing: they are shed, cost little, and nobody else notices.
//!
//! `DPMQ_FULL=1 cargo test --release --test abuse clients:: -- --nocapture --test-threads=1` has ten
//! thousand of each kind, and prints what they cost; `DPMQ_FULL=Silent,Pings` of these kinds.

use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{Mutex, Semaphore};
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::common::raw::{FIN, RawSocket, frame, handshake, head, opcode};
use crate::common::{KEY, PATIENCE, Setup, TestServer, eventually};

/// How long the server may be kept waiting.
const SHED_WITHIN: Duration = Duration::from_secs(10);
/// What one of them may cost.
const BYTES_EACH_MAX: u64 = 64 << 10;
/// Connections that are made at once.
const CONNECTING_MAX: usize = 200;
/// A latency below it is none that anybody would notice on a machine that runs tests.
const UNNOTICED: Duration = Duration::from_millis(40);

/// Tests that would disturb each other's measurements.
static ALONE: Mutex<()> = Mutex::const_new(());

/// What a client does once it is connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Abuse {
    Silent,
    SlowHead,
    SlowBody,
    OversizedHead,
    NoLogin,
    ImpossibleFrame,
    LargeFrame,
    Fragments,
    Pings,
}

impl Abuse {
    const ALL: [Abuse; 9] = [
        Abuse::Silent,
        Abuse::SlowHead,
        Abuse::SlowBody,
        Abuse::OversizedHead,
        Abuse::NoLogin,
        Abuse::ImpossibleFrame,
        Abuse::LargeFrame,
        Abuse::Fragments,
        Abuse::Pings,
    ];

    /// What is sent first.
    fn begin(self) -> Vec<u8> {
        let socket = handshake("/Producers/Conn/t/p").into_bytes();
        match self {
            Abuse::Silent => vec![],
            Abuse::SlowHead => b"GET / HTTP/1.1\r\nHost: h\r\nX: ".to_vec(),
            Abuse::SlowBody => format!(
                "POST /Producer/Send HTTP/1.1\r\nHost: h\r\nsecretKey: {KEY}\r\n\
                 Content-Type: application/json\r\nContent-Length: 16000000\r\n\r\n{{"
            )
            .into_bytes(),
            Abuse::OversizedHead => {
                let line = format!("X: {}\r\n", "x".repeat(1000));
                [b"GET / HTTP/1.1\r\n", line.repeat(100).as_bytes()].concat()
            }
            Abuse::NoLogin => socket,
            Abuse::ImpossibleFrame => [socket, head(FIN | opcode::TEXT, u64::MAX >> 1)].concat(),
            Abuse::LargeFrame => [socket, head(FIN | opcode::TEXT, 16 << 20)].concat(),
            Abuse::Fragments => [socket, frame(opcode::TEXT, b"")].concat(),
            Abuse::Pings => socket,
        }
    }

    /// What is sent again and again, and how often.
    fn go_on(self) -> Option<(Vec<u8>, Duration)> {
        let slowly = Duration::from_secs(2);
        let quickly = Duration::from_millis(200);
        match self {
            Abuse::SlowHead | Abuse::SlowBody => Some((b"x".to_vec(), slowly)),
            Abuse::Fragments => {
                let flood = frame(opcode::CONTINUE, b"").repeat(200);
                Some((flood, quickly))
            }
            Abuse::Pings => {
                let flood = frame(FIN | opcode::PING, &[b'x'; 125]).repeat(10);
                Some((flood, quickly))
            }
            _ => None,
        }
    }

    /// Does it until the server has had enough; how long that takes, and what it said.
    async fn commit(self, address: &str, connected: &AtomicUsize) -> (Duration, Vec<u8>) {
        let stream = TcpStream::connect(address).await.unwrap();
        let begin = Instant::now();
        connected.fetch_add(1, Ordering::Relaxed);
        let (mut read, mut write) = stream.into_split();
        let said = async {
            let mut said = vec![];
            // It ends, in order or not.
            let _ = read.read_to_end(&mut said).await;
            said
        };
        let act = async {
            let _ = write.write_all(&self.begin()).await;
            if let Some((bytes, every)) = self.go_on() {
                let mut pace = tokio::time::interval(every);
                loop {
                    pace.tick().await;
                    if write.write_all(&bytes).await.is_err() {
                        break;
                    }
                }
            }
            future::pending::<()>().await;
        };
        tokio::select! {
            said = said => (begin.elapsed(), said),
            () = act => unreachable!("it goes on for ever"),
        }
    }

    /// What the server has to say to it.
    fn answer(self) -> &'static [u8] {
        match self {
            Abuse::Silent | Abuse::SlowHead | Abuse::SlowBody => b"HTTP/1.1 408 ",
            Abuse::OversizedHead => b"HTTP/1.1 431 ",
            Abuse::NoLogin => b"no right key in time",
            Abuse::Fragments | Abuse::Pings => b"more than 16 pings or pieces before a key",
            Abuse::ImpossibleFrame | Abuse::LargeFrame => b"a message is too long",
        }
    }
}

/// Of which kinds there are to be ten thousand.
fn full() -> Option<Vec<Abuse>> {
    let asked = std::env::var("DPMQ_FULL").ok()?;
    let is_asked = |abuse: &Abuse| {
        let name = format!("{abuse:?}");
        asked == "1" || asked.split(',').any(|kind| kind == name)
    };
    Some(Abuse::ALL.into_iter().filter(is_asked).collect())
}

/// A client that behaves, and notices how long it takes from publishing to receipt. It has a
/// thread of its own, so as not to wait for the others on this side.
struct Good {
    latencies: Arc<std::sync::Mutex<Vec<Duration>>>,
    done: CancellationToken,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl Good {
    /// The least for a 99th of a hundred.
    const SAMPLES_MIN: usize = 300;

    fn new(server: Arc<TestServer>) -> Good {
        let latencies = Arc::new(std::sync::Mutex::new(vec![]));
        let done = CancellationToken::new();
        let (noted, stopped) = (latencies.clone(), done.clone());
        let behave = async move {
            let mut producer = server.producer_ack("good", "p").await;
            let mut consumer = server.consumer("good", "c").await;
            while !stopped.is_cancelled() {
                let begin = Instant::now();
                producer.send("still there?").await;
                producer.ack().await;
                assert_eq!(consumer.message().await.data, "still there?");
                noted.lock().unwrap().push(begin.elapsed());
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        let runtime = runtime.enable_all().build().unwrap();
        let thread = std::thread::spawn(move || runtime.block_on(behave));
        Good {
            latencies,
            done,
            thread: Some(thread),
        }
    }

    /// The 99th of a hundred, while `until` is not there.
    async fn p99(&self, until: impl Future<Output = ()>) -> Duration {
        self.latencies.lock().unwrap().clear();
        until.await;
        eventually("it was measured often enough", async || {
            let behaves = self
                .thread
                .as_ref()
                .is_some_and(|thread| !thread.is_finished());
            assert!(behaves, "the client that behaves failed");
            self.latencies.lock().unwrap().len() >= Good::SAMPLES_MIN
        })
        .await;
        let mut latencies = std::mem::take(&mut *self.latencies.lock().unwrap());
        latencies.sort();
        latencies[latencies.len() * 99 / 100]
    }
}

impl Drop for Good {
    fn drop(&mut self) {
        self.done.cancel();
        let ended = self.thread.take().map(std::thread::JoinHandle::join);
        assert!(std::thread::panicking() || matches!(ended, Some(Ok(()))));
    }
}

/// So many clients that all do the same; what became of each.
fn many(
    abuse: Abuse,
    count: usize,
    server: &TestServer,
    connected: &Arc<AtomicUsize>,
) -> Vec<JoinHandle<(Duration, Vec<u8>)>> {
    let connecting = Arc::new(Semaphore::new(CONNECTING_MAX));
    (0..count)
        .map(|_| {
            let (address, connected) = (server.address().to_owned(), connected.clone());
            let connecting = connecting.clone();
            tokio::spawn(async move {
                let permit = connecting.acquire().await.unwrap();
                let mut commit = std::pin::pin!(abuse.commit(&address, &connected));
                // It has its turn, and then the next may connect.
                let first = timeout(Duration::from_millis(20), &mut commit).await;
                drop(permit);
                match first {
                    Ok(outcome) => outcome,
                    Err(_) => commit.await,
                }
            })
        })
        .collect()
}

/// What clients cost that only take.
struct Cost {
    /// A server's memory for each of them.
    bytes_each: u64,
    /// The others' 99th of a hundred while they come, and while they are there.
    arriving: Duration,
    beside: Duration,
    /// How long the last of them was there.
    longest: (Duration, Abuse),
}

/// Lets `count` clients of each of `kinds` loose on a server; each is told what it did.
async fn suffer(server: &TestServer, kinds: &[Abuse], count: usize, good: &Good) -> Cost {
    let all = count * kinds.len();
    let before = server.memory();
    let connected = Arc::new(AtomicUsize::new(0));
    let abusers: Vec<_> = kinds
        .iter()
        .map(|abuse| (*abuse, many(*abuse, count, server, &connected)))
        .collect();
    let are_there = eventually("all are connected", async || {
        connected.load(Ordering::Relaxed) == all
    });
    let arriving = good.p99(are_there).await;
    let beside = good.p99(tokio::time::sleep(Duration::from_secs(3))).await;
    let bytes_each = server.memory().saturating_sub(before) / all as u64;
    let mut longest = (Duration::ZERO, kinds[0]);
    for (abuse, abusers) in abusers {
        for abuser in abusers {
            let (took, said) = abuser.await.unwrap();
            longest = longest.max((took, abuse));
            let answer = abuse.answer();
            let is_told = said.windows(answer.len()).any(|part| part == answer);
            assert!(is_told, "{abuse:?}, {took:?}: {}", said.escape_ascii());
        }
    }
    Cost {
        bytes_each,
        arriving,
        beside,
        longest,
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_only_takes_is_shed_and_costs_little() {
    let _alone = ALONE.lock().await;
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // People have a minute to log in; what one costs meanwhile is the same as in six seconds.
    let setup = Setup::new().environment("DPMQ_SERVER_LOGINSECONDS", "6");
    let server = Arc::new(setup.start().await);
    let good = Good::new(server.clone());
    good.p99(future::ready(())).await;
    // Ten thousand of a kind, or a few of each kind at once.
    let full = full();
    let (count, rounds): (usize, Vec<&[Abuse]>) = match &full {
        Some(kinds) => (10_000, kinds.chunks(1).collect()),
        None => (30, vec![&Abuse::ALL]),
    };
    for kinds in rounds {
        let quiet = good.p99(future::ready(())).await;
        let Cost {
            bytes_each,
            arriving,
            beside,
            longest,
        } = suffer(&server, kinds, count, &good).await;
        println!(
            "{count} × {kinds:?}: shed within {:.1?}, {bytes_each} bytes each, \
             others' p99 {quiet:.1?} before, {arriving:.1?} while they come, {beside:.1?} while \
             they are there: × {:.2}",
            longest.0,
            beside.div_duration_f64(quiet)
        );
        assert!(longest.0 < SHED_WITHIN, "{longest:?}");
        assert!(bytes_each < BYTES_EACH_MAX, "{kinds:?}: {bytes_each} bytes");
        assert!(
            beside < (quiet * 2).max(UNNOTICED),
            "{kinds:?}: {beside:?} after {quiet:?}"
        );
        if full.is_none() {
            continue;
        }
        // What of it is the machine's: the same clients, and another server has to do with them.
        let setup = Setup::new().environment("DPMQ_SERVER_LOGINSECONDS", "6");
        let another = setup.start().await;
        let elsewhere = suffer(&another, kinds, count, &good).await.arriving;
        println!(
            "    with another server {elsewhere:.1?} while they come: × {:.2}",
            arriving.div_duration_f64(elsewhere)
        );
        assert!(
            arriving < (elsewhere * 2).max(UNNOTICED),
            "{kinds:?}: {arriving:?}, and {elsewhere:?} with another server"
        );
    }
    drop(good);
    let log = server.log();
    assert!(!log.iter().any(|line| line.contains("panicked")), "{log:?}");
}

#[tokio::test]
async fn a_connection_that_was_used_is_kept_and_a_head_that_stops_is_not() {
    const HEAD_TIME: Duration = Duration::from_millis(500);
    let setup = Setup::new().environment("DPMQ_SERVER_REQUESTSECONDS", "0.5");
    let server = setup.start().await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let ping = format!("POST /Console/Ping HTTP/1.1\r\nHost: h\r\nsecretKey: {KEY}\r\n\r\n");
    let mut said = vec![];
    let answers = |said: &[u8]| {
        said.windows(10)
            .filter(|part| *part == b"{\"code\":0}")
            .count()
    };
    for n in 1..=2 {
        stream.write_all(ping.as_bytes()).await.unwrap();
        while answers(&said) < n {
            timeout(PATIENCE, stream.read_buf(&mut said))
                .await
                .unwrap()
                .unwrap();
        }
        // Longer than a head may take.
        if n == 1 {
            tokio::time::sleep(2 * HEAD_TIME).await;
        }
    }
    stream
        .write_all(b"POST /Console/Ping HTTP/1.1\r\n")
        .await
        .unwrap();
    timeout(PATIENCE, stream.read_to_end(&mut said))
        .await
        .unwrap()
        .unwrap();
    assert!(String::from_utf8(said).unwrap().contains(" 408 "));
}

/// The value of a metric; `None` when there is no place for another connection to ask for it.
async fn metric(server: &TestServer, name: &str) -> Option<u64> {
    let request = server.request(reqwest::Method::GET, "/metrics");
    let text = request.header("secretKey", KEY).send().await.unwrap();
    let text = text.text().await.unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(name))?;
    Some(value.trim().parse().unwrap())
}

async fn get(address: &str) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let request = b"GET /health/live HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut answer = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut answer))
        .await
        .unwrap()
        .unwrap();
    answer
}

#[tokio::test]
async fn there_are_only_so_many_connections_and_the_others_are_told() {
    for (key, reason) in [
        ("MAXCONNECTIONS", "limit"),
        ("MAXCONNECTIONSPERADDRESS", "address_limit"),
    ] {
        let setup = Setup::new().environment(&format!("DPMQ_SERVER_{key}"), "3");
        let server = setup.start().await;
        let mut held = vec![];
        for n in 0..3 {
            held.push(server.consumer("t", &n.to_string()).await);
        }
        let answer = get(server.address()).await;
        assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
        assert!(answer.contains("too many connections"), "{answer}");
        let left = held.pop().unwrap();
        left.close().await;
        eventually("there is a place again", async || {
            get(server.address()).await.starts_with("HTTP/1.1 200 ")
        })
        .await;
        held.pop().unwrap().close().await;
        let name = format!("dpmq_connections_refused_total{{reason=\"{reason}\"}}");
        eventually("it is counted", async || {
            metric(&server, &name).await.is_some_and(|count| count >= 1)
        })
        .await;
    }
}

#[tokio::test]
async fn a_system_without_files_is_waited_for() {
    let server = TestServer::start().await;
    let pid = i32::try_from(server.pid()).unwrap();
    let files = fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64;
    let mut before = (0, 0);
    let resource = rlimit::Resource::NOFILE;
    rlimit::prlimit(pid, resource, None, Some((&mut before.0, &mut before.1))).unwrap();
    let set = |soft| rlimit::prlimit(pid, resource, Some((soft, before.1)), None).unwrap();
    set(files);
    let begin = Instant::now();
    let address = server.address().to_owned();
    let waiting: Vec<_> = (0..5)
        .map(|_| {
            let address = address.clone();
            tokio::spawn(async move { get(&address).await })
        })
        .collect();
    eventually("it is noticed", async || {
        let log = server.log();
        log.iter().any(|line| line.contains("cannot be accepted"))
    })
    .await;
    set(before.0);
    for answer in waiting {
        let answer = answer.await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    }
    let failed = metric(&server, "dpmq_connections_refused_total{reason=\"files\"}");
    let failed = failed.await.unwrap();
    let most = begin.elapsed().as_millis() / 200 + 1;
    assert!(
        (1..=most).contains(&u128::from(failed)),
        "{failed} of {most}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn large_messages_share_their_memory() {
    let _alone = ALONE.lock().await;
    const MESSAGES: usize = 12;
    const BYTES: usize = 16 << 20;
    const GROWTH_MAX: u64 = 256 << 20;
    let server = TestServer::start().await;
    let before = server.memory_peak();
    let data = Arc::new("x".repeat(BYTES));
    let sent = (0..MESSAGES).map(async |n| {
        let mut producer = server.producer_ack("large", &n.to_string()).await;
        producer.send(&data).await;
        producer.ack().await
    });
    let codes = future::join_all(sent).await;
    assert_eq!(codes.len(), MESSAGES);
    let growth = server.memory_peak().saturating_sub(before);
    println!(
        "{MESSAGES} × 16 MiB over WebSocket: {} MiB more",
        growth >> 20
    );
    assert!(growth < GROWTH_MAX, "{growth} bytes");

    // All of them wait for each other, and none is to be refused for that.
    let setup = Setup::new().environment("DPMQ_SERVER_REQUESTSECONDS", "60");
    let server = setup.start().await;
    let before = server.memory_peak();
    let body = format!("topic=large&messageData={data}");
    let sent = (0..MESSAGES).map(async |_| {
        let request = server.post("/Producer/Send").header("secretKey", KEY);
        let kind = "application/x-www-form-urlencoded";
        let request = request.header("Content-Type", kind).body(body.clone());
        let request = request.timeout(6 * PATIENCE);
        request.send().await.unwrap().text().await.unwrap()
    });
    for answer in future::join_all(sent).await {
        assert!(answer.starts_with("{\"code\":0"), "{answer}");
    }
    let growth = server.memory_peak().saturating_sub(before);
    println!("{MESSAGES} × 16 MiB over HTTP: {} MiB more", growth >> 20);
    assert!(growth < GROWTH_MAX, "{growth} bytes");
}

/// Sends what never ends, until the server takes no more of it for a second.
async fn flood(socket: &mut RawSocket, bytes: &[u8]) -> u64 {
    const MOST: u64 = 256 << 20;
    let (mut sent, mut rest) = (0, bytes);
    while sent < MOST {
        let written = timeout(Duration::from_secs(1), socket.stream.write(rest)).await;
        let Ok(Ok(written)) = written else {
            break;
        };
        sent += written as u64;
        rest = match &rest[written..] {
            [] => bytes,
            rest => rest,
        };
    }
    sent
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_reads_no_answers_is_not_read_and_then_closed() {
    let _alone = ALONE.lock().await;
    const GROWTH_MAX: u64 = 16 << 20;
    let setup = Setup::new()
        .set("writeSeconds", 2)
        .environment("DPMQ_SERVER_PINGSECONDS", "1");
    let server = setup.start().await;
    let pings = frame(FIN | opcode::PING, &[b'x'; 125]).repeat(500);
    let messages = frame(FIN | opcode::TEXT, b"x").repeat(5000);
    for (path, sent, is_closed) in [
        ("/Consumers/Conn/t/c", &pings, true),
        ("/Producers/Conn/t/p?ack=1", &pings, true),
        ("/Producers/Conn/t/p?ack=1", &messages, true),
        ("/Producers/Conn/t/p", &pings, false),
    ] {
        let before = server.memory();
        let mut deaf = RawSocket::login(server.address(), path, KEY).await;
        let bytes = flood(&mut deaf, sent).await;
        let growth = server.memory().saturating_sub(before);
        println!(
            "{path}: {} KiB sent, {} KiB more",
            bytes >> 10,
            growth >> 10
        );
        assert!(bytes > 64 << 10, "{path}: {bytes}");
        assert!(growth < GROWTH_MAX, "{path}: {growth} bytes more");
        if is_closed {
            eventually("it is closed", async || {
                let clients = server.request(reqwest::Method::GET, "/api/clients");
                let clients = clients.header("secretKey", KEY).send().await.unwrap();
                let clients: serde_json::Value = clients.json().await.unwrap();
                clients["clients"].as_array().unwrap().is_empty()
            })
            .await;
        }
    }
}

#[tokio::test]
async fn whoever_holds_memory_and_sends_nothing_gives_it_back() {
    let setup = Setup::new().environment("DPMQ_SERVER_INBOUNDMIB", "1");
    let server = setup.start().await;
    let path = "/Producers/Conn/t/p?ack=1";
    let mut idle = RawSocket::login(server.address(), path, KEY).await;
    idle.write(&head(FIN | opcode::BINARY, 1 << 20)).await;
    idle.write(b"and no more").await;
    let mut busy = server.producer_ack("t", "busy").await;
    busy.send(&"x".repeat(1 << 20)).await;
    busy.send("small ones too, in their order").await;
    // Those who send little notice nothing.
    server.publish("t", "small").await;
    let (code, reason) = idle.closed().await;
    assert_eq!((code, &*reason), (1008, "a large message comes too slowly"));
    busy.ack().await;
    busy.ack().await;
}

#[tokio::test]
async fn a_large_body_that_comes_slowly_leaves_room_for_others() {
    let setup = Setup::new().environment("DPMQ_SERVER_INBOUNDMIB", "1");
    let server = setup.start().await;
    let mut slow = TcpStream::connect(server.address()).await.unwrap();
    let head = format!(
        "POST /Producer/Send HTTP/1.1\r\nHost: h\r\nsecretKey: {KEY}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
    let chunk = |data: &str| format!("{:x}\r\n{data}\r\n", data.len());
    let begin = head + &chunk("topic=t&messageData=") + &chunk(&"x".repeat(80_000));
    slow.write_all(begin.as_bytes()).await.unwrap();
    // What is large takes its turn behind the slow one, and has room beside it.
    server.publish("t", &"x".repeat(100_000)).await;
    let end = chunk(&"x".repeat(200_000)) + "0\r\n\r\n";
    slow.write_all(end.as_bytes()).await.unwrap();
    let mut said = String::new();
    while !said.contains(r#"{"code":0"#) {
        let mut part = [0; 1024];
        let read = timeout(PATIENCE, slow.read(&mut part));
        let bytes = read.await.unwrap().unwrap();
        assert!(bytes > 0, "{said}");
        said += std::str::from_utf8(&part[..bytes]).unwrap();
    }
}

#[tokio::test]
async fn room_is_not_waited_for_for_ever() {
    let setup = Setup::new()
        .environment("DPMQ_SERVER_INBOUNDMIB", "1")
        .environment("DPMQ_SERVER_REQUESTSECONDS", "0.5");
    let server = setup.start().await;
    let path = "/Producers/Conn/t/p?ack=1";
    let mut idle = RawSocket::login(server.address(), path, KEY).await;
    idle.write(&head(FIN | opcode::BINARY, 1 << 20)).await;
    let large = "x".repeat(100_000);
    eventually("all room is taken", async || {
        let form = [("topic", "t"), ("messageData", &*large)];
        let request = server.post("/Producer/Send").header("secretKey", KEY);
        let answer = request.form(&form).send().await.unwrap();
        let is_refused = answer.status() == 503;
        if is_refused {
            assert_eq!(answer.headers()["retry-after"], "1");
            let said = answer.text().await.unwrap();
            let busy = "the server is busy with large messages, try again later";
            assert_eq!(said, format!(r#"{{"code":-1,"msg":"{busy}"}}"#));
        }
        is_refused
    })
    .await;
    let scrape = server.request(reqwest::Method::GET, "/metrics");
    let scrape = scrape.header("secretKey", KEY).send().await.unwrap();
    let counted = "\ndpmq_messages_refused_total{reason=\"busy\"} 1\n";
    assert!(scrape.text().await.unwrap().contains(counted));
    // What is small needs no room.
    server.publish("t", "small").await;
}
