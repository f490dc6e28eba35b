//! The documents and the tree say what is true.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed step fails its test, of the shared parts some are for others, and figures and seeds are for the reader"
)]

mod architecture;
#[path = "../common/mod.rs"]
mod common;
mod dependencies;
mod floors;
mod guarantees;
mod operations;
mod pages;
#[path = "../common/sources.rs"]
mod sources;
mod translations;
