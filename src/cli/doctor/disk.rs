//! The disk of the store: its kind, how fast it syncs, and how much space it has.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::cli::doctor::finding::Finding;
use crate::store::{OsFiles, places};

/// Syncs that are measured, unless they take longer than this in all.
const SYNCS: usize = 200;
const TIME: Duration = Duration::from_secs(3);
/// The bytes of a small message in the log.
const RECORD_BYTES: usize = 192;
/// Slower syncs get a warning: a single message is answered after a sync.
const SLOW_USUAL: Duration = Duration::from_millis(20);
const SLOW_AT_TIMES: Duration = Duration::from_millis(200);
/// Less free space gets a warning: it may be used up before an operator looks.
const FREE_MIN_BYTES: u64 = 64 << 20;

/// Checks the disk below `folder`, which holds the store of the snapshot `file`.
pub(super) fn check(folder: &Path, file: &Path) -> Vec<Finding> {
    let kind = kind(folder);
    kind.into_iter()
        .chain([speed(folder), space(folder, file)])
        .collect()
}

/// Reports a file system that loses its files, as one in memory does.
#[cfg(target_os = "linux")]
fn kind(folder: &Path) -> Option<Finding> {
    const CHECK: &str = "disk kind";
    const TMPFS: i64 = 0x0102_1994;
    const RAMFS: i64 = 0x8584_58f6;
    const OVERLAY: i64 = 0x794c_7630;
    const NFS: i64 = 0x6969;
    const SMB: i64 = 0xff53_4d42;
    let found = rustix::fs::statfs(folder).ok()?.f_type;
    let shown = folder.display();
    match found {
        TMPFS | RAMFS => Some(Finding::warn(
            CHECK,
            format!("{shown} is in memory: nothing in it survives a restart of the machine"),
            "set mq.persistentFile to a file on a disk",
        )),
        OVERLAY => Some(Finding::warn(
            CHECK,
            format!("{shown} is the writable layer of a container, and goes with it"),
            "mount a volume, and set mq.persistentFile to a file on it",
        )),
        NFS | SMB => Some(Finding::warn(
            CHECK,
            format!("{shown} is on another machine: its syncs and locks are as good as that one's"),
            "set mq.persistentFile to a file on a disk of this machine",
        )),
        _ => None,
    }
}

#[cfg(not(target_os = "linux"))]
fn kind(_: &Path) -> Option<Finding> {
    None
}

fn speed(folder: &Path) -> Finding {
    const CHECK: &str = "disk speed";
    let mut times = match measure(folder) {
        Ok(times) => times,
        Err(error) => {
            return Finding::fail(
                CHECK,
                format!("cannot write and sync in {}: {error}", folder.display()),
                "let the server's user write there, or set mq.persistentFile to another place",
            );
        }
    };
    times.sort_unstable();
    let (usual, at_times) = (quantile(&times, 50), quantile(&times, 99));
    let text = format!(
        "append and sync: p50 {usual:.2?}, p99 {at_times:.2?}; a producer that waits for each answer sends up to {} messages a second, more in flight share a sync",
        per_second(usual)
    );
    match usual > SLOW_USUAL || at_times > SLOW_AT_TIMES {
        true => Finding::warn(
            CHECK,
            text,
            "send with several messages in flight, or use a disk with a protected write cache; look for what else uses this one",
        ),
        false => Finding::ok(CHECK, text),
    }
}

fn per_second(time: Duration) -> u64 {
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    1_000_000_000 / nanos.max(1)
}

/// The value that `percent` of the sorted `times` do not exceed.
fn quantile(times: &[Duration], percent: usize) -> Duration {
    let place = (times.len() * percent).div_ceil(100).max(1) - 1;
    times.get(place).copied().unwrap_or_default()
}

/// Appends records as the log does, into preallocated space, and syncs each.
fn measure(folder: &Path) -> io::Result<Vec<Duration>> {
    let probe = Probe::create(folder)?;
    probe.file.write_all_at(&[0; SYNCS * RECORD_BYTES], 0)?;
    probe.file.sync_data()?;
    let record = [b'd'; RECORD_BYTES];
    let (mut times, begun) = (vec![], Instant::now());
    for offset in (0..).step_by(RECORD_BYTES).take(SYNCS) {
        let start = Instant::now();
        probe.file.write_all_at(&record, offset)?;
        probe.file.sync_data()?;
        times.push(start.elapsed());
        if begun.elapsed() > TIME {
            break;
        }
    }
    Ok(times)
}

/// A file that is removed when it is dropped.
struct Probe {
    path: PathBuf,
    file: File,
}

impl Probe {
    fn create(folder: &Path) -> io::Result<Probe> {
        let path = folder.join(format!(".dpmq-doctor-{}", std::process::id()));
        let file = File::options().write(true).create_new(true).open(&path)?;
        Ok(Probe { path, file })
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        // It is empty of meaning; the next run does not mind it.
        let _ = fs::remove_file(&self.path);
    }
}

fn space(folder: &Path, file: &Path) -> Finding {
    const CHECK: &str = "disk space";
    let stat = match rustix::fs::statvfs(folder) {
        Ok(stat) => stat,
        Err(error) => {
            let text = format!(
                "the free space of {} is not known: {error}",
                folder.display()
            );
            return Finding::warn(CHECK, text, "see df");
        }
    };
    let bytes = |blocks: u64| blocks.saturating_mul(stat.f_frsize);
    let (free, all) = (bytes(stat.f_bavail), bytes(stat.f_blocks));
    let used = places(&OsFiles, file).unwrap_or_default();
    let used: u64 = used.iter().map(|path| size(path)).sum();
    judge_space(CHECK, free, all, used)
}

fn judge_space(check: &'static str, free: u64, all: u64, used: u64) -> Finding {
    let text = format!(
        "{} free of {}; the store has {}",
        mib(free),
        mib(all),
        mib(used)
    );
    let advice = "make room, lower mq.cleanTime, or use a larger disk: log and snapshot take four times the size of the messages of mq.cleanTime";
    if free < FREE_MIN_BYTES {
        Finding::fail(check, text, advice)
    } else if free < all / 10 || free < used / 2 {
        Finding::warn(check, text, advice)
    } else {
        Finding::ok(check, text)
    }
}

fn mib(bytes: u64) -> String {
    format!("{} MiB", bytes >> 20)
}

/// The bytes of a file, or of everything in a folder.
fn size(path: &Path) -> u64 {
    match fs::read_dir(path) {
        Ok(entries) => entries.flatten().map(|entry| size(&entry.path())).sum(),
        Err(_) => fs::metadata(path).map_or(0, |it| it.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::doctor::finding::State;

    #[test]
    fn quantiles_are_of_the_times_there_are() {
        let ms = |times: &[u64]| -> Vec<Duration> {
            times.iter().copied().map(Duration::from_millis).collect()
        };
        let hundred = ms(&(1..=100).collect::<Vec<_>>());
        assert_eq!(quantile(&hundred, 50), Duration::from_millis(50));
        assert_eq!(quantile(&hundred, 99), Duration::from_millis(99));
        assert_eq!(quantile(&ms(&[7]), 99), Duration::from_millis(7));
        assert_eq!(quantile(&[], 50), Duration::ZERO);
        assert_eq!(per_second(Duration::from_micros(500)), 2000);
    }

    #[test]
    fn little_room_is_a_warning_and_hardly_any_a_failure() {
        const GIB: u64 = 1 << 30;
        for (free, all, used, state) in [
            (50 * GIB, 100 * GIB, GIB, State::Ok),
            (9 * GIB, 100 * GIB, GIB, State::Warn),
            (50 * GIB, 200 * GIB, 101 * GIB, State::Warn),
            (FREE_MIN_BYTES - 1, GIB / 4, 0, State::Fail),
        ] {
            assert_eq!(judge_space("disk space", free, all, used).state, state);
        }
    }

    #[test]
    fn the_file_that_is_measured_with_is_removed() {
        let dir = tempfile::tempdir().unwrap();
        assert!(!measure(dir.path()).unwrap().is_empty());
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
