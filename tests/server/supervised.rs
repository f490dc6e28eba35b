//! The real binary as systemd and a container's runtime see it: what it tells them, and how it
//! answers when it is asked for its health.

use std::process::Stdio;
use std::time::Duration;

use tokio::net::UnixDatagram;
use tokio::time::timeout;

use crate::common::{PATIENCE, Setup, TestServer};

/// The socket of a service manager.
struct Manager {
    socket: UnixDatagram,
    _dir: tempfile::TempDir,
}

impl Manager {
    /// A manager, and the settings of a server that it starts.
    fn new() -> (Manager, Setup) {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let setup = Setup::new().environment("NOTIFY_SOCKET", path);
        (Manager { socket, _dir: dir }, setup)
    }

    /// What it is told next.
    async fn told(&self) -> String {
        let mut bytes = vec![0; 4096];
        let received = timeout(PATIENCE, self.socket.recv(&mut bytes)).await;
        bytes.truncate(received.expect("something is told").unwrap());
        String::from_utf8(bytes).unwrap()
    }
}

#[tokio::test]
async fn systemd_is_told_when_the_server_is_ready_and_when_it_stops() {
    let (manager, setup) = Manager::new();
    let mut server = setup.start().await;
    assert_eq!(manager.told().await, "READY=1\n");
    assert_eq!(server.stop().await.code(), Some(0));
    assert_eq!(manager.told().await, "STOPPING=1\n");
}

#[tokio::test]
async fn the_watchdog_hears_that_the_server_is_alive() {
    let (manager, setup) = Manager::new();
    let every = Duration::from_millis(20).as_micros().to_string();
    let _server = setup.environment("WATCHDOG_USEC", every).start().await;
    assert_eq!(manager.told().await, "READY=1\n");
    for _ in 0..5 {
        assert_eq!(manager.told().await, "WATCHDOG=1\n");
    }
}

#[tokio::test]
async fn a_watchdog_of_another_process_is_not_for_the_server() {
    let (manager, setup) = Manager::new();
    let setup = setup.environment("WATCHDOG_USEC", "1000");
    let mut server = setup.environment("WATCHDOG_PID", "1").start().await;
    assert_eq!(manager.told().await, "READY=1\n");
    server.stop().await;
    assert_eq!(manager.told().await, "STOPPING=1\n");
}

#[tokio::test]
async fn the_health_of_a_server_is_an_exit_code() {
    let mut server = TestServer::start().await;
    let url = server.url("");
    let health = server.run(&["health", "--url", &url]).await;
    assert_eq!(health.status.code(), Some(0));
    assert_eq!(health.stdout, b"ready\n");

    // A session that does not answer the close keeps the server stopping for a moment.
    let _silent = server.consumer("t", "silent").await;
    server.terminate();
    let said = loop {
        let health = server.run(&["health", "--url", &url]).await;
        if health.status.code() != Some(0) {
            break String::from_utf8(health.stderr).unwrap();
        }
    };
    let reason = r#" is not ready: {"ready":false,"reason":"stopping"}"#;
    assert!(said.contains(reason), "{said}");
    server.ended().await;
    let health = server.run(&["health", "--url", &url]).await;
    let said = String::from_utf8_lossy(&health.stderr);
    assert_eq!(health.status.code(), Some(1));
    assert!(said.starts_with("error: cannot connect to "), "{said}");
}

#[tokio::test]
async fn a_server_that_is_waited_for_is_asked_until_it_is_ready() {
    let mut server = TestServer::start().await;
    let url = server.url("");
    server.stop().await;
    let health = server
        .run(&["health", "--url", &url, "--wait", "0.5"])
        .await;
    let said = String::from_utf8_lossy(&health.stderr);
    assert_eq!(health.status.code(), Some(1));
    assert!(said.starts_with("error: cannot connect to "), "{said}");
    assert_eq!(said.lines().count(), 1, "{said}");

    let wait = ["health", "--url", &url, "--wait", "30"];
    let waits = server
        .command(&wait)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let (_, port) = url.rsplit_once(':').unwrap();
    let mut serves = server.command(&["serve", "--port", port]).spawn().unwrap();
    let health = timeout(PATIENCE, waits.wait_with_output()).await.unwrap();
    let health = health.unwrap();
    assert_eq!(health.status.code(), Some(0));
    assert_eq!(health.stdout, b"ready\n");
    assert_eq!(health.stderr, b"");
    serves.kill().await.unwrap();
}

#[tokio::test]
async fn what_is_no_server_is_not_healthy() {
    let server = TestServer::start().await;
    // A path that nothing is at.
    let url = server.url("/elsewhere");
    let health = server.run(&["health", "--url", &url]).await;
    let said = String::from_utf8_lossy(&health.stderr);
    assert_eq!(health.status.code(), Some(1));
    assert!(said.contains("is no DPMQ server: HTTP 404"), "{said}");
}
