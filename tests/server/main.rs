//! The server around the broker: keys, TLS, health, metrics, logs, a reload.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed step fails its test, of the shared parts some are for others, and figures and seeds are for the reader"
)]

#[path = "../common/mod.rs"]
mod common;
mod health;
mod keys;
mod logs;
mod metrics;
mod reload;
mod supervised;
mod tls;
mod two_servers;
