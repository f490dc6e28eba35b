//! For the targets that are fuzzed: how long each runs, and changes of bytes that were good.
//!
//! A target runs for a fixed number of inputs, or for `DPMQ_FUZZ_SECONDS`. A failure prints the
//! seed of its input, and `BOLERO_RANDOM_SEED` begins with that one.

use std::time::Duration;

use bolero::{DefaultEngine, TestTarget, TypeGenerator};

/// A target that runs for so many inputs, or for as long as the environment says.
pub(crate) fn bounded<G, O>(
    target: TestTarget<G, DefaultEngine, O>,
    inputs: usize,
) -> TestTarget<G, DefaultEngine, O> {
    match std::env::var("DPMQ_FUZZ_SECONDS") {
        Ok(seconds) => {
            let seconds = seconds.parse().expect("DPMQ_FUZZ_SECONDS is a number");
            target.with_test_time(Duration::from_secs(seconds))
        }
        Err(_) => target.with_iterations(inputs),
    }
}

/// A change of bytes; places are taken modulo their number.
#[derive(Clone, Debug, TypeGenerator)]
pub(crate) enum Edit {
    Flip { at: u32, bit: u8 },
    Write { at: u32, bytes: [u8; 4] },
    Insert { at: u32, bytes: Vec<u8> },
    Remove { at: u32, len: u8 },
    Copy { from: u32, to: u32, len: u16 },
    Cut { at: u32 },
}

impl Edit {
    /// Makes the change.
    pub(crate) fn apply(&self, bytes: &mut Vec<u8>) {
        let place = |at: u32| at as usize % bytes.len().max(1);
        if bytes.is_empty() {
            return;
        }
        match self {
            Edit::Flip { at, bit } => {
                let at = place(*at);
                bytes[at] ^= 1 << (bit % 8);
            }
            Edit::Write { at, bytes: new } => {
                let at = place(*at);
                bytes
                    .iter_mut()
                    .skip(at)
                    .zip(new)
                    .for_each(|(byte, new)| *byte = *new);
            }
            Edit::Insert { at, bytes: new } => {
                let at = place(*at);
                bytes.splice(at..at, new.iter().copied());
            }
            Edit::Remove { at, len } => {
                let at = place(*at);
                let end = (at + usize::from(*len)).min(bytes.len());
                bytes.drain(at..end);
            }
            Edit::Copy { from, to, len } => {
                let (from, to) = (place(*from), place(*to));
                let end = (from + usize::from(*len)).min(bytes.len());
                let copy = bytes[from..end].to_vec();
                bytes
                    .iter_mut()
                    .skip(to)
                    .zip(copy)
                    .for_each(|(byte, new)| *byte = new);
            }
            Edit::Cut { at } => bytes.truncate(place(*at)),
        }
    }
}
