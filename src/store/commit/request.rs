//! Requests to the writer.

use tokio::sync::oneshot;

use crate::message::{Draft, MessageCode, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::committed::Hold;
use crate::store::error::StoreError;

/// A request to the writer.
pub(crate) enum Request {
    /// Store messages, and answer when they are synced.
    Append {
        drafts: Vec<Draft>,
        hold: Option<Box<dyn Hold>>,
        done: oneshot::Sender<Result<Vec<MessageCode>, StoreError>>,
    },
    /// Record what became of messages.
    Change {
        change: Change,
        sequences: SequenceSet,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Delete what was created before `cutoff`: whole blocks, and `also` from the others.
    Expire {
        cutoff: UnixSeconds,
        also: SequenceSet,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Write an empty frame under the conditions of messages, to learn whether the disk takes it.
    Probe,
    /// The order has more entries.
    Ordered,
    /// Finish earlier requests, and end.
    Close,
}
