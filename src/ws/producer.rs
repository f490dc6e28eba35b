//! A producer's session: every frame is a message; with acks, each is answered in order.
//!
//! Frames that have arrived are published together, and while they wait for the disk the next
//! are read: a producer with many messages in flight pays for few syncs.

use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;
use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use super::health::{Burden, Health, Vigil};
use super::upgrade::WebSocket;
use super::{CLOSE_WAIT, Door, End, Leaver, WsState, ask_for_key, close, count, login, tell};
use crate::access::Grant;
use crate::broker::{CloseSignal, ProducerSession, PublishError, Receipt, RefusedFor};
use crate::connection::line::Line;
use crate::message::{DataTooLarge, Draft, Topic};

/// Batches of one producer that wait for the disk; further frames are not read meanwhile.
const RECEIPTS_MAX: usize = 64;
/// Data that is published together, unless it is one message.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// How a client is waited for that takes nothing of what it is told.
struct Patience {
    time: Duration,
    vigil: Vigil,
}

/// What a producer is told, in this order.
enum Told {
    /// What became of messages.
    Receipt(Receipt),
    Ping,
}

/// Logs a producer in, and serves it until it leaves, the broker ends it, or the server stops.
///
/// It is on the list of clients before it is told that it is logged in.
pub(super) async fn login_and_run(
    mut socket: WebSocket,
    line: &Line,
    door: &Door<'_>,
    join: impl FnOnce(&Grant) -> ProducerSession,
    acks: bool,
    state: &WsState,
) {
    let grant = match ask_for_key(&mut socket, door, state).await {
        Ok(grant) => grant,
        Err(end) => return close(&mut socket, line, end, None, &state.connections).await,
    };
    let session = join(&grant);
    if let Some(end) = grant.ended() {
        let leaver = Leaver::producer(session.client().clone());
        return close(
            &mut socket,
            line,
            end.into(),
            Some(leaver),
            &state.connections,
        )
        .await;
    }
    drop(grant);
    if socket.send(Message::text(login::SUCCEEDED)).await.is_ok() {
        serve(socket, line, session, acks, state).await;
    }
}

/// Serves a producer until its session ends; what was published by then is answered.
async fn serve(
    socket: WebSocket,
    line: &Line,
    session: ProducerSession,
    acks: bool,
    state: &WsState,
) {
    let (every, heard) = (
        state.config.get().server.ping_every,
        socket.get_ref().heard(),
    );
    // Without acks there is nothing to read, and who reads nothing answers no ping.
    let mut health = Health::new(every, Vigil::new(line), heard, acks);
    let (sink, mut stream) = socket.split();
    let (receipts, waiting) = mpsc::channel(RECEIPTS_MAX);
    let topic = session.topic().clone();
    let leaver = Leaver::producer(session.client().clone());
    let mut closed = session.close_signal();
    let patience = acks.then(|| Patience {
        time: state.config.get().mq.write_timeout,
        vigil: Vigil::new(line),
    });
    let mut answers = tokio::spawn(answer(sink, waiting, session, patience));
    let (end, answered) = tokio::select! {
        end = publish(&mut stream, topic, receipts, &mut health, state) => (end, None),
        // It ends first only when the socket is dead or the store has failed.
        answered = &mut answers => (End::Gone, Some(answered)),
        reason = closed.closed() => (reason.into(), None),
    };
    let answered = match answered {
        Some(answered) => Some(answered),
        None => tokio::select! {
            answered = &mut answers => Some(answered),
            // Answers that it does not read are no reason to keep it.
            () = too_late(&mut closed) => None,
        },
    };
    let Some(answered) = answered else {
        answers.abort();
        count(&end, Some(&leaver), &state.connections);
        return tell(end, false, Some(leaver));
    };
    if let Ok((sink, failed)) = answered
        && let Ok(mut socket) = stream.reunite(sink)
    {
        let end = failed.unwrap_or(end);
        close(&mut socket, line, end, Some(leaver), &state.connections).await;
    }
}

/// Waits until the broker has wanted the session to end for long enough.
async fn too_late(closed: &mut CloseSignal) {
    closed.closed().await;
    tokio::time::sleep(CLOSE_WAIT).await;
}

/// Reads frames and publishes them, until the session ends.
async fn publish(
    stream: &mut SplitStream<WebSocket>,
    topic: Topic,
    receipts: mpsc::Sender<Told>,
    health: &mut Health,
    state: &WsState,
) -> End {
    let messages_max = state.broker.publish_messages_max();
    let bytes_max = state.config.get().server.max_message_bytes;
    loop {
        let first = tokio::select! {
            biased;
            () = state.stop.cancelled() => return End::Stopping,
            first = stream.next() => first,
            due = health.ping_due() => match due {
                Ok(()) => {
                    // Who has so much to be told needs no ping to be heard.
                    let _ = receipts.try_send(Told::Ping);
                    continue;
                }
                Err(end) => return end,
            },
        };
        let (mut drafts, mut bytes) = (vec![], 0);
        let mut next = Some(first);
        let mut end = None;
        while let Some(frame) = next.take() {
            match frame {
                Some(Ok(frame)) => {
                    if let Message::Pong(_) = frame {
                        health.answered();
                    }
                    if let Some(data) = data_of(frame) {
                        // Bytes that are not UTF-8 become three each.
                        bytes += data.len();
                        match Draft::within(bytes_max, topic.clone(), data) {
                            Ok(draft) => drafts.push(draft),
                            Err(error) => end = Some(too_big(error)),
                        }
                    }
                }
                Some(Err(error)) => end = Some(End::from(error)),
                None => end = Some(End::Gone),
            }
            if end.is_none() && drafts.len() < messages_max && bytes < BATCH_BYTES_MAX {
                next = stream.next().now_or_never();
            }
        }
        if !drafts.is_empty() {
            // First the place for the receipt: what is published is answered, whenever this ends.
            let Ok(place) = receipts.reserve().await else {
                return End::Gone;
            };
            match state.broker.publish(drafts).await {
                Ok(receipt) => place.send(Told::Receipt(receipt)),
                Err(PublishError::Stopping) => return End::Stopping,
                Err(error) => return End::Failed(error.to_string()),
            }
        }
        if let Some(end) = end {
            if let End::TooBig(_) = end {
                state.broker.count_refused(RefusedFor::TooLarge, 1);
            }
            return end;
        }
    }
}

/// The data of a frame that is a message: an empty one is none.
fn data_of(frame: Message) -> Option<ByteString> {
    let data = match frame {
        Message::Text(text) => Bytes::from(text),
        Message::Binary(bytes) => bytes,
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) | Message::Frame(_) => return None,
    };
    if data.is_empty() {
        return None;
    }
    Some(match ByteString::try_from(data.clone()) {
        Ok(data) => data,
        Err(_) => String::from_utf8_lossy(&data).into_owned().into(),
    })
}

fn too_big(DataTooLarge { bytes, bytes_max }: DataTooLarge) -> End {
    End::TooBig(format!(
        "a message of {bytes} bytes as UTF-8 is too long: {bytes} > {bytes_max}"
    ))
}

/// Waits for the receipts in order, and tells the producer if it wants to know: who does reads
/// what it is told, and is waited for with `patience`. Without, a message that
/// could not be stored ends the session, which is the only way to say so.
async fn answer(
    mut sink: SplitSink<WebSocket, Message>,
    receipts: mpsc::Receiver<Told>,
    session: ProducerSession,
    mut patience: Option<Patience>,
) -> (SplitSink<WebSocket, Message>, Option<End>) {
    let end = answer_until(&mut sink, receipts, &session, &mut patience).await;
    (sink, end.err())
}

async fn answer_until(
    sink: &mut SplitSink<WebSocket, Message>,
    mut receipts: mpsc::Receiver<Told>,
    session: &ProducerSession,
    patience: &mut Option<Patience>,
) -> Result<(), End> {
    while let Some(told) = ready_or_flushed(sink, receipts.recv(), patience).await? {
        let receipt = match told {
            Told::Receipt(receipt) => receipt,
            Told::Ping => {
                written(sink.feed(Message::Ping(Bytes::new())), patience).await?;
                continue;
            }
        };
        let messages = receipt.messages();
        let stored = ready_or_flushed(sink, receipt.codes(), patience).await?;
        if stored.is_ok() {
            session.published(messages);
        }
        let frames: Vec<_> = match stored {
            Ok(_) if patience.is_none() => continue,
            Ok(codes) => codes.iter().map(|code| ack(&code.to_hex())).collect(),
            Err(error) if patience.is_none() => return Err(End::Failed(error.to_string())),
            Err(error) => vec![nack(&error); messages],
        };
        for frame in frames {
            written(sink.feed(Message::Text(frame)), patience).await?;
        }
    }
    // The last answers may still be in the buffer, and an end may have nothing to say.
    written(sink.flush(), patience).await
}

/// What `next` comes to. If that has to be waited for, what was fed to `sink` leaves first: an
/// answer never waits for the message behind it, and answers that are there leave together.
async fn ready_or_flushed<T, I, S: Sink<I> + Unpin>(
    sink: &mut S,
    next: impl Future<Output = T>,
    patience: &mut Option<Patience>,
) -> Result<T, End> {
    let mut next = std::pin::pin!(next);
    if let Some(ready) = next.as_mut().now_or_never() {
        return Ok(ready);
    }
    written(sink.flush(), patience).await?;
    Ok(next.await)
}

/// Waits with `patience` for the client to take what is written. Without, it need not read
/// at all, and what it does not take now leaves with what follows, or never.
async fn written<E>(
    write: impl Future<Output = Result<(), E>>,
    patience: &mut Option<Patience>,
) -> Result<(), End> {
    let mut write = std::pin::pin!(write);
    let written = match (write.as_mut().now_or_never(), patience) {
        (Some(written), _) => written,
        (None, None) => return Ok(()),
        (None, Some(Patience { time, vigil })) => tokio::select! {
            written = write => written,
            // The answers that it may have are those that do not leave.
            end = vigil.run_out(*time, || Burden::Full) => return Err(end),
        },
    };
    written.map_err(|_| End::Gone)
}

/// The frame of a message that is synced.
fn ack(code: &[u8; 40]) -> Utf8Bytes {
    let code = std::str::from_utf8(code).expect("hex digits are ASCII");
    let mut frame = String::with_capacity(64);
    frame.push_str(r#"{"code":0,"msg":""#);
    frame.push_str(code);
    frame.push_str(r#""}"#);
    frame.into()
}

/// The frame of a message that is not stored.
fn nack(error: &PublishError) -> Utf8Bytes {
    let reason = serde_json::Value::from(error.to_string());
    format!(r#"{{"code":-1,"msg":{reason}}}"#).into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::convert::Infallible;
    use std::sync::Mutex;

    use futures_util::sink;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn an_answer_leaves_before_the_next_one_is_waited_for() {
        let written = Mutex::new(vec![]);
        let socket = Box::pin(sink::unfold((), async |(), answer| {
            written.lock().unwrap().push(answer);
            Ok::<_, Infallible>(())
        }));
        let mut sink = socket.buffer(8);
        sink.feed("first").await.unwrap();
        let mut patience = None;
        let ready = ready_or_flushed(&mut sink, std::future::ready("second"), &mut patience);
        assert_eq!(ready.await, Ok("second"));
        assert!(written.lock().unwrap().is_empty());
        let (done, next) = oneshot::channel();
        {
            let mut waiting = Box::pin(ready_or_flushed(&mut sink, next, &mut patience));
            assert!(waiting.as_mut().now_or_never().is_none());
            assert_eq!(*written.lock().unwrap(), ["first"]);
            done.send("third").unwrap();
            assert_eq!(waiting.await.unwrap().unwrap(), "third");
        }
    }

    #[test]
    fn every_frame_with_data_is_a_message() {
        let text = |frame| data_of(frame).map(|data| data.to_string());
        assert_eq!(text(Message::text("a")), Some("a".into()));
        assert_eq!(
            text(Message::binary(&b"a\xff"[..])),
            Some("a\u{fffd}".into())
        );
        assert_eq!(text(Message::text("")), None);
        assert_eq!(text(Message::Ping(Bytes::from_static(b"x"))), None);
    }

    #[test]
    fn answers_are_json() {
        assert_eq!(
            ack(b"d9a624ffa17a6c51fcb2381686dd335161b7252d").as_str(),
            r#"{"code":0,"msg":"d9a624ffa17a6c51fcb2381686dd335161b7252d"}"#
        );
        assert_eq!(
            nack(&PublishError::QueueFull).as_str(),
            r#"{"code":-1,"msg":"the queue is full, try again later"}"#
        );
    }
}
