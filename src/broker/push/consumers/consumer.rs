//! A connected consumer and its outbox.

use std::sync::Arc;

use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::broker::clients::{Client, ClientInfo, CloseReason, CloseSignal, Closer, Role};
use crate::broker::push::delivery::{Delivery, Ticket};
use crate::broker::push::outbox::{Outbox, OutboxUse};
use crate::broker::push::trace::Recipient;

/// A connected consumer and its outbox.
pub(in crate::broker) struct Consumer {
    pub(super) number: u64,
    pub(super) info: Arc<ClientInfo>,
    outbox: mpsc::UnboundedSender<Ticket>,
    used: Arc<OutboxUse>,
    close: Closer,
}

impl Consumer {
    pub(super) fn new(
        number: u64,
        info: ClientInfo,
        outbox: mpsc::UnboundedSender<Ticket>,
        used: OutboxUse,
    ) -> Consumer {
        Consumer {
            number,
            info: Arc::new(info),
            outbox,
            used: Arc::new(used),
            close: Closer::new(),
        }
    }

    /// Asks its session to end.
    pub(in crate::broker) fn close(&self, reason: CloseReason) {
        self.close.close(reason);
    }

    /// The consumer, as the console shows it.
    pub(in crate::broker) fn client(&self) -> Client {
        Client {
            number: self.number,
            role: Role::Consumer,
            info: self.info.clone(),
            messages: self.used.written(),
            outbox: Some(self.used.outbox()),
        }
    }

    pub(super) fn recipient(&self) -> Recipient {
        Recipient {
            number: self.number,
            id: self.info.id.clone(),
            ip: self.info.ip,
        }
    }

    /// Tells when the broker asks the session to end.
    pub(super) fn close_signal(&self) -> CloseSignal {
        self.close.signal()
    }

    /// Whether its outbox can take more.
    pub(super) fn has_capacity(&self) -> bool {
        self.used.has_capacity()
    }

    /// Whether memory of large messages is in its outbox.
    pub(super) fn has_large(&self) -> bool {
        self.used.has_large()
    }

    /// How full its outbox is.
    pub(super) fn outbox(&self) -> Outbox {
        self.used.outbox()
    }

    /// Messages that were to be written to it and are not, and the bytes of their data.
    pub(super) fn missed(&self) -> (u64, u64) {
        self.used.missed()
    }

    /// How fast messages are written to it.
    pub(super) fn rate(&self, now: Instant) -> f64 {
        self.used.rate().at(now)
    }

    /// Its part in a delivery, which counts in its outbox from now on.
    pub(super) fn ticket(&self, delivery: Arc<Delivery>) -> Ticket {
        Ticket::new(delivery, self.used.clone())
    }

    /// Puts a ticket into its outbox. A ticket for a session that has ended is dropped, which
    /// reports it as failed.
    pub(super) fn send(&self, ticket: Ticket) {
        let _ = self.outbox.send(ticket);
    }
}
