//! Random histories of the whole broker on a simulated disk, beside a plain model: producers,
//! consumers that keep up, are slow or fail, an operator, sweeps, expiry, snapshots, a clock
//! that jumps or is far ahead for one start, a disk that is full, fails, tears or turns bits,
//! kills, power cuts and restarts, and files of other histories of the store.
//!
//! After each of them: what was answered is there with its data and its status, the order of
//! each topic holds, counts are those of the lists, growth is what was accepted, nothing is
//! consumed that no consumer was written, nothing expires early by the time that has really
//! passed, and all does in the end, what is dated ahead too. The mirror tells what the log alone
//! does, and what can go on without time needs no nudge. Everything is decided by the history's
//! seed, which a failure prints: `DPMQ_SEED=<seed>` runs it again, and tells each
//! step. `DPMQ_SIMULATION_SECONDS` is how long it goes on, or `DPMQ_SEEDS` for how many
//! histories: each time others. Without both, the seeds are the same each time, so that what
//! fails is what has changed.

#![allow(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a failed step fails its test, and a seed that is not printed cannot be used again"
)]

mod appliers;
#[path = "../common_store/mod.rs"]
mod common_store;
mod histories;
mod ledger;
mod mirror;
mod rot;
#[path = "../simulated_disk/mod.rs"]
mod simulated_disk;
mod times;
mod watched;
mod world;

use std::cell::Cell;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use world::{Tally, World};

thread_local! {
    /// Of the history that runs on this thread.
    static SEED: Cell<u64> = const { Cell::new(0) };
}

/// Which histories are run.
struct Seeds {
    first: u64,
    histories: u64,
    most: Duration,
}

impl Seeds {
    /// What is asked for, or histories from seed 1 on for at most this time.
    fn asked(most: Duration) -> Seeds {
        let histories = number("DPMQ_SEEDS");
        let seconds = number("DPMQ_SIMULATION_SECONDS");
        if histories.is_none() && seconds.is_none() {
            return Seeds {
                first: 1,
                histories: u64::MAX,
                most,
            };
        }
        let begin = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_micros();
        Seeds {
            first: u64::try_from(begin).unwrap() << 8,
            histories: histories.unwrap_or(u64::MAX),
            most: seconds.map_or(Duration::MAX, Duration::from_secs),
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().expect("a number"))
}

#[test]
fn nothing_is_lost_in_any_history() {
    if let Some(seed) = number("DPMQ_SEED") {
        tracing_subscriber::fmt()
            .with_writer(std::io::stderr)
            .init();
        let (tally, _) = World::new(seed, true).run();
        return println!("{tally:?}");
    }
    let Seeds {
        first,
        histories,
        most,
    } = Seeds::asked(Duration::from_secs(60));
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        let (seed, before) = (SEED.get(), SEED.get().saturating_sub(first));
        eprintln!("the history of DPMQ_SEED={seed} fails, and {before} before did not");
        hook(panic);
    }));
    let (next, tally) = (AtomicU64::new(0), Mutex::new(Tally::default()));
    let started = Instant::now();
    let work = || {
        while started.elapsed() < most {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= histories {
                break;
            }
            let seed = first + number;
            SEED.set(seed);
            let (of_one, _) = World::new(seed, false).run();
            tally.lock().unwrap().add(of_one);
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(work);
        work();
    });
    println!("seeds from {first}: {:?}", tally.lock().unwrap());
}

#[test]
fn the_same_order_leads_to_the_same_state() {
    if let Some(seed) = number("DPMQ_SEED") {
        return println!("{} entries", appliers::history(seed));
    }
    let asked = Seeds::asked(Duration::from_secs(5));
    let started = Instant::now();
    let (mut histories, mut entries) = (0, 0);
    while started.elapsed() < asked.most && histories < asked.histories {
        entries += appliers::history(asked.first + histories);
        histories += 1;
    }
    println!(
        "seeds from {}: {histories} histories with {entries} entries",
        asked.first
    );
}

#[test]
fn a_seed_repeats_its_history() {
    for seed in 1..6 {
        let (_, once) = World::new(seed, false).run();
        let (_, again) = World::new(seed, false).run();
        assert_eq!(once, again, "DPMQ_SEED={seed}");
    }
}
