//! `dpmq send`: one message, or each line of standard input, each acknowledged.

use std::io::{self, BufRead, IsTerminal, Read};
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::SinkExt;
use indicatif::{ProgressBar, ProgressStyle};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio_tungstenite::tungstenite::Message;

use super::Failure;
use super::args::Send;
use super::client::{self, Side, Socket, Target};
use super::output::{Output, complain};
use crate::config::Config;

/// Messages sent ahead of their acknowledgements. The acknowledgements of this many fit into
/// the socket's buffers, so that neither side can wait for the other to read.
const IN_FLIGHT_MAX: u64 = 1000;
/// Lines read ahead of the socket.
const LINES_AHEAD_MAX: usize = 64;

/// The messages to send; an error ends them.
type Messages = mpsc::Receiver<anyhow::Result<Vec<u8>>>;

/// The answer to one message, in the order in which they were sent.
#[derive(Deserialize)]
struct Answer {
    code: i64,
    msg: String,
}

/// Sends everything; fails if anything was refused or is unanswered.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(config: &Config, args: Send) -> Result<(), Failure> {
    let target = Target::of(
        config,
        &args.client,
        Side::Producer { acks: true },
        &args.topic,
    )?;
    let mut socket = target.open().await?;
    let messages = messages(args.data, config.server.max_message_bytes);
    let mut sending = Sending {
        out: Output::open(),
        bar: progress_bar(),
        sent: 0,
        answered: 0,
        refused: 0,
    };
    let ended = sending.send_all(&mut socket, messages).await;
    sending.bar.finish_and_clear();
    ended?;
    client::close(socket).await;
    match sending.refused {
        0 => Ok(()),
        refused => Err(anyhow!("{refused} of {} messages were refused", sending.sent).into()),
    }
}

struct Sending {
    out: Output,
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

    /// Hands a message to the socket, and all of them to the network when no more are waiting.
    async fn send(
        &mut self,
        socket: &mut Socket,
        data: Vec<u8>,
        last_for_now: bool,
    ) -> Result<(), Failure> {
        let frame = match String::from_utf8(data) {
            Ok(text) => Message::text(text),
            Err(error) => Message::binary(error.into_bytes()),
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

    /// Takes what the server still said before the connection was lost: answers, and why.
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
            return self.out.line(answer.msg.as_bytes());
        }
        self.refused += 1;
        let complaint = format!("message {}: {}", self.answered, answer.msg);
        self.bar.suspend(|| complain(&complaint));
        Ok(())
    }

    fn unanswered(&self) -> String {
        let (sent, count) = (self.sent, self.sent - self.answered);
        format!("{count} of {sent} messages sent are unanswered")
    }
}

/// The one message, or the lines of standard input that are not empty.
fn messages(data: Option<String>, bytes_max: usize) -> Messages {
    let (sender, messages) = mpsc::channel(LINES_AHEAD_MAX);
    // A thread of its own, because a read of standard input cannot be called off.
    std::thread::spawn(move || match data {
        Some(data) => drop(sender.blocking_send(Ok(data.into_bytes()))),
        None => {
            let mut input = io::stdin().lock();
            let mut line_number = 0;
            loop {
                line_number += 1;
                let line = next_line(&mut input, bytes_max)
                    .with_context(|| format!("line {line_number} of standard input"));
                let item = match line.transpose() {
                    None => return,
                    Some(Ok(line)) if line.is_empty() => continue,
                    Some(item) => item,
                };
                let is_error = item.is_err();
                if sender.blocking_send(item).is_err() || is_error {
                    return;
                }
            }
        }
    });
    messages
}

/// The next line without its end; `None` after the last.
fn next_line(input: &mut impl BufRead, bytes_max: usize) -> anyhow::Result<Option<Vec<u8>>> {
    const LINE_END: &[u8] = b"\r\n";
    let mut line = Vec::new();
    let limit = u64::try_from(bytes_max + LINE_END.len()).unwrap_or(u64::MAX);
    if input.take(limit).read_until(b'\n', &mut line)? == 0 {
        return Ok(None);
    }
    if line.pop_if(|byte| *byte == b'\n').is_some() {
        line.pop_if(|byte| *byte == b'\r');
    }
    match line.len() > bytes_max {
        true => Err(anyhow!(
            "it has more than {bytes_max} bytes (server.maxMessageBytes)"
        )),
        false => Ok(Some(line)),
    }
}

/// Shown to a person who does not see the codes go by and does not type the messages.
fn progress_bar() -> ProgressBar {
    if io::stdout().is_terminal() || io::stdin().is_terminal() {
        return ProgressBar::hidden();
    }
    let style = ProgressStyle::with_template("{spinner} {pos} messages acknowledged, {per_sec}")
        .expect("a valid template");
    ProgressBar::new_spinner().with_style(style)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(mut input: &[u8], bytes_max: usize) -> Vec<String> {
        let mut lines = Vec::new();
        loop {
            match next_line(&mut input, bytes_max) {
                Ok(Some(line)) => lines.push(String::from_utf8(line).unwrap()),
                Ok(None) => return lines,
                Err(error) => {
                    lines.push(error.to_string());
                    return lines;
                }
            }
        }
    }

    #[test]
    fn a_line_ends_with_its_end_or_the_input() {
        assert_eq!(lines(b"a\r\nb\n\nc\rd", 9), ["a", "b", "", "c\rd"]);
        assert_eq!(lines(b"", 9), [""; 0]);
    }

    #[test]
    fn a_line_over_the_limit_is_an_error() {
        assert_eq!(lines(b"123\r\n456\n", 3), ["123", "456"]);
        let expected = "it has more than 3 bytes (server.maxMessageBytes)";
        assert_eq!(lines(b"1234\n", 3), [expected]);
        assert_eq!(lines(b"123456789", 3), [expected]);
    }
}
