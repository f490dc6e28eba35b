//! What a crash, a power cut, a full disk and damaged bytes leave.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed step fails its test, of the shared parts some are for others, and figures and seeds are for the reader"
)]

#[path = "../common/mod.rs"]
mod common;
#[path = "../common_store/mod.rs"]
mod common_store;
mod damage;
mod damage_server;
#[path = "../disk/mod.rs"]
mod disk;
mod disk_faults;
mod full_disk;
mod kill_9;
