//! The way of a connection: accepted or refused, secured, served request by request, and closed
//! so that its client hears the last words.

pub(super) mod accept;
pub(super) mod admission;
mod deadlines;
mod forwarded;
mod host;
mod lingering_close;
pub(super) mod tls;
