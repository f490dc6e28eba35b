//! Two dialects of refusals: that of the contract, and that of the console API.

use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};

use crate::http::api::error::ConsoleError;
use crate::http::contract::error::ContractError;

/// The form in which a path refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Dialect {
    /// The envelope, mostly with status 200.
    Contract,
    /// Ordinary statuses and an `error`, below `/api`.
    Console,
}

impl Dialect {
    /// That of the routes around this address.
    pub(in crate::http) fn of(uri: &Uri) -> Dialect {
        let path = uri.path();
        match path == "/api" || path.starts_with("/api/") {
            true => Dialect::Console,
            false => Dialect::Contract,
        }
    }

    /// The reply to a request that is refused.
    pub(in crate::http) fn refuse(self, error: ContractError) -> Response {
        match self {
            Dialect::Contract => error.into_response(),
            Dialect::Console => ConsoleError::from(error).into_response(),
        }
    }
}

/// The reply to a method that the path lacks.
pub(in crate::http) async fn wrong_method(method: Method, uri: Uri) -> Response {
    Dialect::of(&uri).refuse(ContractError::WrongMethod {
        method: method.to_string(),
        path: uri.path().to_owned(),
    })
}

/// The reply at a path without a route.
pub(in crate::http) async fn no_such_path(uri: Uri) -> Response {
    Dialect::of(&uri).refuse(ContractError::NoSuchPath(uri.path().to_owned()))
}
