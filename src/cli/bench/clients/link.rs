//! A WebSocket that is written to and read from in batches by one task, which never waits for
//! a write while there is something to read.

use std::pin::Pin;
use std::task::{Context, Poll};

use anyhow::anyhow;
use futures_util::{Sink, StreamExt};
use tokio_tungstenite::tungstenite::Message;

use crate::cli::client::{self, Socket};

/// Frames that are read before they are looked at.
const FRAMES_MAX: usize = 1024;

/// The connection of a producer or a consumer.
pub(in crate::cli::bench) struct Link {
    socket: Socket,
    unwritten: bool,
    frames: Vec<Message>,
    failure: Option<anyhow::Error>,
}

impl Link {
    pub(in crate::cli::bench) fn new(socket: Socket) -> Link {
        Link {
            socket,
            unwritten: false,
            frames: Vec::with_capacity(FRAMES_MAX),
            failure: None,
        }
    }

    /// Whether every queued frame is written.
    pub(in crate::cli::bench) fn is_written(&self) -> bool {
        !self.unwritten
    }

    /// Queues a frame for the next write.
    pub(in crate::cli::bench) fn put(&mut self, frame: Message) -> anyhow::Result<()> {
        self.unwritten = true;
        Ok(Pin::new(&mut self.socket).start_send(frame)?)
    }

    /// Writes the queued frames, and reads meanwhile. Returns when all are written, or with frames
    /// that have arrived. Safe to cancel.
    ///
    /// # Errors
    ///
    /// The connection has ended. What arrived before was returned.
    pub(in crate::cli::bench) async fn turn(
        &mut self,
    ) -> anyhow::Result<std::vec::Drain<'_, Message>> {
        std::future::poll_fn(|context| self.poll_turn(context)).await?;
        Ok(self.frames.drain(..))
    }

    fn poll_turn(&mut self, context: &mut Context<'_>) -> Poll<anyhow::Result<()>> {
        let mut written = false;
        if self.unwritten
            && let Poll::Ready(flushed) = Pin::new(&mut self.socket).poll_flush(context)
        {
            (self.unwritten, written) = (false, true);
            if let Err(error) = flushed {
                self.failure.get_or_insert(lost(error.into()));
            }
        }
        while self.frames.len() < FRAMES_MAX {
            match self.socket.poll_next_unpin(context) {
                Poll::Pending => break,
                Poll::Ready(Some(Ok(Message::Close(close)))) => {
                    self.failure = Some(client::closed(close.as_ref()));
                    break;
                }
                Poll::Ready(Some(Ok(frame))) => self.frames.push(frame),
                Poll::Ready(Some(Err(error))) => {
                    self.failure.get_or_insert(lost(error.into()));
                    break;
                }
                Poll::Ready(None) => {
                    self.failure.get_or_insert(client::closed(None));
                    break;
                }
            }
        }
        if !self.frames.is_empty() {
            return Poll::Ready(Ok(()));
        }
        match self.failure.take() {
            Some(failure) => Poll::Ready(Err(failure)),
            None if written => Poll::Ready(Ok(())),
            None => Poll::Pending,
        }
    }

    /// Closes the connection, and ignores errors.
    pub(in crate::cli::bench) async fn close(self) {
        client::close(self.socket).await;
    }
}

fn lost(error: anyhow::Error) -> anyhow::Error {
    anyhow!("the connection was lost: {error}")
}
