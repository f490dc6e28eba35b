//! The login of a session, in frames of fixed words (protocol, "WebSocket").

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::Instant;

use super::connection::Connection;
use super::dialect::Dialect;
use super::ends::SessionEnd;
use super::frame::Frame;
use super::scope::LoginScope;
use super::services::Services;
use crate::access::{Access, Grant, PresentedKey, Refused, RequestSource};
use crate::connection::connection_stats::Transport;
use crate::limits::fairness::Unauthenticated;
use crate::measure::Counter;

const PROMPT: &str = "Please enter the secret key";
const WRONG: &str = "Secret key matching error";
/// What the server says when the key was right.
pub(super) const SUCCEEDED: &str = "Secret key matching succeeded";

/// The wait after the first wrong key, which doubles with each.
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Asks for the key until it is right, and checks that it is good for `scope`. The caller then
/// joins, checks that the grant has not ended meanwhile, and sends [`SUCCEEDED`].
pub(super) async fn log_in<D: Dialect>(
    connection: &mut impl Connection<D>,
    scope: &LoginScope,
    unauthenticated: &Unauthenticated,
    services: &Services,
) -> Result<Arc<Grant>, SessionEnd> {
    let config = services.config.get();
    let server = &config.server;
    let place = scope.place();
    let wrong = services.connections.logins_refused(Transport::WebSocket);
    let asking = ask(
        connection,
        &services.access,
        &place,
        server.login_attempts,
        wrong,
    );
    let grant = tokio::select! {
        result = tokio::time::timeout(server.login_timeout, asking) => {
            result.unwrap_or(Err(SessionEnd::policy("no right key in time")))
        }
        () = services.stop.cancelled() => Err(SessionEnd::stopping()),
    }?;
    scope.admit(&grant).map_err(|denied| {
        services.access.tell_denied(&grant, &place, &denied);
        SessionEnd::policy(denied.to_string())
    })?;
    unauthenticated.authenticated();
    connection.logged_in();
    Ok(grant)
}

/// Asks for the key until it is right, at most `attempts_max` times. Counts those that are wrong.
async fn ask<S>(
    socket: &mut S,
    access: &Access,
    place: &RequestSource,
    attempts_max: u32,
    wrong: &Counter,
) -> Result<Arc<Grant>, SessionEnd>
where
    S: Stream<Item = Result<Frame, SessionEnd>> + Sink<Frame, Error = SessionEnd> + Unpin,
{
    let (mut wait, shown) = (WAIT, PresentedKey::default());
    for _ in 0..attempts_max {
        socket.send(Frame::text(PROMPT)).await?;
        let offered = next_text(socket).await?;
        let answer_at = Instant::now() + wait;
        match access
            .present(without_line_end(&offered), place, &shown)
            .await
        {
            Ok(grant) => return Ok(grant),
            Err(Refused::Expired(denied)) => {
                wrong.add(1);
                return Err(SessionEnd::policy(denied.to_string()));
            }
            Err(Refused::TooMany) => {
                wrong.add(1);
                return Err(SessionEnd::policy("too many wrong keys from your address"));
            }
            Err(Refused::Wrong) => {}
        }
        wrong.add(1);
        tokio::time::sleep_until(answer_at).await;
        wait = WAIT_MAX.min(wait * 2);
        socket.send(Frame::text(WRONG)).await?;
    }
    Err(SessionEnd::policy("too many wrong keys"))
}

/// The key without the end of its line, which tools that send what is typed send as well.
fn without_line_end(offered: &str) -> &str {
    let line = offered.strip_suffix('\n');
    line.map_or(offered, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// The next text or binary frame as text.
async fn next_text<S>(socket: &mut S) -> Result<String, SessionEnd>
where
    S: Stream<Item = Result<Frame, SessionEnd>> + Unpin,
{
    while let Some(frame) = socket.next().await {
        match frame? {
            Frame::Text(text) => return Ok(text.to_string()),
            Frame::Binary(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Frame::Close(_) => return Err(SessionEnd::ByClient),
            Frame::Ping | Frame::Pong => {}
        }
    }
    Err(SessionEnd::ByClient)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::KeysFile;
    use crate::clock::Clock;
    use crate::config::SecretKey;
    use bytes::Bytes;
    use futures_util::stream;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A client that says what it was given to say, and remembers what it was told.
    struct Client {
        says: stream::Iter<std::vec::IntoIter<Frame>>,
        told: Vec<String>,
    }

    impl Stream for Client {
        type Item = Result<Frame, SessionEnd>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.says.poll_next_unpin(cx).map(|next| next.map(Ok))
        }
    }

    impl Sink<Frame> for Client {
        type Error = SessionEnd;

        fn poll_ready(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
            Poll::Ready(Ok(()))
        }

        fn start_send(mut self: Pin<&mut Self>, item: Frame) -> Result<(), SessionEnd> {
            let Frame::Text(text) = item else {
                panic!("the login speaks in text, not {item:?}");
            };
            self.told.push(text.to_string());
            Ok(())
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), SessionEnd>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn login(says: Vec<Frame>) -> (Result<String, SessionEnd>, Vec<String>) {
        let mut client = Client {
            says: stream::iter(says),
            told: vec![],
        };
        let file = KeysFile::at("/nowhere");
        let access = Access::open(SecretKey::new("dpmq"), file, Clock::system()).unwrap();
        let place = RequestSource {
            address: std::net::Ipv4Addr::LOCALHOST.into(),
            method: "GET",
            path: "/",
        };
        let wrong = Counter::default();
        let result = ask(&mut client, &access, &place, 3, &wrong).await;
        let told_wrong = client.told.iter().filter(|text| *text == WRONG).count();
        assert_eq!(wrong.get(), told_wrong as u64);
        (result.map(|grant| grant.name().to_owned()), client.told)
    }

    #[tokio::test]
    async fn the_transcript_of_the_contract() {
        let (result, told) = login(vec![
            Frame::text("qqq"),
            Frame::Binary(Bytes::from_static(b"dpmq")),
        ])
        .await;
        assert_eq!(result, Ok("secretKey".to_owned()));
        assert_eq!(told, [PROMPT, WRONG, PROMPT]);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited_and_take_longer_and_longer() {
        let begin = tokio::time::Instant::now();
        let (result, told) = login(vec![Frame::text("qqq"); 9]).await;
        let wait = begin.elapsed().as_millis();
        assert!((700..800).contains(&wait), "{wait}");
        assert_eq!(result, Err(SessionEnd::policy("too many wrong keys")));
        assert_eq!(told, [PROMPT, WRONG, PROMPT, WRONG, PROMPT, WRONG]);
    }

    #[tokio::test]
    async fn a_client_may_leave() {
        assert_eq!(login(vec![]).await.0, Err(SessionEnd::ByClient));
        assert_eq!(
            login(vec![Frame::Close(None)]).await.0,
            Err(SessionEnd::ByClient)
        );
    }
}
