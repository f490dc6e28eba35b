//! Bodies of requests: read within their limits and within the memory for all of them.

use std::time::Duration;

use axum::body::{BodyDataStream, HttpBody};
use axum::extract::Request;
use axum::http::{HeaderMap, header};
use futures_util::StreamExt;

use crate::http::contract::error::ContractError;
use crate::limits::memory_budget::{RequestBudget, SMALL_BYTES};

/// The limits of a body.
#[derive(Clone, Copy, Debug)]
pub(in crate::http) struct BodyLimits {
    /// The largest body.
    pub(in crate::http) bytes_max: usize,
    /// The longest value of a field.
    pub(in crate::http) value_bytes_max: usize,
    /// How long a large body waits for memory.
    pub(in crate::http) room_wait: Duration,
}

impl BodyLimits {
    /// The limits of a body without the data of messages. It reserves no memory.
    pub(in crate::http) const SMALL: BodyLimits = BodyLimits {
        bytes_max: SMALL_BYTES,
        value_bytes_max: 3 * SMALL_BYTES,
        room_wait: Duration::ZERO,
    };
}

/// The Content-Encoding of a compressed body. The server decodes none.
pub(in crate::http) fn content_coding(headers: &HeaderMap) -> Option<String> {
    let codings = headers.get_all(header::CONTENT_ENCODING).iter();
    let mut codings = codings.map(|coding| String::from_utf8_lossy(coding.as_bytes()));
    let coding = codings.find(|coding| !coding.trim().eq_ignore_ascii_case("identity"));
    coding
        .map(|coding| coding.trim().to_owned())
        .filter(|coding| !coding.is_empty())
}

/// Reads and drops the body of a refused request. A client that is still sending when the
/// connection closes may never see the reply.
pub(in crate::http) async fn discard(request: Request) {
    // A client that waits for `100 Continue` gets the reply instead.
    if !request.headers().contains_key(header::EXPECT) {
        drain(request.into_body().into_data_stream()).await;
    }
}

async fn drain(mut chunks: BodyDataStream) {
    const BYTES_MAX: usize = 16 * 1024 * 1024;
    const TIME_MAX: Duration = Duration::from_secs(5);
    let all = async {
        let mut bytes = 0;
        while let Some(Ok(chunk)) = chunks.next().await {
            bytes += chunk.len();
            if bytes > BYTES_MAX {
                break;
            }
        }
    };
    tokio::time::timeout(TIME_MAX, all).await.ok();
}

/// Reads the whole body.
///
/// # Errors
///
/// The body is too large, gets no memory, or the connection breaks.
pub(in crate::http) async fn whole_body(
    request: Request,
    limits: BodyLimits,
) -> Result<Vec<u8>, ContractError> {
    let bytes_max = limits.bytes_max;
    let declared = request.body().size_hint();
    if usize::try_from(declared.lower()).is_ok_and(|bytes| bytes > bytes_max) {
        discard(request).await;
        return Err(ContractError::BodyTooLarge { bytes_max });
    }
    let declared = declared.exact().and_then(|bytes| bytes.try_into().ok());
    let room = request.extensions().get::<RequestBudget>().cloned();
    let mut chunks = request.into_body().into_data_stream();
    let body = gathered(&mut chunks, declared, limits, room.as_ref()).await;
    if let Err(ContractError::BodyTooLarge { .. } | ContractError::Busy(_)) = body {
        if let Some(room) = room {
            room.release();
        }
        drain(chunks).await;
    }
    body
}

/// Gathers a body from its chunks. `declared` is its length, if it is known.
async fn gathered(
    chunks: &mut BodyDataStream,
    declared: Option<usize>,
    limits: BodyLimits,
    room: Option<&RequestBudget>,
) -> Result<Vec<u8>, ContractError> {
    let bytes_max = limits.bytes_max;
    let mut body = Vec::new();
    // The length that its reserved memory allows.
    let mut fits = SMALL_BYTES;
    while let Some(chunk) = chunks.next().await {
        let chunk = chunk.map_err(|error| wrong_body("complete", error))?;
        if chunk.len() > bytes_max - body.len() {
            return Err(ContractError::BodyTooLarge { bytes_max });
        }
        let bytes = body.len() + chunk.len();
        if bytes > fits {
            // A body of unknown length reserves memory as it grows.
            fits = declared.unwrap_or(2 * fits).clamp(bytes, bytes_max);
            if let Some(room) = room {
                // The decoded fields exist beside the body for a while.
                let needed = fits.saturating_mul(2);
                room.reserve(needed, limits.room_wait).await?;
            }
            body.reserve_exact(fits - body.len());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

/// The body is not of this kind, for this reason.
pub(super) fn wrong_body(kind: &'static str, reason: impl ToString) -> ContractError {
    let reason = reason.to_string();
    ContractError::Body { kind, reason }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use futures_util::FutureExt;

    use super::*;
    use crate::limits::memory_budget::MemoryBudget;

    /// A body of unknown length, in pieces of these sizes.
    fn growing(room: &MemoryBudget, pieces: &[usize]) -> Request {
        let pieces: Vec<_> = pieces.iter().map(|bytes| vec![b'a'; *bytes]).collect();
        let pieces = pieces.into_iter().map(Ok::<_, std::io::Error>);
        let body = Body::from_stream(futures_util::stream::iter(pieces));
        let mut request = Request::post("/").body(body).unwrap();
        request.extensions_mut().insert(RequestBudget::new(room));
        request
    }

    #[tokio::test]
    async fn a_body_of_unknown_length_takes_room_as_it_grows() {
        let limits = BodyLimits {
            bytes_max: 48 << 20,
            value_bytes_max: 16 << 20,
            room_wait: Duration::from_secs(8),
        };
        let room = MemoryBudget::new(1 << 20);
        let request = growing(&room, &[80_000, 100_000]);
        let held = request
            .extensions()
            .get::<RequestBudget>()
            .cloned()
            .unwrap();
        let body = whole_body(request, limits).await.unwrap();
        assert_eq!(body.len(), 180_000);
        // It has room for 256 KiB twice, and others have the rest.
        let rest = room.reserve(512 << 10).now_or_never().unwrap();
        drop(held);
        assert!(room.reserve(512 << 10).now_or_never().is_some());

        // The next step is not free, and it does not wait for it.
        let request = growing(&room, &[80_000, 100_000, 100_000]);
        let held = request
            .extensions()
            .get::<RequestBudget>()
            .cloned()
            .unwrap();
        let refused = whole_body(request, limits).now_or_never().unwrap();
        assert!(matches!(refused, Err(ContractError::Busy(_))));
        assert!(room.reserve(512 << 10).now_or_never().is_some());
        drop((rest, held));
    }

    #[tokio::test]
    async fn what_has_no_data_needs_no_room() {
        let room = MemoryBudget::new(1 << 20);
        let _all = room.reserve(1 << 20).await;
        let small = whole_body(growing(&room, &[40_000, 25_536]), BodyLimits::SMALL);
        assert_eq!(small.await.unwrap().len(), SMALL_BYTES);
        let large = whole_body(growing(&room, &[40_000, 25_537]), BodyLimits::SMALL);
        assert!(matches!(
            large.await,
            Err(ContractError::BodyTooLarge { .. })
        ));
    }
}
