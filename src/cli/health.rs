//! `dpmq health`: whether a server takes and stores messages, for a supervisor.

use std::time::{Duration, Instant};

use anyhow::anyhow;

use crate::cli::Failure;
use crate::cli::args::Address;
use crate::cli::client::request;
use crate::cli::client::url::ServerUrl;
use crate::cli::terminal::output::Output;
use crate::config::Config;

const ROUTE: &str = "/health/ready";

/// The pause before the server is asked again.
const PAUSE: Duration = Duration::from_millis(200);

/// Asks the server at `address`, or that of `config`, and fails unless it is ready. With `wait`, asks
/// repeatedly for that long.
pub(super) fn run(
    config: &Config,
    address: &Address,
    wait: Option<Duration>,
) -> Result<(), Failure> {
    let url = address.server(config)?;
    let (begin, wait) = (Instant::now(), wait.unwrap_or_default());
    loop {
        let unready = match ask(&url) {
            Ok((true, _)) => return Output::open().line(b"ready"),
            Ok((false, said)) => {
                let said = String::from_utf8_lossy(&said);
                anyhow!("{} is not ready: {said}", url.address())
            }
            Err(error) => error,
        };
        let left = wait.saturating_sub(begin.elapsed());
        if left.is_zero() {
            return Err(unready.into());
        }
        std::thread::sleep(PAUSE.min(left));
    }
}

/// Whether the server at `url` is ready, and its answer.
#[tokio::main(flavor = "current_thread")]
pub(super) async fn ask(url: &ServerUrl) -> anyhow::Result<(bool, bytes::Bytes)> {
    request::health(url, ROUTE).await
}
