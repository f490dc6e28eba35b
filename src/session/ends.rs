//! Why a session ends.

use std::borrow::Cow;

use crate::access::End;
use crate::broker::{CloseReason, PublishError};
use crate::connection::connection_stats::Ended;

/// Who ends a session, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The client closed, or its connection is dead: nobody is there to be told.
    ByClient,
    /// The server ends it.
    ByServer {
        /// What the close code tells.
        cause: Cause,
        /// What the client and the operator read.
        reason: Cow<'static, str>,
    },
}

/// Why the server ends a session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The server stops.
    Stopping,
    /// The client broke the protocol of its connection.
    Malformed,
    /// The client sent text that is not UTF-8.
    NotUtf8,
    /// The client sent more than a message may have.
    TooLarge,
    /// The client broke a rule of the server, or the operator ends its session.
    Policy,
    /// The client reads too slowly, and may come back.
    TooSlow,
    /// The client's end does not answer; it may come back.
    Silent,
    /// The server could not do its part.
    Failed,
}

impl Cause {
    /// What it counts as.
    pub(super) fn counts_as(self) -> Ended {
        match self {
            Cause::Stopping => Ended::Stopping,
            Cause::Malformed | Cause::NotUtf8 => Ended::Protocol,
            Cause::TooLarge => Ended::TooLarge,
            Cause::Policy => Ended::Policy,
            Cause::TooSlow => Ended::TooSlow,
            Cause::Silent => Ended::Silent,
            Cause::Failed => Ended::Failed,
        }
    }
}

impl SessionEnd {
    /// The server ends the session.
    pub fn by_server(cause: Cause, reason: impl Into<Cow<'static, str>>) -> SessionEnd {
        let reason = reason.into();
        SessionEnd::ByServer { cause, reason }
    }

    pub(super) fn stopping() -> SessionEnd {
        SessionEnd::by_server(Cause::Stopping, "the server is stopping")
    }

    pub(super) fn policy(reason: impl Into<Cow<'static, str>>) -> SessionEnd {
        SessionEnd::by_server(Cause::Policy, reason)
    }

    /// The server could not store what a client sent.
    pub(super) fn failed(error: &PublishError) -> SessionEnd {
        SessionEnd::by_server(Cause::Failed, error.to_string())
    }

    /// `None` if the client has ended the session.
    pub(super) fn cause(&self) -> Option<Cause> {
        match self {
            SessionEnd::ByClient => None,
            SessionEnd::ByServer { cause, .. } => Some(*cause),
        }
    }
}

impl From<CloseReason> for SessionEnd {
    fn from(reason: CloseReason) -> SessionEnd {
        match reason {
            CloseReason::TooSlow => {
                SessionEnd::by_server(Cause::TooSlow, "too slow: the outbox is full")
            }
            CloseReason::Disconnected => SessionEnd::policy("disconnected by the operator"),
            CloseReason::KeyRevoked => End::Revoked.into(),
            CloseReason::KeyExpired => End::Expired.into(),
        }
    }
}

impl From<End> for SessionEnd {
    fn from(end: End) -> SessionEnd {
        SessionEnd::policy(match end {
            End::Revoked => "the key was revoked or changed",
            End::Expired => "the key has expired",
        })
    }
}
