//! `dpmq listen`: shows the messages of a topic as they arrive.

use std::io::{self, IsTerminal};
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;

use crate::cli::Failure;
use crate::cli::args::Listen;
use crate::cli::client::request;
use crate::cli::client::url::{ServerUrl, Side};
use crate::cli::client::{self, Socket, Target};
use crate::cli::failure::complain;
use crate::cli::terminal::interrupt::Interrupt;
use crate::cli::terminal::output::{Output, counted};
use crate::config::Config;

/// The first and the longest pause before the next connection.
const PAUSES: [Duration; 2] = [Duration::from_secs(1), Duration::from_secs(30)];
/// How long the server may take to tell the number of waiting messages.
const COUNT_TIME: Duration = Duration::from_secs(2);

/// What is shown of a pushed message.
#[derive(Deserialize)]
struct Pushed {
    #[serde(rename = "MessageData")]
    data: String,
}

/// Runs until Ctrl-C, or until `--count` messages were shown. Reconnects when the connection is lost,
/// unless the server has refused this client.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(config: &Config, args: &Listen) -> Result<(), Failure> {
    let target = Target::of(config, &args.client, Side::Consumer, &args.topic)?;
    let mut interrupt = Interrupt::listen()?;
    let mut socket = tokio::select! {
        () = interrupt.next() => return Ok(()),
        opened = begin(config, args, &target) => opened?,
    };
    let mut showing = Showing {
        out: Output::open(),
        shown: 0,
        args,
    };
    loop {
        let lost = tokio::select! {
            () = interrupt.next() => None,
            shown = showing.show(&mut socket) => shown?,
        };
        let Some(reason) = lost else {
            client::close(socket).await;
            return Ok(());
        };
        if args.once || client::is_final(&reason) {
            return Err(reason.into());
        }
        socket = tokio::select! {
            () = interrupt.next() => return Ok(()),
            opened = again(&target, args, reason) => opened?,
        };
    }
}

/// Prints what listening does, and connects.
async fn begin(config: &Config, args: &Listen, target: &Target) -> Result<Socket, Failure> {
    if args.quiet {
        return Ok(target.open().await?);
    }
    let url = args.client.server.address.server(config)?;
    let waiting = waiting(&url, config.mq.secret_key.expose(), args).await;
    let socket = target.open().await?;
    let topic = args.topic.as_str();
    if let Some(waiting) = waiting.filter(|waiting| *waiting > 0) {
        let (messages, wait) = (
            counted(waiting, "message"),
            if waiting == 1 { "s" } else { "" },
        );
        complain(&format!(
            "listening to {topic} consumes: {messages} wait{wait} there; dpmq peek and watch only look"
        ));
    } else if io::stderr().is_terminal() {
        complain(&format!(
            "listening to {topic}, which consumes; Ctrl-C ends"
        ));
    }
    Ok(socket)
}

/// The number of messages that wait in the topic, if the key may ask for it.
async fn waiting(url: &ServerUrl, key: &str, args: &Listen) -> Option<u64> {
    #[derive(Deserialize)]
    struct Topic {
        waiting: u64,
    }
    let route = client::route("/api/topic", &[("topic", args.topic.as_str())]);
    let asked = request::json::<Topic>(url, key, &route);
    let topic = tokio::time::timeout(COUNT_TIME, asked).await.ok()?;
    Some(topic.ok()?.waiting)
}

/// Reconnects, with growing pauses.
async fn again(
    target: &Target,
    args: &Listen,
    mut reason: anyhow::Error,
) -> anyhow::Result<Socket> {
    let [mut pause, longest] = PAUSES;
    loop {
        if !args.quiet {
            complain(&format!("{reason:#}; again in {} s", pause.as_secs()));
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
        match target.open().await {
            Ok(socket) => {
                if !args.quiet {
                    complain(&format!("listening to {} again", args.topic.as_str()));
                }
                return Ok(socket);
            }
            Err(error) if client::is_final(&error) => return Err(error),
            Err(error) => reason = error,
        }
    }
}

struct Showing<'a> {
    out: Output,
    shown: u64,
    args: &'a Listen,
}

impl Showing<'_> {
    /// Shows what arrives. Returns `None` after the last wanted message, or why no more can arrive.
    async fn show(&mut self, socket: &mut Socket) -> Result<Option<anyhow::Error>, Failure> {
        while self.args.count.is_none_or(|count| self.shown < count.get()) {
            let frame = match client::next_text(socket).await {
                Ok(frame) => frame,
                Err(reason) => return Ok(Some(reason)),
            };
            if self.args.json {
                self.out.line(frame.as_bytes())?;
            } else {
                let message: Pushed =
                    serde_json::from_str(&frame).context("the server pushed what is no message")?;
                self.out.line(message.data.as_bytes())?;
            }
            self.shown += 1;
        }
        Ok(None)
    }
}
