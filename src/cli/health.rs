//! `dpmq health`: whether a server takes and stores messages, for whoever supervises it.

use anyhow::anyhow;

use super::client::ServerUrl;
use super::output::Output;
use super::{Failure, request};
use crate::config::Config;

const ROUTE: &str = "/health/ready";

/// Asks the server at `url`, or the one of `config`; fails unless it is ready.
pub(super) fn run(config: &Config, url: Option<ServerUrl>) -> Result<(), Failure> {
    let url = url.map_or_else(|| ServerUrl::configured(config), Ok)?;
    let (ready, said) = ask(&url)?;
    let said = String::from_utf8_lossy(&said);
    match ready {
        true => Output::open().line(b"ready"),
        false => Err(anyhow!("{} is not ready: {said}", url.address()).into()),
    }
}

/// Whether the server at `url` is ready, and what it says about that.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn ask(url: &ServerUrl) -> anyhow::Result<(bool, bytes::Bytes)> {
    request::health(url, ROUTE).await
}
