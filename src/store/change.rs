//! What becomes of messages that are stored.

use crate::message::{StatusKind, UnixSeconds};

/// What became of messages that are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Back on their way to be pushed.
    Requeued,
    /// Pushed, and nobody was written to.
    NotConsumed,
    /// Pushed, and somebody was written to.
    Consumed {
        /// When the first write succeeded.
        at: UnixSeconds,
    },
    /// Gone.
    Deleted,
}

impl Change {
    /// The status that the messages have now, if they are still there.
    pub(crate) fn status(self) -> Option<StatusKind> {
        match self {
            Change::Requeued => Some(StatusKind::Accepted),
            Change::NotConsumed => Some(StatusKind::NotConsumed),
            Change::Consumed { .. } => Some(StatusKind::Consumed),
            Change::Deleted => None,
        }
    }

    /// Whether it tells what happened to messages, not what is to happen to them.
    pub(crate) fn is_outcome(self) -> bool {
        match self {
            Change::NotConsumed | Change::Consumed { .. } => true,
            Change::Requeued | Change::Deleted => false,
        }
    }
}
