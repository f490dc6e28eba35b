//! The JSON that the console API shows.

pub(in crate::http::api) mod client;
pub(in crate::http::api) mod life;
pub(in crate::http::api) mod message;
pub(in crate::http::api) mod numbers;
pub(in crate::http::api) mod topic;
