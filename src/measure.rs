//! What is counted and measured: numbers that only go up, and how values are spread.
//!
//! Counting adds to an atomic number, for a batch and not for each message, without a lock; showing
//! reads it. This module does not know what the numbers mean.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Bounds for times from 0.1 ms to an hour, in seconds.
pub const SECONDS: &[f64] = &[
    0.0001, 0.000_25, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5,
    5.0, 10.0, 60.0, 600.0, 3600.0,
];

/// Bounds for the size of groups, in messages.
pub const MESSAGES: &[f64] = &[
    1.0, 4.0, 16.0, 64.0, 256.0, 1024.0, 4096.0, 16_384.0, 65_536.0,
];

/// A number that only goes up.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `number`.
    pub fn add(&self, number: u64) {
        self.0.fetch_add(number, Ordering::Relaxed);
    }

    /// The number.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// How many values there were up to each of some bounds.
#[derive(Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    /// One more than bounds: the last has what is beyond all of them.
    counts: Box<[Counter]>,
    /// The bits of an `f64`: whole units would overflow within hours.
    sum: AtomicU64,
}

impl Histogram {
    /// Nothing has been seen. `bounds` ascend.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram {
            bounds,
            counts: (0..=bounds.len()).map(|_| Counter::default()).collect(),
            sum: AtomicU64::new(0.0_f64.to_bits()),
        }
    }

    /// Counts `value`, `times` times.
    pub fn add(&self, value: f64, times: u64) {
        let place = self.bounds.partition_point(|bound| *bound < value);
        self.counts[place].add(times);
        let more = value * times as f64;
        let add = |sum| Some((f64::from_bits(sum) + more).to_bits());
        self.sum
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add)
            .expect("there is always a next sum");
    }

    /// Counts a time, in seconds.
    pub fn add_time(&self, time: Duration, times: u64) {
        self.add(time.as_secs_f64(), times);
    }

    /// The values so far.
    pub fn spread(&self) -> Spread {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        Spread {
            buckets: bounds
                .zip(&self.counts)
                .map(|(bound, count)| (bound, count.get()))
                .collect(),
            sum: f64::from_bits(self.sum.load(Ordering::Relaxed)),
        }
    }
}

/// How values are spread.
#[derive(Clone, Debug, PartialEq)]
pub struct Spread {
    /// Upper bound, which belongs to it, and how many values were above the bound before; the
    /// last bound is infinite.
    pub buckets: Vec<(f64, u64)>,
    /// The sum of all values.
    pub sum: f64,
}

impl Spread {
    /// The number of values.
    pub fn count(&self) -> u64 {
        self.buckets.iter().map(|(_, count)| count).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_counted_below_its_bound() {
        let histogram = Histogram::new(&[1.0, 2.0]);
        for (value, times) in [(0.5, 1), (1.0, 10), (1.5, 100), (2.5, 1000)] {
            histogram.add(value, times);
        }
        histogram.add_time(Duration::from_millis(1500), 100);
        let spread = histogram.spread();
        let expected = [(1.0, 11), (2.0, 200), (f64::INFINITY, 1000)];
        assert_eq!(spread.buckets, expected);
        assert_eq!(spread.count(), 1211);
        assert_eq!(spread.sum, 0.5 + 10.0 + 300.0 + 2500.0);
    }

    #[test]
    fn nothing_is_lost_between_threads() {
        let histogram = Histogram::new(SECONDS);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..1000).for_each(|_| histogram.add(0.5, 2)));
            }
        });
        let spread = histogram.spread();
        assert_eq!((spread.count(), spread.sum), (8000, 4000.0));
    }

    #[test]
    fn bounds_ascend() {
        for bounds in [SECONDS, MESSAGES] {
            assert!(bounds.is_sorted_by(|a, b| a < b));
        }
    }
}
