//! Tables of routes. Each route says which key it needs, and [`auth`] enforces it.

pub(super) mod auth;
pub(super) mod caller;
pub(super) mod slash;

use axum::routing::{MethodFilter, MethodRouter};

use crate::access::Right;
use crate::http::state::HttpState;

/// A route: a method of a path.
pub(super) struct Route {
    pub(super) filter: MethodFilter,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    pub(super) handler: fn(MethodFilter) -> MethodRouter<HttpState>,
}

/// The key that a route needs. The handlers check the topics.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// No key.
    Nothing,
    /// Any valid key.
    AnyKey,
    /// A key with [`Right::Publish`].
    Publish,
    /// A key with [`Right::ConsoleRead`].
    Read,
    /// A key with [`Right::ConsoleRead`] for all topics.
    ReadAll,
    /// What `server.metrics` demands: no key, or one with [`Right::ConsoleRead`], also as a bearer
    /// token.
    Scrape,
    /// A key with [`Right::ConsoleChange`].
    Change,
}

impl Needs {
    /// Whether the route changes something.
    pub(super) fn changes(self) -> bool {
        matches!(self, Needs::Publish | Needs::Change)
    }

    /// The right that the key needs, if any.
    pub fn right(self) -> Option<Right> {
        match self {
            Needs::Nothing | Needs::AnyKey => None,
            Needs::Publish => Some(Right::Publish),
            Needs::Read | Needs::ReadAll | Needs::Scrape => Some(Right::ConsoleRead),
            Needs::Change => Some(Right::ConsoleChange),
        }
    }
}

/// A table of routes: `METHOD "path" needs => handler`.
macro_rules! routes {
    ($($method:ident $path:literal $needs:ident => $handler:path;)*) => {
        &[$($crate::http::routes::Route {
            filter: axum::routing::MethodFilter::$method,
            method: stringify!($method),
            path: $path,
            needs: $crate::http::routes::Needs::$needs,
            handler: |method| axum::routing::on(method, $handler),
        }),*]
    };
}

pub(super) use routes;
