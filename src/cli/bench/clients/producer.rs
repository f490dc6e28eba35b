//! A producer over WebSocket: many messages in flight, many in each write.

use std::sync::Arc;

use anyhow::Context;
use bytes::Bytes;
use tokio::sync::Notify;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};
use tokio_util::sync::CancellationToken;

use crate::cli::bench::clients::link::Link;
use crate::cli::bench::clients::outbound::Outbound;
use crate::cli::bench::schedule::{Clock, Plan, Step};

/// Messages that are queued before a write.
const WRITE_BYTES_MAX: usize = 64 << 10;

/// A producer that is logged in.
pub(in crate::cli::bench) struct Producer {
    pub(in crate::cli::bench) link: Link,
    pub(in crate::cli::bench) plan: Plan,
    pub(in crate::cli::bench) clock: Clock,
    /// The most unanswered messages; `None` if the server does not answer.
    pub(in crate::cli::bench) window: Option<u64>,
    /// Is notified when a message is due.
    pub(in crate::cli::bench) due: Arc<Notify>,
    pub(in crate::cli::bench) stop: CancellationToken,
}

impl Producer {
    /// Sends the messages of the plan, and waits until all are answered, or known to be read.
    ///
    /// # Errors
    ///
    /// The connection has ended, or an answer is invalid. `out` has what was done before.
    pub(in crate::cli::bench) async fn run(mut self, out: &mut Outbound) -> anyhow::Result<()> {
        let stop = self.stop.clone();
        tokio::select! {
            ended = self.send_all(out) => ended?,
            () = stop.cancelled() => {}
        }
        self.link.close().await;
        Ok(())
    }

    async fn send_all(&mut self, out: &mut Outbound) -> anyhow::Result<()> {
        let mut last = Step::Wait;
        loop {
            if last != Step::End && self.link.is_written() {
                last = self.put(out)?;
            }
            if last == Step::End && self.link.is_written() && self.all_answered(out) {
                break;
            }
            let waits = last == Step::Wait;
            tokio::select! {
                biased;
                frames = self.link.turn() => {
                    let now = self.clock.now_ns();
                    for frame in frames? {
                        if let (Message::Text(answer), Some(_)) = (frame, self.window) {
                            out.take(answer.as_bytes(), now)?;
                        }
                    }
                }
                () = self.due.notified(), if waits => {}
            }
            out.show();
        }
        match self.window {
            Some(_) => Ok(()),
            None => self.until_read(out).await,
        }
    }

    fn all_answered(&self, out: &Outbound) -> bool {
        self.window.is_none() || out.in_flight() == 0
    }

    /// Queues the messages that are due and allowed. Returns the step that has to wait, or the last one.
    fn put(&mut self, out: &mut Outbound) -> anyhow::Result<Step> {
        let now = self.clock.now_ns();
        let mut bytes = 0;
        loop {
            let step = self.plan.step(out.producer(), out.sent, now);
            let full = self.window.is_some_and(|window| out.in_flight() >= window);
            let Step::Send(at) = step else {
                return Ok(step);
            };
            if full || bytes >= WRITE_BYTES_MAX {
                return Ok(step);
            }
            let message = out.next(b"", at);
            bytes += out.message_bytes();
            if self.window.is_some() {
                out.expect_answer(at);
            }
            let text = Utf8Bytes::try_from(message).context("a message is ASCII")?;
            self.link.put(Message::Text(text))?;
        }
    }

    /// A server reads the frames of a connection in order: when it answers a ping, it has read all.
    async fn until_read(&mut self, out: &mut Outbound) -> anyhow::Result<()> {
        self.link.put(Message::Ping(Bytes::new()))?;
        loop {
            let mut frames = self.link.turn().await?;
            if frames.any(|frame| matches!(frame, Message::Pong(_))) {
                drop(frames);
                out.all_read(self.clock.now_ns());
                out.show();
                return Ok(());
            }
        }
    }
}
