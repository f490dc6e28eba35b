//! What the server and a key are: settings, rights, the login, the description of the API.

pub(in crate::http::api) mod config;
pub(in crate::http::api) mod key;
pub(in crate::http::api) mod login;
pub(in crate::http::api) mod openapi;
