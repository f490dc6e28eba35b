//! What the index hands to the mirror, and gets back from it at a start.

use std::collections::{BTreeMap, BTreeSet};

use crate::message::UnixSeconds;
use crate::sequences::Span;
use crate::store::growth::{Day, Growth};
use crate::store::index::block::Block;
use crate::store::index::topics::{TopicChanges, TopicTable};
use crate::store::log::position::Position;

/// What the mirror lacks.
#[derive(Debug, Default)]
pub(super) struct Dirty {
    pub(super) blocks: BTreeSet<u64>,
    /// Those of `blocks` with new messages, and not only other statuses.
    pub(super) grown: BTreeSet<u64>,
    pub(super) days: BTreeSet<Day>,
    pub(super) quarters: BTreeSet<u32>,
    pub(super) dropped: Vec<Dropped>,
    pub(super) any: bool,
}

/// A dropped block, and the days for which the mirror has keys of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Dropped {
    pub(crate) block: u64,
    pub(crate) days: Vec<Day>,
}

/// What the mirror must write to reach the state at `applied`.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    pub(crate) applied: Position,
    pub(crate) next: u64,
    pub(crate) cutoff: UnixSeconds,
    pub(crate) blocks: Vec<(u64, Block)>,
    /// Those of `blocks` with new messages, and not only other statuses.
    pub(crate) grown: BTreeSet<u64>,
    pub(crate) dropped: Vec<Dropped>,
    /// Counts and growth of each day that changed.
    pub(crate) days: Vec<(Day, [u64; 3], u64)>,
    /// Growth of each quarter of an hour that changed.
    pub(crate) quarters: Vec<(u32, u64)>,
    pub(crate) topics: TopicChanges,
    /// (messages, when they were consumed), ascending
    pub(crate) times: Vec<(Span, UnixSeconds)>,
}

/// The state that the mirror gives to `Index::restore` at a start.
#[derive(Debug, Default)]
pub(crate) struct IndexState {
    pub(crate) blocks: BTreeMap<u64, Block>,
    pub(crate) topics: TopicTable,
    pub(crate) growth: Growth,
    pub(crate) next: u64,
    pub(crate) cutoff: UnixSeconds,
    pub(crate) applied: Position,
}
