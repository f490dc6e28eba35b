//! Random damage below the real server: it starts, says what is damaged, and lists the rest.
//! The same below the store is `damage/`, whose variables count here too.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::common::{Listed, Setup, TestServer};
use crate::common_store::{Random, copy_dir};
use crate::damage::fault::{Kind, hit};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |value| value.parse().unwrap())
}

/// A server whose store has messages in every status.
async fn filled() -> TestServer {
    let server = Setup::new().set("checkSpeed", 60).start().await;
    for n in 0..60 {
        server
            .publish("heard", &format!("{n} ").repeat(n + 1))
            .await;
    }
    let mut consumer = server.consumer("heard", "c").await;
    for _ in 0..10 {
        server.publish("heard", "to be consumed").await;
        consumer.message().await;
    }
    for n in 0..60 {
        server
            .publish("unheard", &n.to_string().repeat(n + 1))
            .await;
    }
    server
}

/// Puts the store of `from` in the place of that of `to`.
fn replace_store(from: &Path, to: &Path) {
    let _ = fs::remove_dir_all(to.join("data.db"));
    copy_dir(&from.join("data.db"), &to.join("data.db"));
    for entry in fs::read_dir(to).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if name.starts_with("data") && path.is_file() {
            fs::remove_file(path).unwrap();
        }
    }
    let _ = fs::copy(from.join("data"), to.join("data"));
}

fn by_code(messages: Vec<Listed>) -> BTreeMap<String, Listed> {
    let messages = messages.into_iter();
    messages.map(|m| (m.code.clone(), m)).collect()
}

#[tokio::test]
async fn the_server_starts_and_names_what_is_damaged() {
    let rounds = number("DPMQ_DAMAGE_POSITIONS", 60) / 6;
    let seed = number("DPMQ_SEED", 1);
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let mut server = filled().await;
    assert!(server.stop().await.success());
    let origin = tempfile::tempdir().unwrap();
    replace_store(server.dir(), origin.path());
    server.start_again().await;
    let written = by_code(server.all().await);
    server.kill().await;
    let (mut lost, mut healed) = (0, 0);
    for round in 0..rounds {
        replace_store(origin.path(), server.dir());
        let kinds = [Kind::Log, Kind::Log, Kind::Mirror, Kind::Snapshot];
        let with_snapshot = random.one_in(2);
        if !with_snapshot {
            fs::remove_file(server.dir().join("data")).unwrap();
        }
        let kinds = if with_snapshot { &kinds } else { &kinds[..2] };
        let hit = hit(&mut random, server.dir(), kinds);
        let what = format!("round {round}, snapshot {with_snapshot}: {hit:?}");
        server.start_again().await;
        let listed = by_code(server.all().await);
        for (code, message) in &listed {
            let expected = &written[code];
            // One on its way to be pushed may have been pushed to nobody since.
            let status = |m: &Listed| (m.status == 1, m.consumed);
            assert_eq!(status(message), status(expected), "{what}");
            let sent = |m: &Listed| (m.topic.clone(), m.data.clone(), m.created);
            assert_eq!(sent(message), sent(expected), "{what}");
        }
        let said: Vec<String> = server.log();
        let has = |words: &str| said.iter().any(|line| line.contains(words));
        let damaged = has("damaged: ");
        if listed.len() < written.len() {
            let file = hit.file.file_name().unwrap().to_str().unwrap();
            assert!(damaged && has(file), "{what}: {said:#?}");
            assert!(!with_snapshot, "{what}: {said:#?}");
        }
        lost += usize::from(listed.len() < written.len());
        healed += usize::from(has("healed: "));
        let code = server.publish("after", "the damage").await;
        server.kill().await;
        server.start_again().await;
        let again = by_code(server.all().await);
        assert!(again.contains_key(&code), "{what}");
        assert!(listed.keys().all(|code| again.contains_key(code)), "{what}");
        assert_eq!(again.len(), listed.len() + 1, "{what}");
        server.kill().await;
    }
    println!("{rounds} rounds: {healed} healed, {lost} with messages reported as damaged");
}
