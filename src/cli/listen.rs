//! `dpmq listen`: shows the messages of a topic as they arrive.

use anyhow::Context;
use serde::Deserialize;

use super::Failure;
use super::args::Listen;
use super::client::{self, Side, Socket, Target};
use super::output::Output;
use crate::config::Config;

/// What is shown of a pushed message.
#[derive(Deserialize)]
struct Pushed {
    #[serde(rename = "MessageData")]
    data: String,
}

/// Runs until Ctrl-C, until `--count` messages were shown, or until the server goes away.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn run(config: &Config, args: &Listen) -> Result<(), Failure> {
    let target = Target::of(config, &args.client, Side::Consumer, &args.topic)?;
    let interrupt = tokio::signal::ctrl_c();
    tokio::pin!(interrupt);
    let mut socket = tokio::select! {
        _ = &mut interrupt => return Ok(()),
        opened = target.open() => opened?,
    };
    tokio::select! {
        _ = &mut interrupt => {}
        shown = show(&mut socket, args) => shown?,
    }
    client::close(socket).await;
    Ok(())
}

async fn show(socket: &mut Socket, args: &Listen) -> Result<(), Failure> {
    let mut out = Output::open();
    let mut shown = 0;
    while args.count.is_none_or(|count| shown < count.get()) {
        let frame = client::next_text(socket).await?;
        if args.json {
            out.line(frame.as_bytes())?;
        } else {
            let message: Pushed =
                serde_json::from_str(&frame).context("the server pushed what is no message")?;
            out.line(message.data.as_bytes())?;
        }
        shown += 1;
    }
    Ok(())
}
