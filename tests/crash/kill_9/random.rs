//! Random choices that one seed repeats.

use std::time::Duration;

/// A small generator of numbers.
pub(crate) struct Random(u64);

impl Random {
    /// The choices of `DPMQ_SEED`, or others every time; says which.
    pub(crate) fn of_this_run(test: &str) -> Random {
        let seed = match std::env::var("DPMQ_SEED") {
            Ok(seed) => seed.parse().expect("DPMQ_SEED is a number"),
            Err(_) => {
                let time = std::time::UNIX_EPOCH.elapsed().unwrap();
                u64::from(time.subsec_nanos()) ^ time.as_secs()
            }
        };
        println!("{test}: DPMQ_SEED={seed}");
        Random(seed)
    }

    pub(crate) fn next(&mut self) -> u64 {
        // splitmix64
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ z >> 31
    }

    /// Another generator, for a task of its own.
    pub(crate) fn fork(&mut self) -> Random {
        Random(self.next())
    }

    /// A number from `low` up to and with `high`.
    pub(crate) fn between(&mut self, low: usize, high: usize) -> usize {
        let count = u64::try_from(high - low + 1).unwrap();
        low + usize::try_from(self.next() % count).unwrap()
    }

    pub(crate) fn one_in(&mut self, n: u64) -> bool {
        self.next().is_multiple_of(n)
    }

    pub(crate) fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.between(0, all.len() - 1)]
    }

    pub(crate) fn millis(&mut self, low: usize, high: usize) -> Duration {
        Duration::from_millis(self.between(low, high).try_into().unwrap())
    }
}
