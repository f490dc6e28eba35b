//! Consumers that read slowly, or nothing for minutes, are kept; those that are cut off are
//! noticed. It takes minutes: `tests/long --steady`.

use std::fs;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::future;
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::common::{KEY, Setup, Socket, TestServer, eventually};

/// How long consumers read steadily.
const STEADY_SECONDS: u32 = 150;
/// Messages a second that they read, and their bytes.
const RATES: [(u32, usize); 8] = [
    (5, 16 << 10),
    (10, 8 << 10),
    (20, 2 << 10),
    (40, 4 << 10),
    (80, 16 << 10),
    (150, 1 << 10),
    (250, 2 << 10),
    (400, 512),
];
/// Messages that are published before the first is answered.
const WINDOW: usize = 100;

fn numbered(n: usize, bytes: usize) -> String {
    let mut data = format!("{n} ");
    data.push_str(&"x".repeat(bytes - data.len()));
    data
}

/// Publishes messages `0..count`, as fast as they are answered.
async fn publish(server: &TestServer, topic: &str, count: usize, bytes: usize) {
    let mut producer = server.producer_ack(topic, "p").await;
    for first in (0..count).step_by(WINDOW) {
        let last = (first + WINDOW).min(count);
        producer
            .send_all((first..last).map(|n| numbered(n, bytes)))
            .await;
        for _ in first..last {
            producer.ack().await;
        }
    }
    producer.close().await;
}

/// The next message's number; `None` while there is none.
async fn read(consumer: &mut Socket, wait: Duration) -> Result<Option<usize>, String> {
    loop {
        let frame = tokio::time::timeout(wait, consumer.next_frame()).await;
        match frame {
            Err(_) => return Ok(None),
            Ok(Some(Ok(Message::Text(text)))) => {
                let (_, rest) = text.split_once(r#""MessageData":""#).unwrap();
                let (n, _) = rest.split_once(' ').unwrap();
                return Ok(Some(n.parse().unwrap()));
            }
            Ok(Some(Ok(Message::Ping(_)))) => {}
            Ok(end) => return Err(format!("{end:?}")),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "150 seconds, see the top of this file"]
async fn whoever_reads_is_never_closed() {
    let mut readers = vec![];
    for pace in ["1", "0"] {
        for (rate, bytes) in RATES {
            readers.push(tokio::spawn(async move {
                let setup = Setup::new().set("pushMessagesSpeed", pace);
                let server = setup.start().await;
                let mut consumer = server.consumer("t", "steady").await;
                // It never has to wait for another, so it is always behind.
                let count = (rate * STEADY_SECONDS * 5 / 4) as usize;
                publish(&server, "t", count, bytes).await;
                let (begin, mut next, mut closed) = (Instant::now(), 0, None);
                while begin.elapsed().as_secs() < STEADY_SECONDS.into() {
                    match read(&mut consumer, Duration::from_secs(5)).await {
                        Ok(None) => {}
                        Ok(Some(n)) => {
                            assert_eq!(n, next, "in order");
                            next += 1;
                        }
                        Err(end) => {
                            closed = Some(end);
                            break;
                        }
                    }
                    sleep(Duration::from_secs(1) / rate).await;
                }
                println!(
                    "pace {pace}, {rate} a second of {bytes} bytes: {next} read in {:.0?}, {}",
                    begin.elapsed(),
                    closed.as_deref().unwrap_or("not closed")
                );
                closed.is_some()
            }));
        }
    }
    let closed = future::join_all(readers).await;
    let closed = closed
        .into_iter()
        .filter(|closed| *closed.as_ref().unwrap());
    assert_eq!(closed.count(), 0, "consumers that read were closed");
}

/// The case from which it came to be known: 20,000 messages of 500 bytes, all default settings
/// but the pace, one consumer that reads at once and one that takes 5 ms for each.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "two minutes, see the top of this file"]
async fn a_slow_one_beside_a_fast_one_gets_all() {
    const COUNT: usize = 20_000;
    let server = TestServer::start().await;
    let readers = future::join_all([0, 5].map(async |millis| {
        let mut consumer = server.consumer("t", &millis.to_string()).await;
        for n in 0..COUNT {
            match read(&mut consumer, crate::common::PATIENCE).await {
                Ok(Some(read)) => assert_eq!(read, n, "{millis} ms each"),
                other => return (millis, n, other),
            }
            sleep(Duration::from_millis(millis)).await;
        }
        (millis, COUNT, Ok(None))
    }));
    let publishing = async {
        eventually("both are there", async || {
            server.consumer_ids().await.len() == 2
        })
        .await;
        publish(&server, "t", COUNT, 500).await;
    };
    let (readers, ()) = tokio::join!(readers, publishing);
    for (millis, read, end) in &readers {
        println!("{millis} ms a message: {read} of {COUNT} read, {end:?}");
    }
    assert!(readers.iter().all(|(_, read, _)| *read == COUNT));
}

/// A list that is read slowly for longer than an answer may stand still.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, see the top of this file"]
async fn an_answer_that_is_read_slowly_is_not_cut() {
    const COUNT: usize = 20_000;
    const SLOWLY: Duration = Duration::from_secs(60);
    let server = TestServer::start().await;
    publish(&server, "t", COUNT, 1000).await;
    let mut stream = TcpStream::connect(server.address()).await.unwrap();
    let request = format!(
        "POST /Console/GetMessageList HTTP/1.1\r\nHost: h\r\nsecretKey: {KEY}\r\n\
         Content-Type: application/x-www-form-urlencoded\r\nContent-Length: 8\r\n\
         Connection: close\r\n\r\nstatus=3"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let (begin, mut answer, mut part) = (Instant::now(), vec![], vec![0; 2000]);
    while begin.elapsed() < SLOWLY {
        let bytes = stream.read(&mut part).await.unwrap();
        answer.extend_from_slice(&part[..bytes]);
        sleep(Duration::from_millis(100)).await;
    }
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.ends_with("\r\n0\r\n\r\n"), "the last chunk is there");
    // A message may lie in two chunks, but next to none does.
    assert!(answer.matches("\"MessageCode\"").count() > COUNT * 9 / 10);
}

/// A process of this test, and of what it began.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn run(program: &str, args: &[&str]) -> Option<Running> {
    let mut command = Command::new(program);
    let spawned = command.args(args).stdin(Stdio::null()).spawn();
    match spawned {
        Ok(child) => Some(Running(child)),
        Err(error) => {
            println!("not tried with {program}: {error}");
            None
        }
    }
}

fn free_port() -> u16 {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    free.local_addr().unwrap().port()
}

/// nginx as Debian has it, and the least that passes a WebSocket on; no time-out is changed.
fn nginx(dir: &Path, server: &str) -> Option<(Running, String)> {
    let (port, file) = (free_port(), dir.join("nginx.conf"));
    let dir = dir.display();
    let config = format!(
        "daemon off; worker_processes 1; pid {dir}/nginx.pid; error_log {dir}/nginx.log;
         events {{}}
         http {{
             access_log off;
             client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy;
             fastcgi_temp_path {dir}/f; uwsgi_temp_path {dir}/u; scgi_temp_path {dir}/s;
             server {{
                 listen 127.0.0.1:{port};
                 location / {{
                     proxy_pass http://{server};
                     proxy_http_version 1.1;
                     proxy_set_header Upgrade $http_upgrade;
                     proxy_set_header Connection upgrade;
                 }}
             }}
         }}"
    );
    fs::write(&file, config).unwrap();
    let args = ["-c", file.to_str().unwrap()];
    Some((run("/usr/sbin/nginx", &args)?, format!("127.0.0.1:{port}")))
}

/// HAProxy with the time-outs of Debian's configuration.
fn haproxy(dir: &Path, server: &str) -> Option<(Running, String)> {
    let (port, file) = (free_port(), dir.join("haproxy.cfg"));
    let config = format!(
        "defaults\n mode http\n timeout connect 5000\n timeout client 50000\n timeout server 50000\n\
         frontend f\n bind 127.0.0.1:{port}\n default_backend b\nbackend b\n server s {server}\n"
    );
    fs::write(&file, config).unwrap();
    let args = ["-db", "-f", file.to_str().unwrap()];
    Some((
        run("/usr/sbin/haproxy", &args)?,
        format!("127.0.0.1:{port}"),
    ))
}

async fn consumer_at(address: &str, topic: &str, id: &str) -> Socket {
    let stream = loop {
        match TcpStream::connect(address).await {
            Ok(stream) => break stream,
            Err(_) => sleep(Duration::from_millis(50)).await,
        }
    };
    consumer_on(stream, address, topic, id).await
}

async fn consumer_on(stream: TcpStream, address: &str, topic: &str, id: &str) -> Socket {
    let request = format!("ws://{address}/Consumers/Conn/{topic}/{id}").into_client_request();
    let shaken = Socket::shake_hands(request.unwrap(), stream).await;
    let mut consumer = shaken.unwrap();
    consumer.login(KEY).await;
    consumer
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "five minutes, see the top of this file"]
async fn a_handler_of_minutes_keeps_its_connection_through_proxies() {
    const COUNT: usize = 20;
    let server = TestServer::start().await;
    let dir = tempfile::tempdir().unwrap();
    let proxies = [
        ("nginx", nginx(dir.path(), server.address())),
        ("HAProxy", haproxy(dir.path(), server.address())),
    ];
    let mut doors = vec![("nothing", server.address())];
    for (name, proxy) in &proxies {
        doors.extend(proxy.as_ref().map(|(_, address)| (*name, &**address)));
    }
    let cases = doors
        .iter()
        .flat_map(|door| [90, 300].map(|seconds| (door, seconds)));
    let handlers = cases.map(async |((name, address), seconds)| {
        let topic = format!("{name}-{seconds}");
        let mut consumer = consumer_at(address, &topic, "c").await;
        publish(&server, &topic, COUNT, 1000).await;
        for n in 0..COUNT {
            let got = read(&mut consumer, crate::common::PATIENCE).await;
            assert_eq!(got, Ok(Some(n)), "{seconds} s, through {name}");
            if n == 0 {
                sleep(Duration::from_secs(seconds)).await;
            }
        }
        server.publish(&topic, &numbered(COUNT, 1000)).await;
        let last = read(&mut consumer, crate::common::PATIENCE).await;
        assert_eq!(last, Ok(Some(COUNT)), "{seconds} s, through {name}");
        println!("a handler of {seconds} s, through {name}: connected");
    });
    future::join_all(handlers).await;
}

/// Another machine, as far as the network goes.
struct Namespace {
    name: String,
    /// The end of the cable that is here, and the one that is there.
    cable: [String; 2],
    here: String,
}

fn ip(args: &str) -> Result<(), String> {
    let output = Command::new("ip").args(args.split(' ')).output();
    let output = output.map_err(|error| format!("ip: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => Err(String::from_utf8_lossy(&output.stderr).trim().to_owned()),
    }
}

impl Namespace {
    fn new(number: u8) -> Result<Namespace, String> {
        let tag = format!("dpmq{}x{number}", std::process::id() % 10_000);
        let namespace = Namespace {
            name: tag.clone(),
            cable: [format!("{tag}a"), format!("{tag}b")],
            here: format!("10.213.{number}.1"),
        };
        let Namespace {
            name,
            cable: [a, b],
            here,
        } = &namespace;
        ip(&format!("netns add {name}"))?;
        ip(&format!(
            "link add {a} type veth peer name {b} netns {name}"
        ))?;
        ip(&format!("addr add {here}/30 dev {a}"))?;
        ip(&format!("link set {a} up"))?;
        ip(&format!("-n {name} addr add 10.213.{number}.2/30 dev {b}"))?;
        ip(&format!("-n {name} link set {b} up"))?;
        Ok(namespace)
    }

    /// A connection from there.
    fn connect(&self, port: u16) -> TcpStream {
        let file = fs::File::open(format!("/run/netns/{}", self.name)).unwrap();
        let address: SocketAddr = format!("{}:{port}", self.here).parse().unwrap();
        let connect = move || {
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network)).unwrap();
            std::net::TcpStream::connect(address).unwrap()
        };
        let stream = std::thread::spawn(connect).join().unwrap();
        stream.set_nonblocking(true).unwrap();
        TcpStream::from_std(stream).unwrap()
    }

    fn cut(&self, here: bool) {
        let Namespace {
            name,
            cable: [a, b],
            ..
        } = self;
        match here {
            true => ip(&format!("link set {a} down")).unwrap(),
            false => ip(&format!("-n {name} link set {b} down")).unwrap(),
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = ip(&format!("link del {}", self.cable[0]));
        let _ = ip(&format!("netns del {}", self.name));
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute, see the top of this file"]
async fn whoever_is_cut_off_is_noticed_within_a_minute() {
    const NOTICED: Duration = Duration::from_secs(60);
    let namespaces = match [1, 2].map(Namespace::new) {
        [Ok(one), Ok(other)] => [one, other],
        [Err(why), _] | [_, Err(why)] => {
            return println!("not tried, there is no namespace: {why}");
        }
    };
    let setup = Setup::new().environment("DPMQ_SERVER_ALLOWDEFAULTKEY", "1");
    let server = setup.start().await;
    let port: SocketAddr = server.address().parse().unwrap();
    let join = async |namespace: &Namespace, id: &str| {
        let stream = namespace.connect(port.port());
        consumer_on(stream, server.address(), id, id).await
    };
    let mut clients = vec![];
    for (n, namespace) in namespaces.iter().enumerate() {
        clients.push(join(namespace, &format!("idle{n}")).await);
        // It reads nothing, and there is much for it: its window is closed for a while.
        clients.push(join(namespace, &format!("full{n}")).await);
        publish(&server, &format!("full{n}"), 6_000, 16 << 10).await;
    }
    sleep(Duration::from_secs(45)).await;
    assert_eq!(
        server.consumer_ids().await.len(),
        4,
        "all are there while their systems are"
    );
    let busy = async |n: usize| {
        let mut consumer = join(&namespaces[n], &format!("busy{n}")).await;
        server.publish(&format!("busy{n}"), "0 first").await;
        assert_eq!(
            read(&mut consumer, crate::common::PATIENCE).await,
            Ok(Some(0))
        );
        consumer
    };
    let _busy = (busy(0).await, busy(1).await);
    namespaces[0].cut(true);
    namespaces[1].cut(false);
    let begin = Instant::now();
    for n in 0..2 {
        server.publish(&format!("busy{n}"), "1 on its way").await;
    }
    let mut there = server.consumer_ids().await;
    assert_eq!(there.len(), 6);
    while !there.is_empty() {
        sleep(Duration::from_millis(200)).await;
        let left = server.consumer_ids().await;
        for id in there.iter().filter(|id| !left.contains(id)) {
            println!("{id} was noticed after {:.1?}", begin.elapsed());
        }
        there = left;
        assert!(begin.elapsed() < NOTICED, "still there: {there:?}");
    }
    let ended = || -> Vec<String> {
        let log = server.log().into_iter();
        log.filter(|line| line.contains("was ended")).collect()
    };
    eventually("all are in the log", async || ended().len() == 6).await;
    println!("{}", ended().join("\n"));
}
