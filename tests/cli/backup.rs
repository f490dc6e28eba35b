//! `dpmq backup`, `restore` and `verify` with the real binary, from a server that works to one
//! that goes on from its backup.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::Value;

use crate::common::{Listed, Setup, TestServer, eventually};

fn code(output: &Output) -> i32 {
    output.status.code().unwrap()
}

fn text(output: &Output) -> String {
    let both = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8(both).unwrap()
}

/// Everything that a client can ask for of what is stored.
#[derive(Debug, PartialEq)]
struct Content {
    messages: Vec<Listed>,
    counts: [u64; 4],
    growth: Value,
    quarters: Value,
}

async fn content(server: &TestServer) -> Content {
    let get = async |path: &str| -> Value {
        let request = server.request(reqwest::Method::GET, path);
        let response = request.header("secretKey", crate::common::KEY).send().await;
        response.unwrap().json().await.unwrap()
    };
    Content {
        messages: server.all().await,
        counts: server.count().await,
        growth: get("/api/growth").await["buckets"].clone(),
        quarters: get("/api/growth?bucket=quarter&days=31").await["buckets"].clone(),
    }
}

/// A server without re-push, so that what is stored rests, with messages in every status but -1.
async fn filled() -> TestServer {
    let server = quiet().start().await;
    for n in 0..30 {
        server.publish("nobody", &format!("nobody {n}")).await;
    }
    let mut consumer = server.consumer("orders", "c").await;
    for n in 0..30 {
        server.publish("orders", &format!("order {n} ü")).await;
        consumer.recv().await;
    }
    drop(consumer);
    eventually("everything has been pushed", async || {
        server.count().await == [60, 30, 30, 0]
    })
    .await;
    server
}

fn quiet() -> Setup {
    Setup::new().set("isRePush", 0)
}

fn names(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir(dir).unwrap();
    let mut names: Vec<String> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_server_goes_on_from_its_backup_elsewhere() {
    let source = filled().await;
    let expected = content(&source).await;
    let elsewhere = tempfile::tempdir().unwrap();
    let backup = elsewhere.path().join("monday");
    let backup = backup.to_str().unwrap();
    let url = source.url("");
    let made = source.run(&["backup", backup, "--url", &url]).await;
    assert_eq!(code(&made), 0, "{}", text(&made));
    assert!(text(&made).contains("60 messages of 2 topics"));
    assert_eq!(names(elsewhere.path()), ["monday"]);

    let checked = source.run(&["verify", backup]).await;
    assert_eq!(code(&checked), 0, "{}", text(&checked));
    assert!(text(&checked).ends_with("whole\n"), "{}", text(&checked));
    let piped = source.run(&["backup", "-", "--url", &url]).await;
    assert_eq!(code(&piped), 0, "{}", text(&piped));
    let copy = elsewhere.path().join("piped");
    fs::write(&copy, &piped.stdout).unwrap();
    let checked = source.run(&["verify", copy.to_str().unwrap()]).await;
    assert!(text(&checked).ends_with("whole\n"), "{}", text(&checked));
    assert!(!source.dir().join("-").exists());
    let busy = source.run(&["verify"]).await;
    assert_eq!(code(&busy), 1);
    assert!(text(&busy).contains("another process"), "{}", text(&busy));

    let mut place = quiet().stopped();
    let restored = place.run(&["restore", backup]).await;
    assert_eq!(code(&restored), 0, "{}", text(&restored));
    assert!(text(&restored).contains("restored 60 messages"));
    let again = place.run(&["restore", backup]).await;
    assert_eq!(code(&again), 1);
    assert!(
        text(&again).contains("is there already"),
        "{}",
        text(&again)
    );
    place.start_again().await;
    assert_eq!(content(&place).await, expected);
    let later = place.publish("nobody", "later").await;
    place.kill().await;
    let killed = place.run(&["verify"]).await;
    assert_eq!(code(&killed), 0, "{}", text(&killed));
    place.start_again().await;
    let mut there = content(&place).await;
    let newest = there.messages.iter().position(|m| m.code == later);
    there.messages.remove(newest.unwrap());
    assert_eq!(there.messages, expected.messages);
}

#[tokio::test]
async fn a_backup_overwrites_nothing_and_leaves_nothing_that_is_not_whole() {
    let mut server = filled().await;
    let elsewhere = tempfile::tempdir().unwrap();
    let dest = elsewhere.path().join("backup");
    let dest = dest.to_str().unwrap();
    let url = server.url("");
    fs::write(dest, "mine").unwrap();
    let refused = server.run(&["backup", dest, "--url", &url]).await;
    assert_eq!(code(&refused), 1);
    assert!(text(&refused).contains("is there already"));
    assert_eq!(fs::read(dest).unwrap(), b"mine");
    fs::remove_file(dest).unwrap();

    let wrong = ["backup", dest, "--url", &url, "--key", "wrong"];
    let refused = server.run(&wrong).await;
    assert_eq!(code(&refused), 1);
    assert!(text(&refused).contains("secretKey"), "{}", text(&refused));
    assert_eq!(names(elsewhere.path()), [""; 0]);

    // More than the sockets hold, so that the transfer is under way when the server goes.
    let data = "x".repeat(1 << 20);
    for _ in 0..24 {
        server.publish("large", &data).await;
    }
    let response = server
        .request(reqwest::Method::GET, "/api/backup")
        .header("secretKey", crate::common::KEY)
        .send();
    let mut response = response.await.unwrap();
    assert!(response.chunk().await.unwrap().is_some());
    server.terminate();
    eventually("the server stops", async || {
        server.log().iter().any(|line| line.contains("stopping"))
    })
    .await;
    let told = response.content_length().unwrap();
    let got = response.bytes().await;
    assert!(got.is_err(), "{told} bytes were told");
    assert!(server.ended().await.success());

    let gone = server.run(&["backup", dest, "--url", &url]).await;
    assert_eq!(code(&gone), 1);
    assert!(text(&gone).contains("cannot connect"), "{}", text(&gone));
    assert_eq!(names(elsewhere.path()), [""; 0]);
}

/// A server that breaks off in the middle, as one does that is killed.
#[tokio::test]
async fn a_transfer_that_is_cut_off_leaves_no_file() {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let server = filled().await;
    let whole = server
        .request(reqwest::Method::GET, "/api/backup")
        .header("secretKey", crate::common::KEY)
        .send()
        .await
        .unwrap();
    let whole = whole.bytes().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let dest = elsewhere.path().join("backup");
    for cut in [0, 10, 100, whole.len() - 1, whole.len()] {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bytes = whole.clone();
        let broken = tokio::spawn(async move {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            assert!(socket.read(&mut request).await.unwrap() > 0);
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", bytes.len());
            socket.write_all(head.as_bytes()).await.unwrap();
            socket.write_all(&bytes[..cut]).await.unwrap();
            socket.shutdown().await.unwrap();
        });
        let output = server
            .run(&["backup", dest.to_str().unwrap(), "--url", &url])
            .await;
        broken.await.unwrap();
        let whole = cut == whole.len();
        assert_eq!(code(&output), i32::from(!whole), "{cut}: {}", text(&output));
        assert_eq!(names(elsewhere.path()).len(), usize::from(whole), "{cut}");
    }
}

#[tokio::test]
async fn what_is_damaged_is_told_and_not_restored() {
    let mut server = filled().await;
    server.stop().await;
    let place = quiet().stopped();
    let backup = place.dir().join("backup");
    let mut bytes = fs::read(server.dir().join("data")).unwrap();
    let needle = b"order 7 ";
    let at = bytes.windows(needle.len()).position(|at| at == needle);
    bytes[at.unwrap()] ^= 1;
    fs::write(&backup, &bytes).unwrap();
    let checked = place.run(&["verify", "backup"]).await;
    assert_eq!(code(&checked), 1);
    let said = text(&checked);
    assert!(said.contains("damaged: backup from byte"), "{said}");
    assert!(said.contains("checksum of the frame's data"), "{said}");
    assert!(said.contains("1 messages, by sequence 38"), "{said}");
    let before = names(place.dir());
    let refused = place.run(&["restore", "backup"]).await;
    assert_eq!(code(&refused), 1);
    assert!(text(&refused).contains("nothing was restored"));
    assert_eq!(names(place.dir()), before);
    let taken = place.run(&["restore", "backup", "--damaged"]).await;
    assert_eq!(code(&taken), 0, "{}", text(&taken));
    assert!(
        text(&taken).contains("restored 59 messages"),
        "{}",
        text(&taken)
    );
}

#[tokio::test]
async fn what_cannot_be_checked_or_restored_is_refused_in_a_word() {
    let place = Setup::new().stopped();
    for (args, exit, said) in [
        (&["verify"][..], 1, "there is no store"),
        (&["verify", "none"], 1, "open none"),
        (&["verify", "a", "b"], 64, "error"),
        (&["restore"], 64, "error"),
        (&["backup"], 64, "error"),
        (&["restore", "none"], 1, "open none"),
        (
            &["verify", "--set", "mq.isPersistent=0"],
            1,
            "isPersistent is 0",
        ),
        (
            &["restore", "none", "--set", "mq.isPersistent=0"],
            1,
            "isPersistent is 0",
        ),
    ] {
        let output = place.run(args).await;
        assert_eq!(code(&output), exit, "{args:?}: {}", text(&output));
        assert!(text(&output).contains(said), "{args:?}: {}", text(&output));
    }
    assert_eq!(names(place.dir()), [""; 0]);
}
