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
