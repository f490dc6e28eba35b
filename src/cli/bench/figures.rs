//! What is counted and timed while a run goes on.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use hdrhistogram::Histogram;

/// What one connection has done so far: its task writes it, the progress line reads it.
#[derive(Default)]
pub(super) struct Gauge {
    pub(super) sent: AtomicU64,
    pub(super) answered: AtomicU64,
    pub(super) received: AtomicU64,
}

/// The gauges of a run added up.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    pub(super) sent: u64,
    pub(super) answered: u64,
    /// Of all consumers together.
    pub(super) received: u64,
}

impl Totals {
    pub(super) fn of<'g>(gauges: impl IntoIterator<Item = &'g Gauge>) -> Totals {
        let mut totals = Totals::default();
        for gauge in gauges {
            totals.sent += gauge.sent.load(Relaxed);
            totals.answered += gauge.answered.load(Relaxed);
            totals.received += gauge.received.load(Relaxed);
        }
        totals
    }
}

/// Durations in microseconds, to three digits.
pub(super) struct Latencies(Histogram<u64>);

impl Default for Latencies {
    fn default() -> Latencies {
        Latencies(Histogram::new(3).expect("three digits are allowed"))
    }
}

impl Latencies {
    pub(super) fn record_ns(&mut self, nanoseconds: u64) {
        // It grows to hold whatever there is.
        let _ = self.0.record(nanoseconds / 1000);
    }

    pub(super) fn add(&mut self, other: &Latencies) {
        let _ = self.0.add(&other.0);
    }

    /// `None` if nothing was recorded.
    pub(super) fn percentiles(&self) -> Option<Percentiles> {
        let at = |quantile| milliseconds(self.0.value_at_quantile(quantile));
        (!self.0.is_empty()).then(|| Percentiles {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p99_9: at(0.999),
            max: milliseconds(self.0.max()),
        })
    }
}

/// Percentiles in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, serde::Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) p99_9: f64,
    pub(super) max: f64,
}

fn milliseconds(microseconds: u64) -> f64 {
    microseconds as f64 / 1000.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_milliseconds_of_what_was_recorded() {
        let (mut all, mut half) = (Latencies::default(), Latencies::default());
        assert_eq!(all.percentiles(), None);
        for n in 1..=1000 {
            let of = if n % 2 == 0 { &mut all } else { &mut half };
            of.record_ns(n * 1_000_000);
        }
        all.add(&half);
        let found = all.percentiles().unwrap();
        let near = |found: f64, expected: f64| (found / expected - 1.0).abs() < 0.002;
        assert!(
            near(found.p50, 500.0) && near(found.p90, 900.0),
            "{found:?}"
        );
        assert!(
            near(found.p99, 990.0) && near(found.p99_9, 999.0),
            "{found:?}"
        );
        assert!(near(found.max, 1000.0), "{found:?}");
    }
}
