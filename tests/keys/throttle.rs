//! Wrong keys over HTTP take longer and longer.

use std::time::{Duration, Instant};

use super::Keyed;
use super::common::{KEY, Setup};

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
