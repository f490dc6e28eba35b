//! What one consumer has received, compared with what it is owed.

use std::collections::BTreeMap;

use crate::cli::bench::payload::{Reading, Stamp};

/// The answers to one producer: every consumer is owed the messages that were accepted.
#[derive(Clone, Debug, Default)]
pub(super) struct Owed {
    /// Every message with a lower number was answered.
    pub(super) answered: u64,
    /// Refused messages of them, ascending: they may arrive or not.
    pub(super) refused: Vec<u64>,
}

impl Owed {
    /// How many messages with `first <= number < end` have to arrive.
    fn between(&self, first: u64, end: u64) -> u64 {
        let end = end.min(self.answered);
        let before = |number| self.refused.partition_point(|refused| *refused < number) as u64;
        end.saturating_sub(first)
            .saturating_sub(before(end).saturating_sub(before(first)))
    }
}

/// Which messages have not arrived.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Verdict {
    /// Missing, while later messages of the same producer have arrived.
    pub(super) missing: u64,
    /// Missing at the end: none of their producer after them has arrived.
    pub(super) undelivered: u64,
}

/// The book of one consumer.
#[derive(Default)]
pub(super) struct Ledger {
    producers: Vec<Received>,
    /// Messages of this run, duplicates included.
    pub(super) received: u64,
    /// Messages of this run, without duplicates.
    pub(super) distinct: u64,
    /// Duplicates.
    pub(super) duplicates: u64,
    /// Messages that arrived after a later one of the same producer.
    pub(super) out_of_order: u64,
    /// Messages whose bytes were changed.
    pub(super) changed: u64,
    /// Messages of others.
    pub(super) foreign: u64,
}

/// What has arrived from one producer.
#[derive(Clone, Default)]
struct Received {
    /// The number after the highest that has arrived.
    next: u64,
    /// The gaps below `next`: the first number of each, and the one after its last.
    gaps: BTreeMap<u64, u64>,
}

impl Ledger {
    pub(super) fn new(producers: u16) -> Ledger {
        Ledger {
            producers: vec![Received::default(); producers.into()],
            ..Ledger::default()
        }
    }

    /// Enters a message. Returns its stamp if it is of this run and no duplicate.
    pub(super) fn enter(&mut self, reading: Reading) -> Option<Stamp> {
        let stamp = match reading {
            Reading::Ours(stamp) => stamp,
            Reading::Changed => {
                self.changed += 1;
                return None;
            }
            Reading::Foreign => {
                self.foreign += 1;
                return None;
            }
        };
        let Some(producer) = self.producers.get_mut(usize::from(stamp.producer)) else {
            self.changed += 1;
            return None;
        };
        self.received += 1;
        if stamp.number >= producer.next {
            producer.advance(stamp.number);
        } else if producer.fill(stamp.number) {
            self.out_of_order += 1;
        } else {
            self.duplicates += 1;
            return None;
        }
        self.distinct += 1;
        Some(stamp)
    }

    /// The messages of `owed`, which has an entry for each producer, that have not arrived.
    pub(super) fn verdict(&self, owed: &[Owed]) -> Verdict {
        let mut verdict = Verdict::default();
        for (received, owed) in self.producers.iter().zip(owed) {
            let gaps = received.gaps.iter();
            verdict.missing += gaps
                .map(|(first, end)| owed.between(*first, *end))
                .sum::<u64>();
            verdict.undelivered += owed.between(received.next, u64::MAX);
        }
        verdict
    }
}

impl Received {
    fn advance(&mut self, number: u64) {
        if number > self.next {
            self.gaps.insert(self.next, number);
        }
        self.next = number + 1;
    }

    /// Removes `number` from its gap; false if it is in no gap.
    fn fill(&mut self, number: u64) -> bool {
        let Some((&first, &end)) = self.gaps.range(..=number).next_back() else {
            return false;
        };
        if number >= end {
            return false;
        }
        self.gaps.remove(&first);
        if first < number {
            self.gaps.insert(first, number);
        }
        if number + 1 < end {
            self.gaps.insert(number + 1, end);
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ledger(messages: &[(u16, u64)]) -> Ledger {
        let mut ledger = Ledger::new(2);
        for &(producer, number) in messages {
            ledger.enter(Reading::Ours(Stamp {
                producer,
                number,
                at_ns: 0,
            }));
        }
        ledger
    }

    fn owed(answered: [u64; 2]) -> [Owed; 2] {
        answered.map(|answered| Owed {
            answered,
            refused: vec![],
        })
    }

    /// Received, duplicates, out of order, missing, undelivered.
    fn found(messages: &[(u16, u64)], answered: [u64; 2]) -> [u64; 5] {
        let ledger = ledger(messages);
        let verdict = ledger.verdict(&owed(answered));
        [
            ledger.received,
            ledger.duplicates,
            ledger.out_of_order,
            verdict.missing,
            verdict.undelivered,
        ]
    }

    #[test]
    fn each_once_in_the_order_of_its_producer_is_right() {
        let messages = [(0, 0), (1, 0), (1, 1), (0, 1), (1, 2)];
        assert_eq!(found(&messages, [2, 3]), [5, 0, 0, 0, 0]);
        assert_eq!(found(&[], [0, 0]), [0; 5]);
    }

    #[test]
    fn a_missing_message_is_found() {
        assert_eq!(found(&[(0, 0), (0, 2), (0, 5)], [6, 0]), [3, 0, 0, 3, 0]);
        assert_eq!(found(&[(0, 1)], [2, 0]), [1, 0, 0, 1, 0]);
    }

    #[test]
    fn what_has_not_come_yet_is_undelivered() {
        assert_eq!(found(&[(0, 0)], [3, 4]), [1, 0, 0, 0, 6]);
    }

    #[test]
    fn what_was_not_answered_is_not_owed() {
        assert_eq!(found(&[(0, 0), (0, 3)], [2, 0]), [2, 0, 0, 1, 0]);
        assert_eq!(found(&[(0, 0), (0, 1), (0, 2)], [1, 0]), [3, 0, 0, 0, 0]);
    }

    #[test]
    fn a_duplicate_is_found() {
        assert_eq!(found(&[(0, 0), (0, 0)], [1, 0]), [2, 1, 0, 0, 0]);
        let messages = [(0, 0), (0, 1), (0, 2), (0, 1), (0, 0)];
        assert_eq!(found(&messages, [3, 0]), [5, 2, 0, 0, 0]);
        // A late one fills its gap once.
        assert_eq!(found(&[(0, 2), (0, 1), (0, 1)], [3, 0]), [3, 1, 1, 1, 0]);
    }

    #[test]
    fn a_reordered_message_is_found() {
        assert_eq!(found(&[(0, 1), (0, 0)], [2, 0]), [2, 0, 1, 0, 0]);
        let messages = [(0, 5), (0, 3), (0, 0), (0, 4), (0, 1), (0, 2)];
        assert_eq!(found(&messages, [6, 0]), [6, 0, 5, 0, 0]);
    }

    #[test]
    fn a_refused_message_may_come_or_not() {
        let owed = [
            Owed {
                answered: 5,
                refused: vec![1, 3, 4],
            },
            Owed::default(),
        ];
        let right = Verdict::default();
        assert_eq!(ledger(&[(0, 0), (0, 2)]).verdict(&owed), right);
        assert_eq!(ledger(&[(0, 0), (0, 1), (0, 2)]).verdict(&owed), right);
        let lost = ledger(&[(0, 1), (0, 2)]).verdict(&owed);
        assert_eq!((lost.missing, lost.undelivered), (1, 0));
        let late = ledger(&[(0, 0)]).verdict(&owed);
        assert_eq!((late.missing, late.undelivered), (0, 1));
    }

    #[test]
    fn changed_and_foreign_messages_are_counted_apart() {
        let mut ledger = ledger(&[(0, 0), (2, 0)]);
        assert_eq!(ledger.enter(Reading::Changed), None);
        assert_eq!(ledger.enter(Reading::Foreign), None);
        // There is no third producer.
        assert_eq!((ledger.changed, ledger.foreign), (2, 1));
        assert_eq!((ledger.received, ledger.distinct), (1, 1));
    }

    #[test]
    fn any_order_of_messages_that_all_came_leaves_nothing_missing() {
        proptest::proptest!(|(order in proptest::collection::vec(0..20_u64, 0..60))| {
            let messages: Vec<_> = order.iter().map(|number| (0, *number)).collect();
            let ledger = ledger(&messages);
            let distinct: std::collections::BTreeSet<_> = order.iter().collect();
            let verdict = ledger.verdict(&owed([20, 0]));
            let came = distinct.len() as u64;
            proptest::prop_assert_eq!(ledger.distinct, came);
            proptest::prop_assert_eq!(ledger.duplicates, order.len() as u64 - came);
            proptest::prop_assert_eq!(verdict.missing + verdict.undelivered, 20 - came);
        });
    }
}
