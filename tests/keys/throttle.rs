//! Wrong keys over HTTP take longer and longer.

use std::time::{Duration, Instant};

use super::Keyed;
use super::common::KEY;

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
