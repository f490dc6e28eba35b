//! What a disk does to a file: bits flip, ends are lost, sectors are empty or another's.

#![allow(dead_code, reason = "each test file uses a part")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use serde::de::IgnoredAny;

use crate::common_store::{Random, segments};
const SECTOR: u64 = 512;

pub(crate) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    Log,
    Mirror,
    Snapshot,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    Flip,
    Truncate,
    Zero,
    Misdirected,
}

/// What is beside the damaged file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beside {
    Everything,
    NoSnapshot,
    NoMirror,
    Nothing,
}

/// Bytes of a file that are not what was written.
#[derive(Debug)]
pub(crate) struct Hit {
    pub(crate) kind: Kind,
    pub(crate) fault: Fault,
    pub(crate) file: PathBuf,
    pub(crate) from: u64,
    pub(crate) to: u64,
}

fn files_of(dir: &Path, kind: Kind) -> Vec<PathBuf> {
    let mut files = match kind {
        Kind::Log => segments(dir),
        Kind::Mirror => files_below(&dir.join("data.db/sled")),
        Kind::Snapshot => vec![dir.join("data")],
    };
    files.retain(|file| fs::metadata(file).is_ok_and(|meta| meta.len() > 0));
    files
}

fn files_below(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten();
    let mut files: Vec<PathBuf> = entries
        .flat_map(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                files_below(&path)
            } else {
                vec![path]
            }
        })
        .collect();
    files.sort();
    files
}

/// Damages one file below `dir`, by chance.
pub(crate) fn hit(random: &mut Random, dir: &Path, kinds: &[Kind]) -> Hit {
    loop {
        let kind = *random.of(kinds);
        let file = random.of(&files_of(dir, kind)).clone();
        let before = fs::read(&file).unwrap();
        // The mirror's file is mostly zeros that are not used yet.
        let used = before.iter().rposition(|byte| *byte != 0).unwrap_or(0) as u64 + 1;
        let at = random.between(0, used - 1);
        let sector = at / SECTOR * SECTOR;
        let end = (sector + SECTOR).min(before.len() as u64);
        let range = index(sector)..index(end);
        let mut bytes = before.clone();
        let faults = [
            Fault::Flip,
            Fault::Truncate,
            Fault::Zero,
            Fault::Misdirected,
        ];
        let fault = *random.of(&faults);
        let (from, to) = match fault {
            Fault::Flip => {
                bytes[index(at)] ^= 1 << random.between(0, 7);
                (at, at + 1)
            }
            Fault::Truncate => {
                bytes.truncate(index(at));
                (at, before.len() as u64)
            }
            Fault::Zero => {
                bytes[range].fill(0);
                (sector, end)
            }
            Fault::Misdirected => {
                let others = files_of(dir, *random.of(kinds));
                let other = fs::read(random.of(&others)).unwrap();
                let from = random.between(0, other.len() as u64 / SECTOR) * SECTOR;
                let other = &other[index(from)..];
                let len = other.len().min(range.len());
                bytes[range][..len].copy_from_slice(&other[..len]);
                (sector, end)
            }
        };
        if bytes != before {
            fs::write(&file, bytes).unwrap();
            return Hit {
                kind,
                fault,
                file,
                from,
                to,
            };
        }
    }
}

type RawAccepts = (
    u64,
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
    IgnoredAny,
    Vec<u32>,
);
type RawMeta = (IgnoredAny, Option<RawAccepts>, IgnoredAny, IgnoredAny);

/// The sequences in the frames of a segment that a hit touches.
pub(crate) fn messages_in(segment: &[u8], hit: &Hit) -> BTreeSet<u64> {
    let word = |at: usize| u32::from_le_bytes(segment[at..at + 4].try_into().unwrap()) as usize;
    let (mut at, mut touched) = (16, BTreeSet::new());
    // Behind the last frame is room for the next.
    while at < segment.len() && segment[at] != 0 {
        let (meta, data) = (word(at + 4), word(at + 8));
        let end = at + 20 + meta + data;
        let raw: RawMeta = rmp_serde::from_slice(&segment[at + 20..at + 20 + meta]).unwrap();
        if (at as u64) < hit.to && hit.from < end as u64 {
            let accepts = raw.1.into_iter();
            touched.extend(accepts.flat_map(|raw| raw.0..raw.0 + raw.5.len() as u64));
        }
        at = end;
    }
    touched
}
