//! The one order of everything that happens to the messages, and the engine that gives it.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use bytestring::ByteString;

use crate::clock::Clock;
use crate::message::{MessageDigest, Topic, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::change::Change;

/// Puts what is proposed into one order.
///
/// What it hands back has happened, in that order. The state of a store is a function of these
/// entries alone.
pub trait Order: Send {
    /// Takes a proposal of this store.
    fn propose(&mut self, proposal: Proposal);

    /// The next entry, if it is known by now. The proposals of this store come back in the order in
    /// which it made them.
    fn next(&mut self) -> Option<OrderEntry>;

    /// What makes an entry durable.
    fn durability(&self) -> Durability;
}

/// What makes an entry durable, and so whether it can still be refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Durability {
    /// The disk of this store. What it cannot write has not happened, and the callers are told.
    Disk,
    /// The order itself. The disk of this store has a copy, which is written when it can be.
    Order,
}

/// An entry of the order.
#[derive(Clone, Debug)]
pub struct OrderEntry {
    /// When it was ordered. Where several stores follow the order, this never goes back.
    pub at: UnixSeconds,
    /// Whether this store has proposed it.
    pub is_own: bool,
    /// What happens.
    pub proposal: Proposal,
}

/// What a store proposes: data alone, from which every store makes the same. Sequences and times of
/// creation are not in it, for they depend on the place in the order.
#[derive(Clone, Debug, Default)]
pub struct Proposal {
    pub(in crate::store) messages: Vec<Proposed>,
    /// The new cutoff of expiry. `changes` delete the older messages of blocks that also have newer
    /// ones.
    pub(in crate::store) expire: Option<UnixSeconds>,
    pub(in crate::store) changes: Vec<(Change, SequenceSet)>,
}

/// A message to be accepted.
#[derive(Clone, Debug)]
pub(in crate::store) struct Proposed {
    pub(in crate::store) digest: MessageDigest,
    pub(in crate::store) topic: Topic,
    pub(in crate::store) data: ByteString,
}

impl Proposal {
    pub(in crate::store) fn is_empty(&self) -> bool {
        self.messages.is_empty() && self.expire.is_none() && self.changes.is_empty()
    }
}

/// The order of a store that is alone: that of its own proposals.
pub(crate) struct Alone {
    clock: Clock,
    proposals: VecDeque<Proposal>,
}

impl Order for Alone {
    fn propose(&mut self, proposal: Proposal) {
        self.proposals.push_back(proposal);
    }

    fn next(&mut self) -> Option<OrderEntry> {
        let proposal = self.proposals.pop_front()?;
        Some(OrderEntry {
            at: self.clock.now(),
            is_own: true,
            proposal,
        })
    }

    fn durability(&self) -> Durability {
        Durability::Disk
    }
}

/// Wakes the writer: the order has more entries.
#[derive(Clone)]
pub struct Wake(pub(in crate::store) Arc<dyn Fn() + Send + Sync>);

impl Wake {
    /// Wakes the writer.
    pub fn wake(&self) {
        (self.0)();
    }
}

/// Begins an order when a store is opened.
type Begin = dyn Fn(Wake) -> Box<dyn Order> + Send + Sync;

/// Which order a store follows.
#[derive(Clone, Default)]
pub struct OrderOf(Option<Arc<Begin>>);

impl OrderOf {
    /// The order that `begin` gives when the store is opened.
    #[doc(hidden)]
    pub fn new(begin: impl Fn(Wake) -> Box<dyn Order> + Send + Sync + 'static) -> OrderOf {
        OrderOf(Some(Arc::new(begin)))
    }

    pub(in crate::store) fn begin(&self, clock: &Clock, wake: Wake) -> Box<dyn Order> {
        match &self.0 {
            Some(begin) => begin(wake),
            None => Box::new(Alone {
                clock: clock.clone(),
                proposals: VecDeque::new(),
            }),
        }
    }
}

impl fmt::Debug for OrderOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0.is_some() { "another" } else { "alone" })
    }
}
