//! What each step of a message costs, of those that need no disk, beside a yardstick: the least
//! necessary work, or another way to do it.
//!
//! `cargo bench --bench parts` runs all, `-- frame` those of that name. Criterion chooses how often
//! to run each, and times both in turn in every sample. The ratios at the end hold on a busy machine
//! too; the times hardly do.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod code;
mod fan_out;
mod frame;
mod record;

use std::hint::black_box;
use std::time::{Duration, Instant};

use criterion::Criterion;
use dpmq::message::{Draft, Message, MessageCode, Sequence, Status, UnixSeconds};

const SAMPLES: usize = 50;

fn main() {
    let mut bench = Bench {
        criterion: Criterion::default()
            .sample_size(SAMPLES)
            .warm_up_time(Duration::from_millis(300))
            .measurement_time(Duration::from_secs(1))
            .without_plots()
            .configure_from_args(),
        rows: vec![],
    };
    record::run(&mut bench);
    code::run(&mut bench);
    frame::run(&mut bench);
    fan_out::run(&mut bench);
    bench.report();
}

/// Criterion, and its results.
struct Bench {
    criterion: Criterion,
    rows: Vec<Row>,
}

struct Row {
    name: String,
    yardstick: &'static str,
    nanoseconds: f64,
    ratio: f64,
}

impl Bench {
    /// Measures `subject`, which handles `messages` messages, and `yardstick` in turn.
    fn compare<A, B>(
        &mut self,
        name: &str,
        messages: usize,
        mut subject: impl FnMut() -> A,
        (yardstick_name, mut yardstick): (&'static str, impl FnMut() -> B),
    ) {
        let mut pairs = vec![];
        self.criterion.bench_function(name, |bencher| {
            bencher.iter_custom(|times| {
                let took = time(times, &mut subject);
                let bare = time(times, &mut yardstick);
                let nanoseconds = took.as_secs_f64() * 1e9 / times as f64 / messages as f64;
                pairs.push((nanoseconds, took.as_secs_f64() / bare.as_secs_f64()));
                took
            });
        });
        // The earlier ones are of the warm-up. There are none if the filter names another benchmark.
        let (nanoseconds, ratios): (Vec<_>, Vec<_>) = pairs.into_iter().rev().take(SAMPLES).unzip();
        if !ratios.is_empty() {
            self.rows.push(Row {
                name: name.to_owned(),
                yardstick: yardstick_name,
                nanoseconds: median(nanoseconds),
                ratio: median(ratios),
            });
        }
    }

    fn report(&self) {
        println!("{:<26} ns/message     ratio   to", "");
        for row in &self.rows {
            let Row {
                name, yardstick, ..
            } = row;
            println!(
                "{name:<26} {:>10.0} {:>9.2}   {yardstick}",
                row.nanoseconds, row.ratio
            );
        }
    }
}

fn time<T>(times: u64, work: &mut impl FnMut() -> T) -> Duration {
    let start = Instant::now();
    for _ in 0..times {
        black_box(work());
    }
    start.elapsed()
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Messages of `bytes` bytes each, as the store gives them.
fn messages(count: usize, bytes: usize) -> Vec<Message> {
    let created = UnixSeconds(1_790_000_000);
    let data = "x".repeat(bytes);
    (1..)
        .take(count)
        .map(|sequence| {
            let draft = Draft::new("bench".parse().expect("a topic"), data.clone().into());
            Message {
                sequence: Sequence(sequence),
                code: MessageCode::new(draft.digest(created, sequence.into()), created),
                topic: draft.topic,
                data: draft.data,
                created,
                status: Status::Accepted,
            }
        })
        .collect()
}
