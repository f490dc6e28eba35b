//! Finds the seed with which the checksums of a log begin.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::log::frame::{self, HEAD_BYTES, Head};
use crate::store::log::segment::{READ_AHEAD, SEGMENT_HEAD_BYTES, Segment};

/// The number of bytes in which a frame is searched for.
const SEARCH_BYTES: u64 = 1 << 20;

/// The seed with which most segments can be read, among those in their heads and in `told`. Without
/// segments it is new. With a wrong seed the whole log would look damaged.
pub(in crate::store) fn of(
    heads: &[(Arc<Segment>, Option<u32>)],
    told: &[u32],
) -> Result<u32, StoreError> {
    let Some((newest, _)) = heads.last() else {
        return Ok(told.first().copied().unwrap_or_else(new_seed));
    };
    let mut votes: BTreeMap<u32, usize> = BTreeMap::new();
    for seed in heads
        .iter()
        .filter_map(|(_, seed)| *seed)
        .chain(told.iter().copied())
    {
        *votes.entry(seed).or_default() += 1;
    }
    let mut best = vec![];
    // The first frames decide, unless they are damaged themselves.
    for search_bytes in [1, SEARCH_BYTES] {
        best.clear();
        for (&seed, &votes) in &votes {
            let mut read = 0;
            for (segment, _) in heads {
                read += usize::from(has_frame(segment, seed, search_bytes)?);
            }
            best.push((read, votes, seed));
        }
        best.sort_unstable_by(|a, b| b.cmp(a));
        if best.first().is_some_and(|(read, ..)| *read > 0) {
            break;
        }
    }
    let refuse = |what: &str| {
        let path = newest.path.clone();
        Err(StoreError::NotOurs {
            path,
            what: what.into(),
        })
    };
    match best.as_slice() {
        [a, b, ..] if (a.0, a.1) == (b.0, b.1) => {
            refuse("its checksums are of another store than those of its neighbours")
        }
        [(_, _, seed), ..] => Ok(*seed),
        [] => refuse("it does not begin as a log segment does"),
    }
}

/// Whether a frame of this seed begins in the first bytes.
fn has_frame(segment: &Segment, seed: u32, search_bytes: u64) -> Result<bool, StoreError> {
    let (mut at, end) = (SEGMENT_HEAD_BYTES, SEGMENT_HEAD_BYTES + search_bytes);
    while at < end {
        let bytes = segment.read(at, READ_AHEAD)?;
        let Some(found) = frame::find_magic(&bytes) else {
            at += (bytes.len() as u64).saturating_sub(3).max(1);
            if bytes.is_empty() {
                break;
            }
            continue;
        };
        at += found as u64;
        if let Ok(head) = Head::parse(&bytes[found..])
            && head
                .meta(seed, &segment.read(at, HEAD_BYTES + head.meta_len)?)
                .is_ok()
        {
            return Ok(true);
        }
        at += 1;
    }
    Ok(false)
}

fn new_seed() -> u32 {
    getrandom::u32().expect("the system gives random numbers")
}
