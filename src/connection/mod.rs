//! The TCP connection below a client: the socket, its address, and what is counted of it.

pub mod connection_stats;
pub mod line;
pub(crate) mod network;
