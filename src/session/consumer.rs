//! A consumer's session: what its outbox has is written to its connection, and reported.

use std::convert::Infallible;
use std::future::poll_fn;

use futures_util::{FutureExt, SinkExt, StreamExt};

use super::closing::{Leaver, close};
use super::connection::Connection;
use super::dialect::Dialect;
use super::ends::SessionEnd;
use super::frame::Frame;
use super::heartbeat::{Burden, Heartbeat, Vigil};
use super::login::{self, log_in};
use super::scope::LoginScope;
use super::services::Services;
use crate::broker::{CloseSignal, Subscription, Ticket};
use crate::limits::fairness::Unauthenticated;

/// Deliveries that are taken from the outbox at once.
const TICKETS_MAX: usize = 16;

/// Logs a consumer in, and serves it until it leaves, the broker ends its session, or the server
/// stops.
///
/// It is subscribed before it is told that it is logged in: what is published from then on
/// reaches it.
pub(super) async fn run<D: Dialect, C: Connection<D>>(
    mut connection: C,
    dialect: D,
    scope: LoginScope,
    unauthenticated: Unauthenticated,
    services: Services,
) {
    let logged_in = log_in(&mut connection, &scope, &unauthenticated, &services).await;
    let (end, leaver) = match logged_in {
        Err(end) => (end, None),
        Ok(grant) => {
            let client = scope.client(&grant, services.broker.clock());
            let mut subscription = services.broker.join(client);
            let end = match grant.ended() {
                Some(end) => end.into(),
                None => match connection.send(Frame::text(login::SUCCEEDED)).await {
                    Ok(()) => {
                        let session = Session::new(&connection, &mut subscription, &services);
                        let Err(end) = session.serve(&mut connection, &dialect).await;
                        end
                    }
                    Err(_) => SessionEnd::ByClient,
                },
            };
            (end, Some(Leaver::consumer(subscription)))
        }
    };
    close(
        &mut connection,
        &dialect,
        end,
        leaver,
        &services.connections,
    )
    .await;
}

/// What a consumer's loop works with, but for its connection.
struct Session<'a> {
    subscription: &'a mut Subscription,
    heartbeat: Heartbeat,
    closed: CloseSignal,
    services: &'a Services,
}

impl<'a> Session<'a> {
    fn new<D: Dialect>(
        connection: &impl Connection<D>,
        subscription: &'a mut Subscription,
        services: &'a Services,
    ) -> Session<'a> {
        let every = services.config.get().server.ping_every;
        let vigil = Vigil::new(connection.line());
        Session {
            heartbeat: Heartbeat::new(every, vigil, connection.liveness(), true),
            closed: subscription.close_signal(),
            subscription,
            services,
        }
    }

    /// Writes what comes until the session ends.
    async fn serve<D: Dialect, C: Connection<D>>(
        mut self,
        connection: &mut C,
        dialect: &D,
    ) -> Result<Infallible, SessionEnd> {
        let mut tickets = Vec::with_capacity(TICKETS_MAX);
        loop {
            tokio::select! {
                // A client that has left must be noticed before anything is written to it.
                biased;
                frame = connection.next() => heed(frame, dialect)?,
                reason = self.closed.closed() => return Err(reason.into()),
                () = self.services.stop.cancelled() => return Err(SessionEnd::stopping()),
                due = self.heartbeat.ping_due() => {
                    due?;
                    self.ping(connection).await?;
                }
                () = self.subscription.recv(&mut tickets, TICKETS_MAX) => {
                    self.deliver(connection, &mut tickets).await?;
                }
            }
        }
    }

    async fn ping<D: Dialect>(
        &mut self,
        connection: &mut impl Connection<D>,
    ) -> Result<(), SessionEnd> {
        let liveness = connection.liveness();
        let burden = |subscription: &Subscription| match burden(subscription) {
            Burden::None if liveness.is_waiting() => Burden::Full,
            burden => burden,
        };
        self.or_end(connection.send(Frame::Ping), burden).await
    }

    /// Writes deliveries, and reports them.
    async fn deliver<D: Dialect>(
        &mut self,
        connection: &mut impl Connection<D>,
        tickets: &mut Vec<Ticket>,
    ) -> Result<(), SessionEnd> {
        while !tickets.is_empty() {
            let some = poll_fn(|cx| connection.poll_deliver(cx, tickets));
            if let Err(end) = self.or_end(some, burden).await {
                // What the client is told at the end comes after a whole frame, or not at all.
                connection.stop_delivering(tickets);
                return Err(end);
            }
        }
        Ok(())
    }

    /// Waits for a write as long as the client is there and what waits for it is no burden. Most
    /// writes only fill a buffer and finish at once. Where one takes longer, the client has read,
    /// which is as good as an answer to a ping.
    async fn or_end(
        &mut self,
        write: impl Future<Output = Result<(), SessionEnd>>,
        burden: impl Fn(&Subscription) -> Burden,
    ) -> Result<(), SessionEnd> {
        let mut write = std::pin::pin!(write);
        if let Some(written) = write.as_mut().now_or_never() {
            return written;
        }
        let patience = self.services.config.get().mq.write_timeout;
        let subscription = &*self.subscription;
        tokio::select! {
            biased;
            written = write => {
                self.heartbeat.note_sign();
                written
            }
            reason = self.closed.closed() => Err(reason.into()),
            () = self.services.stop.cancelled() => Err(SessionEnd::stopping()),
            end = self.heartbeat.vigil().run_out(patience, || burden(subscription)) => Err(end),
        }
    }
}

/// What a frame of the client means for the session.
fn heed<D: Dialect>(
    frame: Option<Result<Frame, SessionEnd>>,
    dialect: &D,
) -> Result<(), SessionEnd> {
    match frame {
        None | Some(Ok(Frame::Close(_))) => Err(SessionEnd::ByClient),
        Some(frame) => dialect.read(frame?).map(drop),
    }
}

/// What waits for a consumer, and whether others wait because of that.
fn burden(subscription: &Subscription) -> Burden {
    if subscription.is_in_the_way() {
        Burden::InTheWay
    } else if subscription.is_full() {
        Burden::Full
    } else {
        Burden::None
    }
}
