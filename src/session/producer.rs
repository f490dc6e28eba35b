//! A producer's session: what its frames publish goes to the broker, and where its dialect has
//! replies, each message is answered in order.
//!
//! Frames that have arrived are published together, and while they wait for the disk the next
//! are read: a producer with many messages in flight pays for few syncs.

use std::time::Duration;

use futures_util::stream::{SplitSink, SplitStream};
use futures_util::{FutureExt, Sink, SinkExt, StreamExt};
use tokio::sync::mpsc;

use super::closing::{CLOSE_WAIT, Leaver, close, drop_untold};
use super::connection::Connection;
use super::dialect::{Dialect, Published};
use super::ends::{Cause, SessionEnd};
use super::frame::Frame;
use super::heartbeat::{Burden, Heartbeat, Vigil};
use super::login::{self, log_in};
use super::scope::LoginScope;
use super::services::Services;
use crate::broker::{Broker, CloseSignal, ProducerSession, PublishError, Receipt, RefusedFor};
use crate::limits::fairness::Unauthenticated;
use crate::message::{DataTooLarge, Draft, Topic};

/// Batches of one producer that wait for the disk; further frames are not read meanwhile.
const RECEIPTS_MAX: usize = 64;
/// Data that is published together, unless it is one message.
const BATCH_BYTES_MAX: usize = 1 << 20;

/// How long to wait for a client that takes nothing of what it is told.
struct Patience {
    time: Duration,
    vigil: Vigil,
}

/// What a producer is told, in this order.
enum Reply<T> {
    /// What became of messages, and what the reply to each repeats.
    Receipt(Receipt, Vec<T>),
    Ping,
}

/// Frames that are published together.
struct Batch<T> {
    drafts: Vec<Draft>,
    tags: Vec<T>,
    /// Data of the drafts.
    bytes: usize,
    /// Why no frame comes after them.
    end: Option<SessionEnd>,
}

/// How much a producer may publish.
struct BatchLimits {
    /// Messages at once.
    messages: usize,
    /// Data of one message.
    data_bytes: usize,
}

/// Logs a producer in, and serves it until it leaves, the broker ends its session, or the server
/// stops.
///
/// It is on the list of clients before it is told that it is logged in.
pub(super) async fn run<D: Dialect, C: Connection<D>>(
    mut connection: C,
    dialect: D,
    scope: LoginScope,
    unauthenticated: Unauthenticated,
    services: Services,
) {
    let connections = &services.connections;
    let grant = match log_in(&mut connection, &scope, &unauthenticated, &services).await {
        Ok(grant) => grant,
        Err(end) => return close(&mut connection, &dialect, end, None, connections).await,
    };
    let client = scope.client(&grant, services.broker.clock());
    let session = services.broker.join_producer(client);
    if let Some(end) = grant.ended() {
        let leaver = Leaver::producer(session.client().clone());
        return close(
            &mut connection,
            &dialect,
            end.into(),
            Some(leaver),
            connections,
        )
        .await;
    }
    drop(grant);
    let succeeded = Frame::text(login::SUCCEEDED);
    if connection.send(succeeded).await.is_ok() {
        serve(connection, dialect, session, &services).await;
    }
}

/// Serves a producer until its session ends; what was published by then is answered.
async fn serve<D: Dialect, C: Connection<D>>(
    connection: C,
    dialect: D,
    session: ProducerSession,
    services: &Services,
) {
    let (mut heartbeat, patience) = watch(&connection, dialect.has_replies(), services);
    let (sink, mut stream) = connection.split();
    let (replies, waiting) = mpsc::channel(RECEIPTS_MAX);
    let topic = session.topic().clone();
    let leaver = Leaver::producer(session.client().clone());
    let mut closed = session.close_signal();
    let mut answers = tokio::spawn(answer(sink, dialect.clone(), waiting, session, patience));
    let publishing = publish(
        &mut stream,
        &dialect,
        topic,
        replies,
        &mut heartbeat,
        services,
    );
    let (end, answered) = tokio::select! {
        end = publishing => (end, None),
        // It ends first only when the client is gone or the store has failed.
        answered = &mut answers => (SessionEnd::ByClient, Some(answered)),
        reason = closed.closed() => (reason.into(), None),
    };
    let answered = match answered {
        Some(answered) => Some(answered),
        None => tokio::select! {
            answered = &mut answers => Some(answered),
            // Replies that it does not read are no reason to keep it.
            () = too_late(&mut closed) => None,
        },
    };
    let Some(answered) = answered else {
        answers.abort();
        return drop_untold(&dialect, end, leaver, &services.connections);
    };
    if let Ok((sink, failed)) = answered
        && let Ok(mut connection) = stream.reunite(sink)
    {
        let end = failed.unwrap_or(end);
        close(
            &mut connection,
            &dialect,
            end,
            Some(leaver),
            &services.connections,
        )
        .await;
    }
}

/// When the client is pinged, and how long to wait for it to read its replies. Without replies it
/// has nothing to read, and then it answers no ping.
fn watch<D: Dialect>(
    connection: &impl Connection<D>,
    has_replies: bool,
    services: &Services,
) -> (Heartbeat, Option<Patience>) {
    let config = services.config.get();
    let vigil = || Vigil::new(connection.line());
    let (every, liveness) = (config.server.ping_every, connection.liveness());
    let heartbeat = Heartbeat::new(every, vigil(), liveness, has_replies);
    let patience = has_replies.then(|| Patience {
        time: config.mq.write_timeout,
        vigil: vigil(),
    });
    (heartbeat, patience)
}

/// Waits until the broker has asked the session to end for long enough.
async fn too_late(closed: &mut CloseSignal) {
    closed.closed().await;
    tokio::time::sleep(CLOSE_WAIT).await;
}

/// Reads frames and publishes them, until the session ends.
async fn publish<D: Dialect, C: Connection<D>>(
    stream: &mut SplitStream<C>,
    dialect: &D,
    topic: Topic,
    replies: mpsc::Sender<Reply<D::Tag>>,
    heartbeat: &mut Heartbeat,
    services: &Services,
) -> SessionEnd {
    let limits = BatchLimits {
        messages: services.broker.publish_messages_max(),
        data_bytes: services.config.get().server.max_message_bytes,
    };
    loop {
        let first = tokio::select! {
            biased;
            () = services.stop.cancelled() => return SessionEnd::stopping(),
            first = stream.next() => first,
            due = heartbeat.ping_due() => match due {
                Ok(()) => {
                    // While this queue is full, replies are on their way, and a ping would tell
                    // nothing new.
                    let _ = replies.try_send(Reply::Ping);
                    continue;
                }
                Err(end) => return end,
            },
        };
        let Batch {
            drafts, tags, end, ..
        } = gather(first, stream, dialect, &topic, &limits, heartbeat);
        if !drafts.is_empty()
            && let Err(end) = hand_over(drafts, tags, &replies, &services.broker).await
        {
            return end;
        }
        if let Some(end) = end {
            if end.cause() == Some(Cause::TooLarge) {
                services.broker.count_refused(RefusedFor::TooLarge, 1);
            }
            return end;
        }
    }
}

/// Takes a frame, and those after it that have arrived, until they are enough.
fn gather<D: Dialect, C: Connection<D>>(
    first: Option<Result<Frame, SessionEnd>>,
    stream: &mut SplitStream<C>,
    dialect: &D,
    topic: &Topic,
    limits: &BatchLimits,
    heartbeat: &mut Heartbeat,
) -> Batch<D::Tag> {
    let mut batch = Batch {
        drafts: vec![],
        tags: vec![],
        bytes: 0,
        end: None,
    };
    let mut next = Some(first);
    while let Some(frame) = next.take() {
        if let Some(Ok(Frame::Pong)) = frame {
            heartbeat.answered();
        }
        batch.end = batch.add(frame, dialect, topic, limits).err();
        if batch.end.is_none()
            && batch.drafts.len() < limits.messages
            && batch.bytes < BATCH_BYTES_MAX
        {
            next = stream.next().now_or_never();
        }
    }
    batch
}

impl<T> Batch<T> {
    /// Adds what a frame publishes.
    fn add(
        &mut self,
        frame: Option<Result<Frame, SessionEnd>>,
        dialect: &impl Dialect<Tag = T>,
        topic: &Topic,
        limits: &BatchLimits,
    ) -> Result<(), SessionEnd> {
        let published = match frame {
            None => return Err(SessionEnd::ByClient),
            // The stream ends after it.
            Some(Ok(Frame::Close(_))) => None,
            Some(frame) => dialect.read(frame?)?,
        };
        if let Some(Published { data, tag }) = published {
            self.bytes += data.len();
            let draft = Draft::within(limits.data_bytes, topic.clone(), data);
            self.drafts.push(draft.map_err(too_large)?);
            self.tags.push(tag);
        }
        Ok(())
    }
}

/// The data may be larger than its frame: bytes that are not UTF-8 become three each.
fn too_large(DataTooLarge { bytes, bytes_max }: DataTooLarge) -> SessionEnd {
    SessionEnd::by_server(
        Cause::TooLarge,
        format!("a message of {bytes} bytes as UTF-8 is too long: {bytes} > {bytes_max}"),
    )
}

/// Publishes drafts, and puts their receipt where the replies come from.
async fn hand_over<T>(
    drafts: Vec<Draft>,
    tags: Vec<T>,
    replies: &mpsc::Sender<Reply<T>>,
    broker: &Broker,
) -> Result<(), SessionEnd> {
    // First the place for the receipt: what is published is answered, whenever this ends.
    let Ok(place) = replies.reserve().await else {
        return Err(SessionEnd::ByClient);
    };
    match broker.publish(drafts).await {
        Ok(receipt) => place.send(Reply::Receipt(receipt, tags)),
        Err(PublishError::Stopping) => return Err(SessionEnd::stopping()),
        Err(error) => return Err(SessionEnd::failed(&error)),
    }
    Ok(())
}

/// Waits for the receipts in order, and tells the producer what became of its messages, if the
/// dialect has replies: then `patience` says how long to wait for it to read them. Without
/// replies, a message that could not be stored ends the session, which is the only way to say so.
async fn answer<D: Dialect, C: Connection<D>>(
    mut sink: SplitSink<C, Frame>,
    dialect: D,
    replies: mpsc::Receiver<Reply<D::Tag>>,
    session: ProducerSession,
    mut patience: Option<Patience>,
) -> (SplitSink<C, Frame>, Option<SessionEnd>) {
    let end = answer_until(&mut sink, &dialect, replies, &session, &mut patience).await;
    (sink, end.err())
}

async fn answer_until<D: Dialect, C: Connection<D>>(
    sink: &mut SplitSink<C, Frame>,
    dialect: &D,
    mut replies: mpsc::Receiver<Reply<D::Tag>>,
    session: &ProducerSession,
    patience: &mut Option<Patience>,
) -> Result<(), SessionEnd> {
    while let Some(reply) = ready_or_flushed(sink, replies.recv(), patience).await? {
        let (receipt, tags) = match reply {
            Reply::Receipt(receipt, tags) => (receipt, tags),
            Reply::Ping => {
                written(sink.feed(Frame::Ping), patience).await?;
                continue;
            }
        };
        let messages = receipt.messages();
        let stored = ready_or_flushed(sink, receipt.codes(), patience).await?;
        if stored.is_ok() {
            session.published(messages);
        }
        match stored {
            Ok(codes) if patience.is_some() => {
                for (tag, code) in tags.into_iter().zip(codes) {
                    written(sink.feed(dialect.reply(tag, Ok(code))), patience).await?;
                }
            }
            Ok(_) => {}
            Err(error) if patience.is_some() => {
                for tag in tags {
                    written(sink.feed(dialect.reply(tag, Err(&error))), patience).await?;
                }
            }
            Err(error) => return Err(SessionEnd::failed(&error)),
        }
    }
    // The last replies may still be in the buffer, and an end may have nothing to say.
    written(sink.flush(), patience).await
}

/// What `next` comes to. If that has to be waited for, what was fed to `sink` leaves first: a
/// reply never waits for the message after it, and replies that are there leave together.
async fn ready_or_flushed<T, I, S: Sink<I> + Unpin>(
    sink: &mut S,
    next: impl Future<Output = T>,
    patience: &mut Option<Patience>,
) -> Result<T, SessionEnd> {
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
) -> Result<(), SessionEnd> {
    let mut write = std::pin::pin!(write);
    let written = match (write.as_mut().now_or_never(), patience) {
        (Some(written), _) => written,
        (None, None) => return Ok(()),
        (None, Some(Patience { time, vigil })) => tokio::select! {
            written = write => written,
            // What waits for it is full: the replies that do not leave.
            end = vigil.run_out(*time, || Burden::Full) => return Err(end),
        },
    };
    written.map_err(|_| SessionEnd::ByClient)
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
}
