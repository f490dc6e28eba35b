//! What the console API shows of messages and clients, as JSON.

pub(in crate::http::api) mod life;
pub(in crate::http::api) mod message;
