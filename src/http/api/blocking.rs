//! Work that would keep a thread of the runtime busy for too long.

use crate::http::api::error::ConsoleError;

/// Runs `work` on a thread that may block.
pub(in crate::http::api) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConsoleError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a question of the console failed");
        ConsoleError::internal("the question could not be answered; the log says why")
    })
}
