//! What the console API keeps between requests. It is bounded, and may be lost.

use crate::http::api::messages::export::links::Links;
use crate::http::api::overview::overviews::Overviews;
use crate::http::api::topics::survey::Survey;

/// The state that later requests use.
#[derive(Default)]
pub(in crate::http) struct Console {
    /// Exports that are requested and not fetched yet.
    pub(in crate::http) links: Links,
    /// The newest overview for all listeners.
    pub(in crate::http) overviews: Overviews,
    /// The topics that need attention.
    pub(in crate::http) survey: Survey,
}
