//! Clients that do what they should not.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed step fails its test, of the shared parts some are for others, and figures and seeds are for the reader"
)]

mod clients;
#[path = "../common/mod.rs"]
mod common;
mod storm;
