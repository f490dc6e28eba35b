//! The store: what it keeps, in which order, and after which faults.

#![allow(
    dead_code,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failed step fails its test, of the shared parts some are for others, and figures and seeds are for the reader"
)]

mod backup;
#[path = "../common_store/mod.rs"]
mod common_store;
mod contract;
mod faults;
mod formats;
mod model;
mod recovery;
#[path = "../simulated_disk/mod.rs"]
mod simulated_disk;
mod snapshot;
mod verify;
