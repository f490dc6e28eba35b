//! Standard output, one line at a time.

use std::io::{self, ErrorKind, StdoutLock, Write};

use anyhow::Context;

use crate::cli::Failure;

/// Standard output. Each line is out when its call returns.
pub(in crate::cli) struct Output(StdoutLock<'static>);

impl Output {
    pub(in crate::cli) fn open() -> Output {
        Output(io::stdout().lock())
    }

    /// Writes `bytes` and a line end.
    pub(in crate::cli) fn line(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        self.write(bytes)?;
        self.write(b"\n")
    }

    /// Writes `bytes`.
    pub(in crate::cli) fn write(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        let written = self.0.write_all(bytes).and_then(|()| match bytes {
            [.., b'\n'] => self.0.flush(),
            _ => Ok(()),
        });
        match written {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ReaderGone),
            other => Ok(other.context("standard output")?),
        }
    }
}

/// `1 message`, `2 messages`.
pub(in crate::cli) fn counted(count: u64, noun: &str) -> String {
    match count {
        1 => format!("1 {noun}"),
        _ => format!("{count} {noun}s"),
    }
}
