//! The command line: the commands, and how they answer.
//!
//! Results go to standard output, everything else to standard error. Exit codes: 0, 1 for what
//! failed while running, 64 for arguments or a configuration that cannot be used.

mod archive;
mod args;
mod bench;
mod client;
mod completions;
mod doctor;
mod failure;
mod health;
mod input;
mod key;
mod listen;
mod look;
mod send;
mod terminal;

use std::path::Path;
use std::process::ExitCode;

use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::access::KeysFile;
use crate::cli::args::{Command, Common, Serve, Server};
use crate::cli::failure::EXIT_USAGE;
use crate::cli::terminal::output::Output;
use crate::config::{Config, ConfigError, ListenHost, Sources};
use crate::{server, telemetry};

pub use crate::cli::args::Args;
pub use crate::cli::failure::Failure;

/// Reads the arguments of the process.
///
/// # Errors
///
/// The exit code, after help, version or the mistake has been printed.
pub fn parse() -> Result<Args, ExitCode> {
    Args::try_parse().map_err(|error| {
        // There is nobody left to tell when this cannot be printed.
        let _ = error.print();
        match error.use_stderr() {
            true => ExitCode::from(EXIT_USAGE),
            false => ExitCode::SUCCESS,
        }
    })
}

/// Runs the command of `args`.
///
/// # Errors
///
/// The command failed, or its arguments or configuration are invalid.
pub fn run(args: Args) -> Result<(), Failure> {
    let command = args.command.unwrap_or(Command::Serve(Serve::default()));
    if !matches!(command, Command::Serve(_)) && !args.serve.overrides().is_empty() {
        return Err(Failure::Usage(
            "--host, --port and --log belong to serve".into(),
        ));
    }
    match command {
        Command::Serve(options) => {
            let overrides = [args.serve.overrides(), options.overrides()].concat();
            serve(sources(args.common, overrides))
        }
        Command::Send(send) => {
            let config = load_client(args.common, &send.client.server)?;
            send::run(&config, send)
        }
        Command::Listen(listen) => {
            let config = load_client(args.common, &listen.client.server)?;
            listen::run(&config, &listen)
        }
        Command::Topics(topics) => {
            look::topics(&load_client(args.common, &topics.server)?, &topics)
        }
        Command::Peek(peek) => look::peek(&load_client(args.common, &peek.server)?, &peek),
        Command::Watch(watch) => look::watch(&load_client(args.common, &watch.server)?, &watch),
        Command::Bench(bench) => {
            let config = load_client(args.common, &bench.server)?;
            bench::run(&config, *bench)
        }
        Command::Doctor { json } => doctor::run(load(args.common, vec![]), json),
        Command::Health { address, wait } => {
            let common = client::installed(args.common, &address);
            health::run(&load(common, vec![])?, &address, wait)
        }
        Command::Backup { dest, server } => {
            let config = load_client(args.common, &server)?;
            archive::backup::run(&config, &dest, &server)
        }
        Command::Restore { file, damaged } => {
            archive::restore::run(&load(args.common, vec![])?, &file, damaged)
        }
        Command::Verify { file } => {
            archive::verify::run(&load(args.common, vec![])?, file.as_deref())
        }
        Command::Key(key) => key::run(&load(args.common, vec![])?, key),
        Command::Import { file } => import(&load(args.common, vec![])?, &file),
        Command::CheckConfig => check_config(&load(args.common, vec![])?),
        Command::Completions { shell } => completions::run(shell),
    }
}

/// Loads the configuration; `overrides` win over everything.
fn load(common: Common, overrides: Vec<(String, String)>) -> Result<Config, ConfigError> {
    Config::load(&sources(common, overrides))
}

/// Loads the configuration for a client of `server`.
fn load_client(common: Common, server: &Server) -> Result<Config, ConfigError> {
    let common = client::installed(common, &server.address);
    load(common, server.overrides())
}

fn sources(common: Common, overrides: Vec<(String, String)>) -> Sources {
    Sources {
        file: common.config,
        environment: std::env::vars_os().collect(),
        overrides: common.set.into_iter().chain(overrides).collect(),
    }
}

fn serve(sources: Sources) -> Result<(), Failure> {
    let config = Config::load(&sources)?;
    let telemetry = telemetry::init(&config.log);
    let level = telemetry.level().clone();
    Ok(server::run_until_signal(config, sources, level)?)
}

fn import(config: &Config, file: &Path) -> Result<(), Failure> {
    let _telemetry = telemetry::init(&config.log);
    let bar = ProgressBar::new(0).with_style(
        ProgressStyle::with_template("{bar:40} {pos} of {len} messages, {per_sec}, {eta} left")
            .expect("a valid template"),
    );
    let summary = server::import_file(config, file, &mut |progress| {
        bar.set_length(progress.total);
        bar.set_position(progress.done);
    });
    bar.finish_and_clear();
    Output::open().line(summary?.as_bytes())
}

fn check_config(config: &Config) -> Result<(), Failure> {
    let mut out = Output::open();
    for setting in &config.settings {
        let assignment = format!("{} = {}", setting.key, setting.value);
        out.line(format!("{assignment:<40} ({})", setting.source).as_bytes())?;
    }
    let keys = KeysFile::at(&config.server.keys_file).keys()?;
    let file = config.server.keys_file.display();
    out.line(format!("named keys: {} in {file}", keys.len()).as_bytes())?;
    if let Some(note) = config.note_on_variables() {
        out.line(format!("note: {note}").as_bytes())?;
    }
    if config.listen_host().restricted {
        out.line(format!("note: {}", ListenHost::ADVICE).as_bytes())?;
    }
    out.line(b"ok")
}
