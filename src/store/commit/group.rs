//! Requests to the writer, and the groups in which it writes them.

use tokio::sync::oneshot;

use crate::message::{Draft, Message, MessageCode, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::committed::Hold;
use crate::store::error::StoreError;
use crate::store::fs::reserve::Urgency;

/// What a range of sequences counts in the size of a group.
const SPAN_BYTES: usize = 16;

/// The most ranges in one frame of changes: far below the limit of a frame, and fast to read.
const FRAME_SPANS_MAX: usize = 256 << 10;

/// A request to the writer.
pub(crate) enum Request {
    /// Store messages, and answer when they are synced.
    Append {
        drafts: Vec<Draft>,
        hold: Option<Box<dyn Hold>>,
        done: oneshot::Sender<Result<Vec<MessageCode>, StoreError>>,
    },
    /// Record what became of messages.
    Change {
        change: Change,
        sequences: SequenceSet,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Delete what was created before `cutoff`: whole blocks, and `also` from the others.
    Expire {
        cutoff: UnixSeconds,
        also: SequenceSet,
        done: oneshot::Sender<Result<(), StoreError>>,
    },
    /// Write an empty frame under the conditions of messages, to learn whether the disk takes it.
    Probe,
    /// Finish earlier requests, and end.
    Close,
}

/// Requests that are written together.
#[derive(Default)]
pub(super) struct Group {
    pub(super) messages: Vec<Message>,
    pub(super) appends: Vec<Append>,
    /// The new cutoff of expiry. `changes` delete the older messages of blocks that also have newer
    /// ones. Such a group has no other requests.
    pub(super) expire: Option<UnixSeconds>,
    /// The group is written only to learn whether messages could be.
    pub(super) probe: bool,
    pub(super) changes: Vec<(Change, SequenceSet)>,
    pub(super) waiting: Vec<oneshot::Sender<Result<(), StoreError>>>,
    pub(super) bytes: usize,
}

/// One request with messages: who waits for its answer, the number of its messages, and what is
/// held until then.
pub(super) type Append = (
    oneshot::Sender<Result<Vec<MessageCode>, StoreError>>,
    usize,
    Option<Box<dyn Hold>>,
);

impl Group {
    pub(super) fn change(&mut self, change: Change, sequences: SequenceSet) {
        self.bytes += sequences.spans().len() * SPAN_BYTES;
        let begin = sequences.spans().first().map_or(0, |span| span.first);
        match self.changes.last_mut() {
            // Anything else would have to be sorted in, again for every request.
            Some((last, set))
                if *last == change && set.spans().last().is_none_or(|s| s.end() <= begin) =>
            {
                for span in sequences.spans() {
                    set.insert_span(*span);
                }
            }
            _ => self.changes.push((change, sequences)),
        }
    }

    /// `None` if a full disk refuses the group. Otherwise, how much of the reserve it may use.
    pub(super) fn urgency(&self) -> Option<Urgency> {
        match () {
            () if self.probe || !self.messages.is_empty() => None,
            () if self.expire.is_some() => Some(Urgency::Expiry),
            () if self.deletes() => Some(Urgency::Deletion),
            () => Some(Urgency::Outcome),
        }
    }

    /// Takes the changes out of a group: they need not be refused with its messages.
    pub(super) fn take_changes(&mut self) -> Group {
        Group {
            changes: std::mem::take(&mut self.changes),
            waiting: std::mem::take(&mut self.waiting),
            ..Group::default()
        }
    }

    /// Whether it is answered only after a sync: it has messages, or deletes some.
    pub(super) fn is_synced(&self) -> bool {
        !self.messages.is_empty() || self.deletes()
    }

    /// Whether messages are deleted: once lists lack them, no crash may bring them back.
    pub(super) fn deletes(&self) -> bool {
        let mut changes = self.changes.iter();
        self.expire.is_some() || changes.any(|(change, _)| *change == Change::Deleted)
    }

    /// The changes in pieces that fit into a frame each. The last has the cutoff: if it came before
    /// the deletions, what it deletes by itself would depend on messages that the log no longer has.
    pub(super) fn change_frames(&self) -> Vec<ChangeFrame> {
        let mut frames = vec![];
        let (mut frame, mut spans) = (ChangeFrame::default(), 0);
        let pieces = self.changes.iter().flat_map(|(change, set)| {
            let pieces = set.spans().chunks(FRAME_SPANS_MAX);
            pieces.map(|spans| (*change, spans))
        });
        for (change, piece) in pieces {
            if spans > 0 && spans + piece.len() > FRAME_SPANS_MAX {
                frames.push(std::mem::take(&mut frame));
                spans = 0;
            }
            spans += piece.len();
            let mut set = SequenceSet::new();
            piece.iter().for_each(|span| set.insert_span(*span));
            frame.changes.push((change, set));
        }
        frame.cutoff = self.expire;
        if !frame.changes.is_empty() || frame.cutoff.is_some() {
            frames.push(frame);
        }
        frames
    }
}

/// What a frame of a group has beside messages.
#[derive(Debug, Default)]
pub(super) struct ChangeFrame {
    pub(super) cutoff: Option<UnixSeconds>,
    pub(super) changes: Vec<(Change, SequenceSet)>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Sequence;

    #[test]
    fn what_expires_within_blocks_is_written_in_frames_of_a_bounded_size() {
        let spans = FRAME_SPANS_MAX as u64 + 1;
        let also: SequenceSet = (0..spans).map(|n| Sequence(2 * n)).collect();
        let mut group = Group {
            expire: Some(UnixSeconds(1)),
            ..Group::default()
        };
        group.change(Change::Deleted, also.clone());
        let frames = group.change_frames();
        let lens = frames.iter().map(|frame| frame.changes[0].1.spans().len());
        assert_eq!(lens.collect::<Vec<_>>(), [FRAME_SPANS_MAX, 1]);
        let cutoffs: Vec<_> = frames.iter().map(|frame| frame.cutoff).collect();
        assert_eq!(cutoffs, [None, Some(UnixSeconds(1))], "with the last");
        assert!(group.is_synced(), "a deletion is synced before its answer");
    }
    #[test]
    fn a_cutoff_without_deletions_has_a_frame() {
        let group = Group {
            expire: Some(UnixSeconds(1)),
            ..Group::default()
        };
        let frames = group.change_frames();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].cutoff, Some(UnixSeconds(1)));
        assert!(Group::default().change_frames().is_empty());
    }
}
