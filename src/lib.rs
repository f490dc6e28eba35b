//! DPMQ: a message broker that pushes over WebSocket, and answers after the disk has synced.
//!
//! The crate is the program `dpmq` and its parts; it is a library so that tests can reach them.
//! `ARCHITECTURE.md` tells how a message flows and where to change what. Dependencies point one
//! way, from the top of this table to its bottom, and `tests/docs/architecture.rs` keeps it so.
//!
//! | module | what it owns |
//! |---|---|
//! | [`cli`] | commands and their arguments |
//! | [`server`] | puts the parts together; the order of start and stop |
//! | [`http`] | the routes, and the page |
//! | [`ws`] | the upgrade to WebSocket, its frames, the classic dialect |
//! | [`session`] | login, loops and ends of producers and consumers, whatever carries them |
//! | [`connection`] | the TCP connection below a client, and what is counted of it |
//! | [`wire`] | the JSON of the protocol; for `http/` and `ws/` only |
//! | [`access`] | who may do what: keys, their rights and topics |
//! | [`broker`] | queue, pace, outboxes, deliveries, the periodic check |
//! | [`store`] | log, index, mirror, snapshot, recovery |
//! | [`import`] | the data file of the original server |
//! | [`message`], [`sequences`], [`patterns`] | what a message is, sets of them, and of topics |
//!
//! Beside them: [`config`] has every setting and its checks, [`telemetry`] the log, [`clock`]
//! the time, [`measure`] counters and histograms, [`limits`] what each client may take
//! of the server, [`allocator`] what becomes of memory that is freed.

pub mod access;
pub mod allocator;
pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod connection;
#[cfg(test)]
mod fuzz;
pub mod http;
pub mod import;
pub mod limits;
pub mod measure;
pub mod message;
pub mod patterns;
mod regular;
pub mod sequences;
pub mod server;
pub mod session;
pub mod store;
pub mod telemetry;
pub mod wire;
pub mod ws;
