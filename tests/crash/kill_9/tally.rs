//! What was done, in figures.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::kill_9::moments::Moment;

/// What was done, for whoever reads the output.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) rounds: usize,
    pub(crate) kills: usize,
    pub(crate) power_cuts: usize,
    pub(crate) listed: usize,
    pub(crate) answered: usize,
    pub(crate) answers: usize,
    /// Beside those that were taken away.
    pub(crate) mirrors_rebuilt: usize,
    pub(crate) torn: usize,
    /// Damage reported where a power cut has left a hole in what was not synced.
    pub(crate) holes: usize,
    pub(crate) longest_start: Duration,
    /// How often it died where it was to, and how often elsewhere.
    pub(crate) moments: BTreeMap<&'static str, [usize; 2]>,
}

impl Tally {
    /// Fails if it never died at one of these moments.
    pub(crate) fn assert_hit<'a>(&self, moments: impl IntoIterator<Item = &'a Moment>) {
        for moment in moments {
            let hit = self.moments.get(moment.name).map_or(0, |[hit, _]| *hit);
            assert!(hit > 0, "it never died {}", moment.name);
        }
    }

    pub(crate) fn moment(&mut self, moment: &Moment, hit: bool) {
        self.moments.entry(moment.name).or_default()[usize::from(!hit)] += 1;
    }

    pub(crate) fn say(&self, test: &str) {
        println!(
            "{test}: {} rounds, {} kills, {} power cuts; {} messages answered; checked {} times an answered one, {} times a listed one; {} mirrors rebuilt unasked, {} torn tails, {} holes; longest start {:.1?}",
            self.rounds,
            self.kills,
            self.power_cuts,
            self.answers,
            self.answered,
            self.listed,
            self.mirrors_rebuilt,
            self.torn,
            self.holes,
            self.longest_start
        );
        for (moment, [hit, missed]) in &self.moments {
            println!("{test}: died {hit} times {moment}, {missed} times elsewhere");
        }
    }
}
