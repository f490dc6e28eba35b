//! A second server on one store is refused, whatever has become of the lock files and whatever
//! name leads to the folder; the first one loses nothing.

use std::fs;
use std::os::unix::fs::symlink;

use crate::common::{Setup, TestServer};

async fn is_refused(second: &TestServer) {
    for args in [["serve"], ["verify"]] {
        let output = second.run(&args).await;
        let said = [&output.stdout[..], &output.stderr[..]].concat();
        let said = String::from_utf8_lossy(&said).into_owned();
        assert_ne!(output.status.code(), Some(0), "{args:?}: {said}");
        assert!(
            said.contains("another process has the store open"),
            "{said}"
        );
    }
}

/// What was answered is there, now and after the end of the server.
async fn has_all(mut server: TestServer, mut answered: Vec<String>) {
    for n in 0..20 {
        answered.push(server.publish("t", &format!("after {n}")).await);
    }
    for _ in 0..2 {
        let mut codes: Vec<String> = server.all().await.into_iter().map(|m| m.code).collect();
        codes.sort();
        answered.sort();
        assert_eq!(codes, answered);
        server.kill().await;
        server.start_again().await;
    }
    let log = server.log().join("\n");
    assert!(
        !log.contains("damaged") && !log.contains("was rebuilt"),
        "{log}"
    );
}

async fn with_messages() -> (TestServer, Vec<String>) {
    let server = TestServer::start().await;
    let mut answered = vec![];
    for n in 0..20 {
        answered.push(server.publish("t", &format!("before {n}")).await);
    }
    (server, answered)
}

#[tokio::test]
async fn a_lock_file_that_is_removed_lets_nobody_in() {
    let (server, answered) = with_messages().await;
    fs::remove_file(server.dir().join("data.lock")).unwrap();
    is_refused(&server).await;
    has_all(server, answered).await;
}

#[tokio::test]
async fn a_folder_that_is_reached_by_a_link_lets_nobody_in() {
    let (server, answered) = with_messages().await;
    let second = Setup::new().stopped();
    symlink(server.dir().join("data.db"), second.dir().join("data.db")).unwrap();
    is_refused(&second).await;
    has_all(server, answered).await;
}

#[tokio::test]
async fn without_any_lock_file_the_log_lets_nobody_in() {
    let (server, answered) = with_messages().await;
    for name in ["data.lock", "data.db/lock"] {
        fs::remove_file(server.dir().join(name)).unwrap();
    }
    let output = server.run(&["serve"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_ne!(output.status.code(), Some(0));
    assert!(
        said.contains("another process has the store open"),
        "{said}"
    );
    has_all(server, answered).await;
}
