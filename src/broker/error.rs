//! Why a message is refused, or not pushed again.

use crate::store::StoreError;

/// Why a message was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The queue had no free slot for as long as the producer may wait.
    #[error("the queue is full, try again later")]
    QueueFull,
    /// The server stops.
    #[error("the server is stopping")]
    Stopping,
    /// The message could not be stored.
    #[error("the message could not be stored: {}", .0.cause())]
    Store(#[from] StoreError),
}

/// Why a message was not put back into the queue.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PushAgainError {
    /// The message is in the queue already.
    #[error("the message is on its way already")]
    Waiting,
    /// The message was consumed, and stays so. It can be published again.
    #[error("the message was consumed, and is not pushed a second time")]
    Consumed,
    /// The message was deleted.
    #[error("the message is gone")]
    Gone,
    /// The queue cannot take it now.
    #[error("the queue is full, try again later")]
    Full,
    /// The change could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}
