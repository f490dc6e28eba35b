//! Messages to the disk and back: groups of several sizes beside a bare append and sync of the same
//! bytes, and how fast they are then consumed and read for the queue.

use std::time::{Duration, Instant};

use dpmq::message::{Sequence, StatusKind};
use dpmq::sequences::{SequenceSet, Span};
use dpmq::store::{Change, DiskStore, Options, Reads, Scan, Stats, Store};

use super::{Bare, drafts, folder, median, rounds};

const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(100);

pub(super) fn run() {
    let dir = folder();
    let options = Options::new(dir.path().join("data"));
    let (store, _) = DiskStore::open(&options, Box::new(|_| {})).expect("a new store");
    println!("group   bare messages/s   store messages/s   store/bare");
    for group in [1, 16, 64, 256, 1024, 4096] {
        let mut file = Bare::new(&dir, group);
        let (mut bare, mut stored) = (vec![], vec![]);
        for _ in 0..rounds(ROUNDS) {
            bare.push(rate(group, || file.commit()));
            stored.push(rate(group, || append(&store, group)));
        }
        let ratios = stored.iter().zip(&bare).map(|(stored, bare)| stored / bare);
        let ratio = median(ratios);
        let (bare, stored) = (median(bare), median(stored));
        println!("{group:>5} {bare:>17.0} {stored:>18.0} {ratio:>12.2}");
    }
    consume(&store);
    read_back(&store);
}

/// Appends a group and waits until it is synced.
pub(super) fn append(store: &DiskStore, group: usize) {
    let appended = store.append(drafts(group), None).blocking_recv();
    appended
        .expect("a store that answers")
        .expect("room on the disk");
}

fn read_back(store: &DiskStore) {
    let start = Instant::now();
    let mut scan = Scan {
        kind: StatusKind::NotConsumed,
        topics: None,
        from: Sequence(1),
        to: store.next_sequence(),
        messages_max: 4096,
        bytes_max: usize::MAX,
    };
    let mut read = 0;
    while scan.from <= scan.to {
        let scanned = store.scan(&scan).expect("a log that can be read");
        read += scanned.messages.len();
        scan.from = scanned.next;
    }
    let per_second = read as f64 / start.elapsed().as_secs_f64();
    println!("read back in order: {per_second:.0} messages/s ({read} messages)");
}

fn consume(store: &DiskStore) {
    let messages = store.counts().all();
    let start = Instant::now();
    for first in (1..=messages).step_by(256) {
        let mut set = SequenceSet::new();
        set.insert_span(Span { first, len: 256 });
        let changed = store.change(Change::NotConsumed, set).blocking_recv();
        changed
            .expect("a store that answers")
            .expect("room on the disk");
    }
    let per_second = messages as f64 / start.elapsed().as_secs_f64();
    println!("outcomes, 256 at a time: {per_second:.0} messages/s");
}

fn rate(group: usize, mut commit: impl FnMut()) -> f64 {
    let (start, mut commits) = (Instant::now(), 0_u32);
    while start.elapsed() < ROUND {
        commit();
        commits += 1;
    }
    f64::from(commits) * group as f64 / start.elapsed().as_secs_f64()
}
