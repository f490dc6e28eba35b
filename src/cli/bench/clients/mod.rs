//! The clients of a run: producers over WebSocket or HTTP, consumers, and what both are made of.

pub(super) mod consumer;
pub(super) mod http;
pub(super) mod link;
pub(super) mod outbound;
pub(super) mod producer;
