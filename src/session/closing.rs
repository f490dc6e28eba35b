//! The end of a connection: the client is told why, the end is counted, and the operator reads of
//! it.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};

use super::connection::Connection;
use super::dialect::Dialect;
use super::ends::{Cause, SessionEnd};
use super::frame::{Farewell, Frame};
use crate::broker::{ClientInfo, Missed, Role, Subscription};
use crate::connection::connection_stats::ConnectionStats;

/// A client has this long to answer a close before its connection is dropped.
pub(super) const CLOSE_WAIT: Duration = Duration::from_secs(1);
/// The longest reason, in bytes: a close frame of WebSocket takes no more (RFC 6455, 5.5).
const REASON_BYTES_MAX: usize = 123;

/// A client that was logged in, at the end of its session.
pub(crate) struct Leaver {
    role: Role,
    client: ClientInfo,
    /// What was to be written to a consumer, and is not.
    missed: Option<Missed>,
}

impl Leaver {
    /// The consumer whose subscription ends here.
    pub(super) fn consumer(subscription: Subscription) -> Leaver {
        let (client, missed) = subscription.leave();
        Leaver {
            role: Role::Consumer,
            client,
            missed: Some(missed),
        }
    }

    pub(super) fn producer(client: ClientInfo) -> Leaver {
        Leaver {
            role: Role::Producer,
            client,
            missed: None,
        }
    }
}

/// Ends a connection: tells the client why, gives it a moment to close its side, and tells the
/// operator. A client that has not logged in leaves no `leaver`.
pub(crate) async fn close<D: Dialect, C: Connection<D>>(
    connection: &mut C,
    dialect: &D,
    end: SessionEnd,
    leaver: Option<Leaver>,
    connections: &ConnectionStats,
) {
    let cause = end.cause();
    let Some(farewell) = farewell(end, dialect) else {
        // The answer to its close, if it sent one, is still to leave.
        let _ = tokio::time::timeout(CLOSE_WAIT, connection.flush()).await;
        return;
    };
    count(cause, leaver.as_ref(), connections);
    let is_gone = cause == Some(Cause::Silent);
    if leaver.is_some() && !is_gone {
        connection.line().begin_last_words();
    }
    let mut is_told = false;
    let closing = async {
        let frame = Frame::Close(Some(farewell.clone()));
        if connection.send(frame).await.is_ok() {
            is_told = !is_gone;
            while let Some(Ok(_)) = connection.next().await {}
        }
    };
    // A client that does not answer in time is dropped.
    let _ = tokio::time::timeout(CLOSE_WAIT, closing).await;
    tell(&farewell, is_told, leaver);
}

/// Ends a connection whose client takes nothing any more: only the operator is told.
pub(super) fn drop_untold(
    dialect: &impl Dialect,
    end: SessionEnd,
    leaver: Leaver,
    connections: &ConnectionStats,
) {
    count(end.cause(), Some(&leaver), connections);
    if let Some(farewell) = farewell(end, dialect) {
        tell(&farewell, false, Some(leaver));
    }
}

/// Counts a session that the server ends, and what its client misses by that.
fn count(cause: Option<Cause>, leaver: Option<&Leaver>, connections: &ConnectionStats) {
    let Some(cause) = cause else {
        return;
    };
    connections.ended(cause.counts_as()).add(1);
    let missed = leaver.and_then(|leaver| leaver.missed);
    connections
        .missed
        .add(missed.map_or(0, |missed| missed.messages));
}

/// Tells the operator of a session that the server has ended.
fn tell(farewell: &Farewell, is_told: bool, leaver: Option<Leaver>) {
    let (code, reason) = (farewell.code, farewell.reason.as_str());
    let Some(Leaver {
        role,
        client,
        missed,
    }) = leaver
    else {
        tracing::debug!(code, reason, "a client was not let in");
        return;
    };
    let role = match role {
        Role::Consumer => "consumer",
        Role::Producer => "producer",
    };
    tracing::info!(
        client = shortened(client.id),
        topic = client.topic.as_str(),
        address = %client.ip,
        key = &*client.key,
        code,
        reason,
        is_told,
        missed_messages = missed.map(|missed| missed.messages),
        missed_bytes = missed.map(|missed| missed.bytes),
        "the session of a {role} was ended",
    );
}

/// What the client is told; `None` if nobody is there.
fn farewell(end: SessionEnd, dialect: &impl Dialect) -> Option<Farewell> {
    match end {
        SessionEnd::ByClient => None,
        SessionEnd::ByServer { cause, reason } => Some(Farewell {
            code: dialect.close_code(cause),
            reason: shortened(reason.into_owned()),
        }),
    }
}

fn shortened(mut reason: String) -> String {
    reason.truncate(reason.floor_char_boundary(REASON_BYTES_MAX));
    reason
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_cut_at_a_whole_character() {
        assert_eq!(shortened("短".repeat(50)).len(), 123);
        assert_eq!(shortened("ä".repeat(100)).len(), 122);
        assert_eq!(shortened("short".into()), "short");
    }
}
