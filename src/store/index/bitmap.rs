//! Tells which of the 1,024 messages of a block are in a status.

/// The number of messages in a block.
pub(crate) const BLOCK_LEN: u64 = 1024;
const WORDS: usize = 16;
/// The bytes of a bitmap in the mirror.
pub(crate) const BITMAP_BYTES: usize = WORDS * 8;

/// One bit for each message of a block.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Bitmap([u64; WORDS]);

impl Bitmap {
    /// The bits from `first` up to but not including `end`. Both are at most [`BLOCK_LEN`].
    pub(crate) fn range(first: u64, end: u64) -> Bitmap {
        let mut words = [0; WORDS];
        for (word, base) in words.iter_mut().zip((0_u64..).step_by(64)) {
            let low = first.saturating_sub(base).min(64);
            let high = end.saturating_sub(base).min(64);
            if low < high {
                *word = (u64::MAX << low) & (u64::MAX >> (64 - high));
            }
        }
        Bitmap(words)
    }

    /// The number of bits set.
    pub(crate) fn len(&self) -> u64 {
        self.0.iter().map(|word| u64::from(word.count_ones())).sum()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.iter().all(|word| *word == 0)
    }

    pub(crate) fn contains(&self, bit: u64) -> bool {
        usize::try_from(bit / 64)
            .ok()
            .and_then(|word| self.0.get(word))
            .is_some_and(|word| word >> (bit % 64) & 1 == 1)
    }

    /// Removes and returns the bits that `mask` also has.
    pub(crate) fn take(&mut self, mask: &Bitmap) -> Bitmap {
        let mut taken = [0; WORDS];
        for ((word, mask), taken) in self.0.iter_mut().zip(mask.0).zip(&mut taken) {
            *taken = *word & mask;
            *word &= !mask;
        }
        Bitmap(taken)
    }

    /// Adds the bits of `other`.
    pub(crate) fn insert(&mut self, other: &Bitmap) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word |= other;
        }
    }

    /// Removes the bits of `other`.
    pub(crate) fn remove(&mut self, other: &Bitmap) {
        for (word, other) in self.0.iter_mut().zip(other.0) {
            *word &= !other;
        }
    }

    /// Keeps the bits for which `keep` returns true.
    pub(crate) fn retain(&mut self, mut keep: impl FnMut(u64) -> bool) {
        for (word, base) in self.0.iter_mut().zip((0_u64..).step_by(64)) {
            let mut rest = *word;
            while rest != 0 {
                let bit = rest.trailing_zeros();
                if !keep(base + u64::from(bit)) {
                    *word &= !(1 << bit);
                }
                rest &= rest - 1;
            }
        }
    }

    /// The bits set, ascending.
    pub(crate) fn iter(&self) -> impl Iterator<Item = u64> + '_ {
        self.0
            .iter()
            .zip((0_u64..).step_by(64))
            .flat_map(|(&word, base)| {
                let mut rest = word;
                std::iter::from_fn(move || {
                    let bit = u64::from(rest.trailing_zeros());
                    rest &= rest.checked_sub(1)?;
                    Some(base + bit)
                })
            })
    }

    pub(crate) fn to_bytes(&self) -> [u8; BITMAP_BYTES] {
        let mut bytes = [0; BITMAP_BYTES];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&word.to_be_bytes());
        }
        bytes
    }

    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Bitmap> {
        let bytes: &[u8; BITMAP_BYTES] = bytes.try_into().ok()?;
        let mut words = [0; WORDS];
        for (word, chunk) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_be_bytes(chunk.try_into().ok()?);
        }
        Some(Bitmap(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn a_bitmap_is_a_set_of_bits(
            a in 0_u64..=BLOCK_LEN, b in 0_u64..=BLOCK_LEN, c in 0_u64..=BLOCK_LEN, d in 0_u64..=BLOCK_LEN
        ) {
            let (first, second): (BTreeSet<_>, BTreeSet<_>) = ((a..b).collect(), (c..d).collect());
            let mut bitmap = Bitmap::range(a, b.max(a));
            prop_assert_eq!(bitmap.iter().collect::<BTreeSet<_>>(), first.clone());
            prop_assert_eq!(bitmap.len(), first.len() as u64);
            prop_assert_eq!(Bitmap::from_bytes(&bitmap.to_bytes()), Some(bitmap.clone()));

            let mask = Bitmap::range(c, d.max(c));
            let taken = bitmap.take(&mask);
            prop_assert_eq!(taken.iter().collect::<BTreeSet<_>>(), &first & &second);
            prop_assert_eq!(bitmap.iter().collect::<BTreeSet<_>>(), &first - &second);
            bitmap.insert(&mask);
            prop_assert_eq!(bitmap.iter().collect::<BTreeSet<_>>(), &first | &second);
            bitmap.remove(&mask);
            prop_assert!(mask.iter().all(|bit| !bitmap.contains(bit)));
            let mut even = Bitmap::range(a, b.max(a));
            even.retain(|bit| bit % 2 == 0);
            prop_assert_eq!(even.iter().collect::<Vec<_>>(), (a..b).filter(|bit| bit % 2 == 0).collect::<Vec<_>>());
        }
    }

    #[test]
    fn other_lengths_are_no_bitmap() {
        assert_eq!(Bitmap::from_bytes(&[0; 127]), None);
        assert!(Bitmap::default().is_empty());
    }
}
