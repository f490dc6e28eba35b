//! Finds the oldest message that is not consumed, of all topics and of each.

use std::collections::HashMap;

use crate::message::{Sequence, StatusKind, Topic, UnixSeconds};
use crate::store::error::StoreError;
use crate::store::index::bitmap::BLOCK_LEN;
use crate::store::reader::Reader;

/// The statuses of a message that is not consumed.
const WAITING: [StatusKind; 2] = [StatusKind::Accepted, StatusKind::NotConsumed];

impl Reader {
    /// The oldest waiting message of each topic: see [`crate::store::Reads::oldest_waiting_of`].
    pub(crate) fn oldest_waiting_of(
        &self,
        topics: &[Topic],
    ) -> Result<Vec<Option<UnixSeconds>>, StoreError> {
        let oldest = self.first_waiting_of(topics, UnixSeconds::MAX);
        oldest
            .into_iter()
            .map(|sequence| sequence.map_or(Ok(None), |at| self.created(at)))
            .collect()
    }

    /// The topics with a message that waits since before `before`: see
    /// [`crate::store::Reads::waiting_before`]. Sequences have the order of time, so a few reads
    /// find where `before` is among them.
    pub(crate) fn waiting_before(
        &self,
        topics: &[Topic],
        before: UnixSeconds,
    ) -> Result<Vec<usize>, StoreError> {
        let first = self.first_waiting_of(topics, before).into_iter().zip(0..);
        let mut first: Vec<(Sequence, usize)> = first
            .filter_map(|(sequence, place)| Some((sequence?, place)))
            .collect();
        first.sort_unstable();
        let (mut low, mut high) = (0, first.len());
        while low < high {
            let middle = low.midpoint(high);
            // A message that is gone meanwhile was old.
            match self.created(first[middle].0)? {
                Some(created) if created >= before => high = middle,
                Some(_) | None => low = middle + 1,
            }
        }
        let mut places: Vec<usize> = first[..low].iter().map(|(_, place)| *place).collect();
        places.sort_unstable();
        Ok(places)
    }

    /// The oldest waiting message: see [`crate::store::Reads::oldest_waiting`].
    pub(crate) fn oldest_waiting(&self) -> Result<Option<UnixSeconds>, StoreError> {
        let mut from = Some(Sequence::default());
        while let Some(first) = from {
            let (views, next) = {
                let index = self.lock();
                index.in_status(&WAITING, None, first, index.next_sequence(), 1)
            };
            let bit = views.first().and_then(|view| view.bits.iter().next());
            if let Some(bit) = bit {
                return self.created(Sequence(views[0].number * BLOCK_LEN + bit));
            }
            from = next;
        }
        Ok(None)
    }

    /// The first message of each topic that is not consumed, if it may be from before `before`.
    fn first_waiting_of(&self, topics: &[Topic], before: UnixSeconds) -> Vec<Option<Sequence>> {
        // Naming more topics to the index costs more than seeing topics that nobody asked for.
        const NAMED_MAX: usize = 256;
        let mut first = vec![None; topics.len()];
        let mut open: HashMap<&Topic, usize> = topics.iter().zip(0..).collect();
        {
            let index = self.lock();
            open.retain(|topic, _| {
                let counts = index.topics().counts(topic);
                counts.accepted + counts.not_consumed > 0
            });
        }
        let mut from = Some(Sequence::default());
        while let Some(start) = from.filter(|_| !open.is_empty()) {
            let index = self.lock();
            let named = || index.topics().ids(open.keys().copied());
            let wanted = (open.len() <= NAMED_MAX).then(named);
            let to = index.next_sequence();
            let (views, next) = index.in_status(&WAITING, wanted.as_ref(), start, to, 16);
            for view in views {
                if index.begins_from(view.number, before) {
                    return first;
                }
                index.first_of_each_topic(&view, |topic, sequence| {
                    if let Some(at) = open.remove(topic) {
                        first[at] = Some(sequence);
                    }
                });
            }
            from = next;
        }
        first
    }
}
