//! The login of a socket, in text frames of fixed words (protocol, "WebSocket").

use std::sync::Arc;
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream, StreamExt};
use tokio::time::Instant;
use tokio_tungstenite::tungstenite::{self, Message};

use super::End;
use crate::access::{Access, Grant, Place, Refused, Shown};
use crate::measure::Counter;

const PROMPT: &str = "Please enter the secret key";
const WRONG: &str = "Secret key matching error";
/// What the server says when the key was right.
pub(super) const SUCCEEDED: &str = "Secret key matching succeeded";

/// The wait after the first wrong key, which doubles with each.
const WAIT: Duration = Duration::from_millis(100);
const WAIT_MAX: Duration = Duration::from_secs(2);

/// Asks for the key until it is right, at most `attempts_max` times; what it is good for. Counts
/// those that are wrong.
pub(super) async fn ask<S>(
    socket: &mut S,
    access: &Access,
    place: &Place,
    attempts_max: u32,
    wrong: &Counter,
) -> Result<Arc<Grant>, End>
where
    S: Stream<Item = Result<Message, tungstenite::Error>>
        + Sink<Message, Error = tungstenite::Error>
        + Unpin,
{
    let (mut wait, shown) = (WAIT, Shown::default());
    for _ in 0..attempts_max {
        socket.send(Message::text(PROMPT)).await?;
        let offered = next_text(socket).await?;
        let answer_at = Instant::now() + wait;
        match access
            .present(without_line_end(&offered), place, &shown)
            .await
        {
            Ok(grant) => return Ok(grant),
            Err(Refused::Expired(denied)) => {
                wrong.add(1);
                return Err(End::Policy(denied.to_string().into()));
            }
            Err(Refused::TooMany) => {
                wrong.add(1);
                return Err(End::Policy("too many wrong keys from your address".into()));
            }
            Err(Refused::Wrong) => {}
        }
        wrong.add(1);
        tokio::time::sleep_until(answer_at).await;
        wait = WAIT_MAX.min(wait * 2);
        socket.send(Message::text(WRONG)).await?;
    }
    Err(End::Policy("too many wrong keys".into()))
}

/// Tools that send what is typed send the end of its line as well.
fn without_line_end(offered: &str) -> &str {
    let line = offered.strip_suffix('\n');
    line.map_or(offered, |line| line.strip_suffix('\r').unwrap_or(line))
}

/// The next text or binary frame as text.
async fn next_text<S>(socket: &mut S) -> Result<String, End>
where
    S: Stream<Item = Result<Message, tungstenite::Error>> + Unpin,
{
    while let Some(frame) = socket.next().await {
        match frame? {
            Message::Text(text) => return Ok(text.as_str().to_owned()),
            Message::Binary(bytes) => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            Message::Close(_) => return Err(End::Gone),
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    Err(End::Gone)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::access::KeysFile;
    use crate::clock::Clock;
    use crate::config::SecretKey;
    use futures_util::stream;
    use std::pin::Pin;
    use std::task::{Context, Poll};

    /// A client that says what it was given to say, and remembers what it was told.
    struct Client {
        says: stream::Iter<std::vec::IntoIter<Message>>,
        told: Vec<String>,
    }

    impl Stream for Client {
        type Item = Result<Message, tungstenite::Error>;

        fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
            self.says.poll_next_unpin(cx).map(|next| next.map(Ok))
        }
    }

    impl Sink<Message> for Client {
        type Error = tungstenite::Error;

        fn poll_ready(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<(), tungstenite::Error>> {
            Poll::Ready(Ok(()))
        }

        fn start_send(mut self: Pin<&mut Self>, item: Message) -> Result<(), tungstenite::Error> {
            self.told.push(item.into_text()?.to_string());
            Ok(())
        }

        fn poll_flush(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<(), tungstenite::Error>> {
            Poll::Ready(Ok(()))
        }

        fn poll_close(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Result<(), tungstenite::Error>> {
            Poll::Ready(Ok(()))
        }
    }

    async fn login(says: Vec<Message>) -> (Result<String, End>, Vec<String>) {
        let mut client = Client {
            says: stream::iter(says),
            told: vec![],
        };
        let file = KeysFile::at("/nowhere");
        let access = Access::open(SecretKey::new("dpmq"), file, Clock::system()).unwrap();
        let place = Place {
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
        let (result, told) = login(vec![Message::text("qqq"), Message::binary(&b"dpmq"[..])]).await;
        assert_eq!(result, Ok("secretKey".to_owned()));
        assert_eq!(told, [PROMPT, WRONG, PROMPT]);
    }

    #[tokio::test(start_paused = true)]
    async fn attempts_are_limited_and_take_longer_and_longer() {
        let begin = tokio::time::Instant::now();
        let (result, told) = login(vec![Message::text("qqq"); 9]).await;
        let wait = begin.elapsed().as_millis();
        assert!((700..800).contains(&wait), "{wait}");
        assert_eq!(result, Err(End::Policy("too many wrong keys".into())));
        assert_eq!(told, [PROMPT, WRONG, PROMPT, WRONG, PROMPT, WRONG]);
    }

    #[tokio::test]
    async fn a_client_may_leave() {
        assert_eq!(login(vec![]).await.0, Err(End::Gone));
        assert_eq!(login(vec![Message::Close(None)]).await.0, Err(End::Gone));
    }
}
