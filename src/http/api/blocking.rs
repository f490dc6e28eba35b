//! Work that would block a thread of the runtime for too long.

use crate::http::api::error::ConsoleError;

/// Runs `work` on a thread that may block.
pub(in crate::http::api) async fn off_thread<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, ConsoleError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| {
        tracing::error!(%error, "a request of the console API failed");
        ConsoleError::internal("the request failed; the log says why")
    })
}
