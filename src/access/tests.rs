use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use super::*;
use crate::message::UnixSeconds;

const PLACE: RequestSource = RequestSource {
    address: IpAddr::V4(Ipv4Addr::LOCALHOST),
    method: "GET",
    path: "/",
};

/// A key for the topic `t`, and its token.
fn key(name: &str, expires: Option<u32>) -> (ListedKey, Token) {
    let token = Token::random().unwrap();
    let key = ListedKey {
        name: name.to_owned(),
        rights: Rights::of(&[Right::Publish, Right::ConsoleRead]),
        topics: Topics::new(vec!["t".to_owned()]).unwrap(),
        expires: expires.map(UnixSeconds),
        digest: token.digest(),
    };
    (key, token)
}

fn write(file: &Path, keys: &[&ListedKey]) {
    let lines: Vec<_> = keys.iter().map(|key| key.line()).collect();
    fs::write(file, lines.join("\n")).unwrap();
}

fn open(file: &Path, clock: &Clock) -> Access {
    let secret = SecretKey::new("master");
    Access::open(secret, KeysFile::at(file), clock.clone()).unwrap()
}

/// What two looks at the file end.
fn look(access: &Access) -> Vec<(Arc<Grant>, End)> {
    [access.reload(), access.reload()].concat()
}

fn names(ended: &[(Arc<Grant>, End)]) -> Vec<(&str, End)> {
    let names = ended.iter().map(|(grant, end)| (grant.name(), *end));
    names.collect()
}

#[tokio::test]
async fn each_key_has_its_grant() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.yaml");
    let ((one, one_token), (two, two_token)) = (key("one", None), key("two", None));
    write(&file, &[&one, &two]);
    let access = open(&file, &Clock::system());
    let present = async |text: &str| {
        let grant = access.present(text, &PLACE, &PresentedKey::default()).await;
        grant.map(|grant| grant.name().to_owned())
    };
    assert_eq!(present("master").await, Ok(SECRET_KEY.to_owned()));
    assert_eq!(present(one_token.expose()).await, Ok("one".to_owned()));
    assert_eq!(present(two_token.expose()).await, Ok("two".to_owned()));
    let (_, unknown) = key("three", None);
    let hash = one.digest.to_string();
    for wrong in ["", "Master", "one", unknown.expose(), &hash] {
        assert_eq!(present(wrong).await, Err(Refused::Wrong), "{wrong}");
    }
}

#[tokio::test]
async fn a_grant_is_for_its_rights_and_topics() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.yaml");
    let (one, token) = key("one", None);
    write(&file, &[&one]);
    let access = open(&file, &Clock::system());
    let grant = access
        .present(token.expose(), &PLACE, &PresentedKey::default())
        .await
        .unwrap();
    let (t, other) = ("t".parse().unwrap(), "other".parse().unwrap());
    assert_eq!(grant.may(Right::Publish), Ok(()));
    let denied = grant.may(Right::ConsoleChange).unwrap_err();
    assert_eq!(
        denied.to_string(),
        "the key one has not the right console-change"
    );
    assert_eq!(grant.may_use(&t), Ok(()));
    assert!(grant.may_use(&other).is_err() && grant.may_use_all().is_err());
    assert_eq!(grant.may_ask(Some(&t)), Ok(()));
    assert!(grant.may_ask(Some(&other)).is_err() && grant.may_ask(None).is_err());
    let all = access
        .present("master", &PLACE, &PresentedKey::default())
        .await
        .unwrap();
    assert!(Right::ALL.into_iter().all(|right| all.may(right).is_ok()));
    assert!(all.may_use(&other).is_ok() && all.may_ask(None).is_ok());
    assert!(all.may_use_all().is_ok());
}

#[tokio::test]
async fn what_changes_in_the_file_counts_and_what_does_not_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.yaml");
    let access = open(&file, &Clock::system());
    assert_eq!(look(&access).len(), 0, "there is no file");
    let (stays, stays_token) = key("stays", None);
    let (changes, changes_token) = key("changes", None);
    let (goes, goes_token) = key("goes", None);
    write(&file, &[&stays, &changes, &goes]);
    assert_eq!(look(&access).len(), 0, "nothing ends");
    let present = async |token: &Token| {
        access
            .present(token.expose(), &PLACE, &PresentedKey::default())
            .await
    };
    let held = present(&stays_token).await.unwrap();
    let gone = present(&goes_token).await.unwrap();
    let mut changed = changes.clone();
    changed.topics = Topics::all();
    write(&file, &[&changed, &stays]);
    let ended = look(&access);
    let revoked = [("changes", End::Revoked), ("goes", End::Revoked)];
    assert_eq!(names(&ended), revoked);
    gone.until_ended().await;
    assert_eq!(gone.ended(), Some(End::Revoked));
    assert_eq!(present(&goes_token).await.unwrap_err(), Refused::Wrong);
    assert!(present(&changes_token).await.unwrap().may_use_all().is_ok());
    assert!(Arc::ptr_eq(&held, &present(&stays_token).await.unwrap()));
    assert_eq!(held.ended(), None);
    fs::write(&file, "").unwrap();
    assert_eq!(look(&access).len(), 2, "an empty file lists none");
    assert_eq!(access.trouble(), None);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_leaves_the_keys_as_they_are() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.yaml");
    let (one, token) = key("one", None);
    write(&file, &[&one]);
    let access = open(&file, &Clock::system());
    let good = fs::read(&file).unwrap();
    for bad in [Some("- {"), None, Some("- name: x"), Some("\u{0}")] {
        match bad {
            Some(text) => fs::write(&file, text).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        assert_eq!(look(&access).len(), 0, "{bad:?}");
        let trouble = access.trouble().unwrap();
        assert!(trouble.contains("keys.yaml: "), "{trouble}");
        assert!(trouble.ends_with("the keys of before stay in use"));
        assert!(
            access
                .present(token.expose(), &PLACE, &PresentedKey::default())
                .await
                .is_ok()
        );
        fs::write(&file, &good).unwrap();
        assert_eq!(look(&access).len(), 0);
        assert_eq!(access.trouble(), None, "{bad:?}");
    }
    let unusable = open_error(&dir.path().join("keys.yaml/none"));
    assert!(unusable.contains("keys.yaml/none: "), "{unusable}");
}

fn open_error(file: &Path) -> String {
    let secret = SecretKey::new("master");
    let opened = Access::open(secret, KeysFile::at(file), Clock::system());
    opened.err().expect("it cannot be read").to_string()
}

#[tokio::test]
async fn what_only_one_look_has_seen_does_not_count() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.yaml");
    let ((one, one_token), (two, two_token)) = (key("one", None), key("two", None));
    write(&file, &[&one, &two]);
    let access = open(&file, &Clock::system());
    let good = fs::read(&file).unwrap();
    let half = &good[..one.line().len() + 1];
    // As an editor leaves it that writes in place, and as one that is slow.
    for moment in [Some(&b""[..]), Some(half), Some(&good[..9]), None] {
        match moment {
            Some(bytes) => fs::write(&file, bytes).unwrap(),
            None => fs::remove_file(&file).unwrap(),
        }
        assert_eq!(names(&access.reload()), []);
        fs::write(&file, &good).unwrap();
        assert_eq!(names(&access.reload()), []);
        assert_eq!(access.trouble(), None);
        for token in [&one_token, &two_token] {
            let shown = PresentedKey::default();
            let opened = access.present(token.expose(), &PLACE, &shown).await;
            assert!(opened.is_ok(), "{moment:?}");
        }
    }
    fs::write(&file, half).unwrap();
    assert_eq!(names(&access.reload()), []);
    fs::write(&file, "").unwrap();
    assert_eq!(names(&access.reload()), [], "this is something else");
    let revoked = [("one", End::Revoked), ("two", End::Revoked)];
    assert_eq!(names(&access.reload()), revoked);
}

#[tokio::test]
async fn a_clock_that_was_ahead_ends_no_key_for_good() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.yaml");
    let clock = Clock::manual(UnixSeconds(1000));
    let (one, token) = key("one", Some(2000));
    write(&file, &[&one]);
    let access = open(&file, &clock);
    let present = async || {
        let shown = PresentedKey::default();
        access.present(token.expose(), &PLACE, &shown).await
    };
    let before = present().await.unwrap();
    clock.set(UnixSeconds(9000));
    assert_eq!(names(&access.reload()), [("one", End::Expired)]);
    assert!(present().await.is_err());
    clock.set(UnixSeconds(1001));
    assert_eq!(names(&access.reload()), []);
    assert_eq!(
        before.ended(),
        Some(End::Expired),
        "what it had opened is over"
    );
    let again = present().await.unwrap();
    assert_eq!(names(&access.reload()), []);
    clock.set(UnixSeconds(2000));
    assert_eq!(names(&access.reload()), [("one", End::Expired)]);
    assert_eq!(again.ended(), Some(End::Expired));
}

#[tokio::test]
async fn a_key_ends_with_its_time() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("keys.yaml");
    let clock = Clock::manual(UnixSeconds(1000));
    let (one, token) = key("one", Some(1002));
    write(&file, &[&one]);
    let access = open(&file, &clock);
    let grant = access
        .present(token.expose(), &PLACE, &PresentedKey::default())
        .await
        .unwrap();
    clock.set(UnixSeconds(1001));
    assert_eq!(look(&access).len(), 0);
    clock.set(UnixSeconds(1002));
    let refused = access
        .present(token.expose(), &PLACE, &PresentedKey::default())
        .await
        .unwrap_err();
    let Refused::Expired(denied) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!(denied.to_string(), "the key one has expired");
    assert_eq!(names(&look(&access)), [("one", End::Expired)]);
    grant.until_ended().await;
    assert_eq!(look(&access).len(), 0, "it ends once");
}

#[tokio::test(start_paused = true)]
async fn wrong_keys_take_longer_and_longer_and_a_right_one_once() {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir.path().join("keys.yaml"), &Clock::system());
    let time = async |key: &str| {
        let begin = Instant::now();
        let opened = access
            .present(key, &PLACE, &PresentedKey::default())
            .await
            .is_ok();
        (opened, begin.elapsed().as_millis())
    };
    for _ in 0..10 {
        assert_eq!(time("wrong").await, (false, 0));
    }
    assert_eq!(time("").await, (false, 0), "no key is no guess");
    assert!(!time("wrong").await.0);
    let waits = [time("wrong").await.1, time("wrong").await.1];
    assert!(waits[0] >= 200 && waits[1] >= 400, "{waits:?}");
    assert!(time("master").await.1 >= 800);
    assert_eq!(time("master").await, (true, 0), "it is known by now");
}

#[tokio::test(start_paused = true)]
async fn where_many_guess_only_a_connection_that_has_shown_a_key_goes_on() {
    let dir = tempfile::tempdir().unwrap();
    let access = open(&dir.path().join("keys.yaml"), &Clock::system());
    let known = PresentedKey::default();
    let present = async |key: &str, shown: &PresentedKey| access.present(key, &PLACE, shown).await;
    present("master", &known).await.unwrap();
    // Those that hang up have had their guess all the same.
    for _ in 0..100 {
        let guess = PresentedKey::default();
        let guess = present("wrong", &guess);
        let _ = tokio::time::timeout(Duration::from_millis(1), guess).await;
    }
    for key in ["wrong", "master"] {
        let begin = Instant::now();
        let refused = present(key, &PresentedKey::default()).await.unwrap_err();
        assert_eq!(refused, Refused::TooMany, "{key}");
        assert_eq!(begin.elapsed(), Duration::ZERO);
    }
    for _ in 0..100 {
        present("master", &known).await.unwrap();
    }
    // With a guess it is as any other: a proxy may have it for many clients.
    for key in ["wrong", "master"] {
        let refused = present(key, &known).await.unwrap_err();
        assert_eq!(refused, Refused::TooMany, "{key}");
    }
    tokio::time::advance(Duration::from_secs(3)).await;
    present("master", &PresentedKey::default()).await.unwrap();
}
