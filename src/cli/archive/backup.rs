//! `dpmq backup`: copies everything that a running server has stored into a file.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::cli::archive::verify::{print, refuse_damaged};
use crate::cli::args::Server;
use crate::cli::client::request;
use crate::cli::client::url::ServerUrl;
use crate::cli::failure::complain;
use crate::cli::terminal::bar::{bytes_bar, show};
use crate::cli::terminal::output::Output;
use crate::config::Config;
use crate::store::{Files, OsFiles, Received, verify_file};

const ROUTE: &str = "/api/backup";

/// Writes the copy to standard output, for a pipe.
#[tokio::main(flavor = "current_thread")]
async fn stream(url: &ServerUrl, key: &str) -> Result<(), Failure> {
    if io::stdout().is_terminal() {
        let text = "- is standard output, which is a terminal: name a file";
        return Err(Failure::Usage(text.to_owned()));
    }
    let mut reply = request::get(url, key, ROUTE).await?;
    let (expected, mut written) = (reply.bytes()?, 0);
    let mut out = Output::open();
    while let Some(bytes) = reply.next().await? {
        let taken = out.write(&bytes);
        // Without its reader, the copy is lost.
        taken.map_err(|failure| match failure {
            Failure::ReaderGone => anyhow!("nobody reads the copy any more").into(),
            other => other,
        })?;
        written += bytes.len() as u64;
    }
    if written != expected {
        return Err(anyhow!("the copy has {written} of {expected} bytes").into());
    }
    complain(&format!(
        "{written} bytes, not checked yet: dpmq verify FILE does"
    ));
    Ok(())
}

/// Fetches and checks the file, and gives it its name. An incomplete file is removed. A file of a
/// server with a damaged log is kept, as there is no better one, and the damage is reported.
pub(in crate::cli) fn run(config: &Config, dest: &Path, server: &Server) -> Result<(), Failure> {
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let url = server.address.server(config)?;
    if dest.as_os_str() == "-" {
        return stream(&url, config.mq.secret_key.expose());
    }
    let mut received = Received::begin(files.clone(), dest)?;
    let bytes = fetch(&url, config.mq.secret_key.expose(), &mut received)?;
    let bar = bytes_bar().with_message("checked");
    let report = verify_file(&files, received.aside(), &mut |at| show(&bar, at));
    bar.finish_and_clear();
    let mut report = report?;
    received.place()?;
    for finding in &mut report.findings {
        finding.place.path = dest.to_owned();
    }
    print(&report)?;
    let line = format!("{} has {bytes} bytes", dest.display());
    Output::open().line(line.as_bytes())?;
    refuse_damaged(&report)
}

/// Receives the whole file; Ctrl-C ends this as a failure, so that no part is left.
#[tokio::main(flavor = "current_thread")]
async fn fetch(url: &ServerUrl, key: &str, received: &mut Received) -> anyhow::Result<u64> {
    tokio::select! {
        fetched = transfer(url, key, received) => fetched,
        _ = tokio::signal::ctrl_c() => Err(anyhow!("interrupted")),
    }
}

async fn transfer(url: &ServerUrl, key: &str, received: &mut Received) -> anyhow::Result<u64> {
    let mut reply = request::get(url, key, ROUTE).await?;
    let bar = bytes_bar().with_message("copied");
    let bytes = reply.bytes()?;
    bar.set_length(bytes);
    while let Some(bytes) = reply.next().await? {
        received.write(&bytes)?;
        bar.inc(bytes.len() as u64);
    }
    received.end()?;
    bar.finish_and_clear();
    Ok(bytes)
}
