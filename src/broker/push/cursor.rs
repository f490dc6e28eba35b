//! A topic that is behind: none of its consumers has capacity, so its messages stay in the store.
//! The cursor is where its consumers are among them. It moves as they are read back, and the topic
//! has caught up when it has passed the last of them.

use std::ops::RangeInclusive;

use crate::message::Sequence;

/// Which messages of a topic are in the store, still to be pushed.
#[derive(Clone, Copy, Debug)]
pub(in crate::broker) struct Cursor {
    /// The number of the time that a topic fell behind: each has its own.
    pub(super) episode: u64,
    next: Sequence,
    last: Sequence,
    /// The memory that the next messages need to be pushed; 0 if that is not known.
    pub(super) needs_bytes: usize,
}

impl Cursor {
    /// A topic falls behind with these messages.
    pub(super) fn new(
        episode: u64,
        messages: RangeInclusive<Sequence>,
        needs_bytes: usize,
    ) -> Cursor {
        let (next, last) = messages.into_inner();
        Cursor {
            episode,
            next,
            last,
            needs_bytes,
        }
    }

    /// The messages from the next to the last one.
    pub(in crate::broker) fn messages(&self) -> RangeInclusive<Sequence> {
        self.next..=self.last
    }

    /// The messages up to `last` stay in the store too.
    pub(super) fn extend(&mut self, last: Sequence) {
        self.last = self.last.max(last);
    }

    /// Everything before `next` is read back. Returns whether the topic has caught up.
    pub(super) fn advance(&mut self, next: Sequence) -> bool {
        self.next = next;
        self.next > self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_has_caught_up_after_the_last_message_that_stayed_in_the_store() {
        let mut cursor = Cursor::new(7, Sequence(3)..=Sequence(5), 0);
        assert!(!cursor.advance(Sequence(5)));
        cursor.extend(Sequence(9));
        cursor.extend(Sequence(4));
        assert_eq!(cursor.messages(), Sequence(5)..=Sequence(9));
        assert!(!cursor.advance(Sequence(9)));
        assert!(cursor.advance(Sequence(10)));
    }
}
