//! DPMQ: a message broker that pushes over WebSocket, and answers after the disk has synced.

pub mod clock;
pub mod message;
pub mod wire;
