//! Snapshots that were changed.

use std::path::Path;

use bolero::{ValueGenerator, check, produce};

use super::*;
use crate::fuzz::{Edit, bounded};
use crate::store::fs::files::OsFiles;
use crate::store::log::frame::fuzz::Content;
use crate::store::log::segment::segment_path;
use crate::store::log::segments::fuzz::{FramePlace, segment, walk};
use crate::store::snapshot::chunk::HEAD_LEN;
use crate::store::snapshot::unpack::{Unpacked, unpack};

/// A snapshot, what is in it, and where its chunks begin.
struct Sample {
    bytes: Vec<u8>,
    frames: Vec<FramePlace>,
    segments: Vec<Vec<u8>>,
    chunks: Vec<usize>,
}

/// A snapshot of segments with these frames, in chunks of `chunk_bytes`.
fn sample(contents: &[Vec<Content>], chunk_bytes: usize) -> Sample {
    let mut bytes = file_head(7).to_vec();
    let (mut frames, mut segments, mut chunks) = (vec![], vec![], vec![]);
    for (number, contents) in (1..).zip(contents) {
        let (segment, places) = segment(7, number, contents);
        frames.extend(places);
        for (n, piece) in segment.chunks(chunk_bytes).enumerate() {
            let offset = u32::try_from(n * chunk_bytes).unwrap();
            chunks.push(bytes.len());
            bytes.extend_from_slice(&ChunkHead::encode(number, offset, piece));
            bytes.extend_from_slice(piece);
        }
        segments.push(segment);
    }
    Sample {
        bytes,
        frames,
        segments,
        chunks,
    }
}

fn unpack_into(dir: &Path, bytes: &[u8]) -> Unpacked {
    let path = dir.join("data");
    std::fs::write(&path, bytes).unwrap();
    unpack(&OsFiles, &path, &dir.join("log"), &mut |_, _| {}).unwrap()
}

/// What some segments have.
fn segments() -> impl ValueGenerator<Output = Vec<Vec<Content>>> {
    let segment = produce::<Vec<Content>>().with().len(0..5usize);
    produce::<Vec<Vec<Content>>>()
        .with()
        .len(1..4usize)
        .values(segment)
}

/// Chunks that have something in them, and not too many.
fn chunk_bytes(n: u16) -> usize {
    64 + usize::from(n) % 2000
}

#[test]
fn a_snapshot_that_was_changed_gives_nothing_that_was_not_in_it() {
    let contents = segments();
    let edits = produce::<Vec<Edit>>().with().len(0..5usize);
    let target = check!().with_generator((contents, produce::<u16>(), edits));
    bounded(target, 25).for_each(|(contents, size, edits)| {
        let sample = sample(contents, chunk_bytes(*size));
        let (head, rest) = sample.bytes.split_at(HEAD_LEN);
        let mut rest = rest.to_vec();
        edits.iter().for_each(|edit| edit.apply(&mut rest));
        let changed = [head, &rest].concat();
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack_into(dir.path(), &changed);
        assert!(unpacked.bytes <= changed.len() as u64);
        if changed == sample.bytes {
            assert!(unpacked.damaged.is_empty() && unpacked.torn == 0);
            for (number, segment) in (1..).zip(&sample.segments) {
                let path = segment_path(&dir.path().join("log"), number);
                assert_eq!(std::fs::read(path).unwrap(), *segment);
            }
        }
        let (frames, _) = walk(&dir.path().join("log"));
        for (number, place) in frames {
            let path = segment_path(&dir.path().join("log"), number);
            let found = &std::fs::read(path).unwrap()[place];
            let mut written = sample.frames.iter();
            assert!(written.any(|(number, place)| {
                let segment = &sample.segments[*number as usize - 1];
                *found == segment[place.clone()]
            }));
        }
    });
}

#[test]
fn a_flipped_bit_costs_one_frame_at_most() {
    let contents = segments();
    let target = check!().with_generator((contents, produce::<u16>(), produce::<(u32, u8)>()));
    bounded(target, 40).for_each(|(contents, size, (at, bit))| {
        let Sample {
            mut bytes,
            frames,
            chunks,
            ..
        } = sample(contents, chunk_bytes(*size));
        let Some(&last) = chunks.last() else { return };
        let at = HEAD_LEN + *at as usize % (bytes.len() - HEAD_LEN);
        bytes[at] ^= 1 << (bit % 8);
        let length = last + 12..last + 16;
        let told = u32::from_le_bytes(bytes[length.clone()].try_into().unwrap()) as usize;
        let end = last + CHUNK_HEAD_BYTES + told;
        if length.contains(&at) && end > bytes.len() && told <= CHUNK_BYTES_MAX {
            // It looks like the last chunk of a copy of a file that was being written.
            return;
        }
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack_into(dir.path(), &bytes);
        assert_eq!((unpacked.damaged.len(), unpacked.torn), (1, 0));
        let (found, _) = walk(&dir.path().join("log"));
        let lost: Vec<_> = frames
            .iter()
            .filter(|frame| !found.contains(frame))
            .collect();
        assert!(lost.len() <= 1, "{lost:?} of {frames:?}");
    });
}

#[test]
fn a_length_that_no_chunk_has_is_not_believed() {
    let over = 1..u32::MAX - (4 << 20);
    let target = check!().with_generator((segments(), produce::<u16>(), over));
    bounded(target, 20).for_each(|(contents, size, over)| {
        let mut sample = sample(contents, chunk_bytes(*size));
        let last = sample.chunks[sample.chunks.len() - 1];
        let length = u32::try_from(CHUNK_BYTES_MAX).unwrap() + over;
        sample.bytes[last + 12..last + 16].copy_from_slice(&length.to_le_bytes());
        let dir = tempfile::tempdir().unwrap();
        let unpacked = unpack_into(dir.path(), &sample.bytes);
        assert_eq!((unpacked.damaged, unpacked.torn), (vec![last as u64], 0));
        assert_eq!(walk(&dir.path().join("log")), (sample.frames, 0));
    });
}
