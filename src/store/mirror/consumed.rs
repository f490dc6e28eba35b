//! The values of the tree `consumed`: 6 bytes for a range of messages, with its first, its last,
//! and the time at which they were consumed.

use crate::message::UnixSeconds;

pub(super) const TIME_RANGE_BYTES: usize = 6;

pub(super) struct TimeRange {
    pub(super) first: u8,
    pub(super) last: u8,
    pub(super) at: UnixSeconds,
}

pub(super) fn times_get(value: &[u8], place: u8) -> Option<UnixSeconds> {
    value.chunks_exact(TIME_RANGE_BYTES).find_map(|range| {
        (range[0] <= place && place <= range[1])
            .then(|| UnixSeconds(u32::from_be_bytes([range[2], range[3], range[4], range[5]])))
    })
}

pub(super) fn times_add(old: &[u8], added: &[TimeRange]) -> Vec<u8> {
    let mut value = old.to_vec();
    for range in added {
        let time = range.at.0.to_be_bytes();
        let joins = value.len().checked_sub(TIME_RANGE_BYTES).filter(|&at| {
            value[at + 2..] == time && value[at + 1].checked_add(1) == Some(range.first)
        });
        if let Some(at) = joins {
            value[at + 1] = range.last;
        } else if !value
            .chunks_exact(TIME_RANGE_BYTES)
            .any(|kept| kept[0] == range.first && kept[1] == range.last)
        {
            value.extend_from_slice(&[range.first, range.last]);
            value.extend_from_slice(&time);
        }
    }
    value
}
