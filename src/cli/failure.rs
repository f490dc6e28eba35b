//! Why a command did not succeed, the exit code for it, and complaints on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::store::StoreError;

/// The exit code for arguments or a configuration that cannot be used (`EX_USAGE`).
pub(super) const EXIT_USAGE: u8 = 64;

/// Why a command did not succeed.
#[derive(Debug)]
pub enum Failure {
    /// The arguments or the configuration cannot be used.
    Usage(String),
    /// It failed while running.
    Run(anyhow::Error),
    /// Whoever read the output has gone, as `head` does; nothing is wrong.
    ReaderGone,
}

impl Failure {
    /// Says what is wrong on standard error; the exit code for it.
    pub fn report(self) -> ExitCode {
        let (text, code) = match self {
            Failure::Usage(text) => (text, EXIT_USAGE),
            Failure::Run(error) => (format!("{error:#}"), 1),
            Failure::ReaderGone => return ExitCode::SUCCESS,
        };
        complain(&format!("error: {text}"));
        ExitCode::from(code)
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::Usage(error.to_string())
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Failure {
        Failure::Run(error.into())
    }
}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure::Run(error)
    }
}

/// Writes a line to standard error. When even that fails there is nobody left to tell.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
