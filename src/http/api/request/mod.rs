//! The requests of the console API: parameters of path and query, and JSON bodies.

pub(in crate::http::api) mod body;
pub(in crate::http::api) mod filter;
pub(in crate::http::api) mod params;
