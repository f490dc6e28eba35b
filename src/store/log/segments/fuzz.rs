//! Walks over segments that were changed.

use std::ops::Range;

use bolero::{check, produce};

use super::*;
use crate::fuzz::{Edit, bounded};
use crate::store::fs::files::OsFiles;
use crate::store::log::frame::fuzz::Content;
use crate::store::log::walk::Step;

/// Where a frame is: in which segment, and which bytes of it.
pub(crate) type FramePlace = (u32, Range<usize>);

/// The bytes of a segment with these frames, and where each of them is.
pub(crate) fn segment(seed: u32, number: u32, frames: &[Content]) -> (Vec<u8>, Vec<FramePlace>) {
    let mut bytes = segment_head(seed, number).to_vec();
    let places = frames.iter().map(|frame| {
        let from = bytes.len();
        frame.encode(&mut bytes, seed);
        (number, from..bytes.len())
    });
    let places = places.collect();
    (bytes, places)
}

/// The frames of a log, and how many bytes are damaged. Every byte is in one of both.
pub(crate) fn walk(dir: &Path) -> (Vec<FramePlace>, usize) {
    let files: Arc<dyn Files> = Arc::new(OsFiles);
    let (segments, damaged_heads) = Segments::open(&files, dir, &[]).unwrap();
    assert!(damaged_heads.is_empty());
    let mut walk = segments.walk(Position::default(), true);
    let (mut frames, mut damaged) = (vec![], 0);
    let mut reached: BTreeMap<PathBuf, usize> = BTreeMap::new();
    let place = |from: u64, to: u64| usize::try_from(from).unwrap()..usize::try_from(to).unwrap();
    while let Some(step) = walk.next().unwrap() {
        let (path, place) = match step {
            Step::Frame(frame) => {
                let from = u64::from(frame.position.offset);
                let place = place(from, from + frame.head.frame_len() as u64);
                frames.push((frame.segment.number, place.clone()));
                (frame.segment.path.clone(), place)
            }
            Step::Damage(damage) => {
                let place = place(damage.from, damage.to);
                damaged += place.len();
                (damage.path, place)
            }
        };
        let reached = reached.entry(path).or_insert(HEAD_LEN);
        assert!(
            *reached == place.start && !place.is_empty(),
            "{place:?} behind {reached}"
        );
        *reached = place.end;
    }
    for segment in segments.from(0) {
        let reached = reached.get(&segment.path).copied().unwrap_or(HEAD_LEN);
        assert_eq!(reached as u64, segment.end());
    }
    (frames, damaged)
}

/// A walk over a segment whose bytes after the head were changed.
struct Walked {
    changed: Vec<u8>,
    found: Vec<FramePlace>,
    damaged: usize,
}

fn walk_changed(bytes: &[u8], edits: &[Edit]) -> Walked {
    let dir = tempfile::tempdir().unwrap();
    let mut rest = bytes[HEAD_LEN..].to_vec();
    edits.iter().for_each(|edit| edit.apply(&mut rest));
    let changed = [&bytes[..HEAD_LEN], &rest].concat();
    std::fs::write(segment_path(dir.path(), 1), &changed).unwrap();
    let (found, damaged) = walk(dir.path());
    Walked {
        changed,
        found,
        damaged,
    }
}

#[test]
fn what_a_walk_meets_was_written() {
    let frames = produce::<Vec<Content>>().with().len(1..6usize);
    let edits = produce::<Vec<Edit>>().with().len(0..5usize);
    let target = check!().with_generator((frames, edits));
    bounded(target, 60).for_each(|(contents, edits)| {
        let (bytes, places) = segment(7, 1, contents);
        let Walked { changed, found, .. } = walk_changed(&bytes, edits);
        for (_, place) in &found {
            let mut written = places.iter();
            assert!(written.any(|(_, written)| changed[place.clone()] == bytes[written.clone()]));
        }
        let same = bytes
            .iter()
            .zip(&changed)
            .take_while(|(a, b)| a == b)
            .count();
        let whole: Vec<_> = places
            .iter()
            .filter(|(_, place)| place.end <= same)
            .collect();
        assert!(found.iter().take(whole.len()).eq(whole));
    });
}

#[test]
fn a_walk_misses_nothing_that_is_whole() {
    let frames = produce::<Vec<Content>>().with().len(1..6usize);
    let flips = produce::<Vec<(u32, u8)>>().with().len(0..5usize);
    let target = check!().with_generator((frames, flips));
    bounded(target, 60).for_each(|(contents, flips)| {
        let (bytes, mut places) = segment(7, 1, contents);
        let flip = |(at, bit): &(u32, u8)| Edit::Flip { at: *at, bit: *bit };
        let edits: Vec<_> = flips.iter().map(flip).collect();
        let Walked {
            changed,
            found,
            damaged,
        } = walk_changed(&bytes, &edits);
        places.retain(|(_, place)| bytes[place.clone()] == changed[place.clone()]);
        assert_eq!(found, places);
        let whole: usize = places.iter().map(|(_, place)| place.len()).sum();
        assert_eq!(damaged, bytes.len() - HEAD_LEN - whole);
    });
}
