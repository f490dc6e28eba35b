//! What a group of messages and their outcomes costs in the writer and in the mirror, without
//! threads, beside a bare append and sync of the same bytes. A running store mirrors all groups of 20
//! ms at once, so its mirror costs less than this one.

use std::time::Duration;

use dpmq::message::{Sequence, UnixSeconds};
use dpmq::sequences::{SequenceSet, Span};
use dpmq::store::{Change, DiskStore, Options, Reads, Store, Work};

use super::{Bare, drafts, folder, median, rounds, time};

const ROUNDS: usize = 200;

pub(super) fn run() {
    println!("group   bare µs   writer µs   mirror µs   writer/bare   mirror/bare");
    for group in [16, 256, 4096] {
        let dir = folder();
        let options = Options::new(dir.path().join("data"));
        let opened = DiskStore::open_by_hand(&options, Box::new(|_| {}));
        let (store, _) = opened.expect("a new store");
        let mut file = Bare::new(&dir, group);
        let mut times = vec![];
        for _ in 0..rounds(ROUNDS) {
            let bare = time(|| file.commit());
            let Sequence(first) = store.next_sequence();
            drop(store.append(drafts(group), None));
            let written = time(|| work(&store, Work::Write(1)));
            let len = group as u64;
            let at = UnixSeconds(1_790_000_000);
            let mut set = SequenceSet::new();
            set.insert_span(Span { first, len });
            drop(store.change(Change::Consumed { at }, set));
            work(&store, Work::Write(1));
            let mirrored = time(|| work(&store, Work::Mirror));
            times.push([bare, written, mirrored]);
        }
        let micros = |part: usize| median(times.iter().map(|of| of[part].as_secs_f64() * 1e6));
        let ratio = |part: usize| median(times.iter().map(|of| share(of[part], of[0])));
        println!(
            "{group:>5} {:>9.0} {:>11.0} {:>11.0} {:>13.2} {:>13.2}",
            micros(0),
            micros(1),
            micros(2),
            ratio(1),
            ratio(2)
        );
    }
}

fn share(part: Duration, whole: Duration) -> f64 {
    part.as_secs_f64() / whole.as_secs_f64()
}

fn work(store: &DiskStore, work: Work) {
    store.work(work).expect("a disk that takes it");
}
