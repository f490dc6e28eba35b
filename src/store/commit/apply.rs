//! Applies a group that is in the log to the index: messages, cutoff and changes, in this order.

use crate::store::commit::group::Group;
use crate::store::index::Index;
use crate::store::log::encode::Written;
use crate::store::log::position::Position;

/// Applies `group`, which begins at `start` in the log. `frames` are the frames of its messages.
pub(super) fn apply(index: &mut Index, group: &Group, start: Position, frames: Vec<Written>) {
    for frame in frames {
        let offset = u32::try_from(frame.offset).expect("a group is far below 4 GiB");
        let position = Position {
            segment: start.segment,
            offset: start.offset + offset,
        };
        let runs = group.messages[frame.messages]
            .chunk_by(|a, b| a.created == b.created && a.topic == b.topic);
        for run in runs {
            index.accept(
                run[0].sequence,
                run.len() as u64,
                run[0].created,
                &run[0].topic,
                position,
            );
        }
    }
    if let Some(cutoff) = group.expire {
        index.raise_cutoff(cutoff);
    }
    for (change, sequences) in &group.changes {
        index.change(*change, sequences);
    }
}
