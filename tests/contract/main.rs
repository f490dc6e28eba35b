//! What clients of the broker can rely on: the wire contract, the API of the console, and their descriptions.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed step fails its test, of the shared parts some are for others, and figures and seeds are for the reader"
)]

mod api;
mod asyncapi;
#[path = "../common/mod.rs"]
mod common;
mod config;
mod conformance;
mod console;
#[path = "../disk/mod.rs"]
mod disk;
mod frames;
#[path = "../../src/fuzz.rs"]
mod fuzz;
mod http;
mod import;
mod life;
mod ws;
