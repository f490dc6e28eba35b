//! `dpmq verify`: checks a store, or the file of a snapshot, and prints the report.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;

use crate::cli::Failure;
use crate::cli::terminal::bar::{bytes_bar, show};
use crate::cli::terminal::output::{Output, counted};
use crate::config::{Config, Durability};
use crate::store::{Files, OsFiles, Report, verify_file, verify_store};

/// Checks `file`, or the store of `config`.
pub(in crate::cli) fn run(config: &Config, file: Option<&Path>) -> Result<(), Failure> {
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let bar = bytes_bar().with_message("checked");
    let mut progress = |at| show(&bar, at);
    let report = match file {
        Some(file) => verify_file(&files, file, &mut progress),
        None if config.mq.durability == Durability::Memory => {
            return Err(anyhow!("mq.isPersistent is 0: there is no store to check").into());
        }
        None => verify_store(&files, &config.mq.persistent_file, &mut progress),
    };
    bar.finish_and_clear();
    let report = report?;
    print(&report)?;
    refuse_damaged(&report)?;
    Output::open().line(b"whole")
}

/// Prints the findings and the totals.
pub(in crate::cli) fn print(report: &Report) -> Result<(), Failure> {
    let mut out = Output::open();
    for finding in &report.findings {
        out.line(format!("damaged: {finding}").as_bytes())?;
    }
    if report.more_findings > 0 {
        out.line(format!("damaged: {} more places", report.more_findings).as_bytes())?;
    }
    for note in &report.notes {
        out.line(format!("note: {note}").as_bytes())?;
    }
    let totals = report.totals;
    let messages = totals.messages;
    let line = format!(
        "{} of {}: {} to be pushed, {} not consumed, {} consumed; segments: {}, frames: {}, chunks: {}",
        counted(messages.all(), "message"),
        counted(totals.topics, "topic"),
        messages.accepted,
        messages.not_consumed,
        messages.consumed,
        totals.segments,
        totals.frames,
        totals.chunks
    );
    out.line(line.as_bytes())
}

/// Fails if there is any damage.
pub(in crate::cli) fn refuse_damaged(report: &Report) -> Result<(), Failure> {
    match report.findings.len() as u64 + report.more_findings {
        0 => Ok(()),
        1 => Err(anyhow!("1 place is damaged").into()),
        places => Err(anyhow!("{places} places are damaged").into()),
    }
}
