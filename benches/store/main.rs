//! What the store costs beyond the bare disk.
//!
//! `cargo bench --bench store` runs all, `-- append`, `-- mirror` or `-- recovery` one of them. Each
//! is measured in turn with its yardstick, on the disk of the build folder; it prints medians, and
//! the median of their ratios. Rates of a single run on a busy machine mean little, but the ratio
//! holds. `cargo test --benches` runs one round of each.

#![expect(clippy::print_stdout, reason = "it is what a benchmark is for")]

mod append;
mod mirror;
mod recovery;

use std::fs::File;
use std::io::Write;
use std::time::{Duration, Instant};

use bytestring::ByteString;
use dpmq::message::{Draft, Topic};
use tempfile::TempDir;

const DATA_BYTES: usize = 128;
/// Bytes of such a message in the log.
const LOG_BYTES: usize = DATA_BYTES + 24;

fn main() {
    let wanted: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| !arg.starts_with('-'))
        .collect();
    let all: [(&str, fn()); 3] = [
        ("append", append::run),
        ("mirror", mirror::run),
        ("recovery", recovery::run),
    ];
    for (name, run) in all {
        if wanted.is_empty() || wanted.iter().any(|part| name.contains(part.as_str())) {
            println!("{name}: {DATA_BYTES}-byte messages");
            run();
            println!();
        }
    }
}

/// `rounds`, or one in a test that only shows that the benchmark works.
fn rounds(rounds: usize) -> usize {
    match std::env::args().any(|arg| arg == "--bench") {
        true => rounds,
        false => 1,
    }
}

fn folder() -> TempDir {
    tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder to write to")
}

/// The yardstick: a file with appends and syncs.
struct Bare {
    file: File,
    bytes: Vec<u8>,
}

impl Bare {
    /// One in `dir` for groups of so many messages.
    fn new(dir: &TempDir, group: usize) -> Bare {
        let file = File::options()
            .create(true)
            .append(true)
            .open(dir.path().join("bare"));
        Bare {
            file: file.expect("a file to write to"),
            bytes: vec![7; group * LOG_BYTES],
        }
    }

    fn commit(&mut self) {
        self.file.write_all(&self.bytes).expect("room on the disk");
        self.file.sync_data().expect("a disk that syncs");
    }
}

fn drafts(messages: usize) -> Vec<Draft> {
    let topic: Topic = "bench".parse().expect("a topic");
    let data = ByteString::from("x".repeat(DATA_BYTES));
    (0..messages)
        .map(|_| Draft::new(topic.clone(), data.clone()))
        .collect()
}

fn time(work: impl FnOnce()) -> Duration {
    let start = Instant::now();
    work();
    start.elapsed()
}

fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_unstable_by(f64::total_cmp);
    values[values.len() / 2]
}
