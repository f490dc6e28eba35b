//! Runs the program.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;

/// A finished run.
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl From<Output> for Run {
    fn from(output: Output) -> Run {
        Run {
            code: output.status.code().unwrap(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}

/// The program in `dir`, with nothing configured by the environment of the tests.
pub(crate) fn program(dir: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_dpmq"));
    let ours = |name: &OsString| name.to_string_lossy().starts_with("DPMQ_");
    for (name, _) in std::env::vars_os().filter(|(name, _)| ours(name)) {
        command.env_remove(name);
    }
    command.current_dir(dir).stdin(Stdio::null());
    command
}

pub(crate) fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub(crate) fn run(args: &[&str]) -> Run {
    program(dir().path()).args(args).output().unwrap().into()
}

/// Runs with `input` on standard input.
pub(crate) fn run_with_input(args: &[&str], input: &str) -> Run {
    let dir = dir();
    let file = dir.path().join("input");
    fs::write(&file, input).unwrap();
    let mut command = program(dir.path());
    command.args(args).stdin(fs::File::open(file).unwrap());
    command.output().unwrap().into()
}
