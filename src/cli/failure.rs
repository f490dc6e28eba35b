//! Why a command has failed, its exit code, and messages on standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use crate::config::ConfigError;
use crate::store::StoreError;

/// The exit code for arguments or a configuration that cannot be used (`EX_USAGE`).
pub(super) const EXIT_USAGE: u8 = 64;

/// Why a command has failed.
#[derive(Debug)]
pub enum Failure {
    /// The arguments or the configuration cannot be used.
    Usage(String),
    /// The command failed while running.
    Run(anyhow::Error),
    /// The reader of the output has closed it, as `head` does; this is no error.
    ReaderGone,
}

impl Failure {
    /// Prints the failure on standard error, and returns its exit code.
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

/// Writes a line to standard error. Errors are ignored: there is nowhere else to write them.
pub(super) fn complain(text: &str) {
    let _ = writeln!(io::stderr(), "{text}");
}
