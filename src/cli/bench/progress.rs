//! The line that shows how a run goes, and the watch over whether it still does.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use indicatif::{HumanCount, ProgressBar, ProgressStyle};

use crate::cli::bench::figures::{Gauge, Totals};
use crate::cli::failure::complain;

/// Time between two looks at the gauges.
pub(super) const LOOK: Duration = Duration::from_millis(100);
/// Looks that a rate is taken over.
const LOOKS: usize = 10;

/// Looks at the gauges of a run.
pub(super) struct Progress {
    gauges: Vec<Arc<Gauge>>,
    bar: ProgressBar,
    looks: VecDeque<(Instant, Totals)>,
    last: Totals,
    moved: Instant,
    begun: Instant,
    /// The full seconds of which a line has told; `None`: nobody is told.
    told: Option<u64>,
}

impl Progress {
    /// Shows how the run of these gauges goes, unless it is to be quiet.
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

    /// Looks at the gauges now, and shows what they say; how long they have not moved.
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

    /// What the gauges said at the last look.
    pub(super) fn totals(&self) -> Totals {
        self.last
    }

    /// Removes the line.
    pub(super) fn end(&self) {
        self.bar.finish_and_clear();
    }
}

/// A rate as people read it.
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
