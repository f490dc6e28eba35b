//! What an entry does to the state.
//!
//! Both steps are functions of the state and the entry: no clock, configuration, randomness or
//! socket has a say. So the same entries lead every store to the same state.

use crate::message::{Message, MessageCode, Sequence, Status, UnixSeconds};
use crate::store::commit::order::OrderEntry;
use crate::store::commit::resolved::Resolved;
use crate::store::index::Index;
use crate::store::log::encode::Written;
use crate::store::log::position::Position;

/// Gives the messages of an entry their sequences, times and codes. `next` is the next sequence of
/// the state, and `created` is what [`Index::time_of`] says of the time of the entry.
pub(super) fn resolve(entry: OrderEntry, next: Sequence, created: UnixSeconds) -> Resolved {
    let messages = entry.proposal.messages.into_iter().zip(next.0..);
    Resolved {
        messages: messages
            .map(|(proposed, sequence)| Message {
                sequence: Sequence(sequence),
                code: MessageCode::new(proposed.digest, created),
                topic: proposed.topic,
                data: proposed.data,
                created,
                status: Status::Accepted,
            })
            .collect(),
        expire: entry.proposal.expire,
        changes: entry.proposal.changes,
        probe: false,
    }
}

/// Applies what is in the log, beginning at `start`: messages, cutoff and changes, in this order.
/// `frames` are the frames of its messages.
pub(super) fn apply(index: &mut Index, resolved: &Resolved, start: Position, frames: Vec<Written>) {
    for frame in frames {
        let offset = u32::try_from(frame.offset).expect("a group is far below 4 GiB");
        let position = Position {
            segment: start.segment,
            offset: start.offset + offset,
        };
        let runs = resolved.messages[frame.messages].chunk_by(|a, b| a.topic == b.topic);
        for run in runs {
            let (first, len) = (run[0].sequence, run.len() as u64);
            index.accept(first, len, run[0].created, &run[0].topic, position);
        }
    }
    if let Some(last) = resolved.messages.last() {
        index.note_created(last.created);
    }
    if let Some(cutoff) = resolved.expire {
        index.raise_cutoff(cutoff);
    }
    for (change, sequences) in &resolved.changes {
        index.change(*change, sequences);
    }
}
