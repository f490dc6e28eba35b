//! `dpmq doctor`: checks everything that a server needs, and says how to fix what is wrong.
//!
//! The checks are independent, so a failure hides no other. Nothing is changed, except that a file
//! is written to measure the disk, and removed.

mod disk;
mod finding;
mod machine;
mod privacy;
mod settings;
mod store;

use anyhow::{Context, anyhow};
use serde::Serialize;

use crate::cli::Failure;
use crate::cli::doctor::finding::folder_of;
use crate::cli::doctor::finding::{Finding, State};
use crate::cli::terminal::output::Output;
use crate::clock::Clock;
use crate::config::{Config, ConfigError, Durability};

/// Checks everything that `config` names, and prints the findings.
pub(super) fn run(config: Result<Config, ConfigError>, json: bool) -> Result<(), Failure> {
    match config {
        Ok(config) => {
            let findings = examine(&config);
            print(&findings, json)?;
            match findings.iter().filter(|it| it.state == State::Fail).count() {
                0 => Ok(()),
                1 => Err(anyhow!("1 check failed").into()),
                failed => Err(anyhow!("{failed} checks failed").into()),
            }
        }
        Err(error) => {
            print(&[settings::unusable(&error)], json)?;
            Err(Failure::Usage("the configuration cannot be used".into()))
        }
    }
}

fn examine(config: &Config) -> Vec<Finding> {
    let mut findings = settings::check(config);
    findings.push(settings::named_keys(config));
    findings.extend(settings::tls(config));
    findings.push(machine::port(config));
    findings.push(machine::open_files());
    if config.log.file {
        findings.push(machine::log_folder());
    }
    findings.push(privacy::check(config));
    if config.mq.durability == Durability::Memory {
        findings.push(machine::clock(None, config));
        return findings;
    }
    let file = &config.mq.persistent_file;
    let folder = folder_of(file);
    findings.extend(store::permissions(file, &folder));
    findings.extend(disk::check(&folder, file));
    let now = Clock::system().now();
    findings.extend(store::check(file, now));
    findings.push(machine::clock(store::newest(file), config));
    findings.extend(store::dates(file, now));
    findings
}

fn print(findings: &[Finding], json: bool) -> Result<(), Failure> {
    if json {
        #[derive(Serialize)]
        struct Report<'a> {
            ok: bool,
            checks: &'a [Finding],
        }
        let report = Report {
            ok: findings.iter().all(|it| it.state != State::Fail),
            checks: findings,
        };
        let line = serde_json::to_vec(&report).context("the report")?;
        return Output::open().line(&line);
    }
    let mut out = Output::open();
    for finding in findings {
        out.line(finding.to_string().as_bytes())?;
    }
    Ok(())
}
