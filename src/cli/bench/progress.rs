//! The progress line of a run, and the check that it still moves.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::cli::bench::figures::{Gauge, Totals};
use crate::cli::failure::complain;

/// The interval at which the gauges are read.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// The number of readings that a rate covers.
const LOOKS: usize = 10;

/// Reads the gauges of a run.
pub(super) struct Progress {
    gauges: Vec<Arc<Gauge>>,
    bar: ProgressBar,
    looks: VecDeque<(Instant, Totals)>,
    last: Totals,
    moved: Instant,
    begun: Instant,
    /// The last full second that a line was printed for; `None` if none are printed.
    told: Option<u64>,
}

impl Progress {
    /// Shows the progress of the run of these gauges, unless it is quiet.
    pub(super) fn new(gauges: Vec<Arc<Gauge>>, quiet: bool) -> Progress {
        let style = ProgressStyle::with_template("{spinner} {elapsed} {msg}");
        let bar = match quiet {
            true => ProgressBar::hidden(),
            false => ProgressBar::new_spinner(),
        };
        // Where nobody sees the line change, there is a line a second.
        let told = (!quiet && bar.is_hidden()).then_some(0);
        Progress {
            gauges,
            bar: bar.with_style(style.expect("a valid template")),
            begun: Instant::now(),
            told,
            looks: VecDeque::new(),
            last: Totals::default(),
            moved: Instant::now(),
        }
    }

    /// Reads the gauges and shows them. Returns how long they have not moved.
    pub(super) fn look(&mut self, now: Instant) -> Duration {
        let totals = Totals::of(self.gauges.iter().map(Arc::as_ref));
        if totals != self.last {
            (self.last, self.moved) = (totals, now);
        }
        let (before, first) = *self.looks.front().unwrap_or(&(now, totals));
        let seconds = now.saturating_duration_since(before).as_secs_f64();
        let rate = |of: fn(&Totals) -> u64| match seconds > 0.0 {
            true => whole((of(&totals) - of(&first)) as f64 / seconds),
            false => HumanCount(0),
        };
        let line = format!(
            "{} answered/s, {} delivered/s, {} in flight",
            rate(|totals| totals.answered),
            rate(|totals| totals.received),
            HumanCount(totals.sent - totals.answered),
        );
        let ran = now.saturating_duration_since(self.begun).as_secs();
        if self.told.is_some_and(|told| told < ran) {
            self.told = Some(ran);
            complain(&format!("{ran} s: {line}"));
        }
        self.bar.set_message(line);
        self.bar.tick();
        self.looks.push_back((now, totals));
        if self.looks.len() > LOOKS {
            self.looks.pop_front();
        }
        now.saturating_duration_since(self.moved)
    }

    /// The gauges, as they were read last.
    pub(super) fn totals(&self) -> Totals {
        self.last
    }

    /// Removes the line.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A rate for people.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a rate is not negative, and a conversion from f64 saturates"
)]
pub(super) fn whole(rate: f64) -> HumanCount {
    HumanCount(rate.round() as u64)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::Ordering::Relaxed;

    use super::*;

    #[test]
    fn what_does_not_move_is_told_by_its_time() {
        let gauge = Arc::new(Gauge::default());
        let mut progress = Progress::new(vec![gauge.clone()], true);
        let begin = Instant::now();
        let at = |seconds| begin + Duration::from_secs(seconds);
        gauge.sent.store(1, Relaxed);
        assert_eq!(progress.look(at(5)), Duration::ZERO);
        assert_eq!(progress.look(at(8)), Duration::from_secs(3));
        gauge.received.store(1, Relaxed);
        assert_eq!(progress.look(at(9)), Duration::ZERO);
        assert_eq!(progress.totals().received, 1);
    }
}
