//! Messages come, change their status, expire, and return from the mirror.

use crate::message::{Sequence, StatusKind, Topic, UnixSeconds};
use crate::sequences::{SequenceSet, Span};
use crate::store::change::Change;
use crate::store::growth;
use crate::store::index::Index;
use crate::store::index::changes::IndexState;
use crate::store::index::topics::TopicTable;
use crate::store::log::position::Position;

fn topic(name: &str) -> Topic {
    name.parse().unwrap()
}

fn set(spans: &[(u64, u64)]) -> SequenceSet {
    let mut set = SequenceSet::new();
    for &(first, len) in spans {
        set.insert_span(Span { first, len });
    }
    set
}

fn filled() -> Index {
    let mut index = Index::new();
    for n in 0..4 {
        let at = Position {
            segment: 1,
            offset: 100 * (n + 1),
        };
        let first = Sequence(1 + u64::from(n) * 1000);
        let name = if n % 2 == 0 { "even" } else { "odd" };
        index.accept(first, 1000, UnixSeconds(1000 + n), &topic(name), at);
    }
    index
}

fn counts(index: &Index) -> (u64, u64, u64) {
    let counts = index.counts();
    (counts.accepted, counts.not_consumed, counts.consumed)
}

#[test]
fn changes_move_messages_between_statuses() {
    let mut index = filled();
    assert_eq!(counts(&index), (4000, 0, 0));
    index.change(Change::NotConsumed, &set(&[(1, 1500)]));
    index.change(
        Change::Consumed { at: UnixSeconds(7) },
        &set(&[(1000, 1000)]),
    );
    assert_eq!(counts(&index), (2001, 999, 1000));
    assert_eq!(index.times.get(Sequence(1999)), Some(UnixSeconds(7)));
    assert_eq!(index.times.get(Sequence(2000)), None);
    // Consumed is final, and unknown messages are skipped.
    index.change(Change::Requeued, &set(&[(0, 9000)]));
    assert_eq!(counts(&index), (3000, 0, 1000));
    assert!(
        index
            .view(0, Some(StatusKind::Consumed), None)
            .unwrap()
            .bits
            .contains(1000)
    );
}

#[test]
fn a_replayed_frame_changes_no_count() {
    let mut index = filled();
    index.change(Change::Consumed { at: UnixSeconds(7) }, &set(&[(1, 10)]));
    let at = Position {
        segment: 1,
        offset: 100,
    };
    index.accept(Sequence(1), 1000, UnixSeconds(1000), &topic("even"), at);
    assert_eq!(counts(&index), (3990, 0, 10));
}

#[test]
fn the_cutoff_drops_whole_blocks_and_names_the_others() {
    let mut index = filled();
    // Sequences 1..=2000 are older than 1002; block 0 ends at 1023, block 1 at 2047.
    assert_eq!(index.straddling(UnixSeconds(1002)), [1]);
    assert!(index.has_older(UnixSeconds(1002)));
    index.raise_cutoff(UnixSeconds(1002));
    assert_eq!(counts(&index), (4000 - 1023, 0, 0));
    index.change(Change::Deleted, &set(&[(1024, 977)]));
    assert_eq!(counts(&index), (2000, 0, 0));
    assert_eq!(index.first_live(), 2001);
    let changes = index.take_changes();
    assert_eq!(changes.dropped.len(), 1);
    assert_eq!(changes.cutoff, UnixSeconds(1002));
}

#[test]
fn a_search_finds_the_messages_of_a_topic_only() {
    let mut index = filled();
    let odd = index.topics().ids([&topic("odd")]);
    let find = |index: &Index, kind, topics, from, to| -> Vec<(u64, u64)> {
        let (views, next) = index.in_status(&[kind], topics, Sequence(from), Sequence(to), 99);
        assert_eq!(next, None);
        views
            .iter()
            .map(|view| (view.number, view.bits.len()))
            .collect()
    };
    assert_eq!(
        find(&index, StatusKind::Accepted, Some(&odd), 1, 9999),
        [(0, 23), (1, 977), (2, 71), (3, 929)]
    );
    assert_eq!(
        find(&index, StatusKind::Accepted, None, 1020, 1030),
        [(0, 4), (1, 7)]
    );
    index.change(Change::NotConsumed, &set(&[(1, 1010)]));
    assert_eq!(
        find(&index, StatusKind::NotConsumed, Some(&odd), 1, 9999),
        [(0, 10)]
    );
    assert_eq!(find(&index, StatusKind::Consumed, None, 1, 9999), []);
    // The search stops after a number of blocks, and says where to continue.
    let (views, next) = index.in_status(
        &[StatusKind::Accepted],
        None,
        Sequence(1),
        Sequence(9999),
        2,
    );
    assert_eq!((views.len(), next), (2, Some(Sequence(2048))));
    assert_eq!(
        index.count_between(StatusKind::Accepted, Sequence(1000), Sequence(1030)),
        20
    );
    let counts = index.topics().counts(&topic("odd"));
    assert_eq!((counts.accepted, counts.not_consumed), (1990, 10));
}

#[test]
fn a_topic_is_forgotten_with_its_last_message() {
    let mut index = filled();
    index.change(Change::Deleted, &set(&[(1, 1000), (2001, 999)]));
    assert_eq!(index.topics().counts(&topic("even")).all(), 1);
    index.change(Change::Deleted, &set(&[(3000, 1)]));
    assert_eq!(index.topics().len(), 1);
    assert!(index.is_live(Sequence(3001)) && !index.is_live(Sequence(3000)));
}

#[test]
fn growth_is_kept_by_quarters_of_an_hour() {
    let mut index = Index::new();
    let at = Position::default();
    for (n, time) in (0..).zip([899, 900, 901, 1800]) {
        index.accept(Sequence(n + 1), 1, UnixSeconds(time), &topic("t"), at);
    }
    let quarters = [(0, 1), (900, 2), (1800, 1)].map(|(at, n)| (UnixSeconds(at), n));
    assert_eq!(index.quarters(), quarters);
    assert_eq!(index.checkpoint().quarters, [(0, 1), (1, 2), (2, 1)]);
    for n in 0..u32::try_from(growth::QUARTERS).unwrap() {
        let time = UnixSeconds(900 * (n + 10));
        index.accept(Sequence(100 + u64::from(n)), 1, time, &topic("t"), at);
    }
    assert_eq!(index.checkpoint().quarters.len(), growth::QUARTERS);
    assert_eq!(index.quarters()[0].0, UnixSeconds(9000));
}

#[test]
fn what_the_mirror_took_can_be_restored() {
    let mut index = filled();
    index.change(Change::NotConsumed, &set(&[(1, 1500)]));
    index.advance(Position {
        segment: 1,
        offset: 900,
    });
    let changes = index.take_changes();
    assert!(!index.is_dirty());
    let topics = changes.topics.fresh.into_iter().collect();
    let restored = Index::restore(IndexState {
        blocks: changes.blocks.into_iter().collect(),
        topics: TopicTable::restore(topics).unwrap(),
        growth: index.growth.clone(),
        next: changes.next,
        cutoff: changes.cutoff,
        applied: changes.applied,
    })
    .unwrap();
    for name in ["even", "odd"] {
        let expected = index.topics().counts(&topic(name));
        assert_eq!(restored.topics().counts(&topic(name)), expected);
    }
    assert_eq!(counts(&restored), counts(&index));
    assert_eq!(restored.first_live(), 1);
    assert_eq!(restored.next_sequence(), Sequence(4001));
}
