//! In front of all routes: the gate, the health, and the rules for browsers and proxies.

pub(in crate::http) mod foreign;
pub(in crate::http) mod gate;
pub(in crate::http) mod health;
pub(in crate::http) mod pages;
mod streams;
