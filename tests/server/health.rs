//! `/health/live` and `/health/ready`, from the first moment of a server to its last.

use std::sync::mpsc;
use std::time::Duration;

use dpmq::config::{Config, Sources};
use dpmq::server;
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::common::{KEY, PATIENCE, TestServer};

fn client() -> Client {
    let client = Client::builder().no_proxy().timeout(PATIENCE);
    client.build().unwrap()
}

async fn get(client: &Client, url: &str) -> (u16, Value) {
    let reply = client.get(url).send().await.unwrap();
    let status = reply.status().as_u16();
    assert_eq!(reply.headers()["Cache-Control"], "no-store");
    (status, reply.json().await.unwrap())
}

fn unready(reason: &str) -> (u16, Value) {
    (503, json!({ "ready": false, "reason": reason }))
}

fn live() -> (u16, Value) {
    (200, json!({ "live": true }))
}

fn ready() -> (u16, Value) {
    (200, json!({ "ready": true }))
}

/// The start takes as long as the test wants: the store is opened on a thread for what blocks,
/// and the only one is taken.
#[test]
fn a_server_that_starts_says_so_and_everybody_else_waits() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .max_blocking_threads(1)
        .enable_all()
        .build()
        .unwrap();
    let (release, released) = mpsc::channel::<()>();
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("data").display().to_string();
    let config = Config::load(&Sources {
        overrides: vec![("mq.persistentFile".into(), file)],
        ..Sources::default()
    });
    runtime.block_on(async move {
        drop(tokio::task::spawn_blocking(move || released.recv()));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (stop, stopped) = oneshot::channel::<()>();
        let shutdown = async {
            let _ = stopped.await;
        };
        let run = tokio::spawn(server::run(listener, config.unwrap(), shutdown));
        let (live_url, ready_url) = (format!("{url}/health/live"), format!("{url}/health/ready"));
        let client = client();
        assert_eq!(get(&client, &ready_url).await, unready("starting"));
        assert_eq!(get(&client, &live_url).await, live());

        let ping = client.post(format!("{url}/Console/Ping"));
        let ping = tokio::spawn(ping.header("secretKey", KEY).send());
        for _ in 0..20 {
            assert_eq!(get(&client, &ready_url).await, unready("starting"));
        }
        assert!(!ping.is_finished());
        release.send(()).unwrap();
        let reply = ping.await.unwrap().unwrap();
        assert_eq!(reply.status(), 200);
        assert_eq!(reply.text().await.unwrap(), r#"{"code":0}"#);
        assert_eq!(get(&client, &ready_url).await, ready());
        assert_eq!(get(&client, &live_url).await, live());
        stop.send(()).unwrap();
        run.await.unwrap().unwrap();
    });
}

#[tokio::test]
async fn a_server_that_stops_says_so_until_its_sessions_have_ended() {
    let mut server = TestServer::start().await;
    let ready_url = server.url("/health/ready");
    assert_eq!(get(&client(), &ready_url).await, ready());
    // A session that does not answer the close holds up the end for a moment.
    let mut silent = server.consumer("t", "silent").await;
    server.terminate();
    // Each asks over a connection of its own.
    while get(&client(), &ready_url).await == ready() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(get(&client(), &ready_url).await, unready("stopping"));
    assert_eq!(get(&client(), &server.url("/health/live")).await, live());
    let reply = server.http("/Console/Ping", &[]).await;
    assert_eq!(
        reply,
        json!({ "code": -1, "msg": "the server is stopping" })
    );
    let paths = ["/", "/metrics", "/api/overview", "/Consumers/Conn/t/c"];
    let replies = paths.map(|path| {
        let request = server.request(Method::GET, path).header("secretKey", KEY);
        request.send()
    });
    for reply in futures_util::future::join_all(replies).await {
        let reply = reply.unwrap();
        assert_eq!(reply.status(), 503, "{}", reply.url());
        assert_eq!(reply.headers()["Connection"], "close");
    }
    assert_eq!(u16::from(silent.closed().await.code), 1001);
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn the_health_takes_no_key_and_tells_nothing_else() {
    let server = TestServer::start().await;
    for (path, text) in [
        ("/health/live", r#"{"live":true}"#),
        ("/health/ready", r#"{"ready":true}"#),
    ] {
        let reply = server.request(Method::GET, path).send().await.unwrap();
        assert_eq!(reply.text().await.unwrap(), text);
        let head = server.request(Method::HEAD, path).send().await.unwrap();
        assert_eq!(head.status(), 200);
        let post = server.post(path).send().await.unwrap();
        assert_eq!(post.status(), 405);
        let options = server.request(Method::OPTIONS, path).send().await.unwrap();
        assert_eq!(options.status(), 204);
    }
    let reply = server.request(Method::GET, "/health").send().await.unwrap();
    assert_eq!(reply.status(), 404);
}
