//! What the store costs over what it rests on: an append and a sync of the same bytes.
//!
//! `cargo bench` measures both in turn, on the disk of the build folder, and prints medians and
//! their ratio. Rates of a single run on a busy machine mean little; the ratio holds.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use dpmq::message::{Draft, Sequence, StatusKind, Topic};
use dpmq::sequences::{SequenceSet, Span};
use dpmq::store::{Change, DiskStore, Options, Scan, Store};

const DATA_BYTES: usize = 128;
/// What a message of that size takes in the log.
const LOG_BYTES: usize = DATA_BYTES + 24;
const ROUNDS: usize = 15;
const ROUND: Duration = Duration::from_millis(100);

fn main() {
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to write to");
    let mut file = File::create(dir.path().join("bare")).expect("a file to write to");
    let options = Options::new(dir.path().join("data"));
    let (store, _) = DiskStore::open(&options, Box::new(|_| {})).expect("a new store");
    println!("{DATA_BYTES}-byte messages, each group synced; medians of {ROUNDS} rounds\n");
    println!("group   bare messages/s   store messages/s   store/bare");
    for group in [1, 16, 64, 256, 1024, 4096] {
        let (mut bare, mut stored) = (vec![], vec![]);
        let bytes = vec![7; group * LOG_BYTES];
        for _ in 0..ROUNDS {
            bare.push(rate(group, || {
                file.write_all(&bytes).expect("room on the disk");
                file.sync_data().expect("a disk that syncs");
            }));
            stored.push(rate(group, || append(&store, group)));
        }
        let (bare, stored) = (median(bare), median(stored));
        println!(
            "{group:>5} {bare:>17.0} {stored:>18.0} {:>12.2}",
            stored / bare
        );
    }
    read_back(&store);
}

/// Appends a group and waits until it is synced.
fn append(store: &DiskStore, group: usize) {
    let topic: Topic = "bench".parse().expect("a topic");
    let data = ByteString::from("x".repeat(DATA_BYTES));
    let drafts = (0..group)
        .map(|_| Draft::new(topic.clone(), data.clone()))
        .collect();
    let appended = store.append(drafts, None).blocking_recv();
    appended
        .expect("a store that answers")
        .expect("room on the disk");
}

/// How fast what was written is consumed, and read for the queue.
fn read_back(store: &DiskStore) {
    let messages = store.counts().all();
    let start = Instant::now();
    let mut scan = Scan {
        kind: StatusKind::Accepted,
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
    println!("\nread back in order: {per_second:.0} messages/s ({read} messages)");

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

fn median(mut rates: Vec<f64>) -> f64 {
    rates.sort_by(f64::total_cmp);
    rates[rates.len() / 2]
}
