//! The real binary, in a directory and on a port of its own.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt::Display;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::{KEY, Listed, PATIENCE, Socket, ZONE_HOURS, encode, eventually};

/// A directory and a configuration for a server that is not started yet.
pub struct Setup {
    dir: TempDir,
    mq: BTreeMap<String, String>,
    environment: BTreeMap<String, OsString>,
    keep: bool,
}

impl Setup {
    /// Quick settings: no pause between batches, a check every 0.2 s, a snapshot every second.
    pub fn new() -> Setup {
        let setup = Setup {
            dir: TempDir::new().unwrap(),
            mq: BTreeMap::new(),
            environment: BTreeMap::new(),
            keep: false,
        };
        setup
            .set("secretKey", KEY)
            .set("pushMessagesSpeed", 0)
            .set("checkSpeed", 0.2)
            .set("persistentTime", 1)
    }

    /// Changes one key of `mq` in application.yaml.
    pub fn set(mut self, key: &str, value: impl Display) -> Setup {
        self.mq.insert(key.to_owned(), value.to_string());
        self
    }

    /// Takes a key of `mq` out of application.yaml.
    pub fn unset(mut self, key: &str) -> Setup {
        self.mq.remove(key);
        self
    }

    /// Sets a variable of the server's environment.
    pub fn environment(mut self, name: &str, value: impl Into<OsString>) -> Setup {
        self.environment.insert(name.to_owned(), value.into());
        self
    }

    /// Puts a file into the working directory.
    pub fn file(self, name: &str, bytes: &[u8]) -> Setup {
        let path = self.dir.path().join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
        self
    }

    /// Leaves the directory where it is when the test fails, and says so.
    pub fn keep(self) -> Setup {
        Setup { keep: true, ..self }
    }

    /// Starts the server and waits until it listens.
    pub async fn start(self) -> TestServer {
        let mut server = self.stopped();
        server.start_again().await;
        server
    }

    /// The server before its first start.
    pub fn stopped(self) -> TestServer {
        TestServer {
            process: None,
            setup: self,
            http: reqwest::Client::builder().no_proxy().build().unwrap(),
        }
    }

    fn write_config(&self) {
        let config = self.dir.path().join("config");
        fs::create_dir_all(&config).unwrap();
        let mut yaml = String::from("server:\n  port: 0\nmq:\n");
        for (key, value) in &self.mq {
            yaml.push_str(&format!("  {key}: {value}\n"));
        }
        fs::write(config.join("application.yaml"), yaml).unwrap();
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command.args(args).current_dir(self.dir.path());
        for (name, _) in std::env::vars_os() {
            let name = name.to_string_lossy();
            if name.starts_with("DPMQ_") || name == "RUST_LOG" {
                command.env_remove(&*name);
            }
        }
        command.env("TZ", format!("TST-{ZONE_HOURS}"));
        command.envs(&self.environment);
        command
    }
}

/// The program under test: the one just built, or that of `DPMQ_BIN`.
fn binary() -> OsString {
    std::env::var_os("DPMQ_BIN").unwrap_or_else(|| env!("CARGO_BIN_EXE_dpmq").into())
}

/// Sends the process `pid` a signal, as `INT`.
pub fn signal(pid: u32, name: &str) {
    let signal = format!("-{name}");
    let status = Command::new("kill")
        .args([signal, pid.to_string()])
        .status();
    assert!(status.unwrap().success());
}

/// A running process and what it wrote to standard error so far.
struct Process {
    child: Child,
    log: watch::Receiver<Vec<String>>,
    address: String,
}

impl Process {
    /// Starts the server and waits until it listens; `None` if it ends before.
    async fn start(setup: &Setup) -> Option<Process> {
        setup.write_config();
        let mut child = setup
            .command(&["serve"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let (sender, log) = watch::channel(vec![]);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                sender.send_modify(|log| log.push(line));
            }
        });
        let mut process = Process {
            child,
            log,
            address: String::new(),
        };
        let mut log = process.log.clone();
        let listens = log.wait_for(|log| log.iter().any(|line| address(line).is_some()));
        let listens = timeout(PATIENCE, listens).await;
        let lines = listens.expect("the server says where it listens").ok()?;
        process.address = lines.iter().find_map(|line| address(line)).unwrap();
        drop(lines);
        Some(process)
    }

    async fn wait(mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "the server does not end");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            for line in self.log.borrow().iter() {
                eprintln!("server: {line}");
            }
        }
    }
}

/// The `host:port` in a line that has `http://host:port/`, or `https`, as reached from here.
fn address(line: &str) -> Option<String> {
    let (before, rest) = line.split_once("://")?;
    before
        .split_whitespace()
        .last()
        .filter(|scheme| ["http", "https"].contains(scheme))?;
    let (authority, _) = rest.split_once('/')?;
    let (_, port) = authority.rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    Some(format!("127.0.0.1:{port}"))
}

/// The real server, in a directory that stays until the test ends.
pub struct TestServer {
    setup: Setup,
    process: Option<Process>,
    http: reqwest::Client,
}

impl Drop for TestServer {
    fn drop(&mut self) {
        if self.setup.keep && std::thread::panicking() {
            self.setup.dir.disable_cleanup(true);
            eprintln!("what is left is in {}", self.setup.dir.path().display());
        }
    }
}

impl TestServer {
    /// A server with the settings of [`Setup::new`].
    pub async fn start() -> TestServer {
        Setup::new().start().await
    }

    fn process(&self) -> &Process {
        self.process.as_ref().expect("the server runs")
    }

    /// The number of the process.
    pub fn pid(&self) -> u32 {
        self.process().child.id()
    }

    /// Its resident memory now, in bytes.
    pub fn memory(&self) -> u64 {
        self.memory_in("VmRSS:")
    }

    /// The most that it has had since it started, in bytes.
    pub fn memory_peak(&self) -> u64 {
        self.memory_in("VmHWM:")
    }

    /// As proc_pid_status(5) has it in a line.
    fn memory_in(&self, name: &str) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.pid())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let kib = line.unwrap().trim().strip_suffix(" kB").unwrap();
        kib.parse::<u64>().unwrap() << 10
    }

    /// The working directory.
    pub fn dir(&self) -> &Path {
        self.setup.dir.path()
    }

    /// `host:port`.
    pub fn address(&self) -> &str {
        &self.process().address
    }

    /// The address of `route`, which begins with a slash.
    pub fn url(&self, route: &str) -> String {
        format!("http://{}{route}", self.address())
    }

    /// Every line the process wrote to standard error so far.
    pub fn log(&self) -> Vec<String> {
        self.process().log.borrow().clone()
    }

    /// Changes a key of `mq`; it counts from the next start.
    pub fn set(&mut self, key: &str, value: impl Display) {
        self.setup.mq.insert(key.to_owned(), value.to_string());
    }

    /// Writes what was set since the start, and has the process read it.
    pub fn reload(&self) {
        self.setup.write_config();
        self.signal("HUP");
    }

    /// Sends the process a signal, as `STOP`.
    pub fn signal(&self, name: &str) {
        signal(self.pid(), name);
    }

    /// Sends SIGTERM and leaves the process to its end.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Waits for the end of a process that was told to end.
    pub async fn ended(&mut self) -> ExitStatus {
        self.process.take().expect("the server runs").wait().await
    }

    /// SIGTERM, and waits for the end.
    pub async fn stop(&mut self) -> ExitStatus {
        self.terminate();
        self.ended().await
    }

    /// SIGKILL: no more code of the server runs.
    pub async fn kill(&mut self) {
        let mut process = self.process.take().expect("the server runs");
        process.child.kill().unwrap();
        process.wait().await;
    }

    /// Starts in the same directory, and sends SIGKILL after `time`, however far it is.
    pub async fn start_and_kill(&self, time: Duration) {
        assert!(self.process.is_none(), "the server still runs");
        self.setup.write_config();
        let mut command = self.setup.command(&["serve"]);
        let quiet = command.stdin(Stdio::null()).stdout(Stdio::null());
        let mut child = quiet.stderr(Stdio::null()).spawn().unwrap();
        tokio::time::sleep(time).await;
        child.kill().unwrap();
        child.wait().unwrap();
    }

    /// Starts again in the same directory.
    pub async fn start_again(&mut self) {
        assert!(self.try_start().await, "the server ends before it listens");
    }

    /// Starts again in the same directory; false if the process ended before it listened.
    pub async fn try_start(&mut self) -> bool {
        assert!(self.process.is_none(), "the server still runs");
        self.process = Process::start(&self.setup).await;
        self.process.is_some()
    }

    /// Whether the process has ended by itself.
    pub fn has_ended(&mut self) -> bool {
        let process = self.process.as_mut().expect("the server was started");
        process.child.try_wait().unwrap().is_some()
    }

    /// An orderly end and a new start.
    pub async fn restart(&mut self) {
        let status = self.stop().await;
        assert!(status.success(), "the server ended with {status}");
        self.start_again().await;
    }

    /// Another command of the binary in the working directory; it ends with the test.
    pub fn command(&self, args: &[&str]) -> tokio::process::Command {
        let mut command = tokio::process::Command::from(self.setup.command(args));
        command.stdin(Stdio::null()).kill_on_drop(true);
        command
    }

    /// Runs another command of the binary in the working directory, to its end.
    pub async fn run(&self, args: &[&str]) -> Output {
        let ended = timeout(PATIENCE, self.command(args).output()).await;
        ended
            .unwrap_or_else(|_| panic!("{args:?} does not end"))
            .unwrap()
    }

    /// A POST without key or body, for a test to complete.
    pub fn post(&self, route: &str) -> reqwest::RequestBuilder {
        self.request(reqwest::Method::POST, route)
    }

    /// A request without key or body, for a test to complete.
    pub fn request(&self, method: reqwest::Method, route: &str) -> reqwest::RequestBuilder {
        self.http.request(method, self.url(route)).timeout(PATIENCE)
    }

    /// POSTs a form with the key; the reply's JSON.
    pub async fn http(&self, route: &str, form: &[(&str, &str)]) -> Value {
        serde_json::from_str(&self.http_text(route, form).await).unwrap()
    }

    /// POSTs a form with the key; the reply's text.
    pub async fn http_text(&self, route: &str, form: &[(&str, &str)]) -> String {
        let key = &self.setup.mq["secretKey"];
        let request = self.post(route).header("secretKey", key).form(form);
        let response = request.send().await.unwrap();
        assert_eq!(response.status(), 200, "{route}");
        response.text().await.unwrap()
    }

    /// Publishes over HTTP; the message's code.
    pub async fn publish(&self, topic: &str, data: &str) -> String {
        let form = [("topic", topic), ("messageData", data)];
        let reply = self.http("/Producer/Send", &form).await;
        assert_eq!(reply["code"], 0, "{reply}");
        reply["msg"].as_str().unwrap().to_owned()
    }

    /// The messages that match, newest first.
    pub async fn list(&self, form: &[(&str, &str)]) -> Vec<Listed> {
        let reply = self.http("/Console/GetMessageList", form).await;
        assert_eq!(reply["code"], 0, "{reply}");
        serde_json::from_value(reply["data"].clone()).unwrap()
    }

    /// All messages, newest first.
    pub async fn all(&self) -> Vec<Listed> {
        self.list(&[("status", "3")]).await
    }

    /// The message of `code`.
    pub async fn message(&self, code: &str) -> Option<Listed> {
        let all = self.all().await;
        all.into_iter().find(|m| m.code == code)
    }

    /// Waits until the message of `code` has `status`.
    pub async fn until_status(&self, code: &str, status: i64) {
        eventually(&format!("{code} has status {status}"), async || {
            self.message(code).await.is_some_and(|m| m.status == status)
        })
        .await;
    }

    /// The counts: `[all, consumed, notConsumed, stateless]`.
    pub async fn count(&self) -> [u64; 4] {
        let reply = self.http("/Console/CountMessage", &[]).await;
        assert_eq!(reply["code"], 0, "{reply}");
        ["all", "consumed", "notConsumed", "stateless"].map(|k| reply["data"][k].as_u64().unwrap())
    }

    /// The counts of each topic that has messages, as [`TestServer::count`].
    pub async fn topic_counts(&self) -> BTreeMap<String, [u64; 4]> {
        let request = self.request(reqwest::Method::GET, "/api/topics?limit=500");
        let request = request.header("secretKey", KEY);
        let list: Value = request.send().await.unwrap().json().await.unwrap();
        let topics = list["topics"].as_array().unwrap().iter();
        topics
            .map(|row| {
                let names = ["all", "consumed", "notConsumed", "accepted"];
                let counts = names.map(|name| row["counts"][name].as_u64().unwrap());
                (row["topic"].as_str().unwrap().to_owned(), counts)
            })
            .filter(|(_, counts)| counts[0] > 0)
            .collect()
    }

    /// The ids of the connected consumers, sorted.
    pub async fn consumer_ids(&self) -> Vec<String> {
        let reply = self.http("/Console/GetConsumers", &[]).await;
        let list = reply["data"].as_array().expect("a list, never null");
        let id = |c: &Value| c["ConsumerId"].as_str().unwrap().to_owned();
        let mut ids: Vec<String> = list.iter().map(id).collect();
        ids.sort();
        ids
    }

    /// Opens a WebSocket; nothing is read or sent yet.
    pub async fn open(&self, path: &str) -> Socket {
        self.try_open(path, &[]).await.unwrap()
    }

    /// Opens a WebSocket with these headers.
    pub async fn try_open(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Socket, tungstenite::Error> {
        let mut request = format!("ws://{}{path}", self.address()).into_client_request()?;
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).unwrap();
            request.headers_mut().insert(*name, value);
        }
        let stream = TcpStream::connect(self.address()).await?;
        stream.set_nodelay(true)?;
        Socket::shake_hands(request, stream).await
    }

    async fn login(&self, path: &str) -> Socket {
        let mut socket = self.open(path).await;
        socket.login(&self.setup.mq["secretKey"]).await;
        socket
    }

    /// A producer that is logged in.
    pub async fn producer(&self, topic: &str, id: &str) -> Socket {
        let path = format!("/Producers/Conn/{}/{}", encode(topic), encode(id));
        self.login(&path).await
    }

    /// A producer that is logged in and is answered each message.
    pub async fn producer_ack(&self, topic: &str, id: &str) -> Socket {
        let path = format!("/Producers/Conn/{}/{}?ack=1", encode(topic), encode(id));
        self.login(&path).await
    }

    /// A consumer that is logged in, so it misses nothing which is published from now on.
    pub async fn consumer(&self, topic: &str, id: &str) -> Socket {
        let path = format!("/Consumers/Conn/{}/{}", encode(topic), encode(id));
        self.login(&path).await
    }

    /// A consumer that is logged in, and whose own machine takes next to nothing off the wire
    /// unless it reads: it is the server that has to keep what is not read.
    pub async fn narrow_consumer(&self, topic: &str) -> Socket {
        const RECEIVE_BYTES: u32 = 4096;
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(RECEIVE_BYTES).unwrap();
        let stream = socket.connect(self.address().parse().unwrap()).await;
        let url = format!("ws://{}/Consumers/Conn/{topic}/narrow", self.address());
        let request = url.into_client_request().unwrap();
        let mut consumer = Socket::shake_hands(request, stream.unwrap()).await.unwrap();
        consumer.login(&self.setup.mq["secretKey"]).await;
        consumer
    }

    /// Sends bytes as they are; what the server says before it closes, or the head of its
    /// answer.
    pub async fn raw(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.address()).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        let mut answer = vec![];
        let read = async {
            while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
                if stream.read_buf(&mut answer).await.unwrap() == 0 {
                    break;
                }
            }
        };
        timeout(PATIENCE, read).await.expect("an answer");
        String::from_utf8_lossy(&answer).into_owned()
    }
}
