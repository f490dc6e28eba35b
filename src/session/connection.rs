//! What carries a session: frames of the client come in, frames of the session and deliveries
//! leave.

use std::task::{Context, Poll};

use futures_util::{Sink, Stream};

use super::dialect::Dialect;
use super::ends::SessionEnd;
use super::frame::Frame;
use super::heartbeat::Liveness;
use crate::broker::Ticket;
use crate::connection::line::Line;

/// The connection of one client, which speaks the dialect `D`.
///
/// As a stream it gives the frames of the client, or why they end; it answers pings by itself. As
/// a sink it takes frames of the session. Deliveries do not go through the sink: they are written
/// from the one encoding that all consumers share, and no frame of them is kept.
pub trait Connection<D: Dialect>:
    Stream<Item = Result<Frame, SessionEnd>> + Sink<Frame, Error = SessionEnd> + Unpin + Send + 'static
{
    /// The client has logged in: from now on it may send messages.
    fn logged_in(&mut self);

    /// Where the client's signs of life are noted.
    fn liveness(&self) -> Liveness;

    /// The TCP connection below.
    fn line(&self) -> &Line;

    /// Writes what the client takes of `deliveries` at once. Removes those that are written
    /// whole, and reports them. Pends while the client takes nothing; may be called off.
    fn poll_deliver(
        &mut self,
        cx: &mut Context<'_>,
        deliveries: &mut Vec<Ticket>,
    ) -> Poll<Result<(), SessionEnd>>;

    /// No more of `deliveries` is written. If a frame of them is begun, the rest of it leaves
    /// before the next frame of the session does.
    fn stop_delivering(&mut self, deliveries: &[Ticket]);
}
