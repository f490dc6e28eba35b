//! `dpmq send`: sends messages, each of which the server acknowledges.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use futures_util::SinkExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::{Message, Utf8Bytes};

use crate::cli::Failure;
use crate::cli::args::Send;
use crate::cli::client::url::Side;
use crate::cli::client::{self, Socket, Target};
use crate::cli::failure::complain;
use crate::cli::input::{Input, Messages};
use crate::cli::terminal::output::{Output, counted};
use crate::config::Config;

/// Messages sent ahead of their acknowledgements. The acknowledgements of this many fit into
/// the socket's buffers, so that neither side can wait for the other to read.
const IN_FLIGHT_MAX: u64 = 1000;

/// The answer to one message, in the order in which they were sent.
#[derive(Deserialize)]
struct Answer {
    code: i64,
    msg: String,
}

/// Sends all messages; fails if one was refused or is unanswered.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(config: &Config, args: Send) -> Result<(), Failure> {
    let target = Target::of(
        config,
        &args.client,
        Side::Producer { acks: true },
        &args.topic,
    )?;
    let input = Input::of(&args);
    if args.count.is_some() && matches!(input, Input::Lines) {
        let text = "--count is how often one message is sent: give it, --file, or -";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut socket = target.open().await?;
    let is_watched = io::stderr().is_terminal() && !args.quiet;
    if is_watched && input.is_typed() && io::stdin().is_terminal() {
        let what = match input {
            Input::Lines => "each line is a message",
            Input::Same(..) => "all until Ctrl-D is one message",
        };
        complain(&format!("{what} to {}; Ctrl-D ends", args.topic.as_str()));
    }
    let is_one = matches!(input, Input::Same(_, 1));
    let messages = input.messages(config.server.max_message_bytes, args.rate);
    let mut sending = Sending {
        out: (!args.quiet).then(Output::open),
        shown: 0,
        bar: progress_bar(args.quiet || is_one),
        sent: 0,
        answered: 0,
        refused: 0,
    };
    let ended = sending.send_all(&mut socket, messages).await;
    sending.bar.finish_and_clear();
    ended?;
    client::close(socket).await;
    if !args.quiet
        && let Some(summary) = sending.summary(args.topic.as_str(), is_watched)
    {
        complain(&summary);
    }
    match sending.refused {
        0 => Ok(()),
        refused => Err(anyhow!("{refused} of {} messages were refused", sending.sent).into()),
    }
}

struct Sending {
    /// `None` if the codes are not printed, or their reader has closed the output.
    out: Option<Output>,
    /// The number of codes that were printed.
    shown: u64,
    bar: ProgressBar,
    sent: u64,
    answered: u64,
    refused: u64,
}

impl Sending {
    async fn send_all(
        &mut self,
        socket: &mut Socket,
        mut messages: Messages,
    ) -> Result<(), Failure> {
        let mut unreadable = None;
        let mut more = true;
        while more || self.answered < self.sent {
            let room = self.sent - self.answered < IN_FLIGHT_MAX;
            tokio::select! {
                message = messages.recv(), if more && room => match message.transpose() {
                    Ok(Some(data)) => {
                        let last_for_now = messages.is_empty();
                        self.send(socket, data, last_for_now).await?;
                    }
                    ended => {
                        (more, unreadable) = (false, ended.err());
                        self.flush(socket).await?;
                    }
                },
                answer = client::next_text(socket) => {
                    let answer = answer.with_context(|| self.unanswered())?;
                    self.take(&answer)?;
                }
            }
        }
        unreadable.map_or(Ok(()), |error| Err(error.into()))
    }

    /// Writes a message to the socket, and flushes when no more are waiting.
    async fn send(
        &mut self,
        socket: &mut Socket,
        data: Bytes,
        last_for_now: bool,
    ) -> Result<(), Failure> {
        let frame = match Utf8Bytes::try_from(data.clone()) {
            Ok(text) => Message::Text(text),
            Err(_) => Message::Binary(data),
        };
        self.sent += 1;
        let in_flight = self.sent - self.answered;
        if let Err(error) = socket.feed(frame).await {
            return Err(self.lost(socket, error.into()).await);
        }
        match last_for_now || in_flight == IN_FLIGHT_MAX {
            true => self.flush(socket).await,
            false => Ok(()),
        }
    }

    async fn flush(&mut self, socket: &mut Socket) -> Result<(), Failure> {
        match socket.flush().await {
            Ok(()) => Ok(()),
            Err(error) => Err(self.lost(socket, error.into()).await),
        }
    }

    /// Reads what the server has sent before the connection was lost: answers, and the reason.
    async fn lost(&mut self, socket: &mut Socket, error: anyhow::Error) -> Failure {
        let read_on = async {
            loop {
                match client::next_text(socket).await {
                    Ok(answer) => self.take(&answer)?,
                    Err(reason) => return Err::<(), Failure>(reason.into()),
                }
            }
        };
        let reason = match tokio::time::timeout(Duration::from_secs(1), read_on).await {
            Ok(Err(Failure::Run(reason))) => reason,
            Ok(Err(other)) => return other,
            _ => error.context("the connection was lost"),
        };
        reason.context(self.unanswered()).into()
    }

    fn take(&mut self, answer: &str) -> Result<(), Failure> {
        let answer: Answer =
            serde_json::from_str(answer).context("the server's answer is no acknowledgement")?;
        self.answered += 1;
        self.bar.inc(1);
        if answer.code == 0 {
            return self.show(answer.msg.as_bytes());
        }
        self.refused += 1;
        let complaint = format!("message {}: {}", self.answered, answer.msg);
        self.bar.suspend(|| complain(&complaint));
        Ok(())
    }

    /// Prints a code. Sending goes on if the reader has closed the output.
    fn show(&mut self, code: &[u8]) -> Result<(), Failure> {
        let Some(out) = &mut self.out else {
            return Ok(());
        };
        match out.line(code) {
            Ok(()) => self.shown += 1,
            Err(Failure::ReaderGone) => self.out = None,
            Err(other) => return Err(other),
        }
        Ok(())
    }

    /// The summary, for a user who does not see or cannot count the codes.
    fn summary(&self, topic: &str, is_watched: bool) -> Option<String> {
        let stored = self.answered - self.refused;
        let sent = format!("{} sent to {topic}", counted(stored, "message"));
        match &self.out {
            None => Some(format!("{sent}; of their codes {} were read", self.shown)),
            Some(_) => is_watched.then_some(sent),
        }
    }

    fn unanswered(&self) -> String {
        let (sent, count) = (self.sent, self.sent - self.answered);
        format!("{count} of {sent} messages sent are unanswered")
    }
}

/// Progress, for a user who neither sees the codes nor types the messages.
fn progress_bar(is_hidden: bool) -> ProgressBar {
    if is_hidden || io::stdout().is_terminal() || io::stdin().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} acknowledged, {per_sec}")
        .expect("a valid template");
    ProgressBar::new_spinner().with_style(style)
}
