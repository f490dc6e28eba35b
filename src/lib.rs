//! DPMQ: a message broker that pushes over WebSocket, and answers after the disk has synced.

pub mod broker;
pub mod cli;
pub mod clock;
pub mod config;
pub mod http;
pub mod import;
pub mod message;
pub mod sequences;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod wire;
pub mod ws;
