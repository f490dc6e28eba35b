//! The routes of the contract, `/Producer/…` and `/Console/…` (protocol, "HTTP"): one envelope,
//! and status 200 for refusals too.

mod console;
pub(in crate::http) mod error;
pub(in crate::http) mod producer;
pub(in crate::http) mod reply;

use crate::http::routes::{Route, routes};

/// Every route there is.
#[rustfmt::skip]
pub(in crate::http) const ROUTES: &[Route] = routes! {
    POST "/Producer/Send"          Publish => producer::send;
    POST "/Console/Ping"           AnyKey  => console::ping;
    POST "/Console/GetConsumers"   Read    => console::get_consumers;
    POST "/Console/GetConfig"      Read    => console::get_config;
    POST "/Console/GetMessageList" Read    => console::get_message_list;
    POST "/Console/CountMessage"   Read    => console::count_message;
};
