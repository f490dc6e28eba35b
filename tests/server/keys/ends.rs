//! Keys that are revoked, changed or expired; files that cannot be used; the command.

use std::fs;
use std::time::Duration;

use dpmq::access::{KeysFile, LOOK_EVERY, ListedKey, Token};
use dpmq::config::{Config, Sources};
use dpmq::server;
use reqwest::Method;
use rustix::fs::{CWD, Mode, mkfifoat};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use super::Keyed;
use crate::common::{KEY, Setup, Socket, eventually};

const RIGHTS: [&str; 3] = ["publish", "consume", "console-read"];

#[tokio::test]
async fn what_a_revoked_key_has_open_is_cut() {
    assert!(
        2 * LOOK_EVERY <= Duration::from_millis(500),
        "within a second"
    );
    let keyed = Keyed::start().await;
    let goes = keyed.key("goes", &RIGHTS, &["*"]).await;
    let stays = keyed.key("stays", &RIGHTS, &["*"]).await;
    let (mut consumer, _) = keyed.login("/Consumers/Conn/t/c", &goes).await;
    let (mut producer, _) = keyed.login("/Producers/Conn/t/p?ack=1", &goes).await;
    let (mut other, _) = keyed.login("/Consumers/Conn/t/o", &stays).await;
    let mut of_secret_key = keyed.server.consumer("t", "s").await;
    let stream = async |path: &str, token: &str| {
        let request = keyed.server.request(Method::GET, path);
        let mut response = request.header("secretKey", token).send().await.unwrap();
        if path == "/api/events" {
            response.chunk().await.unwrap().expect("the first overview");
        }
        response
    };
    let mut events = stream("/api/events", &goes).await;
    let mut watch = stream("/api/topics/t/watch", &goes).await;
    let mut others = stream("/api/events", &stays).await;

    keyed.file().remove("goes").unwrap();
    let reason = "the key was revoked or changed";
    for socket in [&mut consumer, &mut producer] {
        let close = socket.closed().await;
        assert_eq!((u16::from(close.code), &*close.reason), (1008, reason));
    }
    for stream in [&mut events, &mut watch] {
        while let Ok(chunk) = stream.chunk().await {
            assert!(chunk.is_some(), "a stream breaks off, and does not end");
        }
    }
    assert_eq!(keyed.get("/api/key", &goes).await.0, 401);
    keyed.server.publish("t", "d").await;
    assert_eq!(other.message().await.data, "d");
    assert_eq!(of_secret_key.message().await.data, "d");
    others.chunk().await.unwrap().expect("it goes on");
}

#[test]
fn a_revocation_waits_for_nobody_elses_work() {
    // With few threads for what blocks, all of which others have.
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(4)
        .build()
        .unwrap();
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let settings = [
        ("server.port", "0".to_owned()),
        ("server.keysFile", path("keys.yaml")),
        ("mq.persistentFile", path("data")),
    ];
    let config = Config::load(&Sources {
        overrides: settings.map(|(key, value)| (key.to_owned(), value)).into(),
        ..Sources::default()
    });
    let keys = KeysFile::at(path("keys.yaml"));
    let token = Token::random().unwrap();
    let key = ListedKey::new(
        "k",
        &["consume".into()],
        vec!["*".into()],
        None,
        token.digest(),
    );
    keys.add(&key.unwrap()).unwrap();
    runtime.block_on(async {
        let config = config.unwrap();
        let listener = server::bind(&config).await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
        let running = tokio::spawn(server::run(listener, config, async {
            let _ = stopped.await;
        }));
        let url = format!("ws://{address}/Consumers/Conn/t/c");
        let stream = TcpStream::connect(address).await.unwrap();
        let request = url.into_client_request().unwrap();
        let mut socket = Socket::shake_hands(request, stream).await.unwrap();
        socket.login(token.expose()).await;
        let (busy, done) = std::sync::mpsc::channel::<()>();
        let done = std::sync::Arc::new(std::sync::Mutex::new(done));
        for _ in 0..100 {
            let done = done.clone();
            tokio::task::spawn_blocking(move || {
                let _ = done.lock().unwrap().recv();
            });
        }
        keys.remove("k").unwrap();
        let close = socket.closed().await;
        assert_eq!(close.reason, "the key was revoked or changed");
        drop((busy, stop));
        running.await.unwrap().unwrap();
    });
}

#[tokio::test]
async fn a_request_that_began_before_the_end_of_its_key_does_nothing_after_it() {
    let keyed = Keyed::start().await;
    let rights = ["publish", "console-read", "console-change"];
    let token = keyed.key("k", &rights, &["*"]).await;
    keyed.server.publish("t", "kept").await;
    let begin = async |route: &str, body: &str| {
        let mut stream = TcpStream::connect(keyed.server.address()).await.unwrap();
        let head = format!(
            "POST {route} HTTP/1.1\r\nHost: h\r\nsecretKey: {token}\r\nConnection: close\r\n\
             Expect: 100-continue\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        let (most, last) = body.split_at(body.len() - 1);
        stream.write_all(head.as_bytes()).await.unwrap();
        // It is said by the first that wants the body, who has let the key in.
        let mut said = [0; b"HTTP/1.1 100 Continue\r\n\r\n".len()];
        stream.read_exact(&mut said).await.unwrap();
        assert!(said.starts_with(b"HTTP/1.1 100 "));
        stream.write_all(most.as_bytes()).await.unwrap();
        (stream, last.to_owned())
    };
    let message = r#"{"topic":"t","messageData":"d","data":"d"}"#;
    let begun = [
        begin("/Producer/Send", message).await,
        begin("/api/messages", r#"{"topic":"t","data":"d"}"#).await,
        begin("/api/topics/t/purge", r#"{"confirm":"t","what":"all"}"#).await,
        begin("/api/exports", r#"{"format":"csv","topic":"t"}"#).await,
        begin("/Console/GetMessageList", r#"{"topic":"t"}"#).await,
    ];
    keyed.file().remove("k").unwrap();
    eventually("it is noticed", async || {
        keyed.get("/api/key", &token).await.0 == 401
    })
    .await;
    for (mut stream, last) in begun {
        // What reads is answered as soon as the key has ended.
        let _ = stream.write_all(last.as_bytes()).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(
            answer.contains("the key k was revoked or changed"),
            "{answer}"
        );
        assert!(!answer.contains("kept"), "{answer}");
    }
    let all = keyed.server.all().await;
    assert_eq!(all.len(), 1, "{all:?}");
}

#[tokio::test]
async fn a_changed_key_is_let_in_anew_with_what_it_has_now() {
    let keyed = Keyed::start().await;
    let token = keyed.key("k", &["consume"], &["a", "b"]).await;
    let (mut consumer, _) = keyed.login("/Consumers/Conn/a/c", &token).await;
    let text = fs::read_to_string(keyed.path()).unwrap();
    fs::write(keyed.path(), text.replace(r#"["a","b"]"#, r#"["b"]"#)).unwrap();
    let close = consumer.closed().await;
    assert_eq!(close.reason, "the key was revoked or changed");
    let (_, refused) = keyed.login("/Consumers/Conn/a/c", &token).await;
    let reason = "the key k is not for this topic".to_owned();
    assert_eq!(refused, Err((1008, reason)));
    let (_, admitted) = keyed.login("/Consumers/Conn/b/c", &token).await;
    assert_eq!(admitted, Ok(()));
}

#[tokio::test]
async fn a_key_ends_with_its_time() {
    let mut keyed = Keyed::stopped(Setup::new());
    let soon = chrono::Utc::now() + chrono::TimeDelta::seconds(3);
    let token = keyed.add("k", &RIGHTS, &["*"], Some(&soon.to_rfc3339()));
    keyed.server.start_again().await;
    let (mut consumer, said) = keyed.login("/Consumers/Conn/a/c", &token).await;
    assert_eq!(said, Ok(()));
    let close = consumer.closed().await;
    let reason = "the key has expired";
    assert_eq!((u16::from(close.code), &*close.reason), (1008, reason));
    let (status, json) = keyed.get("/api/key", &token).await;
    assert_eq!(
        (status, &json["error"]["code"]),
        (401, &"expired_key".into())
    );
    let (_, refused) = keyed.login("/Consumers/Conn/a/c", &token).await;
    assert_eq!(refused, Err((1008, "the key k has expired".to_owned())));
    let ping = keyed
        .server
        .post("/Console/Ping")
        .header("secretKey", token);
    let reply = ping.send().await.unwrap().text().await.unwrap();
    assert_eq!(reply, r#"{"code":-1,"msg":"the key k has expired"}"#);
}

#[tokio::test]
async fn the_link_of_an_export_ends_with_the_key() {
    let keyed = Keyed::start().await;
    let token = keyed.key("k", &RIGHTS, &["t"]).await;
    keyed.server.publish("t", "d").await;
    let export = || {
        let post = keyed
            .server
            .post("/api/exports")
            .header("secretKey", &token);
        post.json(&serde_json::json!({"format": "csv", "topic": "t"}))
    };
    let link = async || {
        let reply: serde_json::Value = export().send().await.unwrap().json().await.unwrap();
        reply["url"].as_str().unwrap().to_owned()
    };
    let fetch = async |url: &str| {
        let request = keyed.server.request(Method::GET, url);
        request.send().await.unwrap().status().as_u16()
    };
    let (first, second) = (link().await, link().await);
    assert_eq!(fetch(&first).await, 200);
    keyed.file().remove("k").unwrap();
    keyed.until_loaded(1).await;
    eventually("the link is gone", async || {
        let head = keyed.server.request(Method::HEAD, &second);
        head.send().await.unwrap().status() == 404
    })
    .await;
    assert_eq!(fetch(&second).await, 404);
}

#[tokio::test]
async fn a_file_that_cannot_be_used_is_told_and_changes_nothing() {
    let keyed = Keyed::start().await;
    let token = keyed.key("k", &RIGHTS, &["*"]).await;
    let good = fs::read(keyed.path()).unwrap();
    fs::write(keyed.path(), "- {name: k}\n").unwrap();
    let health = async || keyed.get("/api/overview", KEY).await.1["health"].clone();
    eventually("the overview tells it", async || {
        let health = health().await;
        let reason = health["keys"].as_str().unwrap_or_default();
        health["state"] == "impaired" && reason.contains("config/keys.yaml: not a list of keys")
    })
    .await;
    let line = "audit: the keys are not loaded: config/keys.yaml: ";
    let log = keyed.server.log();
    assert!(log.iter().any(|text| text.contains(line)), "{log:?}");
    assert_eq!(keyed.get("/api/key", &token).await.0, 200);
    // Nobody writes to it, and it is not waited for: what comes after it counts.
    fs::remove_file(keyed.path()).unwrap();
    mkfifoat(CWD, keyed.path(), Mode::RUSR | Mode::WUSR).unwrap();
    eventually("the overview tells of the pipe", async || {
        let health = health().await;
        let reason = health["keys"].as_str().unwrap_or_default().to_owned();
        reason.contains("config/keys.yaml: it is no regular file")
    })
    .await;
    assert_eq!(keyed.get("/api/key", &token).await.0, 200);
    fs::remove_file(keyed.path()).unwrap();
    fs::write(keyed.path(), good).unwrap();
    eventually("all is well", async || health().await["state"] == "ok").await;
    keyed.file().remove("k").unwrap();
    eventually("it is revoked", async || {
        keyed.get("/api/key", &token).await.0 == 401
    })
    .await;
}

#[tokio::test]
async fn no_server_starts_with_a_file_that_cannot_be_used() {
    let mut server = Setup::new().stopped();
    let config = server.dir().join("config");
    fs::create_dir_all(&config).unwrap();
    fs::write(config.join("keys.yaml"), "- {name: k}\n").unwrap();
    assert!(!server.try_start().await);
    let checked = server.run(&["check-config"]).await;
    assert_eq!(checked.status.code(), Some(64));
    let told = String::from_utf8_lossy(&checked.stderr).into_owned();
    assert!(told.starts_with("error: config/keys.yaml: "), "{told}");
}

#[tokio::test]
async fn the_command_makes_lists_and_revokes_keys_that_count_at_once() {
    let keyed = Keyed::start().await;
    let run = async |args: &[&str]| {
        let output = keyed.server.run(args).await;
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (
            output.status.code(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let new = [
        "key",
        "new",
        "shop",
        "--rights",
        "publish,consume",
        "--topics",
        "orders*",
    ];
    let (code, token, told) = run(&new).await;
    assert_eq!(code, Some(0), "{told}");
    let token = token.trim_end();
    keyed.until_loaded(0).await;
    let path = fs::canonicalize(keyed.path()).unwrap();
    let added = format!("added to {}; ", path.display());
    assert!(told.contains(&added) && !told.contains(token), "{told}");
    let file = fs::read_to_string(keyed.path()).unwrap();
    assert!(
        !file.contains(token) && file.contains(r#""hash":"sha256:"#),
        "{file}"
    );
    let url = keyed.server.url("");
    let send = ["send", "orders-eu", "hello", "--key", token, "--url", &url];
    assert_eq!(run(&send).await.0, Some(0));
    let (code, _, told) = run(&new).await;
    assert_eq!(code, Some(64));
    assert!(
        told.contains("\"shop\": another key has this name"),
        "{told}"
    );
    let (_, listed, _) = run(&["key", "list"]).await;
    assert_eq!(listed, "shop\tpublish,consume\torders*\tdoes not expire\n");

    let print = [
        "key", "new", "other", "--rights", "consume", "--topics", "*", "--print",
    ];
    let (_, printed, _) = run(&print).await;
    let (other, line) = printed.split_once('\n').unwrap();
    assert_eq!(
        fs::read_to_string(keyed.path()).unwrap(),
        file,
        "nothing is changed"
    );
    fs::write(keyed.path(), file + line).unwrap();
    keyed.until_loaded(1).await;
    assert_eq!(keyed.get("/api/key", other).await.0, 200);

    assert_eq!(run(&["key", "revoke", "shop"]).await.0, Some(0));
    keyed.until_loaded(2).await;
    assert_eq!(keyed.get("/api/key", token).await.0, 401);
    assert_eq!(run(&["key", "revoke", "shop"]).await.0, Some(64));
    for wrong in [
        ["key", "new", "a b", "--rights", "consume", "--topics", "*"],
        ["key", "new", "a", "--rights", "write", "--topics", "*"],
        ["key", "new", "a", "--rights", "consume", "--topics", ""],
    ] {
        assert_eq!(run(&wrong).await.0, Some(64), "{wrong:?}");
    }
}

#[tokio::test]
async fn a_new_key_is_said_to_be_in_effect_or_not() {
    let keyed = Keyed::start().await;
    let url = keyed.server.url("");
    let new = async |args: &[&str]| {
        let new = ["key", "new", "--rights", "consume", "--topics", "a,b*"];
        let output = keyed.server.run(&[&new, args].concat()).await;
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    };
    let told = new(&["used", "--url", &url]).await;
    let takes = format!("the server at {} takes it\n", keyed.server.address());
    assert!(told.ends_with(&takes), "{told}");
    let listed = keyed.server.run(&["key", "list"]).await.stdout;
    let expected = "used\tconsume\ta,b*\tdoes not expire\n";
    assert_eq!(String::from_utf8(listed).unwrap(), expected);

    let elsewhere = ["--set", "server.keysFile=elsewhere/keys.yaml"];
    let told = new(&[&["lost", "--url", &url], &elsewhere[..]].concat()).await;
    let expected = format!(
        "warning: the server at {} does not take it: ",
        keyed.server.address()
    );
    assert!(told.contains(&expected), "{told}");
    let told = new(&["later", "--url", "127.0.0.1:1"]).await;
    assert!(
        told.contains("no server was asked whether it takes it: cannot connect"),
        "{told}"
    );
    let told = new(&["old", "--url", &url, "--expires", "2020-01-31"]).await;
    assert!(
        told.ends_with("warning: it has expired already, and is good for nothing\n"),
        "{told}"
    );
}

#[tokio::test]
async fn the_file_of_keys_is_beside_the_configuration_whatever_the_folder_is() {
    let server = Setup::new()
        .file("etc/application.yaml", b"mq:\n  sendCount: 7\n")
        .file("etc/other.yaml", b"server:\n  keysFile: named/keys.yaml\n")
        .stopped();
    let new = ["key", "new", "k", "--rights", "consume", "--topics", "*"];
    for (config, args, file) in [
        ("etc/application.yaml", &[][..], "etc/keys.yaml"),
        ("etc/other.yaml", &[], "etc/named/keys.yaml"),
        // What is typed here is of this folder.
        (
            "etc/other.yaml",
            &["--set", "server.keysFile=keys.yaml"],
            "keys.yaml",
        ),
    ] {
        let args = [
            &new[..],
            &["--config", config, "--url", "127.0.0.1:1"],
            args,
        ]
        .concat();
        let output = server.run(&args).await;
        assert!(output.status.success(), "{output:?}");
        let told = String::from_utf8(output.stderr).unwrap();
        let path = fs::canonicalize(server.dir().join(file)).unwrap();
        assert!(
            told.contains(&format!("added to {};", path.display())),
            "{told}"
        );
    }
}
