//! The two dialects of refusals: the contract's and the console API's.

use axum::http::{Method, Uri};
use axum::response::{IntoResponse, Response};

use crate::http::api::error::ConsoleError;
use crate::http::contract::error::ContractError;

/// The form of a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Dialect {
    /// The envelope, nearly always with status 200.
    Contract,
    /// An ordinary status and an `error`, for paths below `/api`.
    Console,
}

impl Dialect {
    /// The dialect of the routes at this address.
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

/// Refuses a method that the path does not have.
pub(in crate::http) async fn wrong_method(method: Method, uri: Uri) -> Response {
    Dialect::of(&uri).refuse(ContractError::WrongMethod {
        method: method.to_string(),
        path: uri.path().to_owned(),
    })
}

/// Refuses a path without a route.
pub(in crate::http) async fn no_such_path(uri: Uri) -> Response {
    Dialect::of(&uri).refuse(ContractError::NoSuchPath(uri.path().to_owned()))
}
