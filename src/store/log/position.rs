//! Positions in the log.

/// The position of a byte in the log. Positions have the order in which the bytes were written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

impl Position {
    pub(in crate::store) fn at(segment: u32, offset: u64) -> Position {
        Position {
            segment,
            offset: u32::try_from(offset).expect("a segment and a message are far below 4 GiB"),
        }
    }

    /// This position as one number, with the same order.
    pub(crate) fn to_u64(self) -> u64 {
        u64::from(self.segment) << 32 | u64::from(self.offset)
    }

    pub(crate) fn from_u64(number: u64) -> Position {
        Position {
            segment: u32::try_from(number >> 32).unwrap_or_default(),
            offset: u32::try_from(number & u64::from(u32::MAX)).unwrap_or_default(),
        }
    }
}
