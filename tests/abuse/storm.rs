//! Very many consumers that lose their connections at once, and all come back at once.
//!
//! `DPMQ_FULL=1 cargo test --release --test abuse storm:: -- --nocapture` has ten thousand.

use std::time::{Duration, Instant};

use futures_util::{StreamExt, future, stream};

use crate::common::{Setup, Socket, TestServer};

const BACK_WITHIN: Duration = Duration::from_secs(30);
/// Connections that are made at once the first time.
const AT_ONCE: usize = 100;

#[tokio::test(flavor = "multi_thread")]
async fn consumers_that_are_cut_at_once_are_all_back_soon() {
    let count = match std::env::var_os("DPMQ_FULL") {
        Some(_) => 10_000,
        None => 300,
    };
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    // They find the server at the same place again.
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let setup = Setup::new().environment("DPMQ_SERVER_PORT", port.to_string());
    let mut server = setup.start().await;
    let join = async |n: usize| {
        let mut consumer = server.consumer("t", &n.to_string()).await;
        consumer.expect_nothing_but_pong().await;
        consumer
    };
    let joined = stream::iter(0..count).map(join).buffer_unordered(AT_ONCE);
    let mut cut: Vec<Socket> = joined.collect().await;
    server.kill().await;
    let gone = cut
        .iter_mut()
        .map(async |consumer| while let Some(Ok(_)) = consumer.frame().await {});
    future::join_all(gone).await;
    drop(cut);
    server.start_again().await;

    let begin = Instant::now();
    let back = (0..count).map(|n| join_again(&server, n));
    let mut back = future::join_all(back).await;
    let took = begin.elapsed();
    println!("{count} consumers were back within {took:.1?}");
    assert!(took < BACK_WITHIN, "{took:?}");
    let code = server.publish("t", "welcome back").await;
    let heard = back.iter_mut().map(async |consumer| {
        assert_eq!(consumer.message().await.code, code);
    });
    future::join_all(heard).await;
}

/// As a client does that wants to be back: again and again.
async fn join_again(server: &TestServer, n: usize) -> Socket {
    let path = format!("/Consumers/Conn/t/{n}");
    loop {
        if let Ok(mut socket) = server.try_open(&path, &[]).await {
            socket.login(crate::common::KEY).await;
            return socket;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
