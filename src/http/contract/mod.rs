//! The routes of the contract: `/Producer/…` and `/Console/…` (protocol, "HTTP"). All replies have
//! one envelope, and refusals have status 200 too.

mod console;
pub(in crate::http) mod error;
pub(in crate::http) mod producer;
pub(in crate::http) mod reply;

use crate::http::routes::{Route, routes};

/// The contract's routes.
#[rustfmt::skip]
pub(in crate::http) const ROUTES: &[Route] = routes! {
    POST "/Producer/Send"          Publish => producer::send;
    POST "/Console/Ping"           AnyKey  => console::ping;
    POST "/Console/GetConsumers"   Read    => console::get_consumers;
    POST "/Console/GetConfig"      Read    => console::get_config;
    POST "/Console/GetMessageList" Read    => console::get_message_list;
    POST "/Console/CountMessage"   Read    => console::count_message;
};
