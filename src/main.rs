//! The `dpmq` command.

fn main() {}
