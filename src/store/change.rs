//! The outcomes of stored messages.

use crate::message::{StatusKind, UnixSeconds};

/// An outcome of stored messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// To be pushed again.
    Requeued,
    /// Pushed, but written to no consumer.
    NotConsumed,
    /// Pushed, and written to a consumer.
    Consumed {
        /// When the first write succeeded.
        at: UnixSeconds,
    },
    /// Deleted.
    Deleted,
}

impl Change {
    /// The new status of the messages; `None` if they are deleted.
    pub(crate) fn status(self) -> Option<StatusKind> {
        match self {
            Change::Requeued => Some(StatusKind::Accepted),
            Change::NotConsumed => Some(StatusKind::NotConsumed),
            Change::Consumed { .. } => Some(StatusKind::Consumed),
            Change::Deleted => None,
        }
    }

    /// Whether it records what has happened to messages, rather than what is to happen.
    pub(crate) fn is_outcome(self) -> bool {
        match self {
            Change::NotConsumed | Change::Consumed { .. } => true,
            Change::Requeued | Change::Deleted => false,
        }
    }
}
