//! The times at which messages were consumed, according to the log.

use std::collections::BTreeMap;

use crate::message::{Sequence, UnixSeconds};
use crate::store::index::Index;
use crate::store::index::bitmap::BLOCK_LEN;

/// The times at which messages were consumed. A block with any takes 4 bytes for each message.
#[derive(Default)]
pub(super) struct Times(BTreeMap<u64, Box<[u32]>>);

impl Times {
    /// Takes the changes out of the index.
    pub(super) fn take(&mut self, index: &mut Index) {
        let changes = index.take_changes();
        index.mirrored(None);
        for dropped in &changes.dropped {
            self.0.remove(&dropped.block);
        }
        for (span, at) in changes.times {
            for sequence in span.first..span.end() {
                let len = usize::try_from(BLOCK_LEN).expect("a block is small");
                let block = self.0.entry(sequence / BLOCK_LEN);
                let block = block.or_insert_with(|| vec![0; len].into());
                block[place_in_block(sequence)] = at.0;
            }
        }
    }

    /// When a message was consumed.
    pub(super) fn of(&self, sequence: Sequence) -> Option<UnixSeconds> {
        let block = self.0.get(&(sequence.0 / BLOCK_LEN))?;
        Some(UnixSeconds(block[place_in_block(sequence.0)]))
    }
}

fn place_in_block(sequence: u64) -> usize {
    usize::try_from(sequence % BLOCK_LEN).expect("a block is small")
}
