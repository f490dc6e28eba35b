//! DPMQ: a message broker that pushes over WebSocket, and answers after the disk has synced.

pub mod broker;
pub mod clock;
pub mod import;
pub mod message;
pub mod sequences;
pub mod store;
pub mod wire;
