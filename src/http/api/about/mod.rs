//! About the server and the caller's key: settings, rights, login, the description of the API.

pub(in crate::http::api) mod config;
pub(in crate::http::api) mod key;
pub(in crate::http::api) mod login;
pub(in crate::http::api) mod openapi;
