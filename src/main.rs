//! The `dpmq` program: a broker, and the commands around it.

use std::process::ExitCode;

use dpmq::{allocator, cli};
use rustix::fs::Mode;

fn main() -> ExitCode {
    allocator::fix_sizes();
    // Data, log, backups and keys are for this user alone, however the program is started.
    rustix::process::umask(Mode::RWXG | Mode::RWXO);
    let args = match cli::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match cli::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
