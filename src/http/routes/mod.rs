//! Tables of routes: each says what key it needs, and [`auth`] sees to it.

pub(super) mod auth;
pub(super) mod caller;
pub(super) mod slash;

use axum::routing::{MethodFilter, MethodRouter};

use crate::access::Right;
use crate::http::state::HttpState;

/// A method of a path.
pub(super) struct Route {
    pub(super) filter: MethodFilter,
    pub(super) method: &'static str,
    pub(super) path: &'static str,
    pub(super) needs: Needs,
    pub(super) handler: fn(MethodFilter) -> MethodRouter<HttpState>,
}

/// The key that a route needs. For which topics it is, the handlers look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// None.
    Nothing,
    /// Any.
    AnyKey,
    /// One with [`Right::Publish`].
    Publish,
    /// One with [`Right::ConsoleRead`].
    Read,
    /// One with [`Right::ConsoleRead`] that is for all topics.
    ReadAll,
    /// As `server.metrics` says: none, or one with [`Right::ConsoleRead`], also as a bearer's.
    Scrape,
    /// One with [`Right::ConsoleChange`].
    Change,
}

impl Needs {
    /// Whether something is other afterwards.
    pub(super) fn changes(self) -> bool {
        matches!(self, Needs::Publish | Needs::Change)
    }

    /// The right, if any.
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
