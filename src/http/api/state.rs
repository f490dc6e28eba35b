//! What the console API keeps between requests: bounded, and nothing that matters.

use crate::http::api::messages::export::links::Links;
use crate::http::api::overview::overviews::Overviews;
use crate::http::api::topics::survey::Survey;

/// Links and answers that later requests use.
#[derive(Default)]
pub(in crate::http) struct Console {
    /// The exports that are asked for and not fetched yet.
    pub(in crate::http) links: Links,
    /// The overview for all who listen to it.
    pub(in crate::http) overviews: Overviews,
    /// The topics that need attention.
    pub(in crate::http) survey: Survey,
}
