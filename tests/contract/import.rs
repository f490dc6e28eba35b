//! Moving over from the original: its data file, with codes, times and statuses.

use serde_json::Value;

use crate::common::{GoMessage, Listed, Setup, TestServer, files_with, fixture, go_data, now};

/// Nothing that comes over changes by itself.
fn still() -> Setup {
    Setup::new().set("isClean", 0).set("isRePush", 0)
}

fn sorted(mut messages: Vec<Listed>) -> Vec<Listed> {
    messages.sort_by(|a, b| (a.created, &a.code).cmp(&(b.created, &b.code)));
    messages
}

/// What the original's console lists for `go-data-small`.
fn small() -> Vec<Listed> {
    let reply: Value = serde_json::from_slice(&fixture("go-data-small.json")).unwrap();
    sorted(serde_json::from_value(reply["data"].clone()).unwrap())
}

#[tokio::test]
async fn the_original_s_file_comes_over_at_the_first_start() {
    let file = fixture("go-data-small");
    let mut server = still().file("data", &file).start().await;
    assert_eq!(sorted(server.all().await), small());
    assert_eq!(server.count().await, [6, 3, 3, 0]);
    server.restart().await;
    assert_eq!(sorted(server.all().await), small());
    server.kill().await;
    server.start_again().await;
    assert_eq!(sorted(server.all().await), small());
}

#[tokio::test]
async fn the_original_s_file_is_kept_beside() {
    let file = fixture("go-data-small");
    let mut server = still()
        .set("persistentTime", 0.2)
        .file("data", &file)
        .start()
        .await;
    assert!(!files_with(server.dir(), &file).is_empty());
    server
        .publish("t", "a change, so that a snapshot is written")
        .await;
    server.restart().await;
    assert!(!files_with(server.dir(), &file).is_empty());
    assert_eq!(server.count().await[0], 7);
}

#[tokio::test]
async fn a_larger_file_comes_over_whole() {
    let server = still().file("data", &fixture("go-data-206")).start().await;
    let all = server.all().await;
    assert_eq!(all.len(), 206);
    assert!(all.is_sorted_by(|a, b| a.created >= b.created));
    let bulk3 = server.list(&[("topic", "bulk3")]).await;
    assert_eq!(bulk3.len(), 40);
    for message in small() {
        assert!(all.contains(&message), "{message:?}");
    }
}

#[tokio::test]
async fn of_a_file_that_is_cut_off_what_is_whole_comes_over() {
    let file = fixture("go-data-truncated");
    let server = still().file("data", &file).start().await;
    let all = server.all().await;
    let whole = file.windows(2).filter(|two| two == b"},").count();
    assert_eq!(all.len(), whole);
    assert!(!files_with(server.dir(), &file).is_empty());
    let log = server.log().join("\n");
    assert!(log.contains("1500"), "the place is not reported: {log}");
}

#[tokio::test]
async fn a_file_without_messages_is_a_start_without_messages() {
    for file in [fixture("go-data-empty"), vec![]] {
        let server = Setup::new().file("data", &file).start().await;
        assert_eq!(server.count().await, [0; 4]);
        server.publish("t", "works").await;
    }
}

#[tokio::test]
async fn what_waited_in_the_original_is_pushed() {
    let file = go_data(&[
        GoMessage::new("t", "never pushed", now() - 2).status(-1),
        GoMessage::new("t", "nobody was there", now() - 1),
        GoMessage::new("t", "consumed", now()).status(1),
    ]);
    let server = Setup::new().file("data", &file).start().await;
    let mut consumer = server.consumer("t", "c1").await;
    let mut data = consumer.data(2).await;
    data.sort();
    assert_eq!(data, ["never pushed", "nobody was there"]);
    server.publish("t", "marker").await;
    assert_eq!(consumer.data(1).await, ["marker"]);
}

#[tokio::test]
async fn what_cannot_come_over_does_not_hold_up_the_rest() {
    let file = go_data(&[
        GoMessage::new("a|b", "bad topic", now()),
        GoMessage::new("", "no topic", now()),
        GoMessage::new("t", "bad status", now()).status(7),
        GoMessage::new("t", "good", now()),
    ]);
    let server = still().file("data", &file).start().await;
    let all = server.all().await;
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].data, "good");
}

#[tokio::test]
async fn import_adds_a_file_to_a_stopped_server_s_store() {
    let mut server = still().file("old", &fixture("go-data-small")).start().await;
    let code = server.publish("t", "mine").await;
    server.until_status(&code, 0).await;
    server.stop().await;
    let output = server.run(&["import", "old"]).await;
    let said = String::from_utf8_lossy(&output.stderr).into_owned()
        + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}");
    assert!(said.contains('6'), "it does not say how many: {said}");
    server.start_again().await;
    let mut all = server.all().await;
    assert_eq!(all.len(), 7);
    all.retain(|m| m.code != code);
    assert_eq!(sorted(all), small());
    assert_eq!(
        std::fs::read(server.dir().join("old")).unwrap(),
        fixture("go-data-small")
    );
}

#[tokio::test]
async fn import_refuses_another_file_and_changes_nothing() {
    let mut server = TestServer::start().await;
    server.publish("t", "mine").await;
    server.stop().await;
    std::fs::write(server.dir().join("junk"), "hello").unwrap();
    // A tebibyte without a byte on the disk: no more than its head is read.
    let huge = std::fs::File::create(server.dir().join("huge")).unwrap();
    huge.set_len(1 << 40).unwrap();
    for file in ["junk", "huge", "missing"] {
        let output = server.run(&["import", file]).await;
        assert!(!output.status.success(), "{file}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains(file) && !said.contains("panicked"), "{said}");
    }
    server.start_again().await;
    assert_eq!(server.count().await[0], 1);
}

#[tokio::test]
async fn very_many_entries_that_cannot_come_over_take_few_lines() {
    let bad = (0..5_000).map(|_| GoMessage::new("t", "bad status", now()).status(7));
    let server = still()
        .file("old", &go_data(&bad.collect::<Vec<_>>()))
        .stopped();
    let output = server.run(&["import", "old"]).await;
    let log = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        log.matches("a message is not taken over").count(),
        100,
        "{log}"
    );
    assert!(
        log.contains("further messages are not taken over more=4900"),
        "{log}"
    );
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(said.contains("5000 could not be taken"), "{said}");
}

#[tokio::test]
async fn import_is_refused_while_the_server_runs() {
    let server = still().file("old", &fixture("go-data-small")).start().await;
    let output = server.run(&["import", "old"]).await;
    assert!(!output.status.success());
    assert_eq!(server.count().await, [0; 4]);
}
