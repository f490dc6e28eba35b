//! What the console API is asked: parameters of path and query, and bodies of JSON.

pub(in crate::http::api) mod body;
pub(in crate::http::api) mod filter;
pub(in crate::http::api) mod params;
