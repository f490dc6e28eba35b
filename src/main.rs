//! The `dpmq` program: a broker, and the commands around it.

use std::process::ExitCode;

use dpmq::{allocator, cli};

fn main() -> ExitCode {
    allocator::fix_sizes();
    let args = match cli::parse() {
        Ok(args) => args,
        Err(code) => return code,
    };
    match cli::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
