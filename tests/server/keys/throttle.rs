//! Wrong keys over HTTP take longer and longer.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::future;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;

use super::Keyed;
use crate::common::{KEY, Setup, Socket};

#[tokio::test]
async fn guessing_is_slow_and_the_answer_stays_the_contract_s() {
    let keyed = Keyed::start().await;
    let ping = async |key: &str| {
        let request = keyed.server.post("/Console/Ping").header("secretKey", key);
        request.send().await.unwrap().text().await.unwrap()
    };
    let begin = Instant::now();
    for _ in 0..13 {
        let wrong = r#"{"code":-1,"msg":"Secret key matching error"}"#;
        assert_eq!(ping("guess").await, wrong);
    }
    // The first ten cost nothing; then 100, 200 and 400 ms.
    assert!(begin.elapsed() >= Duration::from_millis(700));
    let begin = Instant::now();
    assert_eq!(ping(KEY).await, r#"{"code":0}"#);
    assert!(
        begin.elapsed() >= Duration::from_millis(800),
        "it waits as a wrong one would"
    );
    let begin = Instant::now();
    for _ in 0..20 {
        assert_eq!(ping(KEY).await, r#"{"code":0}"#);
    }
    assert!(
        begin.elapsed() < Duration::from_millis(20 * 800),
        "and then no more"
    );
}

/// `DPMQ_FULL=1 cargo test --test server keys:: guesses -- --nocapture` has 4,000 connections, and prints
/// how many guesses are answered.
#[tokio::test]
async fn few_guesses_are_answered_however_many_connections_guess() {
    let is_full = std::env::var_os("DPMQ_FULL").is_some();
    let (connections, time) = match is_full {
        true => (4000, Duration::from_secs(20)),
        false => (100, Duration::from_secs(4)),
    };
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let setup = Setup::new().environment("DPMQ_SERVER_MAXCONNECTIONSPERADDRESS", "5000");
    let server = setup.start().await;
    let ping = async |stream: &mut TcpStream, key: &str| {
        let head = format!("POST /Console/Ping HTTP/1.1\r\nHost: h\r\nsecretKey: {key}\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = [0; 4096];
        let bytes = stream.read(&mut answer).await.unwrap();
        String::from_utf8_lossy(&answer[..bytes]).into_owned()
    };
    let mut known = TcpStream::connect(server.address()).await.unwrap();
    let right = ping(&mut known, KEY).await;
    assert!(right.ends_with(r#"{"code":0}"#), "{right}");
    let (answered, begin) = (AtomicUsize::new(0), Instant::now());
    let guessing = (0..connections).map(async |_| {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        while begin.elapsed() < time {
            let answer = ping(&mut stream, "guess").await;
            if answer.contains("Secret key matching error") {
                answered.fetch_add(1, Ordering::Relaxed);
            } else {
                assert!(answer.starts_with("HTTP/1.1 429 "), "{answer}");
                assert!(answer.contains("\r\nretry-after: 1\r\n"), "{answer}");
                assert!(answer.contains(r#"{"code":-1,"msg":"too many wrong keys"#));
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    });
    let user = async {
        while begin.elapsed() < time {
            let answer = ping(&mut known, KEY).await;
            assert!(answer.ends_with(r#"{"code":0}"#), "{answer}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::join!(future::join_all(guessing), user);
    let (answered, seconds) = (answered.into_inner(), begin.elapsed().as_secs_f64());
    println!("{answered} guesses of {connections} connections answered in {seconds:.1} s");
    // Ten are free, some have short waits, and then eight have their answer in three seconds.
    let longest = 8.0 * seconds / 3.0;
    assert!(answered as f64 <= 40.0 + longest, "{answered}");
    assert!(answered > 10, "{answered}");
}

#[tokio::test]
async fn a_socket_from_an_address_that_guesses_is_closed_with_the_reason() {
    let keyed = Keyed::start().await;
    let guess = async || {
        let mut socket = keyed.server.open("/Consumers/Conn/t/c").await;
        assert_eq!(socket.recv().await, "Please enter the secret key");
        socket.send("guess").await;
        socket
    };
    let mut sockets = vec![];
    for _ in 0..40 {
        sockets.push(guess().await);
    }
    let said = async |mut socket: Socket| match socket.frame().await.unwrap().unwrap() {
        Message::Close(Some(close)) => Some((u16::from(close.code), close.reason.to_string())),
        _ => None,
    };
    let said = future::join_all(sockets.into_iter().map(said)).await;
    let closed: Vec<_> = said.into_iter().flatten().collect();
    assert!(closed.len() > 10, "{closed:?}");
    let reason = "too many wrong keys from your address".to_owned();
    assert_eq!(closed[0], (1008, reason));
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_waits_for_its_own_wrong_keys() {
    let trusts = Setup::new().environment("DPMQ_SERVER_TRUSTEDPROXIES", "127.0.0.0/8");
    let mut keyed = Keyed::stopped(trusts);
    keyed.server.start_again().await;
    let ping = async |client: &str, key: &str| {
        let request = keyed.server.post("/Console/Ping").header("secretKey", key);
        let request = request.header("X-Forwarded-For", format!("127.0.0.1, {client}"));
        request.send().await.unwrap().text().await.unwrap()
    };
    for _ in 0..14 {
        ping("203.0.113.9", "guess").await;
    }
    let log = keyed.server.log();
    let refused = log
        .iter()
        .find(|line| line.contains("refused: a wrong key"));
    let refused = refused.unwrap();
    assert!(refused.contains("address=203.0.113.9 "), "{refused}");
    let took = async |client: &str| {
        let begin = Instant::now();
        assert_eq!(ping(client, KEY).await, r#"{"code":0}"#);
        begin.elapsed()
    };
    let wait = Duration::from_millis(1600);
    assert!(took("203.0.113.9").await >= wait);
    assert!(took("203.0.113.10").await < wait);

    let forwarded = [("X-Forwarded-For", "203.0.113.11")];
    let socket = keyed.server.try_open("/Consumers/Conn/t/c", &forwarded);
    let mut socket = socket.await.unwrap();
    socket.login(KEY).await;
    let (_, clients) = keyed.get("/api/clients", KEY).await;
    assert_eq!(clients["clients"][0]["ip"], "203.0.113.11", "{clients}");
}

#[tokio::test]
async fn nobody_else_is_believed_who_they_pass_on() {
    let keyed = Keyed::start().await;
    let forwarded = [("X-Forwarded-For", "203.0.113.11")];
    let socket = keyed.server.try_open("/Consumers/Conn/t/c", &forwarded);
    let mut socket = socket.await.unwrap();
    socket.login(KEY).await;
    let (_, clients) = keyed.get("/api/clients", KEY).await;
    assert_eq!(clients["clients"][0]["ip"], "127.0.0.1", "{clients}");
}
