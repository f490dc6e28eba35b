//! What every engine of the store must do, run over each of them.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use crate::common_store::*;
use dpmq::clock::Clock;
use dpmq::message::{Message, MessageCode, Sequence, Status, StatusKind, UnixSeconds};
use dpmq::sequences::{SequenceSet, Span};
use dpmq::store::{
    Change, Counts, DiskStore, Hold, Listed, MemoryStore, Options, OrderOf, Query, Rest, Scan,
    Storage, StoreError,
};

/// An empty store and what belongs to it.
struct Env {
    store: Arc<dyn Storage>,
    clock: Clock,
    seen: Seen,
    _dir: Option<tempfile::TempDir>,
}

impl Env {
    fn disk() -> Env {
        Env::ordered(|_| OrderOf::default())
    }

    /// On disk, in an order that delays and batches.
    fn delayed() -> Env {
        Env::ordered(ordered::delayed)
    }

    fn ordered(order: fn(&Clock) -> OrderOf) -> Env {
        let dir = tempfile::tempdir().unwrap();
        let clock = Clock::manual(NOON);
        let (seen, committed) = recorder();
        let options = Options {
            order: order(&clock),
            ..options(dir.path(), &clock)
        };
        let (store, _) = DiskStore::open(&options, committed).unwrap();
        Env {
            store: Arc::new(store),
            clock,
            seen,
            _dir: Some(dir),
        }
    }

    fn memory() -> Env {
        let clock = Clock::manual(NOON);
        let (seen, committed) = recorder();
        Env {
            store: Arc::new(MemoryStore::new(clock.clone(), committed)),
            clock,
            seen,
            _dir: None,
        }
    }

    fn at(&self, second: u32) {
        self.clock.set(time(second));
    }
}

/// `second` seconds after noon.
fn time(second: u32) -> UnixSeconds {
    UnixSeconds(NOON.0 + second)
}

macro_rules! contract {
    ($($name:ident)*) => {
        mod disk {
            $(#[test]
            fn $name() {
                super::$name(&super::Env::disk());
            })*
        }
        mod delayed {
            $(#[test]
            fn $name() {
                super::$name(&super::Env::delayed());
            })*
        }
        mod memory {
            $(#[test]
            fn $name() {
                super::$name(&super::Env::memory());
            })*
        }
    };
}

contract! {
    an_append_answers_codes_in_order
    an_append_of_nothing_is_answered
    sequences_are_in_the_order_of_the_calls
    the_hook_is_called_in_order_and_before_the_answer
    what_messages_hold_is_told_that_they_are_stored_or_dropped
    counts_are_right_at_once
    a_list_is_newest_first
    a_list_has_what_the_query_asks_for
    a_list_is_read_in_pieces
    a_scan_is_oldest_first_and_goes_on_where_it_stopped
    a_scan_of_part_of_a_block_forgets_no_topic
    only_legal_changes_are_made
    a_change_of_unknown_messages_does_nothing
    scattered_changes_are_made_each
    expiry_is_exact_to_the_second
    an_expiry_is_over_when_it_returns
    messages_are_not_created_shortly_before_the_cutoff
    what_is_dated_ahead_expires_by_when_it_came
    each_topic_is_told_once
    growth_counts_deleted_messages_too
    growth_ends_after_400_days
    a_large_message_comes_back_whole
    a_closed_store_refuses
    readers_meet_whole_messages_while_others_write
    a_list_survives_expiry
    a_list_goes_on_behind_any_message
    a_message_is_found_by_its_code
    topics_are_counted_each
    a_topic_is_purged_and_no_other
    growth_is_told_by_quarters_of_an_hour
    what_is_gone_is_taken_out
}

fn texts(messages: &[Message]) -> Vec<&str> {
    messages.iter().map(|message| &*message.data).collect()
}

fn counts(accepted: u64, not_consumed: u64, consumed: u64) -> Counts {
    Counts {
        accepted,
        not_consumed,
        consumed,
    }
}

fn an_append_answers_codes_in_order(env: &Env) {
    let codes = append(&*env.store, "t", &["a", "b", "c"]);
    let mut listed = list_all(&*env.store);
    listed.reverse();
    assert_eq!(texts(&listed), ["a", "b", "c"]);
    assert_eq!(listed.iter().map(|m| m.code).collect::<Vec<_>>(), codes);
    assert!(codes.iter().all(|code| code.created() == NOON));
    assert!(listed.iter().all(|m| m.status == Status::Accepted));
}

fn an_append_of_nothing_is_answered(env: &Env) {
    assert_eq!(append(&*env.store, "t", &[]), []);
    change(&*env.store, Change::NotConsumed, []);
    assert_eq!(env.store.next_sequence(), Sequence(1));
}

fn sequences_are_in_the_order_of_the_calls(env: &Env) {
    let t = topic("t");
    let waiting: Vec<_> = (0..500)
        .map(|n| env.store.append(vec![draft(&t, &n.to_string())], None))
        .collect();
    for receiver in waiting {
        receiver.blocking_recv().unwrap().unwrap();
    }
    let scanned = scan(&*env.store, &scan_of(StatusKind::Accepted));
    let expected: Vec<String> = (0..500).map(|n| n.to_string()).collect();
    assert_eq!(texts(&scanned), expected);
    assert!(scanned.iter().map(|m| m.sequence.0).eq(1..=500));
    assert_eq!(env.store.next_sequence(), Sequence(501));
}

fn the_hook_is_called_in_order_and_before_the_answer(env: &Env) {
    for n in 0..50 {
        let codes = append(&*env.store, "t", &["x", "y"]);
        let seen = env.seen.lock().unwrap();
        assert_eq!(seen.len(), 2 * (n + 1));
        assert_eq!(seen[2 * n + 1].code, codes[1]);
    }
    let seen = env.seen.lock().unwrap();
    assert!(seen.iter().map(|m| m.sequence.0).eq(1..=100));
    same(&seen, &scan(&*env.store, &scan_of(StatusKind::Accepted)));
}

/// Says once it is gone whether it was told that the messages are stored.
struct Kept {
    is_stored: bool,
    gone: mpsc::Sender<bool>,
}

impl Hold for Kept {
    fn stored(mut self: Box<Kept>) {
        self.is_stored = true;
    }
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.gone.send(self.is_stored).unwrap();
    }
}

fn what_messages_hold_is_told_that_they_are_stored_or_dropped(env: &Env) {
    let (gone, outcome) = mpsc::channel();
    let append = || {
        let hold = Kept {
            is_stored: false,
            gone: gone.clone(),
        };
        let drafts = vec![draft(&topic("t"), "a")];
        env.store.append(drafts, Some(Box::new(hold)))
    };
    append().blocking_recv().unwrap().unwrap();
    assert_eq!(outcome.recv_timeout(Duration::from_secs(5)), Ok(true));
    env.store.close().unwrap();
    append().blocking_recv().unwrap_err();
    assert_eq!(outcome.try_recv(), Ok(false), "before the answer");
}

fn counts_are_right_at_once(env: &Env) {
    let store = &*env.store;
    for n in 1..=20 {
        append(store, "t", &["a"]);
        assert_eq!(store.counts().accepted, n);
    }
    change(store, Change::NotConsumed, 1..=5);
    assert_eq!(store.counts(), counts(15, 5, 0));
    change(store, Change::Consumed { at: NOON }, 4..=10);
    assert_eq!(store.counts(), counts(10, 3, 7));
    change(store, Change::Deleted, [1, 6, 20]);
    assert_eq!(store.counts(), counts(9, 2, 6));
    assert_eq!(store.counts().all(), 17);
}

fn a_list_is_newest_first(env: &Env) {
    let store = &*env.store;
    for second in [5, 5, 9, 200, 100, 3] {
        env.at(second);
        append_many(store, "t", 400);
    }
    let listed = list_all(store);
    assert_eq!(listed.len(), 2400);
    assert!(listed.is_sorted_by_key(|m| std::cmp::Reverse((m.created, m.sequence))));
}

fn a_list_has_what_the_query_asks_for(env: &Env) {
    let store = &*env.store;
    let mut model = Model::new();
    for second in 0..20 {
        env.at(second);
        append_many(store, &format!("t{}", second % 3), 100);
    }
    for message in env.seen.lock().unwrap().iter() {
        model.accept(message.clone());
    }
    for (to, sequences) in [
        (Change::NotConsumed, set((1..2000).step_by(2))),
        (Change::Consumed { at: time(33) }, set((1..2000).step_by(3))),
        (Change::Deleted, set((1..2000).step_by(7))),
    ] {
        model.change(to, &sequences);
        change(store, to, sequences.iter().map(|s| s.0));
    }
    let times = [
        None,
        Some(time(0)),
        Some(time(4)),
        Some(time(19)),
        Some(time(90)),
    ];
    let kinds = StatusKind::ALL.map(Some);
    let topics = [None, Some(topic("t1")), Some(topic("no such topic"))];
    for from in times {
        for to in times {
            for status in [&[None][..], &kinds].concat() {
                for topic in topics.clone() {
                    let query = Query {
                        from,
                        to,
                        status,
                        topic,
                        before: None,
                    };
                    same(&list(store, &query), &model.list(&query));
                }
            }
        }
    }
}

fn a_list_is_read_in_pieces(env: &Env) {
    let store = &*env.store;
    append_many(store, "t", 2000);
    let piece = store.list(&Query::default(), usize::MAX).unwrap();
    assert!((1..2000).contains(&piece.messages.len()));
    let last = piece.messages.last().unwrap().mark();
    assert_eq!(piece.rest, Rest::Before(last));
    // What is large is read alone, by whoever has asked for as much.
    append(store, "t", &["a", &"b".repeat(5000), "c"]);
    let list = |before, bytes_max| {
        let query = Query {
            before,
            ..Query::default()
        };
        let Listed { messages, rest } = store.list(&query, bytes_max).unwrap();
        let bytes: Vec<_> = messages.iter().map(|m| m.data.len()).collect();
        (messages.last().map(Message::mark), bytes, rest)
    };
    let (c, bytes, rest) = list(None, 4999);
    assert_eq!((bytes, rest), (vec![1], Rest::Before(c.unwrap())));
    assert_eq!(list(c, 4999), (None, vec![], Rest::Large(5000)));
    let (b, bytes, rest) = list(c, 5000);
    assert_eq!((bytes, rest), (vec![5000], Rest::Before(b.unwrap())));
    assert_eq!(list(b, 1).1, [1]);
    let end = list_all(store).last().map(Message::mark);
    assert_eq!(list(end, 1), (None, vec![], Rest::Nothing));
}

fn a_scan_is_oldest_first_and_goes_on_where_it_stopped(env: &Env) {
    let store = &*env.store;
    let mut model = Model::new();
    for n in 0..30 {
        append_many(store, &format!("t{}", n % 4), 100);
    }
    for message in env.seen.lock().unwrap().iter() {
        model.accept(message.clone());
    }
    let odd = set((1..3000).step_by(2));
    model.change(Change::NotConsumed, &odd);
    change(store, Change::NotConsumed, odd.iter().map(|s| s.0));
    let some: HashSet<_> = [topic("t0"), topic("t3")].into();
    for kind in StatusKind::ALL {
        for topics in [None, Some(some.clone()), Some(HashSet::new())] {
            for (from, to) in [(0, 9000), (1, 3000), (1000, 1030), (2900, 2900), (7, 3)] {
                for (messages_max, bytes_max) in [(50, 900), (70, 9000), (999, 300), (9999, 99_999)]
                {
                    let asked = Scan {
                        kind,
                        topics: topics.clone(),
                        from: Sequence(from),
                        to: Sequence(to),
                        messages_max,
                        bytes_max,
                    };
                    let once = store.scan(&asked).unwrap();
                    assert!(once.messages.len() <= messages_max);
                    let bytes: usize = once.messages.iter().map(|m| m.data.len()).sum();
                    assert!(bytes < bytes_max + 8);
                    if from <= to {
                        same(&scan(store, &asked), &model.scan(&asked));
                    } else {
                        assert!(once.messages.is_empty() && once.next > asked.to);
                    }
                }
            }
        }
    }
}

fn a_scan_of_part_of_a_block_forgets_no_topic(env: &Env) {
    let store = &*env.store;
    append_many(store, "first", 10);
    append_many(store, "second", 10);
    change(store, Change::NotConsumed, 1..=20);
    let scan_to = |to| Scan {
        to: Sequence(to),
        ..scan_of(StatusKind::NotConsumed)
    };
    assert_eq!(scan(store, &scan_to(10)).len(), 10);
    let second = Scan {
        topics: Some([topic("second")].into()),
        ..scan_to(9999)
    };
    assert_eq!(scan(store, &second).len(), 10);
}

fn only_legal_changes_are_made(env: &Env) {
    let store = &*env.store;
    append_many(store, "t", 4);
    let statuses = || -> Vec<Status> {
        let mut all = list_all(store);
        all.reverse();
        all.iter().map(|m| m.status).collect()
    };
    use Status::{Accepted, Consumed, NotConsumed};
    let (at, later) = (time(5), time(8));
    change(store, Change::NotConsumed, [2, 3]);
    change(store, Change::Consumed { at }, [3, 4]);
    assert_eq!(
        statuses(),
        [Accepted, NotConsumed, Consumed { at }, Consumed { at }]
    );
    change(store, Change::Requeued, 1..=4);
    assert_eq!(
        statuses(),
        [Accepted, Accepted, Consumed { at }, Consumed { at }]
    );
    // Consumed is final, its time is that of the first.
    change(store, Change::Consumed { at: later }, 2..=4);
    change(store, Change::NotConsumed, 2..=4);
    assert_eq!(
        statuses(),
        [
            Accepted,
            Consumed { at: later },
            Consumed { at },
            Consumed { at }
        ]
    );
    change(store, Change::Deleted, [1, 3]);
    change(store, Change::Requeued, 1..=4);
    assert_eq!(statuses(), [Consumed { at: later }, Consumed { at }]);
}

fn a_change_of_unknown_messages_does_nothing(env: &Env) {
    let store = &*env.store;
    append_many(store, "t", 3);
    let mut all = SequenceSet::new();
    all.insert_span(Span { first: 0, len: 100 });
    all.insert_span(Span {
        first: 5_000_000,
        len: 3,
    });
    let done = store.change(Change::NotConsumed, all);
    done.blocking_recv().unwrap().unwrap();
    assert_eq!(store.counts(), counts(0, 3, 0));
    append_many(store, "t", 3);
    assert_eq!(store.counts(), counts(3, 3, 0));
}

fn scattered_changes_are_made_each(env: &Env) {
    let store = &*env.store;
    append_many(store, "t", 3000);
    // In falling order, one by one, and all asked for before the first is done.
    let waiting: Vec<_> = (1..=3000)
        .rev()
        .step_by(2)
        .map(|n| store.change(Change::Consumed { at: time(1) }, set([n])))
        .collect();
    for done in waiting {
        done.blocking_recv().unwrap().unwrap();
    }
    assert_eq!(store.counts(), counts(1500, 0, 1500));
    let consumed = scan(store, &scan_of(StatusKind::Consumed));
    assert!(consumed.iter().all(|m| m.sequence.0.is_multiple_of(2)));
    assert!(
        consumed
            .iter()
            .all(|m| m.status == Status::Consumed { at: time(1) })
    );
}

fn expiry_is_exact_to_the_second(env: &Env) {
    let store = &*env.store;
    // Blocks of 1,024 that are all older, straddle, and are all newer.
    for second in 0..30 {
        env.at(second);
        append_many(store, "t", 100);
    }
    change(store, Change::NotConsumed, (1..3000).step_by(3));
    assert_eq!(store.expire(time(0)).unwrap().all(), 0);
    change(
        store,
        Change::Consumed { at: time(0) },
        (2..2000).step_by(3),
    );
    let mut left = 3000;
    for (second, messages) in [(1, 100), (1, 0), (13, 1200), (12, 0), (14, 100)] {
        let before = store.counts();
        let deleted = store.expire(time(second)).unwrap();
        assert_eq!(deleted.all(), messages, "{second}");
        // Each is told in the status that it had.
        let mut there = store.counts();
        there += deleted;
        assert_eq!(there, before);
        left -= messages;
        assert_eq!(store.counts().all(), left);
        let listed = list_all(store);
        assert_eq!(listed.len() as u64, left);
        assert!(listed.iter().all(|m| m.created >= time(second)));
    }
    assert_eq!(store.cutoff(), time(14));
    assert_eq!(store.expire(time(30)).unwrap().all(), left);
    assert_eq!(store.counts(), Counts::default());
    assert_eq!(list_all(store), []);
    assert_eq!(store.next_sequence(), Sequence(3001));
    append(store, "t", &["after"]);
    assert_eq!(list_all(store)[0].sequence, Sequence(3001));
}

fn an_expiry_is_over_when_it_returns(env: &Env) {
    let t = topic("t");
    for round in 0..20 {
        env.at(round);
        // Appends of now are on their way when all before the next second is to go.
        let waiting: Vec<_> = (0..50)
            .map(|_| env.store.append(vec![draft(&t, "a")], None))
            .collect();
        env.store.expire(time(round + 1)).unwrap();
        for receiver in waiting {
            receiver.blocking_recv().unwrap().unwrap();
        }
        let cutoff = env.store.cutoff();
        assert!(list_all(&*env.store).iter().all(|m| m.created >= cutoff));
    }
}

fn messages_are_not_created_shortly_before_the_cutoff(env: &Env) {
    env.at(10);
    append(&*env.store, "t", &["a"]);
    assert_eq!(env.store.expire(time(20)).unwrap().all(), 1);
    let [code] = append(&*env.store, "t", &["b"])[..] else {
        panic!("one code");
    };
    assert_eq!(code.created(), time(20));
    assert_eq!(env.store.counts().all(), 1);
    // A cutoff far ahead is of a clock that was: what comes now has the time of this one.
    assert_eq!(env.store.expire(time(1000)).unwrap().all(), 1);
    let [code] = append(&*env.store, "t", &["c"])[..] else {
        panic!("one code");
    };
    assert!(code.created() <= time(20), "{code}");
    env.store.probe();
    assert_eq!(env.store.expire(time(5)).unwrap().all(), 0);
    assert_eq!(env.store.counts().all(), 1);
}

fn what_is_dated_ahead_expires_by_when_it_came(env: &Env) {
    const DAY: u32 = 86_400;
    let store = &*env.store;
    assert_eq!(store.newest(), None);
    env.at(0);
    append(store, "t", &["a"]);
    env.at(200 * DAY);
    append(store, "t", &["b", "c"]);
    assert_eq!(store.newest(), Some(time(200 * DAY)));
    assert_eq!(store.ahead(time(200 * DAY)), 0);
    env.at(100);
    append(store, "t", &["d"]);
    assert_eq!(store.ahead(time(100)), 2);
    let end = store.next_sequence();
    env.at(200 * DAY);
    append(store, "t", &["e"]);
    assert_eq!(store.expire_ahead(time(100), Sequence(1)).unwrap().all(), 0);
    let accepted = |messages| Counts {
        accepted: messages,
        ..Counts::default()
    };
    assert_eq!(store.expire_ahead(time(100), end).unwrap(), accepted(2));
    assert_eq!(store.expire_ahead(time(100), end).unwrap().all(), 0);
    let mut left = list_all(store);
    left.sort_by_key(|message| message.sequence);
    assert_eq!(texts(&left), ["a", "d", "e"]);
}

fn growth_counts_deleted_messages_too(env: &Env) {
    const DAY: u32 = 86_400;
    let store = &*env.store;
    append_many(store, "t", 3);
    env.at(DAY);
    append_many(store, "t", 4);
    env.at(3 * DAY);
    append_many(store, "t", 1);
    let expected = [(0, 3), (DAY, 4), (3 * DAY, 1)].map(|(at, n)| (day_of(time(at)), n));
    assert_eq!(store.growth(), expected);
    assert_eq!(store.expire(time(2 * DAY)).unwrap().all(), 7);
    change(store, Change::Deleted, [8]);
    assert_eq!(store.growth(), expected);
}

fn growth_ends_after_400_days(env: &Env) {
    const DAY: u32 = 86_400;
    for day in 0..405 {
        env.at(day * DAY);
        append(&*env.store, "t", &["a"]);
    }
    let growth = env.store.growth();
    assert_eq!(growth.len(), 400);
    assert_eq!(growth[0].0, day_of(time(5 * DAY)));
}

fn a_large_message_comes_back_whole(env: &Env) {
    let store = &*env.store;
    let large = "äö€".repeat(200_000);
    append(store, "t", &["before", &large, "", "behind"]);
    let listed = list_all(store);
    assert_eq!(texts(&listed), ["behind", "", &large, "before"]);
}

fn a_closed_store_refuses(env: &Env) {
    let store = &*env.store;
    append(store, "t", &["a", "b"]);
    let asked = store.append(vec![draft(&topic("t"), "c")], None);
    store.close().unwrap();
    // What was asked for before is done.
    asked.blocking_recv().unwrap().unwrap();
    assert_eq!(store.counts().all(), 3);
    let late = store.append(vec![draft(&topic("t"), "d")], None);
    assert!(late.blocking_recv().is_err());
    let late = store.change(Change::NotConsumed, set([1]));
    assert!(late.blocking_recv().is_err());
    assert!(matches!(store.expire(time(5)), Err(StoreError::Closed)));
    assert_eq!(store.counts(), counts(3, 0, 0));
    store.close().unwrap();
}

fn readers_meet_whole_messages_while_others_write(env: &Env) {
    const MESSAGES: u64 = 6000;
    let answered = Arc::new(AtomicU64::new(0));
    let writer = {
        let (store, answered) = (env.store.clone(), answered.clone());
        std::thread::spawn(move || {
            while answered.load(Ordering::SeqCst) < MESSAGES {
                let n = append_many(&*store, "t", 60).len() as u64;
                let first = answered.fetch_add(n, Ordering::SeqCst) + 1;
                change(&*store, Change::Consumed { at: NOON }, first..first + n / 2);
            }
        })
    };
    loop {
        let before = answered.load(Ordering::SeqCst);
        let listed = list_all(&*env.store);
        let mut sequences: Vec<u64> = listed.iter().map(|m| m.sequence.0).collect();
        sequences.reverse();
        assert!(sequences.iter().copied().eq(1..=sequences.len() as u64));
        assert!(sequences.len() as u64 >= before);
        for message in &listed {
            assert_eq!(message.data.parse(), Ok((message.sequence.0 - 1) % 60));
            if let Status::Consumed { at } = message.status {
                assert_eq!(at, NOON);
            }
        }
        let accepted = scan(&*env.store, &scan_of(StatusKind::Accepted));
        assert!(accepted.is_sorted_by_key(|m| m.sequence));
        assert!(accepted.len() as u64 >= before / 2);
        if before >= MESSAGES {
            break;
        }
    }
    writer.join().unwrap();
}

fn a_list_survives_expiry(env: &Env) {
    let store = &*env.store;
    let long = "x".repeat(500);
    for second in 0..40 {
        env.at(second);
        append(store, "t", &vec![&*long; 50]);
    }
    let Rest::Before(mark) = store.list(&Query::default(), 64 << 10).unwrap().rest else {
        panic!("there is more");
    };
    store.expire(time(100)).unwrap();
    // Whatever is given back is given back now.
    append(store, "t", &["after"]);
    append(store, "t", &["after"]);
    let rest = Query {
        before: Some(mark),
        ..Query::default()
    };
    assert_eq!(list(store, &rest), []);
    assert_eq!(store.counts().all(), 2);
}

fn a_list_goes_on_behind_any_message(env: &Env) {
    let store = &*env.store;
    // Blocks that share a second, and a clock that goes back.
    for (second, messages) in [(5, 3000), (6, 100), (3, 1500), (6, 10)] {
        env.at(second);
        for n in 0..messages / 10 {
            append_many(store, &format!("t{}", n % 3), 10);
        }
    }
    for topic in [None, Some(topic("t1"))] {
        let all = Query {
            topic,
            ..Query::default()
        };
        let whole = list(store, &all);
        for at in (0..whole.len()).step_by(97) {
            let rest = Query {
                before: Some(whole[at].mark()),
                ..all.clone()
            };
            same(&list(store, &rest), &whole[at + 1..]);
        }
    }
}

fn find(store: &dyn Storage, code: MessageCode) -> Option<Message> {
    let mut found = store.find(code, usize::MAX).unwrap();
    assert_eq!(found.rest, Rest::Nothing);
    let message = found.messages.pop();
    assert!(found.messages.is_empty());
    message
}

fn a_message_is_found_by_its_code(env: &Env) {
    let store = &*env.store;
    let mut codes = vec![];
    for second in [1, 1, 2, 7] {
        env.at(second);
        codes.extend(append_many(store, "t", 700));
    }
    change(store, Change::Consumed { at: time(9) }, [3]);
    change(store, Change::Deleted, [4]);
    for at in (0..codes.len()).step_by(50).chain([2]) {
        let message = find(store, codes[at]).unwrap();
        assert_eq!(message.sequence.0, at as u64 + 1);
        assert_eq!(&*message.data, (at % 700).to_string());
    }
    let consumed = find(store, codes[2]).unwrap();
    assert_eq!(consumed.status, Status::Consumed { at: time(9) });
    assert_eq!(find(store, codes[3]), None);
    let mut other = *codes[0].as_bytes();
    other[0] ^= 1;
    let other = MessageCode::from_bytes(other);
    assert_eq!(find(store, other), None);
    let large = store.find(codes[2], 0).unwrap();
    assert!(large.messages.is_empty());
    assert_eq!(large.rest, Rest::Large(1));
}

fn topics_are_counted_each(env: &Env) {
    let store = &*env.store;
    for second in 0..12 {
        env.at(second);
        // One topic in some blocks, many in others.
        let names = if second < 6 { 3 } else { 600 };
        for n in 0..600 {
            append_many(store, &format!("t{}", n % names), 1);
        }
    }
    let counts_of = |name: &str| store.topic(&topic(name));
    assert_eq!(store.topic_count(), 600);
    assert_eq!(counts_of("t0"), counts(1206, 0, 0));
    assert_eq!(counts_of("t599"), counts(6, 0, 0));
    assert_eq!(counts_of("t600"), Counts::default());
    change(store, Change::NotConsumed, 1..=1800);
    change(store, Change::Consumed { at: time(20) }, 1..=900);
    assert_eq!(counts_of("t0"), counts(606, 300, 300));
    let oldest = |names: &[&str]| {
        let topics: Vec<_> = names.iter().map(|name| topic(name)).collect();
        store.oldest_waiting_of(&topics).unwrap()
    };
    assert_eq!(
        oldest(&["t0", "t599", "none"]),
        [Some(time(1)), Some(time(6)), None]
    );
    assert_eq!(store.oldest_waiting().unwrap(), Some(time(1)));
    let all: Vec<_> = (0..600).map(|n| topic(&format!("t{n}"))).collect();
    for before in 0..9 {
        let old = store.oldest_waiting_of(&all).unwrap().into_iter().zip(0..);
        let old = old.filter(|(at, _)| at.is_some_and(|at| at < time(before)));
        let old: Vec<usize> = old.map(|(_, place)| place).collect();
        let found = store.waiting_before(&all, time(before)).unwrap();
        assert_eq!(found, old, "before {before}");
    }
    let some = ["t599", "none", "t0"].map(topic);
    assert_eq!(store.waiting_before(&some, time(6)).unwrap(), [2]);
    store.expire(time(6)).unwrap();
    assert_eq!(counts_of("t0"), counts(6, 0, 0));
    change(store, Change::Consumed { at: time(20) }, 1..=99_999);
    assert_eq!(oldest(&["t0", "t599"]), [None, None]);
    assert_eq!(store.oldest_waiting().unwrap(), None);
    let all = store.topics();
    assert_eq!(all.len(), 600);
    assert!(all.iter().all(|row| row.counts == counts(0, 0, 6)));
    store.expire(time(99)).unwrap();
    assert_eq!((store.topic_count(), store.topics()), (0, vec![]));
}

fn each_topic_is_told_once(env: &Env) {
    let store = &*env.store;
    let told = || {
        let mut told = vec![];
        store.each_topic(&mut |topic, counts| told.push((topic.clone(), counts)));
        told.sort_by(|(a, _), (b, _)| a.cmp(b));
        told
    };
    assert_eq!(told(), []);
    // More than are looked at in one go, with holes in between, and none left at the end.
    for topics in [0..1024, 1024..2048, 2048..2500] {
        let drafts = topics.map(|n| draft(&topic(&format!("t{n}")), "x"));
        let stored = store.append(drafts.collect(), None);
        stored.blocking_recv().unwrap().unwrap();
    }
    for gone in [0..0, 100..1100, 2400..2501] {
        change(store, Change::Deleted, gone);
        change(store, Change::Consumed { at: time(9) }, 1..50);
        let mut all: Vec<_> = store.topics().into_iter().collect();
        all.sort_by(|a, b| a.topic.cmp(&b.topic));
        let all: Vec<_> = all.into_iter().map(|row| (row.topic, row.counts)).collect();
        assert_eq!(all.len(), store.topic_count());
        assert_eq!(told(), all);
    }
    assert_eq!(told().len(), 2500 - 1000 - 101);
}

fn a_topic_is_purged_and_no_other(env: &Env) {
    let store = &*env.store;
    for n in 0..400 {
        append_many(store, ["a", "b", "c"][n % 3], 10);
    }
    change(store, Change::NotConsumed, 1..=2000);
    change(store, Change::Consumed { at: time(1) }, 1..=1000);
    let waiting = [StatusKind::Accepted, StatusKind::NotConsumed];
    let before = store.topic(&topic("a"));
    let purged = store.purge(&topic("a"), &waiting).unwrap();
    assert_eq!(purged, before.accepted + before.not_consumed);
    assert_eq!(store.topic(&topic("a")), counts(0, 0, before.consumed));
    assert_eq!(store.purge(&topic("a"), &waiting).unwrap(), 0);
    let rest = store.purge(&topic("a"), &[StatusKind::Consumed]).unwrap();
    assert_eq!(rest, before.consumed);
    assert!(list_all(store).iter().all(|m| m.topic != topic("a")));
    assert_eq!(store.counts().all(), 4000 - before.all());
    assert_eq!(store.topic_count(), 2);
}

fn growth_is_told_by_quarters_of_an_hour(env: &Env) {
    let store = &*env.store;
    for (second, messages) in [(0, 3), (899, 4), (900, 5), (3600, 6)] {
        env.at(second);
        append_many(store, "t", messages);
    }
    store.purge(&topic("t"), &StatusKind::ALL).unwrap();
    let expected = [(0, 7), (900, 5), (3600, 6)].map(|(second, n)| (time(second), n));
    assert_eq!(store.growth_by_quarter(), expected);
}

fn what_is_gone_is_taken_out(env: &Env) {
    let store = &*env.store;
    append_many(store, "t", 3000);
    change(store, Change::NotConsumed, [1000]);
    let mut messages = list_all(store);
    change(store, Change::Deleted, (1..=3000).step_by(2));
    store.retain_live(&mut messages);
    let left: Vec<_> = messages.iter().map(|m| m.sequence.0).rev().collect();
    assert!(left.into_iter().eq((2..=3000).step_by(2)));
    let accepted = |first, last| store.accepted_between(Sequence(first), Sequence(last));
    assert_eq!(accepted(1, 9999), 1499);
    assert_eq!(accepted(990, 1010), 10);
    assert_eq!(accepted(1000, 1000), 0);
}
