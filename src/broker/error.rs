//! What a producer can be told when its message is not taken.

use crate::store::StoreError;

/// Why a message was not accepted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PublishError {
    /// The queue had no room for as long as the producer may wait.
    #[error("the queue is full, try again later")]
    QueueFull,
    /// The server is going down.
    #[error("the server is stopping")]
    Stopping,
    /// The message could not be stored.
    #[error("the message could not be stored: {}", .0.cause())]
    Store(#[from] StoreError),
}

/// Why a message was not put back into the queue.
#[derive(Clone, Debug, thiserror::Error)]
pub enum PushAgainError {
    /// It is on its way to be pushed.
    #[error("the message is on its way already")]
    Waiting,
    /// A consumed message stays consumed; it can be published again.
    #[error("the message was consumed, and is not pushed a second time")]
    Consumed,
    /// It is not there any more.
    #[error("the message is gone")]
    Gone,
    /// The queue has no room.
    #[error("the queue is full, try again later")]
    Full,
    /// The change could not be recorded.
    #[error(transparent)]
    Store(#[from] StoreError),
}
