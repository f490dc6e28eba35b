//! Keeps when messages were consumed, until the mirror has it.

use std::collections::BTreeMap;

use crate::message::{Sequence, UnixSeconds};

/// Times of consumption that the mirror lacks.
#[derive(Debug, Default)]
pub(crate) struct ConsumedTimes {
    /// First sequence → (length, time). Ranges do not overlap, since a message is consumed once.
    pub(in crate::store) pending: BTreeMap<u64, (u64, UnixSeconds)>,
    /// Handed to the mirror, and not known to be written yet.
    pub(in crate::store) flushing: BTreeMap<u64, (u64, UnixSeconds)>,
}

impl ConsumedTimes {
    /// Records when the messages of a range were consumed.
    pub(in crate::store) fn add(&mut self, first: u64, len: u64, at: UnixSeconds) {
        if let Some((&start, (length, time))) = self.pending.range_mut(..first).next_back()
            && start + *length == first
            && *time == at
        {
            *length += len;
            return;
        }
        self.pending.insert(first, (len, at));
    }

    /// The number of ranges not handed to the mirror yet.
    pub(crate) fn len(&self) -> usize {
        self.pending.len()
    }

    /// When `sequence` was consumed, if the mirror may not have it yet.
    pub(crate) fn get(&self, sequence: Sequence) -> Option<UnixSeconds> {
        [&self.pending, &self.flushing].into_iter().find_map(|map| {
            let (&first, &(len, at)) = map.range(..=sequence.0).next_back()?;
            (sequence.0 < first + len).then_some(at)
        })
    }
}
