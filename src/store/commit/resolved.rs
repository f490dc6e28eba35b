//! An entry with its place in the order: what is written to the log, and applied.

use crate::message::{Message, UnixSeconds};
use crate::sequences::SequenceSet;
use crate::store::change::Change;
use crate::store::fs::reserve::Urgency;

/// The most ranges in one frame of changes: far below the limit of a frame, and fast to read.
const FRAME_SPANS_MAX: usize = 256 << 10;

/// An entry whose messages have their sequences, times and codes.
#[derive(Debug, Default)]
pub(super) struct Resolved {
    pub(super) messages: Vec<Message>,
    /// The new cutoff of expiry.
    pub(super) expire: Option<UnixSeconds>,
    pub(super) changes: Vec<(Change, SequenceSet)>,
    /// It is written only to learn whether messages could be.
    pub(super) probe: bool,
}

impl Resolved {
    /// `None` if a full disk refuses it. Otherwise, how much of the reserve it may use.
    pub(super) fn urgency(&self) -> Option<Urgency> {
        match () {
            () if self.probe || !self.messages.is_empty() => None,
            () if self.expire.is_some() => Some(Urgency::Expiry),
            () if self.deletes() => Some(Urgency::Deletion),
            () => Some(Urgency::Outcome),
        }
    }

    /// Takes the changes out: they need not be refused with the messages.
    pub(super) fn take_changes(&mut self) -> Resolved {
        Resolved {
            changes: std::mem::take(&mut self.changes),
            ..Resolved::default()
        }
    }

    /// Whether it is answered only after a sync: it has messages, or deletes some.
    pub(super) fn is_synced(&self) -> bool {
        !self.messages.is_empty() || self.deletes()
    }

    /// Whether messages are deleted: once lists lack them, no crash may bring them back.
    fn deletes(&self) -> bool {
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

/// What a frame has beside messages.
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
        let resolved = Resolved {
            expire: Some(UnixSeconds(1)),
            changes: vec![(Change::Deleted, also)],
            ..Resolved::default()
        };
        let frames = resolved.change_frames();
        let lens = frames.iter().map(|frame| frame.changes[0].1.spans().len());
        assert_eq!(lens.collect::<Vec<_>>(), [FRAME_SPANS_MAX, 1]);
        let cutoffs: Vec<_> = frames.iter().map(|frame| frame.cutoff).collect();
        assert_eq!(cutoffs, [None, Some(UnixSeconds(1))], "with the last");
        assert!(
            resolved.is_synced(),
            "a deletion is synced before its answer"
        );
    }
    #[test]
    fn a_cutoff_without_deletions_has_a_frame() {
        let resolved = Resolved {
            expire: Some(UnixSeconds(1)),
            ..Resolved::default()
        };
        let frames = resolved.change_frames();
        assert_eq!(frames.len(), 1);
        assert_eq!(frames[0].cutoff, Some(UnixSeconds(1)));
        assert!(Resolved::default().change_frames().is_empty());
    }
}
