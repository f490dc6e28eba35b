//! A session: a client from its login to its end, whatever carries it and whatever dialect it
//! speaks.
//!
//! An edge brings a [`Connection`] and a [`Dialect`] and calls [`run`]; `ws/` is one. The session
//! decides what is said and when: the login, what is published and answered, what is delivered,
//! pings, the end. It is a task of its own, talks to the broker through the same handle as
//! everybody, and keeps nothing when it ends. Nothing here knows WebSocket, HTTP or JSON.

mod closing;
mod connection;
mod consumer;
mod dialect;
mod ends;
mod frame;
mod heartbeat;
mod login;
mod producer;
mod scope;
mod services;
#[cfg(test)]
mod tests;

#[cfg(test)]
pub(crate) use closing::close;
pub use connection::Connection;
pub use dialect::{Dialect, LargeFrame, Published};
pub use ends::{Cause, SessionEnd};
pub use frame::{Farewell, Frame};
pub use heartbeat::Liveness;
pub use scope::{LoginScope, right};
pub use services::Services;

use futures_util::future::Either;

use crate::broker::Role;

/// Serves a client from its login until its session ends, and its connection with it. Until it
/// has logged in, it takes turns with all others that have not.
pub fn run<D: Dialect, C: Connection<D>>(
    connection: C,
    dialect: D,
    scope: LoginScope,
    services: Services,
) -> impl Future<Output = ()> + Send {
    let (tracker, client) = (
        services.tracker.clone(),
        services.fair_share.unauthenticated(),
    );
    // Each is boxed where it is throttled, so that a session takes the memory of its own role.
    let session = match scope.role {
        Role::Consumer => {
            let session = consumer::run(connection, dialect, scope, client.clone(), services);
            Either::Left(client.throttled(session))
        }
        Role::Producer => {
            let session = producer::run(connection, dialect, scope, client.clone(), services);
            Either::Right(client.throttled(session))
        }
    };
    tracker.track_future(session)
}
